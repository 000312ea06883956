"""Results in the shape of the papers' tables: mean ± std over seeds, the best in bold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pandas as pd

from isomax_viz import published
from isomax_viz._checks import check_number
from isomax_viz.printed import PaperTable, marked
from isomax_viz.scores import SCORES
from isomax_viz.style import data_style, loss_style
from isomax_viz.tables import Captures, as_list, evaluate

__all__ = [
    "PaperTable",
    "accuracies",
    "extended_comparison",
    "fair_comparison",
    "from_published",
    "scales_ablation",
    "scores_and_losses",
]

# The combinations of loss and score that the papers compare, in their order.
FAIR = (("softmax", "mps"), ("softmax", "es"), ("isomax", "es"), ("isomax2", "es"), ("isomax+", "mds"))
CROSSED = (("isomax", "es"), ("isomax", "mds"), ("isomax+", "es"), ("isomax+", "mds"))
FAIR_METRICS = ("TNR@TPR95", "AUROC", "DTACC")
LOSSES = ("softmax", "isomax", "isomax+", "isomax2")
NOT_IN_FAIR = ("fooling", "gaussian", "uniform")
ONE_POINT = 0.01  # "1 % tolerance" in the tables of the IsoMax2 paper


def method_label(loss: str, score: str) -> str:
    """Return a method's name as the papers write it.

    Examples
    --------
    >>> method_label("isomax+", "mds")
    'IsoMax+/MDS'
    """
    return f"{loss_style(loss).label}/{SCORES[score].label if score in SCORES else score}"


def fair_comparison(
    captures: Captures,
    *,
    ood: str | Iterable[str] | None = None,
    methods: Sequence[tuple[str, str]] = FAIR,
    tolerance: float = ONE_POINT,
) -> PaperTable:
    """Return TNR@TPR95, AUROC and DTACC of the seamless methods, a row per OOD set.

    Parameters
    ----------
    captures : list of Capture
        Several per loss where they differ in the seed (or in data and backbone) only.
    ood : str or list of str, optional
        By default all but noise and fooling images, which the papers' extended table adds.
    methods : sequence of (loss, score)
        Which combinations; those whose loss is not among the captures are left out.
    tolerance : float
        Fraction below the best that is still in bold.

    Returns
    -------
    PaperTable

    Raises
    ------
    ValueError
        If no capture has one of the losses, or two captures differ in more than the seed.

    Notes
    -----
    Source: DisMax paper (2019), Table 2; IsoMax2 paper, Table 1; IsoMax+ paper, Table 3.

    Examples
    --------
    >>> from isomax_viz import Capture
    >>> capture = Capture.from_arrays([[3.0, 0.0], [0.0, 4.0]], [0, 1], ood={"x": [[0.1, 0.0]]}, loss="softmax")
    >>> fair_comparison(capture).wide()["AUROC"].to_numpy().tolist()
    [['100.0', '100.0']]
    """
    listed = as_list(captures)
    if ood is None:
        ood = [name for name in listed[0].ood if name not in NOT_IN_FAIR] or None
    results = _results(listed, methods, ood)
    return _table("Fair comparison of seamless detection", results, FAIR_METRICS, tolerance)


def extended_comparison(
    captures: Captures,
    *,
    ood: str | Iterable[str] | None = None,
    methods: Sequence[tuple[str, str]] = FAIR,
    tolerance: float = ONE_POINT,
) -> PaperTable:
    """Return the fair comparison with fooling images, Gaussian and uniform noise.

    Parameters
    ----------
    captures, methods, tolerance
        As for :func:`fair_comparison`.
    ood : str or list of str, optional
        By default all sets of the captures.

    Notes
    -----
    Source: IsoMax2 paper, Table 5.
    """
    results = _results(as_list(captures), methods, ood)
    return _table("Extended fair comparison", results, FAIR_METRICS, tolerance)


def scores_and_losses(
    captures: Captures,
    *,
    ood: str | Iterable[str] | None = None,
    methods: Sequence[tuple[str, str]] = CROSSED,
    tolerance: float = ONE_POINT,
) -> PaperTable:
    """Return losses crossed with scores, averaged over the OOD sets of each network.

    Parameters
    ----------
    captures, ood, methods, tolerance
        As for :func:`fair_comparison`.

    Notes
    -----
    Source: IsoMax+ paper, Table 6: TNR@TPR95 and AUROC; the standard deviation is that of the averages over the seeds.
    """
    results = _results(as_list(captures), methods, ood)
    keys = ["backbone", "data", "method", "seed"]
    averaged = results.groupby(keys, sort=False, dropna=False)[list(FAIR_METRICS)].mean().reset_index()
    sets = ", ".join(data_style(name).label for name in results["ood"].unique())
    title = f"Losses crossed with scores, average over {sets}"
    return _table(title, averaged.assign(ood=""), FAIR_METRICS[:2], tolerance)


def accuracies(captures: Captures, *, tolerance: float = ONE_POINT) -> PaperTable:
    """Return the classification accuracy of training and test images, a column per loss.

    Parameters
    ----------
    captures, tolerance
        As for :func:`fair_comparison`; the training accuracy needs captures with training samples.

    Notes
    -----
    Source: DisMax paper (2019), Table 4; IsoMax2 paper, Table 4; IsoMax+ paper, Table 2. Training images are classified
    without augmentation after training.

    Examples
    --------
    >>> from isomax_viz import Capture
    >>> capture = Capture.from_arrays([[3.0, 0.0], [0.0, 4.0]], [0, 0], loss="softmax", meta={"data": "mine"})
    >>> accuracies(capture).wide()
    metric test accuracy
    method       SoftMax
    ID
    mine            50.0
    """
    rows = []
    for capture in sorted(as_list(captures), key=_place):
        row = _origin(capture) | {"method": loss_style(capture.loss).label, "ood": ""}
        train = float("nan") if capture.train is None else capture.train.accuracy
        rows.append(row | {"train accuracy": train, "test accuracy": capture.test.accuracy})
    return _table("Classification accuracy", pd.DataFrame(rows), ("train accuracy", "test accuracy"), tolerance)


def scales_ablation(
    captures: Captures,
    *,
    ood: str | Iterable[str] | None = None,
    score: str | Callable[..., Any] = "es",
    tolerance: float = 0.0,
) -> PaperTable:
    """Return AUROC and DTACC of IsoMax2 for every way of training its scales and tilts.

    Parameters
    ----------
    captures : list of Capture
        Of IsoMax2, from ``Experiment(scales_learning_rate=..., scales_weight_decay=...)``.
    ood, score
        See :func:`isomax_viz.tables.evaluate`; the paper uses fooling images and the entropic score.
    tolerance
        As for :func:`fair_comparison`; this table of the paper marks the best only.

    Raises
    ------
    ValueError
        If a capture is of another loss, or does not say how its scales and tilts were trained.

    Notes
    -----
    Source: IsoMax2 paper, Table 3 and Supplementary Material B.
    """
    parts = []
    listed = as_list(captures)
    for capture in listed:
        known = all(name in capture.meta for name in ("scales_learning_rate", "scales_weight_decay"))
        if capture.loss != "isomax2" or not known:
            raise ValueError(
                f"captures must be of 'isomax2' and say how its scales and tilts were trained, but one is {capture!r}. "
                "Record them with Experiment(loss='isomax2', scales_learning_rate=..., scales_weight_decay=...)."
            )
        parts.append(evaluate(capture, scores=score, ood=ood).assign(method=_scales_label(capture), **_origin(capture)))
    results = pd.concat(parts, ignore_index=True)
    return _table("Weight decay and learning rate of IsoMax2's scales and tilts", results, FAIR_METRICS[1:], tolerance)


def _scales_label(capture: Any) -> str:
    factor, decay = capture.meta["scales_learning_rate"], capture.meta["scales_weight_decay"]
    speed = "regular" if factor == 1 else f"{1 / factor:g}X slower" if 0 < factor < 1 else f"factor {factor:g}"
    return f"weight decay: {'yes' if decay else 'no'}; learning rate: {speed}"


def from_published(paper: str, number: int, *, tolerance: float = ONE_POINT, **filters: Any) -> PaperTable:
    """Return a table of numbers as the paper has it, in the same shape as your own.

    Parameters
    ----------
    paper, number, **filters
        See :func:`isomax_viz.published.table`.
    tolerance : float
        As for :func:`fair_comparison`.

    Examples
    --------
    >>> from_published("isomax+", 3, backbone="resnet110", id="cifar10", metric="AUROC").wide().iloc[0].tolist()
    ['88.9 ± 0.9', '94.8 ± 1.5', '98.1 ± 0.9']
    """
    table = published.table(paper, number, **filters)
    overview = published.tables()
    words = overview[(overview["paper"] == paper) & (overview["table"] == number)].iloc[0]
    if words["kind"] != "numbers":
        raise ValueError(f"Table {number} of {paper!r} holds no numbers. Read it with iv.published.table.")
    frame = table[table["unit"] == "percent"].rename(columns={"id": "data"})
    frame = frame.assign(mean=frame["mean"] / 100, std=frame["std"] / 100, seeds=float("nan"))
    return PaperTable(f"{words['title']} ({paper}, Table {number})", marked(frame, tolerance), tolerance)


def _origin(capture: Any) -> dict[str, Any]:
    meta = capture.meta
    return {"backbone": meta.get("backbone") or "", "data": meta.get("data") or "", "seed": meta.get("seed")}


def _place(capture: Any) -> int:
    return LOSSES.index(capture.loss) if capture.loss in LOSSES else len(LOSSES)


def _results(captures: list[Any], methods: Sequence[tuple[str, str]], ood: Any) -> pd.DataFrame:
    parts = []
    for loss, score in methods:
        for capture in captures:
            if capture.loss == loss:
                part = evaluate(capture, scores=score, ood=ood)
                parts.append(part.assign(method=method_label(loss, part["score"].iloc[0]), **_origin(capture)))
    if not parts:
        wanted = ", ".join(repr(loss) for loss in dict.fromkeys(loss for loss, _ in methods))
        found = ", ".join(repr(capture.loss) for capture in captures)
        raise ValueError(f"captures must hold one of the losses {wanted}, but are of {found}. Choose other methods.")
    return pd.concat(parts, ignore_index=True)


def _table(title: str, results: pd.DataFrame, metrics: Sequence[str], tolerance: float) -> PaperTable:
    check_number("tolerance", tolerance, at_least=0)
    keys = ["backbone", "data", "ood", "method"]
    twice = results[results.duplicated([*keys, "seed"])]
    if len(twice):
        row = twice.iloc[0]
        raise ValueError(
            f"captures must differ in nothing but the seed where loss and data are the same, but {row['method']} on "
            f"{row['data'] or 'unnamed data'} has seed {row['seed']} twice. Give captures of one setting."
        )
    long = results.melt(id_vars=[*keys, "seed"], value_vars=list(metrics), var_name="metric", value_name="value")
    groups = long.groupby([*keys, "metric"], sort=False, dropna=False)["value"]
    frame = groups.agg(mean="mean", std="std", seeds="size").reset_index()
    return PaperTable(title, marked(frame.dropna(subset="mean"), tolerance), tolerance)
