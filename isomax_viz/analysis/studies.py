"""Studies over several trainings: how results depend on the entropic scale, and on the number of training examples."""

from __future__ import annotations

import numpy as np
import pandas as pd

from isomax_viz._common.checks import check_choice
from isomax_viz.analysis.chosen import Captures, Names, as_list, check_alike, check_once, shared_ood
from isomax_viz.analysis.scores import ScoreLike
from isomax_viz.analysis.tables import evaluate
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.provenance import SOURCE_COLUMNS, source

__all__ = ["ALPHA_QUANTITIES", "ROBUSTNESS_QUANTITIES", "alpha_table", "examples_per_class", "robustness_table"]

ALPHA_QUANTITIES = ("accuracy", "TNR@TPR95", "AUROC")
ROBUSTNESS_QUANTITIES = ("accuracy", "mean AUROC")
# What chooses the entropic scale in the 2019 paper, section 3.
_CHOOSES = "TNR@TPR95"
_APART = "Draw each in a panel of its own with iv.plot_grid."


def alpha_table(
    captures: Captures, *, select_on: str | None = None, score: ScoreLike = "es", ood: Names = None
) -> pd.DataFrame:
    """Return accuracy and detection against the entropic scale, and the scale that one set chooses.

    Parameters
    ----------
    captures : list of Capture
        Of one loss, data set, backbone and preset; they differ in entropic scale and seed only.
    select_on : str
        The out-of-distribution set that chooses the scale, by mean TNR@TPR95. It must not be used to report results
        afterwards: its rows have the role "choice".
    score : str or callable
        A key of ``iv.scores.SCORES``, or your own function.
    ood : str or list of str, optional
        Sets to report on beside ``select_on``; by default all others that every capture has.

    Returns
    -------
    DataFrame
        Where it comes from, then ``capture`` (number in the list), ``score, quantity`` ("accuracy", "TNR@TPR95",
        "AUROC"), ``ood`` (empty for the accuracy), ``role`` ("choice", "report", empty for the accuracy), ``value`` (a
        fraction) and ``chosen_scale`` (the same in all rows).

    Raises
    ------
    ValueError
        If ``select_on`` is not named, the captures differ in more than scale and seed, two are
        alike in both, or one has no entropic scale.

    Notes
    -----
    Source: DisMax paper (2019), Figure 2 and section 3, where alpha is the entropic scale and CIFAR100 chooses it.

    Examples
    --------
    >>> captures = [
    ...     Capture.from_arrays([[3.0, 0.0], [0.0, 4.0]], [0, 1], ood={"x": [[1.0, 0.0]], "y": [[9.0, 0.0]]},
    ...                         loss="isomax", meta={"entropic_scale": scale}) for scale in (1.0, 10.0)]
    >>> table = alpha_table(captures, select_on="x")
    >>> table[["entropic_scale", "quantity", "ood", "role", "value"]].head(3).to_numpy().tolist()
    [[1.0, 'accuracy', '', '', 1.0], [1.0, 'TNR@TPR95', 'x', 'choice', 1.0], [1.0, 'AUROC', 'x', 'choice', 1.0]]
    """
    listed = as_list(captures)
    alike = ("loss", "data", "backbone", "preset", "select")
    check_alike(listed, alike, "the entropic scale and the seed", remedy=_APART)
    check_once(listed, ["entropic_scale"])
    for capture in listed:
        if capture.meta.get("entropic_scale") is None:
            raise ValueError(
                f"{capture!r} has no entropic scale, so nothing can be drawn against it. Give captures of 'isomax' or "
                "'isomax+'."
            )
    remedy = "Name the set that chooses the scale; it is not used to report results afterwards."
    select_on = check_choice("select_on", select_on, shared_ood(listed, None), remedy=remedy)
    sets = [select_on, *(name for name in shared_ood(listed, ood) if name != select_on)]
    results = evaluate(listed, scores=[score], ood=sets)
    results["capture"] = np.repeat(np.arange(len(listed)), len(sets))
    keys = [*SOURCE_COLUMNS, "capture", "score", "ood"]
    table = results.melt(keys, list(ALPHA_QUANTITIES), "quantity", ignore_index=False)
    table["role"] = np.where(table["ood"] == select_on, "choice", "report")
    table.loc[table["quantity"] == "accuracy", ["ood", "role"]] = ""
    table = table.sort_index(kind="stable").drop_duplicates(ignore_index=True)
    return table.assign(chosen_scale=_best_scale(table))


def _best_scale(table: pd.DataFrame) -> float:
    rows = table[(table["role"] == "choice") & (table["quantity"] == _CHOOSES)]
    means = rows.groupby("entropic_scale")["value"].mean()
    # Of equal ones the smallest: the least change to what an unscaled network would do.
    return float(means.index[int(np.argmax(means.to_numpy()))])


def robustness_table(captures: Captures, *, score: ScoreLike = "es", ood: Names = None) -> pd.DataFrame:
    """Return accuracy and mean AUROC against the number of training examples per class.

    Parameters
    ----------
    captures : list of Capture
        Of one data set, backbone and preset; they differ in loss, seed and number of training examples only. The number
        of epochs may go with the number of examples.
    score : str or callable
        A key of ``iv.scores.SCORES``, or your own function.
    ood : str or list of str, optional
        Out-of-distribution sets to average over; by default all that every capture has.

    Returns
    -------
    DataFrame
        Where it comes from, then ``capture`` (number in the list), ``examples_per_class, score, ood`` (the sets, joined
        by commas; empty for the accuracy), ``sets`` (their number), ``quantity`` ("accuracy", "mean AUROC") and
        ``value`` (a fraction).

    Raises
    ------
    ValueError
        If the captures differ in more than that, two are alike in all of it, or one does not say how many examples it
        was trained with.

    Notes
    -----
    Source: IsoMax2 paper, Figure 2: accuracy, and the mean AUROC of the entropic score over all sets.

    Examples
    --------
    >>> capture = Capture.from_arrays([[3.0, 0.0], [0.0, 4.0]], [0, 1], ood={"x": [[1.0, 0.0]], "y": [[9.0, 0.0]]},
    ...                               meta={"examples_per_class": 20})
    >>> robustness_table(capture)[["examples_per_class", "quantity", "value"]].to_numpy().tolist()
    [[20, 'accuracy', 1.0], [20, 'mean AUROC', 0.5]]
    """
    listed = as_list(captures)
    _check_robustness(listed)
    names = shared_ood(listed, ood)
    rows = []
    for number, capture in enumerate(listed):
        results = evaluate(capture, scores=[score], ood=names)
        shared = source(capture) | {"capture": number, "examples_per_class": examples_per_class(capture)}
        shared["score"] = results["score"].iloc[0]
        rows.append(shared | {"ood": "", "sets": 0, "quantity": "accuracy", "value": capture.test.accuracy})
        sets, mean = {"ood": ", ".join(names), "sets": len(names)}, float(results["AUROC"].mean())
        rows.append(shared | sets | {"quantity": "mean AUROC", "value": mean})
    return pd.DataFrame(rows)


def _check_robustness(captures: list[Capture]) -> None:
    may_differ, free = "loss, seed and number of training examples", ("examples_per_class", "epochs")
    check_alike(captures, ("data", "backbone", "preset", "select"), may_differ, without=free, remedy=_APART)
    check_once(captures, ["loss", "examples_per_class"])
    for loss in dict.fromkeys(capture.loss for capture in captures):
        check_alike([capture for capture in captures if capture.loss == loss], ["entropic_scale"], may_differ,
                    without=free, remedy=_APART)  # fmt: skip
    for number in dict.fromkeys(map(examples_per_class, captures)):
        equal = [capture for capture in captures if examples_per_class(capture) == number]
        check_alike(equal, [], f"loss and seed, where the number of examples is {number},", without=free[:1])


def examples_per_class(capture: Capture) -> int:
    """Return with how many images per class a network was trained: as asked for, else the mean over the classes.

    Raises
    ------
    ValueError
        If neither ``meta`` nor the training samples tell.

    Examples
    --------
    >>> examples_per_class(Capture.from_arrays([[3.0, 0.0]], [0], meta={"examples_per_class": 20}))
    20
    """
    asked = capture.meta.get("examples_per_class")
    if asked is not None:
        return int(asked)
    if capture.train is None:
        raise ValueError(
            f"{capture!r} does not say how many training examples it had. Record it with "
            "Experiment(examples_per_class=...).run(), or set meta['examples_per_class']."
        )
    return round(len(capture.train) / capture.train.classes)
