"""The papers' tables as they lie on disk, read once."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache

import pandas as pd

from isomax_viz._common.checks import check_choice, check_known, check_number
from isomax_viz._common.system import data_folder

__all__ = ["papers", "table", "tables"]


@cache
def _read(file: str) -> pd.DataFrame:
    # Only numbers may be missing: an empty text is an empty text, so that filters and joins see no NaN.
    numbers = ("mean", "std")
    return pd.read_csv(
        data_folder() / "published" / file,
        keep_default_na=False,
        na_values={column: [""] for column in numbers},
        dtype={column: float for column in numbers},
    )


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
    backbone: str | Collection[str] | None = None,
    id: str | Collection[str] | None = None,
    ood: str | Collection[str] | None = None,
    loss: str | Collection[str] | None = None,
    score: str | Collection[str] | None = None,
    method: str | Collection[str] | None = None,
    metric: str | Collection[str] | None = None,
) -> pd.DataFrame:
    """Return one table of one paper, tidy: one row per printed value, in the printed order.

    Parameters
    ----------
    paper : {"dismax", "isomax2", "isomax+"}
        "dismax" is "Distinction Maximization Loss" (2019), "isomax2" is "Hyperparameter-Free Isotropic Maximization
        Loss", "isomax+" is "Enhanced Isotropy Maximization Loss".
    number : int
        The table's number in the paper.
    backbone, id, ood, loss, score, method, metric : str or collection of str, optional
        Keep only rows with these values. ``id`` is the in-distribution (training) data.

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
    filters = {
        "backbone": backbone,
        "id": id,
        "ood": ood,
        "loss": loss,
        "score": score,
        "method": method,
        "metric": metric,
    }
    keep = pd.Series(True, index=frame.index)
    for column, wanted in filters.items():
        if wanted is None:
            continue
        check_choice(f"the filter for table {number} of {paper!r}", column, [key for key in filters if key in frame])
        names = check_known(column, wanted, frame[column].unique(), remedy=f"Other values are not in table {number}.")
        keep &= frame[column].isin(names)
    return frame.loc[keep].reset_index(drop=True)
