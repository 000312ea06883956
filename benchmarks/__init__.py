"""Speed, as ratios to baselines that stand beside the thing measured: ``python -m benchmarks``."""
