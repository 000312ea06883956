"""PaperTable: values in the shape of a printed table, for notebooks, LaTeX and CSV."""

from __future__ import annotations

import hashlib
import html
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from isomax_viz._common.checks import check_number
from isomax_viz._common.files import csv_text, write_text
from isomax_viz.catalog.style import data_style

__all__ = ["PaperTable", "marked"]


_HEADS = {"backbone": "Network", "data": "ID", "ood": "OOD"}


@dataclass(frozen=True, eq=False, repr=False)
class PaperTable:
    """A table of a paper; a notebook shows it, :meth:`to_latex` and :meth:`to_csv` export it.

    Attributes
    ----------
    title : str
        What it shows, in one line.
    frame : DataFrame
        One row per value: ``backbone, data, ood, method, metric, mean, std`` (fractions; NaN for one seed), ``seeds``
        (how many values) and ``best`` (within the tolerance of the best method of its row and metric).
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
        frame = self.frame.assign(text=_texts(self.frame))
        for column in ("data", "ood"):
            frame[column] = [data_style(name).label if name else "" for name in frame[column]]
        rows = [name for name in _HEADS if frame[name].ne("").any()] or ["data"]
        frame = frame.rename(columns=_HEADS)
        order = [frame[name].drop_duplicates().tolist() for name in ("metric", "method")]
        columns = pd.MultiIndex.from_product(order, names=["metric", "method"])
        index = [_HEADS[name] for name in rows]
        table = frame.pivot(index=index, columns=["metric", "method"], values=values)
        kept = frame[index].drop_duplicates()
        key = pd.MultiIndex.from_frame(kept) if len(index) > 1 else pd.Index(kept[index[0]], name=index[0])
        return table.reindex(index=key, columns=columns[columns.isin(table.columns)])

    @property
    def style(self) -> Any:
        """The table as a pandas Styler, in percent, the best in bold."""
        best = self.wide("best").eq(True)
        bold = best.map(lambda is_best: "font-weight: bold" if is_best else "")
        # Names may hold what HTML would take for a tag, such as "<lambda>".
        styler = self.wide().style.apply(lambda _: bold, axis=None).format(na_rep="", escape="html")
        styler = styler.format_index(escape="html", axis=0).format_index(escape="html", axis=1)
        # Many columns: small words, numbers that do not wrap, and a caption that stands where reading starts.
        look = [("caption", "text-align: left"), ("th, td", "font-size: 85%; padding: 2px 6px")]
        look += [("td", "white-space: nowrap")]
        styler = styler.set_table_styles([{"selector": name, "props": props} for name, props in look])
        return styler.set_caption(html.escape(self._caption()))

    def _caption(self) -> str:
        fewest, most = self.frame["seeds"].min(), self.frame["seeds"].max()
        number = f"{most:.0f}" if fewest == most else f"{fewest:.0f} to {most:.0f}"
        spread = f", mean ± standard deviation over {number} seeds" if pd.notna(most) and most > 1 else ""
        points = 100 * self.tolerance
        bold = f"within {points:g} point{'' if points == 1 else 's'} of the best" if points else "the best"
        return f"{self.title}; percent{spread}; bold: {bold}"

    def _repr_html_(self) -> str:
        # An id from the content: the same table gives the same page, and two tables on a page do not share their
        # styles.
        digest = hashlib.sha256(f"{self.title}{self.to_csv()}".encode()).hexdigest()[:10]
        return self.style.set_uuid(digest).to_html()

    def to_latex(self, path: str | Path | None = None) -> str:
        r"""Return the table as LaTeX (packages booktabs and multirow), and write it where a path is given.

        Examples
        --------
        >>> from isomax_viz import papers
        >>> print(papers.from_published("isomax2", 4).to_latex().splitlines()[0])
        \begin{table}
        """
        best = self.wide("best").eq(True)
        text = self.wide().fillna("").rename(columns=_escaped, index=_escaped).map(_escaped)
        bold = pd.DataFrame(best.to_numpy(), index=text.index, columns=text.columns)
        marks = bold.map(lambda is_best: "textbf: --rwrap;" if is_best else "")
        styler = text.style.apply(lambda _: marks, axis=None).format(na_rep="")
        latex = styler.to_latex(hrules=True, caption=_escaped(self._caption()), multirow_align="t")
        return _written(latex, path)

    def to_csv(self, path: str | Path | None = None) -> str:
        """Return the tidy values as CSV (fractions), and write them where a path is given."""
        return _written(csv_text(self.frame, float_format="%.6f"), path)


def _written(text: str, path: str | Path | None) -> str:
    if path is not None:
        write_text(Path(path).expanduser(), text, remedy="Choose a folder that you may write to.")
    return text


# What LaTeX reads as something else than the character.
_SIGNS = {"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}"}
_SIGNS |= {"<": r"\textless{}", ">": r"\textgreater{}", "±": r"$\pm$"}
_LATEX = str.maketrans(_SIGNS | {character: f"\\{character}" for character in "%_&#${}"})


def _escaped(text: Any) -> str:
    return str(text).translate(_LATEX)


def _texts(frame: pd.DataFrame) -> list[str]:
    return [
        "" if pd.isna(mean) else f"{100 * mean:.1f}" + ("" if pd.isna(std) else f" ± {100 * std:.1f}")
        for mean, std in zip(frame["mean"], frame["std"], strict=True)
    ]


def marked(frame: pd.DataFrame, tolerance: float) -> pd.DataFrame:
    """Return values with a column ``best``: within the tolerance of the largest mean of their row and metric.

    Parameters
    ----------
    frame : DataFrame
        ``backbone, data, ood, method, metric, mean, std, seeds``.
    tolerance : float
        Fraction, below one half.

    Raises
    ------
    ValueError
        If the tolerance is no such fraction.

    Examples
    --------
    >>> frame = pd.DataFrame({"backbone": "", "data": "", "ood": "", "metric": "AUROC", "std": 0.0, "seeds": 1,
    ...                       "method": ["a", "b", "c"], "mean": [0.98, 0.97, 0.96]})
    >>> marked(frame, 0.01)["best"].tolist()
    [True, True, False]
    """
    if check_number("tolerance", tolerance, at_least=0) >= 0.5:
        raise ValueError(f"tolerance must be a fraction below 0.5, but is {tolerance!r}. One point of percent is 0.01.")
    frame = frame[["backbone", "data", "ood", "method", "metric", "mean", "std", "seeds"]].reset_index(drop=True)
    best = frame.groupby(["backbone", "data", "ood", "metric"], sort=False)["mean"].transform("max")
    # A hair of slack: 0.98 - 0.01 is not quite 0.97 in binary.
    return frame.assign(best=frame["mean"] >= best - tolerance - 1e-9)
