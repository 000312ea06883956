"""The numbers under the picture, computed once per capture, score and set."""

from __future__ import annotations

import pandas as pd

from isomax_viz.analysis.tables import evaluate
from isomax_viz.analysis.thresholds import threshold_table
from isomax_viz.shelf import Shelf
from isomax_viz.widgets import words
from isomax_viz.widgets.views import Look

__all__ = ["Numbers"]


class Numbers:
    """Metrics and counts of a look as HTML.

    Parameters
    ----------
    shelf : Shelf

    Examples
    --------
    >>> from isomax_viz import Capture
    >>> shelf = Shelf(Capture.from_arrays([[9.0, 0.0]], [0], ood={"mine": [[0.0, 0.0]]}, loss="softmax"))
    >>> "1 of 1 (100.0 %)" in Numbers(shelf).html(Look("scores", (0,), ood=("mine",), threshold=(-0.1,)))
    True
    """

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._metrics: dict[tuple[int, str, str], pd.DataFrame] = {}

    def html(self, look: Look) -> str:
        """Return the table of a look."""
        parts = []
        for number in look.captures:
            for name in look.ood:
                key = (number, look.score, name)
                if key not in self._metrics:
                    self._metrics[key] = evaluate(self._shelf.captures[number], scores=look.score, ood=name)
                parts.append(self._metrics[key])
        chosen = [self._shelf.captures[number] for number in look.captures]
        counts = threshold_table(chosen, list(look.ood), score=look.score, threshold=list(look.threshold))
        titles = tuple(self._shelf.title(number) for number in look.captures)
        return words.summary_html(pd.concat(parts, ignore_index=True), counts, titles=titles)
