"""Training: one visible loop and what it needs."""
