"""Experiments: one frozen description, the network and capture behind its id, sweeps, costs, reports."""
