"""Detection metrics of a million scores on either side against scikit-learn and pytorch-ood, in the same run."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from benchmarks.rows import Row, in_turn, ratios
from isomax_viz import metrics

try:
    from pytorch_ood.metrics import OODMetrics
except ImportError:  # where it stood before
    from pytorch_ood.utils import OODMetrics


def spelled_out(truth: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """Return the metrics as scikit-learn gives them, or as follows from its curve."""
    fpr, tpr, _ = roc_curve(truth, scores, drop_intermediate=False)
    return {
        "TNR@TPR95": 1 - fpr[np.argmax(tpr >= 0.95)],
        "AUROC": roc_auc_score(truth, scores),
        "DTACC": (tpr + 1 - fpr).max() / 2,
        "AUPR-in": average_precision_score(truth, scores),
        "AUPR-out": average_precision_score(1 - truth, -scores),
    }


def rows(*, tiny: bool = False) -> list[Row]:
    """All rows of this file."""
    n, rounds = (500, 1) if tiny else (1_000_000, 5)
    rng = np.random.default_rng(0)
    inside, outside = (rng.normal(shift, 1, n).astype(np.float32) for shift in (1, 0))
    truth, pooled = np.repeat([1, 0], n), np.concatenate([inside, outside])
    outliers = torch.from_numpy(np.where(truth == 1, 1, -1)), torch.from_numpy(-pooled)

    def pytorch_ood() -> None:
        found = OODMetrics()
        found.update(outliers[1], outliers[0])
        found.compute()

    functions = {
        "scikit-learn": lambda: (roc_curve(truth, pooled), roc_auc_score(truth, pooled)),
        "pytorch-ood": pytorch_ood,
        "all five": lambda: metrics.ood_metrics(inside, outside),
        "AUROC": lambda: metrics.auroc(inside, outside),
    }
    times = in_turn(functions, rounds=rounds)
    what, ours = f"metrics of {n:,} + {n:,} scores", metrics.ood_metrics(inside, outside)
    error = max(abs(ours[name] - value) for name, value in spelled_out(truth, pooled).items())
    note = f"{np.median(times['all five']):.3f} s against {np.median(times['scikit-learn']):.2f} s"
    target = None if tiny else 8.0
    curve = "scikit-learn, roc_curve and roc_auc_score"
    return [
        Row(
            f"all five {what}",
            curve,
            ratios(times["scikit-learn"], times["all five"]),
            target,
            note=note,
            values=tuple(times["all five"]),
        ),
        Row(
            f"AUROC of {n:,} + {n:,} scores",
            curve,
            ratios(times["scikit-learn"], times["AUROC"]),
            target,
            values=tuple(times["AUROC"]),
        ),
        Row(f"all five {what}", "pytorch-ood, OODMetrics", ratios(times["pytorch-ood"], times["all five"]), None),
        Row("largest difference to scikit-learn", "1e-9", (error / 1e-9,), 1.0, True, note=f"{error:.1e}"),
    ]
