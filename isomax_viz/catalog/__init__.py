"""What is known by key: losses and looks, each declared once."""
