"""The teaching lab's views of recorded networks: the cost of a threshold, temperature, the simplex."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import Any

import ipywidgets as widgets
import pandas as pd
from matplotlib.figure import Figure

from isomax_viz import figures
from isomax_viz._common.checks import check_choice, check_known, check_number
from isomax_viz.analysis import tables
from isomax_viz.analysis.calibration import temperature_table
from isomax_viz.analysis.chosen import Captures, as_list, chosen_ood
from isomax_viz.analysis.features import SPACES, ToyRun
from isomax_viz.analysis.risks import cheapest_threshold
from isomax_viz.analysis.scores import SCORES
from isomax_viz.analysis.tables import evaluate
from isomax_viz.analysis.thresholds import RULES, find_threshold, score_range
from isomax_viz.captures.capture import Capture
from isomax_viz.catalog.style import data_style, loss_style
from isomax_viz.explorer import cells as lifetime
from isomax_viz.explorer import controls
from isomax_viz.explorer import lessons as words
from isomax_viz.explorer.choices import NOT_SAID, Shelf
from isomax_viz.explorer.controls import LABEL_WIDTH
from isomax_viz.explorer.data import gives
from isomax_viz.explorer.lesson_page import draw, moons, questions
from isomax_viz.figures import describe, plot_risk, plot_simplex, plot_surfaces, plot_temperature
from isomax_viz.figures._canvas import png
from isomax_viz.figures.calibration import TEMPERATURES

__all__ = [
    "AlphaExplorer",
    "LabView",
    "choice",
    "draw",
    "explore_risk",
    "explore_simplex",
    "explore_surfaces",
    "explore_temperature",
    "moons",
    "questions",
    "score_choice",
    "slider",
]

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
        try:
            wanted = dict(json.loads(state) if isinstance(state, str) else state)
            check_known("state", wanted, self.controls)
            for name, value in wanted.items():
                _check(name, value, self.controls[name])
        except (TypeError, OverflowError, RecursionError) as error:
            raise ValueError(f"state must be what state() returned, or its JSON, but: {error}.") from error
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


STEPS = 200
BY_HAND = "by hand"
COSTS = (0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
SCALES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0, 15.0, 20.0)
_RULES = (
    ("cheapest", "cheapest", "The threshold of least expected cost on these images"),
    ("95 % of ID", "tpr95", f"Take {RULES['tpr95']}"),
    ("best DTACC", "dtacc", f"Take {RULES['dtacc']}"),
    ("by hand", BY_HAND, "The threshold at the slider"),
)


def explore_risk(
    capture: Capture,
    *,
    ood: str | Iterable[str] | None = None,
    scores: Sequence[str] | None = None,
    strict: bool | None = None,
) -> LabView:
    """Set the cost of each error and the share of unknown images, move the threshold, and see what it costs.

    Parameters
    ----------
    capture : Capture
        With out-of-distribution sets.
    ood : str or list of str, optional
        Those to use; by default all.
    scores : sequence of str, optional
        Keys of ``iv.scores.SCORES`` to choose from; by default MPS, ES and MDS, which needs distances.
    strict : bool, optional
        Raise errors in callbacks as well as showing them in the view; by default under pytest only.

    Returns
    -------
    LabView
        Settings: ``score, rule, step, accept_unknown, reject_known, share_unknown``. The slider of the threshold counts
        steps from the lowest to the highest score. It follows the rule; moving it sets the rule "by hand".

    Raises
    ------
    TypeError
        If this is no capture.
    ValueError
        If the capture has no such set or no set at all, or a score is unknown.

    Examples
    --------
    >>> capture = Capture.from_arrays([[9.0, 0.0], [0.0, 8.0]], [0, 1], ood={"mine": [[1.0, 0.9]]}, loss="softmax")
    >>> view = explore_risk(capture)
    >>> [label for label, _ in view.controls["score"].options]
    ['MPS', 'ES']
    >>> view.controls["step"].value = 150
    >>> view.state()["rule"]
    'by hand'
    """
    names = list(chosen_ood(capture, ood))
    if scores is None:
        scores = [key for key in ("mps", "es", "mds") if gives(capture, SCORES[key], names)]

    def draw(*, score: str, rule: str, step: int, **options: Any) -> Any:
        low, high = score_range(capture, names, score=score)
        threshold = low + (high - low) * step / STEPS if rule == BY_HAND else rule
        return plot_risk(capture, names, score=score, threshold=threshold, **options)

    def follow(settings: dict[str, Any]) -> dict[str, Any]:
        """Return where the slider stands while a rule gives the threshold."""
        score, rule = settings["score"], settings["rule"]
        if rule == BY_HAND:
            return {}
        costs = {name: settings[name] for name in ("accept_unknown", "reject_known", "share_unknown")}
        if rule == "cheapest":
            threshold = cheapest_threshold(capture, names, score=score, **costs)
        else:
            threshold = find_threshold(capture, names, score=score, rule=rule)
        low, high = score_range(capture, names, score=score)
        share = (min(threshold, high) - low) / max(high - low, 1e-12)
        return {"step": round(STEPS * share)}

    implied = {"step": {"rule": BY_HAND}}
    return LabView(_risk_controls(scores), draw, main="accept_unknown", follow=follow, implied=implied, strict=strict)


def _risk_controls(scores: Iterable[str]) -> dict[str, Any]:
    costs = [(f"{value:g}", value) for value in COSTS]
    shares = [(f"{100 * value:g} %", value) for value in SHARES]
    tooltip = "Number by which known and unknown images are told apart; higher = more in-distribution"
    return {
        "accept_unknown": slider("Cost: accept", costs, 1.0, tooltip="Cost of accepting an unknown image"),
        "reject_known": slider("Cost: reject", costs, 1.0, tooltip="Cost of rejecting a known image"),
        "share_unknown": slider("Unknown", shares, 0.5, tooltip="Share of unknown images among those to come"),
        "score": score_choice(scores, tooltip=tooltip),
        "rule": choice("Rule", list(_RULES), tooltip="What gives the threshold"),
        "step": widgets.IntSlider(
            description="Threshold",
            tooltip="Threshold from the lowest to the highest score (arrow keys move it)",
            min=0,
            max=STEPS,
            value=STEPS // 2,
            readout=False,
            style={"description_width": LABEL_WIDTH},
            layout={"width": "520px", "max_width": "100%"},
        ),
    }


def explore_temperature(captures: Captures, *, strict: bool | None = None) -> LabView:
    """Move the temperature of inference: from as cold as the training to warmer than detection.

    Parameters
    ----------
    captures : Capture or list of Capture
        With out-of-distribution sets, one of each loss.
    strict : bool, optional
        As in :func:`explore_risk`.

    Returns
    -------
    LabView
        Settings: ``temperature, loss``.

    Raises
    ------
    ValueError
        If two captures have the same loss.

    Examples
    --------
    >>> logits = [[2.0, 0.0], [2.0, 0.0], [0.0, 2.0], [2.0, 0.0]]
    >>> capture = Capture.from_arrays(logits, [0, 0, 1, 1], ood={"mine": [[0.1, 0.0]]}, loss="softmax")
    >>> explore_temperature(capture).state()
    {'temperature': 1.0, 'loss': 'softmax'}
    """
    by_loss = {capture.loss: capture for capture in as_list(captures)}
    if len(by_loss) != len(as_list(captures)):
        raise ValueError("captures must have different losses, but two have the same. Give one of each.")
    tables = {loss: temperature_table(capture, TEMPERATURES) for loss, capture in by_loss.items()}
    values = sorted({*(float(f"{value:.2g}") for value in TEMPERATURES), 0.1, 1.0})
    options = [(loss_style(loss).label, loss, f"The network trained with {loss_style(loss).label}") for loss in by_loss]
    controls = {
        "temperature": slider(
            "Temperature", [(f"{value:g}", value) for value in values], 1.0, tooltip="What the logits are divided by"
        ),
        "loss": choice("Loss", options, tooltip="Loss that the network was trained with"),
    }

    def draw(*, temperature: float, loss: str) -> Any:
        return plot_temperature(by_loss[loss], temperature=temperature, table=tables[loss])

    return LabView(controls, draw, main="temperature", strict=strict)


# name -> (distances to the three prototypes, explanation); class 0 is the correct one
EXAMPLES = {
    "near one": ((0.2, 0.5, 0.8), "The features lie nearest to the correct prototype"),
    "between two": ((0.4, 0.45, 0.8), "Two prototypes are almost equally near"),
    "near none": ((0.9, 0.95, 1.0), "Far from all prototypes, as unknown images may be"),
    "wrong": ((0.5, 0.2, 0.8), "A wrong prototype is nearest"),
}


def explore_simplex(*, entropic_scale: float = 10.0, strict: bool | None = None) -> LabView:
    """Move the scale on the logits of one sample of three classes and see it travel over the simplex.

    Parameters
    ----------
    entropic_scale : float
        That of the training, to be marked.
    strict : bool, optional
        As in :func:`explore_risk`.

    Returns
    -------
    LabView
        Settings: ``scale, example``.

    Raises
    ------
    ValueError
        If the scale of the training is not above 0.

    Examples
    --------
    >>> explore_simplex().state()
    {'scale': 1.0, 'example': 'near one'}
    """
    check_number("entropic_scale", entropic_scale, above=0)
    options = [(name, name, words) for name, (_, words) in EXAMPLES.items()]
    controls = {
        "scale": slider("Scale", [(f"{value:g}", value) for value in SCALES], 1.0, tooltip="Factor on the logits"),
        "example": choice("Sample", options, tooltip="Distances of the features to the three prototypes"),
    }

    def draw(*, scale: float, example: str) -> Any:
        logits = [-distance for distance in EXAMPLES[example][0]]
        return plot_simplex(logits, scale=scale, entropic_scale=entropic_scale)

    return LabView(controls, draw, main="scale", strict=strict)


def explore_surfaces(
    runs: ToyRun | Sequence[ToyRun],
    *,
    spaces: str | Sequence[str] | None = None,
    scores: Sequence[str] = ("mps", "es", "mds"),
    strict: bool | None = None,
) -> LabView:
    """Move through the epochs of small trainings and see the surface of a score change, side by side.

    Parameters
    ----------
    runs : ToyRun or list of ToyRun
        Of :func:`isomax_viz.train_toy`; one panel each.
    spaces : {"input", "features"} or both, optional
        What can be looked at; by default what the data allow.
    scores : sequence of str
        Keys of ``iv.scores.SCORES`` to choose from.
    strict : bool, optional
        Raise errors in callbacks as well as showing them in the view; by default under pytest only.

    Returns
    -------
    LabView
        Settings: ``epoch, score, space, fill``.

    Raises
    ------
    ValueError
        If there is no run or score, the runs share no epoch, or a name is unknown.

    Examples
    --------
    >>> from isomax_viz import train_toy
    >>> explore_surfaces(train_toy("moons", epochs=1, lines=9)).state()
    {'epoch': 1, 'score': 'mps', 'space': 'input', 'fill': 'score'}
    """
    listed = [runs] if isinstance(runs, ToyRun) else list(runs)
    shared = sorted(set.intersection(*(set(run.epochs) for run in listed))) if listed else []
    if not shared:
        raise ValueError(f"runs must be at least one, with common epochs, but there are {len(listed)}. Train some.")
    offered = [name for name in SPACES if all(name in run.final.planes for run in listed)]
    chosen = offered if spaces is None else check_known("spaces", spaces, offered)
    epoch = slider(
        "Epoch", [(f"{n}", n) for n in shared], shared[-1], tooltip="How long the networks have been trained"
    )
    controls = {
        "epoch": epoch,
        "score": score_choice(scores, tooltip="Number that colours the plane; bright = in-distribution"),
        "space": choice("Plane", [(name, name, SPACES[name]) for name in chosen], tooltip="Which plane to look at"),
        "fill": choice(
            "Fill",
            [
                ("score", "score", "The score at every point; bright is in-distribution"),
                ("regions", "regions", "The class that the network decides for"),
            ],
            tooltip="What the colours say",
        ),
    }

    if len(chosen) == 1:
        controls["space"].layout.display = "none"

    def draw(*, epoch: int, score: str, space: str, fill: str) -> Any:
        snapshots = [run.at(epoch) for run in listed]
        return plot_surfaces(snapshots, score=score, space=space, regions=fill == "regions")

    return LabView(controls, draw, main="epoch", extra={"epoch": [_player(epoch)]}, strict=strict)


def _player(control: Any) -> widgets.Play:
    last = len(control.options) - 1
    player = widgets.Play(
        min=0,
        max=last,
        value=control.index,
        interval=450,
        description="Play",
        tooltip="Play all epochs",
        show_repeat=False,
    )

    def moved(change: Any) -> None:
        with lifetime.LOCK:
            control.index = change.new

    def followed(change: Any) -> None:
        with lifetime.LOCK:
            player.value = change.new  # playing goes on from where the slider was left

    player.observe(moved, "value")
    control.observe(followed, "index")
    return player


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
