"""The threshold's control: a slider for mouse and keyboard, and the two rules that set it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets
import numpy as np

from isomax_viz.thresholds import RULES
from isomax_viz.widgets.controls import LABEL_WIDTH

__all__ = ["ThresholdBar"]

STEPS = 200


class ThresholdBar(widgets.HBox):
    """A slider over the scores, with buttons for the rules.

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
    >>> bar.value, bar.slider.value
    ('tpr95', 0.4)
    >>> bar.slider.value = 0.6
    >>> bar.value
    0.6
    >>> bar.rules["dtacc"].click()
    >>> bar.value
    'dtacc'
    """

    def __init__(self, *, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._silent = False
        self._shown = 0.0
        self.value: str | float = "tpr95"
        self.slider = widgets.FloatSlider(
            description="Threshold",
            tooltip="Images with a score at or above it are accepted as in-distribution (arrow keys move it)",
            readout_format=".4g",
            style={"description_width": LABEL_WIDTH},
            layout={"width": "560px", "max_width": "100%"},
        )
        self.slider.observe(self._moved, "value")
        layout = widgets.Layout(width="auto")
        self.rules = {}
        for rule, label in (("tpr95", "95 % of ID"), ("dtacc", "best DTACC")):
            button = widgets.Button(description=label, tooltip=f"Take {RULES[rule]}", layout=layout)
            button.on_click(lambda _, rule=rule: self._ruled(rule))
            self.rules[rule] = button
        super().__init__([self.slider, *self.rules.values()], layout={"flex_flow": "row wrap", "align_items": "center"})

    def _moved(self, change: Any) -> None:
        # The browser moves a value to the nearest step and sends it back: nobody chose that.
        if not self._silent and abs(change.new - self._shown) > 0.4 * self.slider.step:
            self.value = self._shown = float(change.new)
            self._mark()
            self._changed()

    def _ruled(self, rule: str) -> None:
        self.value = rule
        self._mark()
        self._changed()

    def _mark(self) -> None:
        for rule, button in self.rules.items():
            button.button_style = "info" if rule == self.value else ""

    def show(self, threshold: float, *, low: float, high: float) -> None:
        """Show a threshold within the range of the scores; nobody is told."""
        span = max(high - low, 1e-6)
        step = span / STEPS
        # The threshold lies on a step, so that the browser has no reason to move it.
        low = threshold - step * np.ceil((threshold - min(low, threshold)) / step + 1)
        high = threshold + step * np.ceil((max(high, threshold) - threshold) / step + 1)
        self._silent = True
        self._shown = threshold
        try:
            if low > self.slider.max:
                self.slider.max = high
            self.slider.min, self.slider.max, self.slider.step = low, high, step
            self.slider.value = threshold
        finally:
            self._silent = False
        self._mark()
