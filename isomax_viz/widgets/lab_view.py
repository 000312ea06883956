"""What the views of the teaching lab share: controls above, one picture, the picture in words below."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import ipywidgets as widgets
from matplotlib.figure import Figure

from isomax_viz._common.checks import check_choice, check_known, check_number
from isomax_viz.analysis.scores import SCORES
from isomax_viz.figures import describe
from isomax_viz.figures._canvas import png
from isomax_viz.widgets import lifetime, words
from isomax_viz.widgets.controls import LABEL_WIDTH

__all__ = ["LabView", "choice", "score_choice", "slider"]

KEPT = 160  # pictures of some 80 kB
AHEAD = 2  # pictures drawn while nobody moves anything


def slider(label: str, options: list[tuple[str, Any]], value: Any, *, tooltip: str) -> widgets.SelectionSlider:
    """Return a slider over listed values."""
    return widgets.SelectionSlider(
        description=label,
        options=options,
        value=value,
        tooltip=f"{tooltip} (arrow keys move it)",
        style={"description_width": LABEL_WIDTH},
        layout={"width": "520px", "max_width": "100%"},
    )


def choice(label: str, options: list[tuple[str, Any, str]], *, tooltip: str) -> widgets.ToggleButtons:
    """Return buttons of which one is down: (label, value, tooltip) each."""
    return widgets.ToggleButtons(
        description=label,
        options=[(name, value) for name, value, _ in options],
        tooltip=tooltip,
        tooltips=[words for *_, words in options],
        style={"description_width": LABEL_WIDTH, "button_width": "auto"},
    )


def score_choice(keys: Iterable[str], *, tooltip: str) -> widgets.ToggleButtons:
    """Return buttons for scores, of which there must be one.

    Examples
    --------
    >>> score_choice(["es"], tooltip="Number that colours the plane").options
    (('ES', 'es'),)
    """
    chosen = check_known("scores", keys, SCORES)
    if not chosen:
        raise ValueError("scores is empty. Choose at least one score.")
    options = [(SCORES[key].label, key, f"{SCORES[key].name}: {SCORES[key].explanation}") for key in chosen]
    return choice("Score", options, tooltip=tooltip)


class LabView(widgets.VBox):
    """A figure that controls redraw; the functions ``iv.explore_...`` of the teaching lab build it.

    Parameters
    ----------
    controls : mapping of str to widget
        By the name of the setting that each one has.
    draw : callable
        From the settings, as keyword arguments, to the figure of a plain call.
    main : str
        The slider whose next values are drawn ahead.
    follow : callable, optional
        From the settings to values of controls that others determine; they are set without drawing again.
    implied : mapping of str to mapping, optional
        By the name of a setting, what else moving its control sets, such as a rule that no longer holds.
    extra : mapping of str to list of widget, optional
        What stands beside a control and is no setting, such as a button that plays.
    strict : bool, optional
        Raise errors in callbacks as well as showing them in the view; by default under pytest only.

    Attributes
    ----------
    picture : ipywidgets.Image
    sentence : ipywidgets.HTML
        The picture in words.

    Examples
    --------
    >>> from isomax_viz.figures import plot_simplex
    >>> control = slider("Scale", [("1", 1.0), ("10", 10.0)], 1.0, tooltip="Factor on the logits")
    >>> view = LabView({"scale": control}, plot_simplex, main="scale")
    >>> view.restore({"scale": 10.0}).state()
    {'scale': 10.0}
    """

    def __init__(
        self,
        controls: Mapping[str, Any],
        draw: Callable[..., Figure],
        *,
        main: str,
        follow: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
        implied: Mapping[str, Mapping[str, Any]] | None = None,
        extra: Mapping[str, list[Any]] | None = None,
        strict: bool | None = None,
    ) -> None:
        self.controls, self.main = dict(controls), main
        self.strict = lifetime.under_test() if strict is None else strict
        self._plain, self._follow, self._implied = draw, follow, dict(implied or {})
        self._pictures: OrderedDict[str, tuple[bytes, str]] = OrderedDict()
        self._idle = lifetime.Later(0.15)
        self.silent = False
        self.picture, self.sentence = widgets.Image(format="png"), widgets.HTML()
        self.message = widgets.HTML(layout={"display": "none"})
        stage = widgets.Box([self.picture], layout={"min_height": "420px", "overflow": "hidden"})
        stage.add_class("isomax-viz-picture")
        rows = [self._row(control, (extra or {}).get(name, [])) for name, control in self.controls.items()]
        super().__init__([widgets.HTML(words.CSS), *rows, self.message, stage, self.sentence])
        self.add_class("isomax-viz")
        for name, control in self.controls.items():
            control.observe(lambda change, name=name: self._moved(name), "value")
        lifetime.register(self)
        self.update()

    @staticmethod
    def _row(control: Any, beside: list[Any]) -> Any:
        return widgets.HBox([control, *beside], layout={"flex_flow": "row wrap"}) if beside else control

    def __repr__(self) -> str:
        return f"LabView({', '.join(self.controls)}; the controls need a running notebook)"

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        return super()._repr_mimebundle_(**kwargs) | {"text/plain": repr(self)}

    def settings(self) -> dict[str, Any]:
        """Return what the controls say, by name."""
        return {name: control.value for name, control in self.controls.items()}

    def state(self) -> dict[str, Any]:
        """Return the settings as plain JSON values; :meth:`restore` takes them back."""
        return json.loads(json.dumps(self.settings()))

    def restore(self, state: Mapping[str, Any] | str) -> LabView:
        """Set what :meth:`state` returned (or its JSON); what is left out stays as it is.

        Raises
        ------
        ValueError
            If a name or value is not on offer. Nothing is changed then.
        """
        wanted = json.loads(state) if isinstance(state, str) else dict(state)
        check_known("state", wanted, self.controls)
        for name, value in wanted.items():
            _check(name, value, self.controls[name])
        for name in list(wanted):
            wanted = dict(self._implied.get(name, {})) | wanted  # unless said otherwise
        with lifetime.LOCK:
            self._set(wanted)
            self.update()
        return self

    def _moved(self, name: str) -> None:
        with lifetime.LOCK:
            if not self.silent:
                self._set(self._implied.get(name, {}))
                self.update()

    def _set(self, values: Mapping[str, Any]) -> None:
        self.silent = True
        try:
            for name, value in values.items():
                self.controls[name].value = value
        finally:
            self.silent = False

    def update(self) -> None:
        """Show the picture of the settings; an error is shown in the view, and raised under test."""
        with lifetime.LOCK:
            if self.silent:
                return
            self._idle.cancel()
            try:
                self.picture.value, spoken = self._drawn(self.settings())
                self.sentence.value = words.sentence_html(spoken)
                if self._follow is not None:
                    self._set(self._follow(self.settings()))
            except Exception as error:
                self.message.value, self.message.layout.display = words.error_html(error), None
                self.picture.layout.visibility, self.sentence.value = "hidden", ""
                if self.strict:
                    raise
                return
            self.message.layout.display, self.picture.layout.visibility = "none", "visible"
            self._idle.prepare(self._ahead, self._next())

    def _drawn(self, settings: dict[str, Any]) -> tuple[bytes, str]:
        key = json.dumps(settings)
        if key not in self._pictures:
            figure = self._plain(**settings)
            self._pictures[key] = png(figure), describe(figure)
            while len(self._pictures) > KEPT:
                self._pictures.popitem(last=False)
        self._pictures.move_to_end(key)
        return self._pictures[key]

    def _next(self) -> list[dict[str, Any]]:
        """Return the settings at the next places of the main slider."""
        control = self.controls[self.main]
        values = [value for _, value in control.options][control.index + 1 :][:AHEAD]
        return [self.settings() | {self.main: value} for value in values]

    def _ahead(self, settings: list[dict[str, Any]]) -> None:
        if settings:
            self._drawn(settings[0])
            self._idle.prepare(self._ahead, settings[1:])

    def close(self) -> None:
        """Close the view with everything in it."""
        self._idle.cancel()
        lifetime.close_tree(self)


def _check(name: str, value: Any, control: Any) -> None:
    if hasattr(control, "options"):
        values = [item[1] for item in control.options]
        if value not in values:
            if all(isinstance(item, str) for item in values):
                check_choice(name, value, values)
            raise ValueError(f"{name} must be one of {', '.join(f'{item:g}' for item in values)}, but is {value!r}.")
    else:
        check_number(name, value, at_least=control.min, at_most=control.max)
