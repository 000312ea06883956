"""The explorer's controls, each with a description and a tooltip, reachable by keyboard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as widgets

from isomax_viz.analysis.scores import words
from isomax_viz.analysis.thresholds import RULES
from isomax_viz.catalog.style import data_style
from isomax_viz.explorer import cells as lifetime
from isomax_viz.explorer.choices import DIMENSIONS, Shelf, word
from isomax_viz.explorer.state import VIEWS

__all__ = [
    "Bands",
    "COUNT",
    "Several",
    "ThresholdBar",
    "chooser",
    "compare_chooser",
    "drawer_chooser",
    "quantity_chooser",
    "score_chooser",
    "share_of",
    "switch",
    "view_chooser",
]

LABEL_WIDTH = "96px"
ALONE = -1  # "beside nothing"
MANY = 9  # from here on, buttons would fill the screen: a list instead

_TOOLTIPS = {
    "data": "Data set that the network was trained on",
    "backbone": "Network that turns an image into features",
    "preset": "Training protocol",
    "loss": "Loss that the network was trained with",
    "entropic_scale": "Factor on the logits while training (the papers' alpha and E_s)",
    "seed": "Seed of the training",
    "name": "Which of the captures to show",
}


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
        [(word(dimension, value).removeprefix("scale ").removeprefix("seed "), value) for value in values],
        tooltip=_TOOLTIPS[dimension],
        tooltips=[f"{_TOOLTIPS[dimension]}: {word(dimension, value)}" for value in values],
    )


def score_chooser(keys: Sequence[str]) -> Any:
    """Return the control for the score."""
    return _choice(
        "Score",
        [(words(key).label, key) for key in keys],
        tooltip="Number by which known and unknown images are told apart; higher = more in-distribution",
        tooltips=[f"{words(key).name}: {words(key).explanation}" for key in keys],
    )


def view_chooser() -> Any:
    """Return the control for the view."""
    return _choice(
        "View",
        [(view.label, key) for key, view in VIEWS.items()],
        tooltip="What the picture shows",
        tooltips=[view.tooltip for view in VIEWS.values()],
    )


def compare_chooser(shelf: Shelf) -> Any:
    """Return the control for the second panel: any of the captures, or none."""
    titles = [(shelf.title(number), number) for number in range(len(shelf))]
    return _choice(
        "Beside",
        [("nothing", ALONE), *titles],
        tooltip="Show a second capture beside the first",
        tooltips=["One panel"] + [f"Show {title} beside it" for title, _ in titles],
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


def drawer_chooser(names: Sequence[tuple[str, str, str]]) -> Any:
    """Return the control for what stands below the picture: (label, key, tooltip) each."""
    return _choice(
        "More",
        [(label, key) for label, key, _ in names],
        tooltip="What to show below",
        tooltips=[tooltip for *_, tooltip in names],
    )


def switch(label: str, *, tooltip: str, value: bool = False) -> Any:
    """Return a button that stays down."""
    return widgets.ToggleButton(description=label, tooltip=tooltip, value=value, layout={"width": "auto"})


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


COUNT = 20


def share_of(band: int) -> tuple[int, int]:
    """Return which part of the axis a band is, in percent.

    Examples
    --------
    >>> share_of(0), share_of(19)
    ((0, 5), (95, 100))
    """
    return 100 * band // COUNT, 100 * (band + 1) // COUNT


class Bands(widgets.ToggleButtons):
    """Buttons side by side over the axes of the histogram.

    Parameters
    ----------
    clicked : callable
        Called with the number of the band, from 0 at the lowest scores.

    Examples
    --------
    >>> bands = Bands(clicked=print)
    >>> bands.put((0.1, 0.2, 0.5, 0.7))
    >>> bands.layout.left, bands.layout.top, bands.layout.visibility
    ('10%', '10%', 'visible')
    >>> bands.index = 3
    3
    >>> bands.index is None  # ready for the next click, on the same band too
    True
    """

    def __init__(self, *, clicked: Callable[[int], None]) -> None:
        self._clicked = clicked
        part = "Show the images whose scores lie in this part of the axis"
        super().__init__(
            description="Pictures of a part of the axis",
            options=[str(band + 1) for band in range(COUNT)],
            value=None,
            tooltip=part,
            tooltips=[f"{part} ({band + 1} of {COUNT})" for band in range(COUNT)],
        )
        self.add_class("isomax-viz-bands")
        self.observe(self._changed, "index")

    def _changed(self, change: dict) -> None:
        if change["new"] is not None:
            self.index = None
            self._clicked(int(change["new"]))

    def put(self, place: tuple[float, float, float, float] | None) -> None:
        """Lay the buttons over the axes (left, bottom, width, height as shares of the picture); None hides them."""
        if place is None:
            self.layout.visibility = "hidden"
            return
        left, bottom, width, height = place
        parts = {"left": left, "top": 1 - bottom - height, "width": width, "height": height}
        with self.layout.hold_sync():
            for name, share in parts.items():
                setattr(self.layout, name, f"{100 * share:.5g}%")
            self.layout.visibility = "visible"


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
