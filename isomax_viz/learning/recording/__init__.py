"""Recording: network -> Capture, the only crossing from torch to numpy."""
