"""Results in the shape of the papers' tables: mean ± std over seeds, the best in bold, for notebooks, LaTeX and CSV."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from isomax_viz import published
from isomax_viz._checks import check_number
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
AVERAGE = "average"
ONE_POINT = 0.01  # "1 % tolerance" in the tables of the IsoMax2 paper

_ROWS = ("backbone", "data", "ood")
_HEADS = {"backbone": "Network", "data": "ID", "ood": "OOD"}


@dataclass(frozen=True, eq=False, repr=False)
class PaperTable:
    """A table of a paper; a notebook shows it, :meth:`to_latex` and :meth:`to_csv` export it.

    Attributes
    ----------
    title : str
        What it shows, in one line.
    frame : DataFrame
        One row per value: ``backbone, data, ood, method, metric, mean, std`` (fractions; NaN for one seed), ``seeds`` and
        ``best`` (within the tolerance of the best method of its row and metric).
    tolerance : float
        Fraction by which a value may lie below the best one and still be marked.
    """

    title: str
    frame: pd.DataFrame
    tolerance: float

    def __repr__(self) -> str:
        rows, methods = self.wide().shape[0], self.frame["method"].nunique()
        seeds = sorted(self.frame["seeds"].dropna().unique())
        runs = f", {' or '.join(f'{n:.0f}' for n in seeds)} seed{'s' if seeds[-1] > 1 else ''}" if seeds else ""
        return f"PaperTable({self.title}: {rows} rows, {methods} methods{runs})"

    def wide(self, values: str = "text") -> pd.DataFrame:
        """Return the table as printed: one row per network, ID and OOD set, a column per metric and method.

        Parameters
        ----------
        values : str
            A column of :attr:`frame`, or ``"text"`` for "mean ± std" in percent.
        """
        frame = self.frame.assign(text=_texts(self.frame), ood=[_data_label(name) for name in self.frame["ood"]])
        frame["data"] = [_data_label(name) for name in frame["data"]]
        rows = [name for name in _ROWS if frame[name].ne("").any()] or ["data"]
        frame = frame.rename(columns=_HEADS)
        order = [frame[name].drop_duplicates().tolist() for name in ("metric", "method")]
        columns = [pair for pair in pd.MultiIndex.from_product(order, names=["metric", "method"])]
        index = [_HEADS[name] for name in rows]
        table = frame.pivot(index=index, columns=["metric", "method"], values=values)
        kept = frame[index].drop_duplicates()
        key = pd.MultiIndex.from_frame(kept) if len(index) > 1 else pd.Index(kept[index[0]], name=index[0])
        return table.reindex(index=key, columns=[pair for pair in columns if pair in table.columns])

    @property
    def style(self) -> Any:
        """The table as a pandas Styler, in percent, the best in bold."""
        best = self.wide("best").eq(True)
        bold = best.map(lambda is_best: "font-weight: bold; textbf: --rwrap;" if is_best else "")
        styler = self.wide().style.apply(lambda _: bold, axis=None).format(na_rep="")
        return styler.set_caption(self._caption())

    def _caption(self) -> str:
        seeds = self.frame["seeds"].max()
        spread = f", mean ± standard deviation over {seeds:.0f} seeds" if pd.notna(seeds) and seeds > 1 else ""
        return f"{self.title}; percent{spread}; best in bold (tolerance {100 * self.tolerance:g} points)"

    def _repr_html_(self) -> str:
        # A fixed id: the same table gives the same page.
        return self.style.set_uuid("paper_table").to_html()

    def to_latex(self, path: str | Path | None = None) -> str:
        """Return the table as LaTeX (packages booktabs and multirow), and write it where a path is given.

        Examples
        --------
        >>> print(from_published("isomax2", 3).to_latex().splitlines()[0])
        \\begin{table}
        """
        best = self.wide("best").eq(True)
        text = self.wide().rename(columns=_escaped, index=_escaped).map(_escaped)
        bold = pd.DataFrame(best.to_numpy(), index=text.index, columns=text.columns)
        marks = bold.map(lambda is_best: "textbf: --rwrap;" if is_best else "")
        styler = text.style.apply(lambda _: marks, axis=None).format(na_rep="")
        latex = styler.to_latex(
            hrules=True, caption=_escaped(self._caption()), multirow_align="t", column_format=None, position_float=None
        )
        return _written(latex, path)

    def to_csv(self, path: str | Path | None = None) -> str:
        """Return the tidy values as CSV (fractions), and write them where a path is given."""
        return _written(self.frame.to_csv(index=False, float_format="%.6f", lineterminator="\n"), path)


def _written(text: str, path: str | Path | None) -> str:
    if path is not None:
        Path(path).write_text(text, encoding="utf-8")
    return text


def _escaped(text: Any) -> str:
    replaced = str(text)
    for character in "%_&#":
        replaced = replaced.replace(character, f"\\{character}")
    return replaced.replace("±", r"$\pm$")


def _texts(frame: pd.DataFrame) -> list[str]:
    return [
        "" if pd.isna(mean) else f"{100 * mean:.1f}" + ("" if pd.isna(std) else f" ± {100 * std:.1f}")
        for mean, std in zip(frame["mean"], frame["std"], strict=True)
    ]


def _data_label(name: str) -> str:
    return data_style(name).label if name else ""


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
    ['86.6 ± 2.5', '94.4 ± 0.8', '98.1 ± 0.9']
    """
    table = published.table(paper, number, **filters)
    overview = published.tables()
    words = overview[(overview["paper"] == paper) & (overview["table"] == number)].iloc[0]
    if words["kind"] != "numbers":
        raise ValueError(f"Table {number} of {paper!r} holds no numbers. Read it with iv.published.table.")
    frame = table[table["unit"] == "percent"].rename(columns={"id": "data"})
    frame = frame.assign(mean=frame["mean"] / 100, std=frame["std"] / 100, seeds=float("nan"))
    return PaperTable(f"{words['title']} ({paper}, Table {number})", _marked(frame, tolerance), tolerance)


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
    return PaperTable(title, _marked(frame.dropna(subset="mean"), tolerance), tolerance)


def _marked(frame: pd.DataFrame, tolerance: float) -> pd.DataFrame:
    frame = frame[["backbone", "data", "ood", "method", "metric", "mean", "std", "seeds"]].reset_index(drop=True)
    best = frame.groupby(["backbone", "data", "ood", "metric"], sort=False)["mean"].transform("max")
    # A hair of slack: 0.98 - 0.01 is not quite 0.97 in binary.
    return frame.assign(best=frame["mean"] >= best - tolerance - 1e-9)
