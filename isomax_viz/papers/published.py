"""The papers' own tables as tidy DataFrames, and their values beside those of your own runs.

Numbers are kept in percent, as printed; `side_by_side` compares in fractions, the unit of the rest of the package.
The conventions of the columns, and what was unclear in the sources, stand in ``data/published/README.md``.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cache

import pandas as pd

from isomax_viz._common.checks import check_choice, check_known, check_number
from isomax_viz._common.system import data_folder

__all__ = ["papers", "side_by_side", "table", "tables"]


@cache
def _read(file: str) -> pd.DataFrame:
    # Only numbers may be missing: an empty text is an empty text, so that filters and joins see no NaN.
    numbers, path = ("mean", "std"), data_folder() / "published" / file
    missing, types = dict.fromkeys(numbers, [""]), dict.fromkeys(numbers, float)
    return pd.read_csv(path, keep_default_na=False, na_values=missing, dtype=types)


Wanted = str | Collection[str] | None  # value or values to keep


def papers() -> pd.DataFrame:
    """Return one row per paper whose tables are kept here.

    Returns
    -------
    DataFrame
        ``paper`` (the key that `table` takes), ``title``, ``authors``, ``year``, ``link``, ``notes``.

    Examples
    --------
    >>> papers()["paper"].tolist()
    ['dismax', 'isomax2', 'isomax+']
    """
    return _read("papers.csv").copy()


def tables() -> pd.DataFrame:
    """Return an overview with one row per published table.

    Returns
    -------
    DataFrame
        ``paper``, ``table`` (its number there), ``title`` (in our words), ``kind`` ("numbers", or "features" for
        which approach needs what), ``rows``, ``has_std`` and ``notes`` on the table as a whole.

    Examples
    --------
    >>> overview = tables()
    >>> overview.loc[overview["kind"] == "features", ["paper", "table"]].to_numpy().tolist()
    [['dismax', 1], ['isomax+', 1]]
    """
    overview = _read("tables.csv").copy()
    frames = [_read(file) for file in overview.pop("file")]
    overview.insert(4, "rows", [len(frame) for frame in frames])
    overview.insert(5, "has_std", ["std" in frame and bool(frame["std"].notna().any()) for frame in frames])
    return overview


def table(
    paper: str,
    number: int,
    *,
    backbone: Wanted = None,
    id: Wanted = None,
    ood: Wanted = None,
    loss: Wanted = None,
    score: Wanted = None,
    method: Wanted = None,
    metric: Wanted = None,
) -> pd.DataFrame:
    """Return one table of one paper, tidy: one row per printed value, in the printed order.

    Parameters
    ----------
    paper : {"dismax", "isomax2", "isomax+"}
        "dismax" is "Distinction Maximization Loss" (2019), "isomax2" is "Hyperparameter-Free Isotropic Maximization
        Loss", "isomax+" is "Enhanced Isotropy Maximization Loss".
    number : int
        The table's number in the paper.
    backbone, id, ood : str or collection of str, optional
        Keep only rows of these networks, in-distribution (training) data and out-of-distribution sets.
    loss, score : str or collection of str, optional
        Keep only rows of these losses and scores, by their keys.
    method, metric : str or collection of str, optional
        Keep only rows of these methods, as printed, and of these metrics.

    Returns
    -------
    DataFrame
        Tables of numbers: ``paper``, ``table``, ``backbone``, ``id``, ``ood``, ``loss``, ``score``, ``method`` (as
        printed), ``metric``, ``mean`` and ``std`` (as printed; NaN where the paper gives none), ``unit``, ``notes``.
        Tables of features: ``paper``, ``table``, ``method``, ``feature``, ``value``, ``notes``.
        Values that do not occur together give an empty frame.

    Raises
    ------
    TypeError
        If the number is no whole number.
    ValueError
        If the paper has no such table, the table has no such column, or a value does not occur in it.

    Examples
    --------
    >>> row = table("isomax+", 3, backbone="resnet110", id="cifar10", ood="svhn", loss="isomax+", metric="AUROC")
    >>> row[["mean", "std", "unit"]].to_numpy().tolist()
    [[98.1, 0.9, 'percent']]
    """
    check_choice("paper", paper, papers()["paper"])
    overview = _read("tables.csv")
    files = overview.loc[overview["paper"] == paper].set_index("table")["file"]
    check_number("number", number, whole=True, at_least=1, at_most=len(files))
    frame = _read(files[number])
    named = {"loss": loss, "score": score, "method": method, "metric": metric}
    filters = {"backbone": backbone, "id": id, "ood": ood, **named}
    kept, remedy = frame, f"Other values are not in table {number}."
    for column, wanted in filters.items():
        if wanted is not None:
            check_choice(
                f"the filter for table {number} of {paper!r}", column, [key for key in filters if key in frame]
            )
            kept = kept[kept[column].isin(check_known(column, wanted, frame[column].unique(), remedy=remedy))]
    return kept.reset_index(drop=True)


_METRICS = ("TNR@TPR95", "AUROC", "DTACC", "AUPR-in", "AUPR-out", "accuracy", "train accuracy")
_CLASSIFICATION = ("accuracy", "train accuracy")  # these depend on no out-of-distribution set and on no score
_KEYS = ["backbone", "data", "ood", "loss", "score", "metric"]
# Averaging over these would mix different experiments.
_SETTINGS = ["preset", "select", "variant", "precision", "entropic_scale"]
_COUNTS = ["n_id", "n_ood"]
_PAPER_SCALE = 10.0
_PROTOCOL_OF = "isomax+"  # the only paper that prints its own
_SCALED = ("isomax", "isomax+")
# The papers' extra data is not to be had any more.
_WITH_OUTLIERS = ("softmax+oe",)
# Images of the sets that the papers evaluate on: a part of them is another test.
_IMAGES = {"cifar10": 10_000, "cifar100": 10_000, "svhn": 26_032, "tinyimagenet_resize": 10_000, "lsun_resize": 10_000}
# What the IsoMax2 paper chooses after its ablation, and what its preset here trains with.
_CHOSEN_OPTIONS = "weight decay: no; learning rate: 10X slower"


def side_by_side(results: pd.DataFrame, published: pd.DataFrame, *, how: str = "left") -> pd.DataFrame:
    """Join your own results with published values and say of each pair whether it may be compared.

    Parameters
    ----------
    results : DataFrame
        What ``iv.evaluate`` returns: one row per capture, score and out-of-distribution set, metrics as fractions.
        A table of accuracies, without ``score`` and ``ood``, will do as well.
    published : DataFrame
        What `table` returns for a table of numbers; several can be joined by ``pandas.concat``.
    how : {"left", "outer"}, optional
        "left" keeps all results; "outer" keeps, after them, the published values without a result too.

    Returns
    -------
    DataFrame
        One row per ``backbone``, ``data``, ``ood``, ``loss``, ``score`` and ``metric`` (and per ``preset``, ``select``,
        ``variant``, ``precision`` and ``entropic_scale``, where the results hold several), with ``mean``, ``std``
        (n - 1; NaN for one seed) and the number of ``seeds``. If several published tables have that value, one row for
        each. Then ``paper``, ``table``, ``method``, ``published_mean``, ``published_std``, ``difference`` (mean -
        published mean), ``comparable`` and ``why_not`` (plain words, empty if comparable). All values are fractions.

    Raises
    ------
    ValueError
        If a column is missing, results are no fractions, a seed has two values, or ``how`` is unknown.

    Notes
    -----
    A published method without one of our scores (ODIN, Mahalanobis) is matched by its lower-case name as score. A
    result is comparable if it has the papers' data, network, loss and score, comes from preset "paper" with nothing
    changed, no epoch selected and the backbone in float32, and if the paper is that of this protocol, IsoMax+ (the
    others refer to Lee et al. 2018); for IsoMax and IsoMax+ from the entropic scale 10 of the papers, and, where the
    numbers of images are told, from whole sets. Classification accuracy is matched without OOD set and score.

    Examples
    --------
    >>> results = pd.DataFrame({
    ...     "data": "cifar10", "backbone": "resnet110", "loss": "isomax+", "entropic_scale": 10.0, "score": "mds",
    ...     "ood": "svhn", "seed": [0, 1], "preset": "paper", "AUROC": [0.979, 0.981]})
    >>> pairs = side_by_side(results, table("isomax+", 3))
    >>> pairs[["mean", "seeds", "published_mean", "comparable"]].values.tolist()
    [[0.98, 2, 0.981, True]]
    """
    check_choice("how", how, ["left", "outer"])
    theirs = _as_fractions(published)
    joined = _summary(results).merge(theirs, on=_KEYS, how="left")
    if how == "outer":
        unmatched = theirs.merge(joined[_KEYS].drop_duplicates(), on=_KEYS, how="left", indicator=True)
        joined = pd.concat([joined, unmatched.loc[unmatched.pop("_merge") == "left_only"]], ignore_index=True)
    texts = ["preset", "select", "variant", "precision", "paper", "method"]
    joined = joined.astype({column: object for column in texts}).fillna(dict.fromkeys(texts, ""))
    joined = joined.astype({"seeds": "Int64", "table": "Int64"}).fillna({"seeds": 0})
    joined["difference"] = joined["mean"] - joined["published_mean"]
    joined["why_not"] = ["; ".join(_reasons(pair)) for pair in joined.to_dict("records")]
    joined.insert(len(joined.columns) - 1, "comparable", joined["why_not"] == "")
    return joined.drop(columns=_COUNTS)


def _check_columns(parameter: str, frame: pd.DataFrame, needed: Collection[str], remedy: str) -> None:
    missing = [column for column in needed if column not in frame]
    if missing:
        listed, lacking = (", ".join(map(repr, names)) for names in (needed, missing))
        raise ValueError(f"{parameter} must have the columns {listed}, but lacks {lacking}. {remedy}")


def _summary(results: pd.DataFrame) -> pd.DataFrame:
    """Return mean, std and number of seeds, one row per key, setting and metric."""
    needed = ["data", "backbone", "loss", "seed", "preset"]
    _check_columns("results", results, needed, "Pass what iv.evaluate returns.")
    metrics = [metric for metric in _METRICS if metric in results]
    if not metrics:
        check_choice("the metrics of results", "none of them", _METRICS, remedy="Pass what iv.evaluate returns.")
    names = ["data", "backbone", "loss", "score", "ood", "preset", "select", "variant", "precision"]
    numbers, nan = ["entropic_scale", *_COUNTS], float("nan")
    frame = results.reindex(columns=results.columns.union([*names, *numbers], sort=False))
    frame[names] = frame[names].astype(object).where(frame[names].notna(), "")
    frame[numbers] = frame[numbers].astype(float)
    long = frame.melt(id_vars=[*names, *numbers, "seed"], value_vars=metrics, var_name="metric", value_name="value")
    about_classes = long["metric"].isin(_CLASSIFICATION)
    long.loc[about_classes, ["score", "ood"]] = ""
    long.loc[about_classes, "n_ood"] = nan
    # An accuracy is repeated for each score and OOD set of one capture; counting it once keeps its spread honest.
    long = pd.concat([long[~about_classes], long[about_classes].drop_duplicates()]).dropna(subset="value")
    _check_values(long)
    groups = long.groupby([*_KEYS, *_SETTINGS], sort=False, dropna=False)
    smallest = {name: (name, "min") for name in _COUNTS}
    return groups.agg(mean=("value", "mean"), std=("value", "std"), seeds=("value", "size"), **smallest).reset_index()


def _check_values(long: pd.DataFrame) -> None:
    outside = long[~long["value"].between(0, 1)]
    if len(outside):
        row = outside.iloc[0]
        raise ValueError(
            f"results must be fractions in [0, 1], but one {row['metric']} is {row['value']:g}. Divide percent by 100."
        )
    told = long[long["seed"].notna()]
    twice = told[told.duplicated([*_KEYS, *_SETTINGS, "seed"])]
    if len(twice):
        row = twice.iloc[0]
        raise ValueError(
            f"results must have one value per seed, but the {row['metric']} of {row['loss']!r} has two for seed "
            f"{row['seed']}. Pass the results of one setting."
        )


def _as_fractions(published: pd.DataFrame) -> pd.DataFrame:
    """Return the published values under the names of the results, in fractions."""
    needed = ["paper", "table", "backbone", "id", "ood", "loss", "score", "method", "metric", "mean", "std", "unit"]
    _check_columns("published", published, needed, "Pass what iv.published.table returns for a table of numbers.")
    frame = published.loc[published["mean"].notna(), needed].rename(columns={"id": "data"})
    percent = frame.pop("unit").str.startswith("percent")
    for column in ("mean", "std"):
        values = frame.pop(column)
        # Rounded, because 96.7 / 100 is not quite 0.967.
        frame[f"published_{column}"] = values.where(~percent, (values / 100).round(6))
    other_method = (frame["score"] == "") & (frame["ood"] != "")
    frame["score"] = frame["score"].where(~other_method, frame["method"].str.lower())
    return frame


@cache
def _names_in_papers() -> dict[str, frozenset[str]]:
    overview = tables()
    keys = overview.loc[overview["kind"] == "numbers", ["paper", "table"]]
    everything = _as_fractions(pd.concat([table(paper, int(number)) for paper, number in keys.to_numpy()]))
    return {column: frozenset(everything[column]) for column in _KEYS}


def _reasons(pair: dict) -> list[str]:
    """Return why a result and a published value must not be compared; nothing if they may be."""
    if not pair["seeds"]:
        return ["no result was given for this published value"]
    known = _names_in_papers()
    nouns = {"data": "data", "backbone": "network", "ood": "out-of-distribution set"}
    reasons = [
        f"the papers do not use {noun} {pair[key]!r}" if pair[key] else f"no {noun} is recorded"
        for key, noun in (nouns | {key: key for key in ("loss", "score", "metric")}).items()
        if pair[key] not in known[key]
    ]
    if not reasons and pd.isna(pair["published_mean"]):
        reasons.append("the published values given do not have this combination")
    if pair["method"].startswith("weight decay") and pair["method"] != _CHOSEN_OPTIONS:
        reasons.append(f"published with {pair['method']}, which is not how the scales and tilts are trained here")
    return reasons + _of_training(pair) + _of_images(pair)


def _of_training(pair: dict) -> list[str]:
    preset, select, precision, scale = (pair[name] for name in ("preset", "select", "precision", "entropic_scale"))
    lee = "the paper has the protocol of Lee et al. (2018), preset 'paper' that of the IsoMax+ paper"
    unscaled = pair["loss"] in _SCALED and pd.isna(scale)
    other_scale = pair["loss"] in _SCALED and scale != _PAPER_SCALE and not unscaled
    reasons = {
        "no preset is recorded, so the protocol is unknown": not preset,
        f"preset {preset!r} is not the papers' protocol": preset not in ("", "paper"),
        f"the epoch was selected ({select}), not the last one": select not in ("", "last"),
        lee: pair["paper"] not in ("", _PROTOCOL_OF),
        f"the backbone was trained in {precision}, which the papers do not use": precision not in ("", "float32"),
        f"the training was changed: {pair['variant']}": pair["variant"],
        "the papers train with other extra data": pair["loss"] in _WITH_OUTLIERS,
        "no entropic scale is recorded": unscaled,
        f"entropic scale {scale:g} is not the papers' {_PAPER_SCALE:g}": other_scale,
    }
    return [words for words, holds in reasons.items() if holds]


def _of_images(pair: dict) -> list[str]:
    return [
        f"{pair[column]:,.0f} images of {name!r} are not the papers' {_IMAGES[name]:,}"
        for column, name in (("n_id", pair["data"]), ("n_ood", pair["ood"]))
        if pd.notna(pair[column]) and pair[column] != _IMAGES.get(name, pair[column])
    ]
