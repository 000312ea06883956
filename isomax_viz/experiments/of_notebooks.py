"""The trainings behind the notebooks, described; the notebooks themselves build the same ones."""

from __future__ import annotations

from isomax_viz.experiments.experiment import Experiment

__all__ = ["EXPERIMENTS", "STUDIES"]

# What the notebooks read from the store: trained first, so that the progress is seen.
EXPERIMENTS = tuple(Experiment(loss=loss) for loss in ("softmax", "isomax", "isomax+", "isomax2"))

_SHORT = {"preset": "quick", "epochs": 4}
# The same for the notebooks that compare many trainings, by notebook; short ones, shared where possible.
STUDIES = {
    "02_alpha_sensitivity": Experiment.grid(loss="isomax", entropic_scale=[1, 3, 10, 30], seed=range(3), **_SHORT),
    "04_robustness": [
        Experiment(loss=loss, examples_per_class=n, preset="quick", epochs=300 // n, seed=seed)
        for loss in ("softmax", "isomax2")
        for n in (10, 30, 100)
        for seed in range(3)
    ],
    "06_tables": [
        *EXPERIMENTS,
        *Experiment.grid(
            loss="isomax2", preset="quick", scales_learning_rate=[1, 0.1], scales_weight_decay=[True, False]
        ),
    ],
    "08_unfair_comparison": Experiment.grid(loss=["softmax", "isomax", "isomax+"], **_SHORT)
    + Experiment.grid(loss="softmax", seed=1, **_SHORT),
}
