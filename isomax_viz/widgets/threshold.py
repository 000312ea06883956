"""The threshold's control: a slider for mouse and keyboard, a field for numbers, and the two rules that set it."""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets as widgets

from isomax_viz.analysis.thresholds import RULES
from isomax_viz.widgets import lifetime
from isomax_viz.widgets.controls import LABEL_WIDTH

__all__ = ["ThresholdBar"]

STEPS = 400


class ThresholdBar(widgets.HBox):
    """A slider over the scores, a field for exact numbers, and buttons for the rules.

    The slider counts steps from the lowest to the highest score. Its own range never changes: the browser would push
    the value into a range that is only half new, and send it back as if a person had moved it.

    Parameters
    ----------
    changed : callable
        Called without arguments after a person changed something.

    Attributes
    ----------
    value : str or float
        ``"tpr95"`` or ``"dtacc"`` while a rule holds (it then follows loss, score and sets), else the number that was
        chosen.

    Examples
    --------
    >>> bar = ThresholdBar(changed=lambda: None)
    >>> bar.show(0.4, low=0.0, high=1.0)
    >>> bar.value, bar.number.value, bar.slider.value
    ('tpr95', 0.4, 160)
    >>> bar.slider.value = 240
    >>> bar.value
    0.6
    >>> bar.rules["dtacc"].click()
    >>> bar.value
    'dtacc'
    """

    def __init__(self, *, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._silent = False
        self._low, self._high = 0.0, 1.0
        self.value: str | float = "tpr95"
        meaning = "images with a score at or above it are accepted as in-distribution"
        self.slider = widgets.IntSlider(
            description="Threshold",
            tooltip=f"Threshold: {meaning} (arrow keys move it)",
            min=0,
            max=STEPS,
            readout=False,
            style={"description_width": LABEL_WIDTH},
            layout={"width": "520px", "max_width": "100%"},
        )
        self.number = widgets.FloatText(
            description="score \N{GREATER-THAN OR EQUAL TO}",
            tooltip=f"Threshold as a number: {meaning}",
            continuous_update=False,
            style={"description_width": "auto"},
            layout={"width": "150px"},
        )
        self.slider.observe(lambda change: self._chosen(self._at(change.new)), "value")
        self.number.observe(lambda change: self._chosen(float(change.new)), "value")
        layout = widgets.Layout(width="auto")
        self.rules = {}
        for rule, label in (("tpr95", "95 % of ID"), ("dtacc", "best DTACC")):
            button = widgets.Button(description=label, tooltip=f"Take {RULES[rule]}", layout=layout)
            button.on_click(lambda _, rule=rule: self._chosen(rule))
            self.rules[rule] = button
        parts = [self.slider, self.number, *self.rules.values()]
        super().__init__(parts, layout={"flex_flow": "row wrap", "align_items": "center"})

    def _at(self, step: int) -> float:
        return self._low + (self._high - self._low) * step / STEPS

    def _chosen(self, value: str | float) -> None:
        with lifetime.LOCK:
            if not self._silent:
                self.value = value
                self._changed()

    def show(self, threshold: float, *, low: float, high: float) -> None:
        """Show a threshold within the range of the scores; nobody is told."""
        self._low, self._high = low, max(high, low + 1e-6)
        self._silent = True
        try:
            step = round(STEPS * (threshold - self._low) / (self._high - self._low))
            self.slider.value = min(max(step, 0), STEPS)
            self.number.value = float(f"{threshold:.4g}")
        finally:
            self._silent = False
        for rule, button in self.rules.items():
            button.button_style = "info" if rule == self.value else ""
