"""Controls of the teaching lab's views, each with a description and a tooltip, reachable by keyboard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as widgets

from isomax_viz.analysis.scores import words
from isomax_viz.catalog.style import data_style
from isomax_viz.explorer import cells as lifetime
from isomax_viz.explorer.choices import DIMENSIONS, TOOLTIPS, Shelf, word

__all__ = ["LABEL_WIDTH", "Several", "chooser", "quantity_chooser", "score_chooser"]

LABEL_WIDTH = "96px"
MANY = 9  # from here on, buttons would fill the screen: a list instead


def _choice(label: str, options: Sequence[tuple[str, Any]], *, tooltip: str, tooltips: Sequence[str] = ()) -> Any:
    common = {"description": label, "options": list(options), "tooltip": tooltip}
    if len(options) > MANY:
        return widgets.Dropdown(**common, style={"description_width": LABEL_WIDTH})
    return widgets.ToggleButtons(
        **common, tooltips=list(tooltips), style={"description_width": LABEL_WIDTH, "button_width": "auto"}
    )


def chooser(shelf: Shelf, dimension: str) -> Any:
    """Return the control for one dimension of the captures."""
    values = shelf.options(dimension)
    return _choice(
        DIMENSIONS[dimension],
        [(word(dimension, value, short=True), value) for value in values],
        tooltip=TOOLTIPS[dimension],
        tooltips=[f"{TOOLTIPS[dimension]}: {word(dimension, value)}" for value in values],
    )


def score_chooser(keys: Sequence[str]) -> Any:
    """Return the control for the score."""
    return _choice(
        "Score",
        [(words(key).label, key) for key in keys],
        tooltip="Number by which known and unknown images are told apart; higher = more in-distribution",
        tooltips=[f"{words(key).name}: {words(key).explanation}" for key in keys],
    )


def quantity_chooser(quantities: Sequence[str]) -> Any:
    """Return the control for the quantity of the training curves."""
    return widgets.Dropdown(
        description="Quantity",
        options=[(name.replace("_", " "), name) for name in quantities],
        value="accuracy" if "accuracy" in quantities else next(iter(quantities), None),
        tooltip="What to follow over the epochs",
        style={"description_width": LABEL_WIDTH},
    )


class Several(widgets.HBox):
    """Buttons of which several may be down, and one always is.

    Parameters
    ----------
    label : str
        Words before the buttons.
    names : sequence of str
        Out-of-distribution sets.
    changed : callable
        Called without arguments after a click.

    Examples
    --------
    >>> sets = Several("Against", ["letters", "patches"], changed=lambda: None)
    >>> sets.value
    ('letters',)
    >>> sets.buttons["patches"].value = True
    >>> sets.value
    ('letters', 'patches')
    """

    def __init__(self, label: str, names: Sequence[str], *, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._silent = False
        layout = widgets.Layout(width="auto")
        self.buttons = {
            name: widgets.ToggleButton(
                description=data_style(name).label,
                value=position == 0,
                tooltip=f"Compare with the out-of-distribution set {name!r}",
                layout=layout,
            )
            for position, name in enumerate(names)
        }
        for button in self.buttons.values():
            button.observe(self._clicked, "value")
        words = widgets.Label(label, layout={"width": LABEL_WIDTH, "margin": "2px 0"})
        super().__init__([words, *self.buttons.values()], layout={"flex_flow": "row wrap", "margin": "0 2px"})

    def _clicked(self, change: Any) -> None:
        with lifetime.LOCK:
            if self._silent:
                return
            if not self.value:
                self._silent = True
                change.owner.value = True  # at least one set stays: there would be nothing to compare with
                self._silent = False
                return
            self._changed()

    @property
    def value(self) -> tuple[str, ...]:
        """Names of the buttons that are down."""
        return tuple(name for name, button in self.buttons.items() if button.value)

    @value.setter
    def value(self, names: Sequence[str]) -> None:
        self._silent = True
        for name, button in self.buttons.items():
            button.value = name in names
        self._silent = False

    def offer(self, names: Sequence[str]) -> None:
        """Disable what the present captures do not hold, and choose something else where nothing would be left."""
        for name, button in self.buttons.items():
            button.disabled = name not in names
        kept = [name for name in self.value if name in names]
        self.value = kept or list(names)[:1]
