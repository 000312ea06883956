"""A slider over the entropic scale: histograms and metrics change as the scale moves."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

import ipywidgets as widgets
import pandas as pd

from isomax_viz import figures
from isomax_viz.analysis import tables
from isomax_viz.analysis.tables import Captures, evaluate
from isomax_viz.captures.capture import Capture
from isomax_viz.catalog.style import data_style
from isomax_viz.figures import describe
from isomax_viz.figures._canvas import png
from isomax_viz.shelf import NOT_SAID, Shelf
from isomax_viz.widgets import controls, lifetime, words

__all__ = ["AlphaExplorer"]

# key -> (label, tooltip, plot function, its table function, whether it takes a score)
ALPHA_VIEWS: dict[str, tuple[str, str, Callable[..., Any], Callable[..., pd.DataFrame], bool]] = {
    "logits": ("Logits", "Logits at each entropic scale", figures.plot_logits, tables.logits_table, False),
    "entropy": ("Entropy", "Entropies at each scale", figures.plot_entropy, tables.values_table, False),
    "scores": ("Scores", "The chosen score at each scale", figures.plot_scores, tables.scores_table, True),
}
SHOWN = ("accuracy", "TNR@TPR95", "AUROC", "DTACC")


class AlphaExplorer(widgets.VBox):
    """Captures of one loss at several entropic scales; see :func:`isomax_viz.explore_alpha`.

    Attributes
    ----------
    picture : ipywidgets.Image
        What the plain plot function gives at the chosen scale, with the limits that hold all scales.
    summary : ipywidgets.HTML
        Accuracy and metrics at every scale, means over the seeds; the row of the chosen scale stands out.
    controls : dict of str to widget
        ``scale``, ``view``, ``score``, ``ood`` and, where there are several, ``loss``.

    Examples
    --------
    >>> meta = [{"entropic_scale": scale, "loss": "isomax"} for scale in (1.0, 10.0)]
    >>> unknown = {"mine": [[0.3, 0.1]]}
    >>> captures = [Capture.from_arrays([[9.0, 0.0]], [0], ood=unknown, meta=item) for item in meta]
    >>> view = AlphaExplorer(captures)
    >>> view.controls["scale"].value = 10.0
    >>> view.capture is captures[1]
    True
    """

    def __init__(self, captures: Captures, *, strict: bool | None = None) -> None:
        self.shelf = Shelf(captures)
        scales = [value for value in self.shelf.options("entropic_scale") if value != NOT_SAID]
        if len(scales) < 2:
            raise ValueError(
                f"captures must have at least two entropic scales, but have {len(scales)}. Record them with "
                "Experiment(loss='isomax+', entropic_scale=...).run()."
            )
        self.strict = lifetime.under_test() if strict is None else strict
        self._silent = True
        self._limits: dict[Any, tuple[float, float]] = {}
        self._tables: dict[Any, pd.DataFrame] = {}
        self.controls = self._make_controls(scales)
        self.picture, self.summary = widgets.Image(format="png"), widgets.HTML()
        self.message = widgets.HTML(layout={"display": "none"})
        stage = widgets.Box([self.picture], layout={"min_height": "418px", "overflow": "hidden"})
        stage.add_class("isomax-viz-picture")
        rows = [control for name, control in self.controls.items() if name != "loss" or len(control.options) > 1]
        super().__init__([widgets.HTML(words.CSS), *rows, self.message, stage, self.summary])
        self.add_class("isomax-viz")
        lifetime.register(self)
        self._silent = False
        self._update()

    def __repr__(self) -> str:
        return f"AlphaExplorer({len(self.shelf)} captures; the controls need a running notebook)"

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        return super()._repr_mimebundle_(**kwargs) | {"text/plain": repr(self)}

    def _make_controls(self, scales: list[float]) -> dict[str, Any]:
        made = {"loss": controls.chooser(self.shelf, "loss")}
        made["loss"].value = next(
            place["loss"] for place in self.shelf.places if place.get("entropic_scale", NOT_SAID) != NOT_SAID
        )
        made["scale"] = widgets.SelectionSlider(
            description="Entropic scale",
            options=[(f"{scale:g}", scale) for scale in scales],
            tooltip="Factor on the logits while training, the papers' alpha and E_s (arrow keys move it)",
            style={"description_width": controls.LABEL_WIDTH},
            layout={"width": "520px", "max_width": "100%"},
        )
        made["view"] = widgets.ToggleButtons(
            description="View",
            options=[(label, key) for key, (label, *_) in ALPHA_VIEWS.items()],
            tooltip="What the picture shows",
            tooltips=[tooltip for _, tooltip, *_ in ALPHA_VIEWS.values()],
            style={"description_width": controls.LABEL_WIDTH, "button_width": "auto"},
        )
        made["score"] = controls.score_chooser(self.shelf.scores)
        made["score"].value = "es"
        for control in made.values():
            control.observe(lambda change: self._update(), "value")
        made["ood"] = controls.Several("Against", self.shelf.ood, changed=self._update)
        return made

    @property
    def capture(self) -> Capture:
        """The capture at the chosen scale, of the first seed."""
        wanted = {"loss": self.controls["loss"].value, "entropic_scale": self.controls["scale"].value}
        return self.shelf.captures[self.shelf.nearest(wanted, first="entropic_scale")]

    def _update(self) -> None:
        with lifetime.LOCK:
            if self._silent:
                return
            try:
                self._draw()
            except Exception as error:
                self.message.value, self.message.layout.display = words.error_html(error), None
                if self.strict:
                    raise
            else:
                self.message.layout.display = "none"

    def _draw(self) -> None:
        get = self.controls
        _, _, plot, _, scored = ALPHA_VIEWS[get["view"].value]
        options: dict[str, Any] = {"score": get["score"].value} if scored else {}
        axes = plot(self.capture, list(get["ood"].value), limits=self._common_limits(), **options)
        axes.set_title(f"{axes.get_title(loc='left')} · entropic scale {get['scale'].value:g}", loc="left")
        figure = axes.get_figure(root=True)
        self.picture.value = png(figure)
        self.summary.value = self._table_html() + words.sentence_html(describe(figure))

    def _same_loss(self) -> list[Capture]:
        loss = self.controls["loss"].value
        return [item for item in self.shelf.captures if item.loss == loss and item.meta.get("entropic_scale")]

    def _common_limits(self) -> tuple[float, float]:
        """Return limits that hold all scales, so that the picture moves and the axis stands still."""
        get = self.controls
        key = (get["loss"].value, get["view"].value, get["score"].value, get["ood"].value)
        if key not in self._limits:
            _, _, _, table, scored = ALPHA_VIEWS[get["view"].value]
            options: dict[str, Any] = {"score": get["score"].value} if scored else {}
            parts = [table(capture, ood=list(get["ood"].value), bins=1, **options) for capture in self._same_loss()]
            self._limits[key] = min(part["left"].min() for part in parts), max(part["right"].max() for part in parts)
        return self._limits[key]

    def _table_html(self) -> str:
        get = self.controls
        key = (get["loss"].value, get["score"].value, get["ood"].value)
        if key not in self._tables:
            rows = evaluate(self._same_loss(), scores=get["score"].value, ood=list(get["ood"].value))
            self._tables[key] = rows.groupby(["entropic_scale", "ood"], sort=True)[list(SHOWN)].mean().reset_index()
        cells = []
        for row in self._tables[key].to_dict("records"):
            mark = ' class="chosen"' if row["entropic_scale"] == get["scale"].value else ""
            values = "".join(f"<td>{100 * row[name]:.1f} %</td>" for name in SHOWN)
            name = escape(data_style(row["ood"]).label)
            cells.append(f"<tr{mark}><td>{row['entropic_scale']:g}</td><td>{name}</td>{values}</tr>")
        head = "".join(f"<th>{name}</th>" for name in ("entropic scale", "against", *SHOWN))
        return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(cells)}</tbody></table>"

    def close(self) -> None:
        """Close the view with everything in it."""
        lifetime.close_tree(self)
