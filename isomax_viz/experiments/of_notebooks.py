"""The trainings behind the notebooks, described; the notebooks themselves build the same ones."""

from __future__ import annotations

from isomax_viz.experiments.experiment import Experiment

__all__ = ["EXPERIMENTS", "STUDIES"]

# What the notebooks read from the store: trained first, so that the progress is seen.
EXPERIMENTS = tuple(Experiment(loss=loss) for loss in ("softmax", "isomax", "isomax+", "isomax2"))

# The same for the notebooks that compare many trainings, by notebook; short ones, shared where possible.
STUDIES = {
    "02_alpha_sensitivity": tuple(
        Experiment(loss="isomax", entropic_scale=scale, seed=seed, epochs=10)
        for scale in (1.0, 3.0, 10.0, 30.0)
        for seed in (0, 1, 2)
    ),
    "04_robustness": tuple(
        Experiment(loss=loss, examples_per_class=n, preset="quick", epochs=300 // n, seed=seed)
        for loss in ("softmax", "isomax2")
        for n in (10, 30, 100)
        for seed in (0, 1, 2)
    ),
    "06_tables": EXPERIMENTS
    + tuple(
        Experiment(loss="isomax2", scales_learning_rate=factor, scales_weight_decay=decay)
        for factor, decay in ((1.0, True), (0.1, True), (1.0, False))
    ),
    "08_unfair_comparison": tuple(
        Experiment(loss=loss, seed=seed, epochs=10)
        for loss, seed in (("softmax", 0), ("softmax", 1), ("isomax", 0), ("isomax+", 0))
    ),
}
