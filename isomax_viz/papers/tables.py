"""Results in the shape of the papers' tables: mean ± std over seeds, the best in bold."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from isomax_viz._common.checks import check_choice, check_ood
from isomax_viz.analysis.chosen import Captures, Names, as_list, check_alike, shared_ood
from isomax_viz.analysis.scores import ScoreLike, get
from isomax_viz.analysis.tables import evaluate
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.provenance import source
from isomax_viz.catalog.losses import LOSSES
from isomax_viz.catalog.style import data_style, loss_style
from isomax_viz.papers import published
from isomax_viz.papers.paper_table import PaperTable, marked

__all__ = [
    "PaperTable", "accuracies", "extended_comparison", "fair_comparison", "from_published", "scales_ablation",
    "scores_and_losses",
]  # fmt: skip

Methods = Sequence[tuple[str, str]]  # loss and score

_UNNAMED = {"backbone": "", "data": ""}
# How IsoMax2 trains its scales and tilts: an ablation's columns, and no matter for other losses.
SCALES = ("scales_learning_rate", "scales_weight_decay")


def _groups(captures: list[Capture]) -> list[list[Capture]]:
    """Return the captures of each network and data set: a row of a table compares only these."""
    found: dict[Any, list[Capture]] = {}
    for capture in captures:
        found.setdefault((capture.meta.get("backbone"), capture.meta.get("data")), []).append(capture)
    return list(found.values())


def _check_settings(captures: list[Capture], *, of_one_method: Sequence[str] = ()) -> None:
    """Raise an error if a row would compare networks that were not trained alike, or average over more than seeds.

    Networks of one loss may differ in the settings ``of_one_method``, each of which is a method of its own.
    """
    remedy = "Give captures of one setting."
    for group in _groups(captures):
        check_alike(group, ("preset", "select"), "loss and seed", without=SCALES, remedy=remedy)
        for loss in dict.fromkeys(capture.loss for capture in group):
            alike = [capture for capture in group if capture.loss == loss]
            may_differ = f"the seed, where their loss is {loss!r},"
            check_alike(alike, ["entropic_scale"], may_differ, without=of_one_method, remedy=remedy)


def _with_sets(captures: list[Capture], ood: Names, *, without: Sequence[str] = ()) -> list[tuple[Capture, list[str]]]:
    """Return every capture with the sets to look at, the same for all of one network and data set."""
    if ood is not None:
        everything = dict.fromkeys(name for capture in captures for name in capture.ood)
        ood = check_ood(ood, everything)
    chosen: dict[int, list[str]] = {}
    for group in _groups(captures):
        if ood is None:
            shared = shared_ood(group, None)
            names = [name for name in shared if name not in without] or shared
        else:
            there = [name for name in ood if any(name in capture.ood for capture in group)]
            names = shared_ood(group, there or ood)
        chosen |= {id(capture): names for capture in group}
    return [(capture, chosen[id(capture)]) for capture in captures]


def _results(captures: list[Capture], methods: Methods, ood: Names, *, without: Sequence[str] = ()) -> pd.DataFrame:
    """Return the metrics of each method, network, set and seed, the methods in the given order.

    Methods without a capture are left out, and so are the sets ``without`` unless they are asked for, or the only ones.
    """
    losses = dict.fromkeys(loss for loss, _ in methods)
    used = [capture for capture in captures if capture.loss in losses]
    if not used:
        wanted, found = ", ".join(map(repr, losses)), ", ".join(repr(capture.loss) for capture in captures)
        raise ValueError(f"captures must hold one of the losses {wanted}, but are of {found}. Choose other methods.")
    _check_settings(used)
    chosen = _with_sets(used, ood, without=without)
    return pd.concat(
        _evaluated(capture, names, score, f"{loss_style(loss).label}/{get(score, capture.test).label}")
        for loss, score in methods
        for capture, names in chosen
        if capture.loss == loss
    )


def _evaluated(capture: Capture, names: list[str], score: ScoreLike, method: str) -> pd.DataFrame:
    return evaluate(capture, scores=score, ood=names).assign(method=method)


def _check_once(results: pd.DataFrame) -> None:
    """Raise an error if a method has two values for one network, data set, set and seed: one would count twice."""
    twice = results[results.duplicated(["backbone", "data", "ood", "method", "seed"])]
    if len(twice):
        row = twice.iloc[0]
        raise ValueError(
            f"captures must differ in the seed where loss and data are the same, but {row['method']} on "
            f"{row['data'] or 'unnamed data'} has seed {row['seed']} twice. Give every training once, each with its "
            "meta['seed'], and every method once."
        )


# The combinations of loss and score that the papers compare, in their order.
FAIR = (("softmax", "mps"), ("softmax", "es"), ("isomax", "es"), ("isomax2", "es"), ("isomax+", "mds"))
CROSSED = (("isomax", "es"), ("isomax", "mds"), ("isomax+", "es"), ("isomax+", "mds"))
FAIR_METRICS = ("TNR@TPR95", "AUROC", "DTACC")
NOT_IN_FAIR = ("fooling", "gaussian", "uniform")
ONE_POINT = 0.01
# The tables that say "1% tolerance"; the others mark the best, if any.
TOLERANT = (("isomax2", 1), ("isomax2", 2), ("isomax2", 5))


def fair_comparison(
    captures: Captures, *, ood: Names = None, methods: Methods = FAIR, tolerance: float = ONE_POINT
) -> PaperTable:
    """Return TNR@TPR95, AUROC and DTACC of the seamless methods, a row per OOD set.

    Parameters
    ----------
    captures : list of Capture
        Several per loss where they differ in the seed (or in data and backbone) only; trained alike.
    ood : str or list of str, optional
        For each data set those that some of its captures have; by default all that every one of them has, but noise and
        fooling images, which the papers' extended table adds.
    methods : sequence of (loss, score)
        Which combinations; those whose loss is not among the captures are left out.
    tolerance : float
        Fraction, below one half, by which a value may lie below the best and still be in bold.

    Returns
    -------
    PaperTable

    Raises
    ------
    ValueError
        If no capture has one of the losses, captures of one row were not trained alike, those of one loss differ in
        more than the seed, or the tolerance is no fraction.

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
    results = _results(as_list(captures), methods, ood, without=NOT_IN_FAIR)
    return _table("Fair comparison of seamless detection", results, FAIR_METRICS, tolerance)


def extended_comparison(
    captures: Captures, *, ood: Names = None, methods: Methods = FAIR, tolerance: float = ONE_POINT
) -> PaperTable:
    """Return the fair comparison with fooling images, Gaussian and uniform noise.

    Parameters
    ----------
    captures, methods, tolerance
        As for :func:`fair_comparison`.
    ood : str or list of str, optional
        As there, but by default with noise and fooling images.

    Notes
    -----
    Source: IsoMax2 paper, Table 5.
    """
    results = _results(as_list(captures), methods, ood)
    return _table("Extended fair comparison", results, FAIR_METRICS, tolerance)


def scores_and_losses(
    captures: Captures,
    *,
    ood: Names = None,
    methods: Methods = CROSSED,
    spread: str = "of averages",
    tolerance: float = ONE_POINT,
) -> PaperTable:
    """Return losses crossed with scores, averaged over the OOD sets of each network.

    Parameters
    ----------
    captures, ood, methods, tolerance
        As for :func:`extended_comparison`.
    spread : {"of averages", "averaged"}
        What follows the ±. ``"of averages"``: the standard deviation over the seeds of the average over the sets.
        ``"averaged"``: the mean over the sets of the standard deviations over the seeds, as the IsoMax+ paper has it
        in Tables 5 and 6 (in all 32 cells, though it does not say so); larger, where sets do not move together.

    Notes
    -----
    Source: IsoMax+ paper, Table 6: TNR@TPR95 and AUROC.
    """
    check_choice("spread", spread, ("of averages", "averaged"))
    results = _results(as_list(captures), methods, ood).fillna(_UNNAMED)
    sets = results.groupby(["backbone", "data"], sort=False, dropna=False)["ood"].unique()
    labels = {key: ", ".join(data_style(name).label for name in names) for key, names in sets.items()}
    each = "; ".join(f"{' '.join(key)}: {label}" for key, label in labels.items())
    over = each if len(set(labels.values())) > 1 else next(iter(labels.values()))
    title, metrics = f"Losses crossed with scores, average over {over}", FAIR_METRICS[:2]
    of_sets = _table(title, results, metrics, tolerance).frame
    keys = ["backbone", "data", "method"]
    averaged = results.groupby([*keys, "seed"], sort=False, dropna=False)[list(metrics)].mean().reset_index()
    table = _table(title, averaged.assign(ood=""), metrics, tolerance)
    if spread == "averaged":
        mean = of_sets.groupby([*keys, "metric"], sort=False)["std"].mean()
        places = pd.MultiIndex.from_frame(table.frame[[*keys, "metric"]])
        frame = table.frame.assign(std=mean.reindex(places).to_numpy())
        table = replace(table, title=f"{title} (±: that of each set, averaged)", frame=frame)
    return table


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
    listed = as_list(captures)
    _check_settings(listed)
    rows = [
        source(capture)
        | {"method": loss_style(capture.loss).label, "ood": "", "test accuracy": capture.test.accuracy}
        | {"train accuracy": float("nan") if capture.train is None else capture.train.accuracy}
        for capture in sorted(listed, key=lambda capture: [*LOSSES, capture.loss].index(capture.loss))
    ]
    return _table("Classification accuracy", pd.DataFrame(rows), ("train accuracy", "test accuracy"), tolerance)


def scales_ablation(
    captures: Captures, *, ood: Names = None, score: ScoreLike = "es", tolerance: float = 0.0
) -> PaperTable:
    """Return AUROC and DTACC of IsoMax2 for every way of training its scales and tilts.

    Parameters
    ----------
    captures : list of Capture
        Of IsoMax2, from ``Experiment(scales_learning_rate=..., scales_weight_decay=...)``.
    ood, score
        Sets, by default all that every capture has, and the score; the paper uses fooling images and the entropic
        score.
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
    listed = as_list(captures)
    for capture in listed:
        if capture.loss != "isomax2" or not all(name in capture.meta for name in SCALES):
            raise ValueError(
                f"captures must be of 'isomax2' and say how its scales and tilts were trained, but one is {capture!r}. "
                "Record them with Experiment(loss='isomax2', scales_learning_rate=..., scales_weight_decay=...)."
            )
    _check_settings(listed, of_one_method=SCALES)
    results = pd.concat(
        _evaluated(capture, names, score, _scales_label(capture)) for capture, names in _with_sets(listed, ood)
    )
    return _table("Weight decay and learning rate of IsoMax2's scales and tilts", results, FAIR_METRICS[1:], tolerance)


def _scales_label(capture: Capture) -> str:
    factor, decay = (capture.meta[name] for name in SCALES)
    speed = "regular" if factor == 1 else f"{1 / factor:g}X slower" if 0 < factor < 1 else f"factor {factor:g}"
    return f"weight decay: {'yes' if decay else 'no'}; learning rate: {speed}"


def from_published(
    paper: str, number: int, *, tolerance: float | None = None, **filters: str | Collection[str]
) -> PaperTable:
    """Return a table of numbers as the paper has it, in the same shape as your own.

    Parameters
    ----------
    paper, number, **filters
        See :func:`isomax_viz.papers.published.table`.
    tolerance : float, optional
        As for :func:`fair_comparison`; by default 0.01 for the tables that state it (IsoMax2 paper, Tables 1, 2 and 5),
        else 0.

    Notes
    -----
    Bold follows from the values and the tolerance. The papers print some cells otherwise, such as 27 of the 432 of the
    IsoMax2 paper's Table 5.

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
    if tolerance is None:
        tolerance = ONE_POINT if (paper, number) in TOLERANT else 0.0
    return PaperTable(f"{words['title']} ({paper}, Table {number})", marked(frame, tolerance), tolerance)


def _table(title: str, results: pd.DataFrame, metrics: Sequence[str], tolerance: float) -> PaperTable:
    results = results.fillna(_UNNAMED)
    _check_once(results)
    keys = ["backbone", "data", "ood", "method"]
    long = results.melt(id_vars=[*keys, "seed"], value_vars=list(metrics), var_name="metric", value_name="value")
    groups = long.groupby([*keys, "metric"], sort=False, dropna=False)["value"]
    frame = groups.agg(mean="mean", std="std", seeds="count").reset_index()  # a value that is missing is no seed
    return PaperTable(title, marked(frame.dropna(subset="mean"), tolerance), tolerance)
