"""Captures: the frozen numpy record of what a network said about its images."""
