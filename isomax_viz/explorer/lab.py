"""The teaching lab: costs of a threshold, temperature, the simplex, surfaces, the entropic scale; under controls."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import traitlets
from matplotlib.figure import Figure

from isomax_viz import figures
from isomax_viz._common.checks import check_choice, check_known, check_number
from isomax_viz.analysis import tables
from isomax_viz.analysis.calibration import at_temperature, scale_table, temperature_table
from isomax_viz.analysis.chosen import Captures, as_list, chosen_ood
from isomax_viz.analysis.features import SPACES, ToyRun
from isomax_viz.analysis.histograms import INTER
from isomax_viz.analysis.scores import SCORES, words
from isomax_viz.analysis.tables import evaluate
from isomax_viz.captures.capture import Capture
from isomax_viz.catalog.style import SPARE_STYLES, data_style, loss_style, number, percent
from isomax_viz.explorer.cells import BrowserView
from isomax_viz.explorer.choices import Shelf
from isomax_viz.explorer.data import look_of, sets_of
from isomax_viz.explorer.lesson_page import draw, moons, questions
from isomax_viz.explorer.views import Answer, reliability
from isomax_viz.explorer.widget import Explorer
from isomax_viz.figures import describe, plot_simplex, plot_surfaces, plot_temperature
from isomax_viz.figures._canvas import entitle, png
from isomax_viz.figures.calibration import TEMPERATURES, temperature_marks
from isomax_viz.figures.histograms import quantity_label

__all__ = [
    "Control", "LabView", "draw", "explore_alpha", "explore_risk", "explore_simplex", "explore_surfaces",
    "explore_temperature", "in_lines", "moons", "questions",
]  # fmt: skip


@dataclass(frozen=True)
class Control:
    """One thing that can be chosen in a view of the lab.

    Attributes
    ----------
    name, label, tooltip : str
        Of the setting, before its buttons, and what it means.
    options : list of (value, label) or (value, label, tooltip)
    value : object
        The first choice; a list of values where several can be chosen (``kind="several"``).
    kind : {"buttons", "slider", "several", "present"}
    asks : bool
        Whether another choice needs other numbers; else the browser has them already.
    play : bool
        Whether a slider can play.
    """

    name: str
    label: str
    tooltip: str
    options: Sequence[tuple]
    value: Any
    kind: str = "buttons"
    asks: bool = True
    play: bool = False

    def check(self, value: Any) -> Any:
        """Return a value that is on offer, else raise an error that lists what is."""
        values = [option[0] for option in self.options]
        if self.kind == "several":
            value = check_known(self.name, value, values)
            if not value:
                raise ValueError(f"{self.name} is empty. Choose at least one of {values!r}.")
        elif value not in values:
            check_choice(self.name, value, values)
        return value


PRESENT = Control(
    "present", "Present", "Everything larger, for the back row", [(False, "no"), (True, "yes")], False, "present", False
)


class LabView(BrowserView):
    """Panels under controls; the functions ``iv.explore_...`` of the teaching lab build it.

    Parameters
    ----------
    title : str
        What it is, for screen readers.
    controls : list of Control
    show : callable
        From the settings that ask, as keyword arguments, to what the browser draws: ``panels`` and a ``sentence``.
        Instead of either, ``{"by": setting, "frames": [...]}`` has one for each value of a setting.
    plain : callable
        From all settings, and a ``theme`` in the place of ``present``, to the figure of a plain call.

    Attributes
    ----------
    look : dict
        The settings and ``present``, whether everything is larger. It can be observed.

    Examples
    --------
    >>> view = explore_simplex()
    >>> view.restore({"scale": 10.0}).state()
    {'scale': 10.0, 'example': 'near one', 'present': False}
    """

    mounts = traitlets.Unicode("mountLab").tag(sync=True)
    buttons: Sequence[tuple[str, str]] = ()

    def __init__(
        self, title: str, controls: Sequence[Control], show: Callable[..., Answer], plain: Callable[..., Figure | None]
    ) -> None:
        self.title, self._show, self._plain = title, show, plain
        self.controls = {control.name: control for control in controls}
        self.controls.setdefault("present", PRESENT)
        super().__init__({name: control.value for name, control in self.controls.items()})

    def __repr__(self) -> str:
        return f"LabView({self.title}; the controls need a running notebook)"

    def _answer(self, request: dict[str, Any], buffers: list[Any], found: list[bytes]) -> Answer:
        if request["what"] == "start":
            controls = [asdict(control) for control in self.controls.values()]
            return {"title": self.title, "controls": controls, "buttons": self.buttons}
        return self._show(**request["settings"])

    def _draw(self) -> Figure | None:
        settings = self.state()
        theme = "talk" if settings.pop("present") else "paper"
        return self._plain(**settings, theme=theme)

    def state(self) -> dict[str, Any]:
        """Return the settings as plain JSON values; :meth:`restore` takes them back."""
        return dict(self.look)

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
            chosen = {name: self.controls[name].check(value) for name, value in wanted.items()}
        except (TypeError, OverflowError, RecursionError) as error:
            raise ValueError(f"state must be what state() returned, or its JSON, but: {error}.") from error
        self.look = self.look | chosen
        return self


def _scores(keys: Sequence[str], tooltip: str) -> Control:
    if not keys:
        raise ValueError("scores is empty. Choose at least one score.")
    options = [(key, words(key).label, f"{words(key).name}: {words(key).explanation}") for key in keys]
    return Control("score", "Score", tooltip, options, "es" if "es" in keys else keys[0])


def _losses(losses: Iterable[str]) -> Control:
    options = [(loss, loss_style(loss).label) for loss in losses]
    return Control("loss", "Loss", "Loss that the network was trained with", options, options[0][0])


def _slider(name: str, label: str, tooltip: str, values: Iterable[float], value: float, **options: Any) -> Control:
    return Control(name, label, tooltip, [(item, f"{item:g}") for item in values], value, "slider", **options)


def explore_risk(
    capture: Capture, *, ood: str | Iterable[str] | None = None, scores: Sequence[str] | None = None
) -> Explorer:
    """Set the cost of each error and the share of unknown images, move the threshold, and see what it costs.

    Parameters
    ----------
    capture : Capture
        With out-of-distribution sets.
    ood : str or list of str, optional
        Those to use; by default all.
    scores : sequence of str, optional
        Keys of ``iv.scores.SCORES`` to choose from; by default all that the capture gives.

    Returns
    -------
    Explorer
        It shows the costs, with the cheapest threshold; its other views are there too.

    Raises
    ------
    TypeError
        If this is no capture.
    ValueError
        If the capture has no such set or no set at all, or does not give a score.

    Examples
    --------
    >>> capture = Capture.from_arrays([[9.0, 0.0], [0.0, 8.0]], [0, 1], ood={"mine": [[1.0, 0.9]]}, loss="softmax")
    >>> view = explore_risk(capture)
    >>> view.state()["view"], view.state()["score"]
    ('cost', 'es')
    >>> view.state()["threshold"]["costs"]
    {'accept_unknown': 1.0, 'reject_known': 1.0, 'share_unknown': 0.5}
    """
    sets = chosen_ood(capture, ood)
    view = Explorer(capture.replace(ood=sets), scores=scores)
    return view.restore({"view": "cost", "ood": list(sets), "threshold": {"costs": view.look["costs"]}})


def explore_temperature(captures: Captures) -> LabView:
    """Move the temperature of inference: from as cold as the training to warmer than detection.

    Parameters
    ----------
    captures : Capture or list of Capture
        One of each loss; with out-of-distribution sets, for their detection.

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
    {'temperature': 1.0, 'loss': 'softmax', 'present': False}
    """
    by_loss = {capture.loss: capture for capture in as_list(captures)}
    if len(by_loss) != len(as_list(captures)):
        raise ValueError("captures must have different losses, but two have the same. Give one of each.")
    values = sorted({*(float(f"{value:.2g}") for value in TEMPERATURES), 0.1, 1.0})
    temperature = _slider("temperature", "Temperature", "What the logits are divided by", values, 1.0, asks=False)

    def plain(*, loss: str, **options: Any) -> Figure:
        return plot_temperature(by_loss[loss], **options)

    show = partial(_temperatures, by_loss, values)
    return LabView("Temperature of a network's answer", [temperature, _losses(by_loss)], show, plain)


def _temperatures(by_loss: Mapping[str, Capture], values: Sequence[float], *, loss: str) -> Answer:
    capture = by_loss[loss]
    table = temperature_table(capture, values)
    log = {"label": "temperature", "low": values[0], "high": values[-1], "log": True}
    common: Answer = {"kind": "lines", "x": log, "at": "temperature"}
    common |= {"marks": [[value, name] for name, value in temperature_marks(capture).items()]}
    top = 1.45 * float(np.log(capture.test.classes))
    doubt: Answer = {"title": "Fit and doubt", "y": {"label": "nats, mean of the images", "low": 0, "high": top}}
    doubt["curves"] = _curves(table, "temperature", {"cross_entropy": "cross-entropy (NLL)", "entropy": "entropy"})
    detection: Answer = {"kind": "words", "text": "There is no out-of-distribution set to detect."}
    if table["ES"].notna().all():
        low = float(table[["ES", "MPS"]].min(axis=None))
        y = {"label": "AUROC, mean of the sets", "low": max(0.0, low - 0.25 * (1 - low)), "high": 1, "percent": True}
        curves = _curves(table, "temperature", {"ES": "ES", "MPS": "MPS"})
        detection = common | {"title": "Detection", "y": y, "curves": curves}
    fits = [reliability(at_temperature(capture, value)) for value in values]
    frames = [in_lines(panel | {"title": "Reliability"}, loss) for panel in fits]
    sentences = [_temperature_sentence(loss_style(loss).label, row) for row in table.to_dict("records")]
    return {
        "panels": [{"by": "temperature", "frames": frames}, common | doubt, detection],
        "sentence": {"by": "temperature", "frames": sentences},
    }


def in_lines(panel: Answer, loss: str) -> Answer:
    """Return a panel of curves as the lab draws it, in the looks of a loss."""
    return panel | {"kind": "lines", "curves": [look_of(loss_style(loss)) | curve for curve in panel["curves"]]}


def _temperature_sentence(label: str, row: Mapping[str, Any]) -> str:
    text = (
        f"{label} at temperature {row['temperature']:g}: mean confidence {percent(row['confidence'])}, accuracy "
        f"{percent(row['accuracy'])}, calibration error {percent(row['calibration_error'])}; cross-entropy "
        f"{number(row['cross_entropy'])} and entropy {number(row['entropy'])} nats"
    )
    return (
        f"{text}." if pd.isna(row["ES"]) else f"{text}; AUROC {percent(row['ES'])} of ES, {percent(row['MPS'])} of MPS."
    )


def _curves(table: pd.DataFrame, x: str, columns: Mapping[str, str]) -> list[Answer]:
    return [
        look_of(style) | {"label": label, "points": table[[x, column]].to_numpy(float).tolist()}
        for (column, label), style in zip(columns.items(), SPARE_STYLES, strict=False)
    ]


# name -> (distances to the three prototypes, explanation); class 0 is the correct one
EXAMPLES = {
    "near one": ((0.2, 0.5, 0.8), "The features lie nearest to the correct prototype"),
    "between two": ((0.4, 0.45, 0.8), "Two prototypes are almost equally near"),
    "near none": ((0.9, 0.95, 1.0), "Far from all prototypes, as unknown images may be"),
    "wrong": ((0.5, 0.2, 0.8), "A wrong prototype is nearest"),
}
SCALES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0, 15.0, 20.0)


def explore_simplex(*, entropic_scale: float = 10.0) -> LabView:
    """Move the scale on the logits of one sample of three classes and see it travel over the simplex.

    Parameters
    ----------
    entropic_scale : float
        That of the training, to be marked.

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
    {'scale': 1.0, 'example': 'near one', 'present': False}
    """
    check_number("entropic_scale", entropic_scale, above=0)
    scales = sorted({*SCALES, entropic_scale})
    options = [(name, name, words) for name, (_, words) in EXAMPLES.items()]
    controls = [
        _slider("scale", "Scale", "Factor on the logits; 1 over the temperature", scales, 1.0, asks=False),
        Control("example", "Sample", "Distances of the features to the three prototypes", options, "near one"),
    ]

    def show(*, example: str) -> Answer:
        logits = [-distance for distance in EXAMPLES[example][0]]
        path = scale_table(logits, 0, np.unique([*scales, *np.linspace(0, max(20.0, 2 * entropic_scale), 240)]))
        marked = {"at": "scale", "marks": [[1.0, "detection"], [entropic_scale, "training"]]}
        points = path[["scale", "p0", "p1", "p2"]].to_numpy().tolist()
        named = ("cross-entropy (what the training lowers)", "entropy (what detection sees)")
        curves = _curves(path, "scale", dict(zip(("cross_entropy", "entropy"), named, strict=True)))
        low = {"kind": "lines", "title": "Entropy and cross-entropy", "curves": curves}
        axes = {"x": {"label": "scale on the logits"}, "y": {"label": "nats", "low": 0}}
        chosen = path[path["scale"].isin(scales)].to_dict("records")
        return {
            "panels": [{"kind": "simplex", "title": "Probabilities", "points": points} | marked, low | axes | marked],
            "sentence": {"by": "scale", "frames": [_simplex_sentence(example, row) for row in chosen]},
        }

    def plain(*, example: str, **options: Any) -> Figure:
        logits = [-distance for distance in EXAMPLES[example][0]]
        return plot_simplex(logits, entropic_scale=entropic_scale, **options)

    return LabView("One sample on the simplex", controls, show, plain)


def _simplex_sentence(example: str, row: Mapping[str, Any]) -> str:
    shares = ", ".join(percent(row[name]) for name in ("p0", "p1", "p2"))
    doubt = f"entropy {number(row['entropy'])}, cross-entropy {number(row['cross_entropy'])} nats"
    return f"Sample {example!r} at scale {row['scale']:g}: probabilities {shares} (the first is correct); {doubt}."


def explore_surfaces(
    runs: ToyRun | Sequence[ToyRun],
    *,
    spaces: str | Sequence[str] | None = None,
    scores: Sequence[str] = ("mps", "es", "mds"),
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
    {'epoch': 1, 'score': 'es', 'space': 'input', 'fill': 'score', 'present': False}
    """
    listed = [runs] if isinstance(runs, ToyRun) else list(runs)
    shared = sorted(set.intersection(*(set(run.epochs) for run in listed))) if listed else []
    if not shared:
        raise ValueError(f"runs must be at least one, with common epochs, but there are {len(listed)}. Train some.")
    offered = [name for name in SPACES if all(name in run.final.planes for run in listed)]
    chosen = offered if spaces is None else check_known("spaces", spaces, offered)
    fills = [
        ("score", "score", "The score at every point; bright is in-distribution"),
        ("regions", "regions", "The class that the network decides for"),
    ]
    planes = [(name, name, SPACES[name]) for name in chosen]
    controls = [
        _slider("epoch", "Epoch", "How long the networks have been trained", shared, shared[-1], play=True),
        _scores(check_known("scores", scores, SCORES), "Number that colours the plane; bright = in-distribution"),
        Control("space", "Plane", "Which plane to look at", planes, chosen[0]),
        Control("fill", "Fill", "What the colours say", fills, "score"),
        replace(PRESENT, asks=True),  # the picture comes from the kernel
    ]

    def plain(*, epoch: int, fill: str, **options: Any) -> Figure:
        return plot_surfaces([run.at(epoch) for run in listed], regions=fill == "regions", **options)

    def show(*, present: bool, **settings: Any) -> Answer:
        figure = plain(theme="talk" if present else "paper", **settings)
        picture = np.frombuffer(png(figure), dtype=np.uint8)
        return {"panels": [{"kind": "picture", "png": picture}], "sentence": describe(figure)}

    return LabView("Surfaces of a score", controls, show, plain)


# key -> (label, tooltip, plot function, its table function); only the last takes a score
ALPHA_VIEWS: dict[str, tuple[str, str, Callable[..., Any], Callable[..., pd.DataFrame]]] = {
    "logits": ("Logits", "Logits at each entropic scale", figures.plot_logits, tables.logits_table),
    "entropy": ("Entropy", "Entropies at each scale", figures.plot_entropy, tables.values_table),
    "scores": ("Scores", "The chosen score at each scale", figures.plot_scores, tables.scores_table),
}
SHOWN = ("accuracy", "TNR@TPR95", "AUROC", "DTACC")


def explore_alpha(captures: Captures) -> LabView:
    """Move a slider over the entropic scale and see logits, entropies, scores and metrics change.

    Parameters
    ----------
    captures : list of Capture
        Of one loss (or several) at two or more entropic scales; several seeds are averaged in the table.

    Returns
    -------
    LabView
        Settings: ``scale, loss, view, score, ood``. The axis holds all scales, so that the picture moves and it stands
        still.

    Raises
    ------
    ValueError
        If there are fewer than two scales.

    Examples
    --------
    >>> meta = [{"entropic_scale": scale, "loss": "isomax"} for scale in (1.0, 10.0)]
    >>> unknown = {"mine": [[0.3, 0.1]]}
    >>> view = explore_alpha([Capture.from_arrays([[9.0, 0.0]], [0], ood=unknown, meta=item) for item in meta])
    >>> view.state()
    {'scale': 1.0, 'loss': 'isomax', 'view': 'logits', 'score': 'es', 'ood': ['mine'], 'present': False}
    """
    shelf = Shelf(captures)
    sweep: dict[str, dict[float, list[Capture]]] = {loss: {} for loss in shelf.options("loss")}
    for item in shelf.captures:
        if item.meta.get("entropic_scale") is not None:
            sweep[item.loss].setdefault(item.meta["entropic_scale"], []).append(item)
    scales = sorted({scale for by_scale in sweep.values() for scale in by_scale})
    if len(scales) < 2:
        raise ValueError(
            f"captures must have at least two entropic scales, but have {len(scales)}. Record them with "
            "Experiment(loss='isomax+', entropic_scale=...).run()."
        )
    names = [(name, data_style(name).label) for name in sets_of(shelf, None)]
    views = [(key, *view[:2]) for key, view in ALPHA_VIEWS.items()]
    tooltip = "Factor on the logits while training, the papers' alpha and E_s"
    controls = [
        _slider("scale", "Entropic scale", tooltip, scales, scales[0], asks=False, play=True),
        _losses([loss for loss in sweep if sweep[loss]]),
        Control("view", "View", "What the picture shows", views, views[0][0]),
        _scores(shelf.scores, "Number by which known and unknown images are told apart"),
        Control("ood", "Against", "Out-of-distribution sets", names, [names[0][0]], "several"),
    ]

    def plain(*, scale: float, loss: str, view: str, score: str, ood: list[str], theme: str) -> Figure:
        if scale not in sweep[loss]:
            raise ValueError(_missing(loss, scale))
        options: dict[str, Any] = {"score": score} if view == "scores" else {}
        limits = _common_limits(sweep[loss], ALPHA_VIEWS[view][3], ood=ood, **options)
        axes = ALPHA_VIEWS[view][2](sweep[loss][scale][0], ood, limits=limits, theme=theme, **options)
        entitle(axes, f"{axes.get_title(loc='left')} · entropic scale {scale:g}")
        return axes.get_figure(root=True)

    return LabView("The entropic scale", controls, partial(_at_scales, sweep, scales), plain)


def _missing(loss: str, scale: float) -> str:
    label = loss_style(loss).label
    return f"There is no capture of {label} at the entropic scale {scale:g}. Choose another scale or loss."


def _common_limits(
    by_scale: Mapping[float, list[Capture]], table: Callable[..., pd.DataFrame], **options: Any
) -> tuple[float, float]:
    """Return limits that hold all scales, so that the picture moves and the axis stands still."""
    parts = [table(item, bins=1, **options) for found in by_scale.values() for item in found]
    return min(part["left"].min() for part in parts), max(part["right"].max() for part in parts)


def _at_scales(
    sweep: Mapping[str, Mapping[float, list[Capture]]],
    scales: Sequence[float],
    *,
    loss: str,
    view: str,
    score: str,
    ood: list[str],
) -> Answer:
    table = ALPHA_VIEWS[view][3]
    options: dict[str, Any] = {"ood": ood} | ({"score": score} if view == "scores" else {})
    limits, sentences = _common_limits(sweep[loss], table, **options), []
    panels: list[Answer] = []
    for scale in scales:
        if scale not in sweep[loss]:
            panels.append({"kind": "words", "text": _missing(loss, scale)})
            sentences.append(_missing(loss, scale))
            continue
        rows = table(sweep[loss][scale][0], bins=60, limits=limits, **options)
        panels.append(_histogram(rows, loss))
        medians = ", ".join(f"{group['label']} {number(group['median'])}" for group in panels[-1]["groups"])
        words = f"{loss_style(loss).label} at the entropic scale {scale:g}, {view}: medians {medians}."
        if view == "scores":
            threshold = float(rows["threshold"].iloc[0])
            panels[-1]["marks"] = [[threshold, "95 % of ID"]]
            words += f" From {number(threshold)} up, 95 % of ID are accepted."
        sentences.append(words)
    captures = [item for found in sweep[loss].values() for item in found]
    found = evaluate(captures, scores=score, ood=ood).groupby(["entropic_scale", "ood"], sort=True)[list(SHOWN)].mean()
    rows = [
        {"of": scale, "cells": [f"{scale:g}", data_style(name).label, *map(percent, values)]}
        for (scale, name), values in zip(found.index, found.to_numpy(), strict=True)
    ]
    summary = {"kind": "table", "head": ["entropic scale", "against", *SHOWN], "rows": rows, "at": "scale"}
    return {"panels": [{"by": "scale", "frames": panels}, summary], "sentence": {"by": "scale", "frames": sentences}}


def _histogram(table: pd.DataFrame, loss: str) -> Answer:
    groups = []
    for name, rows in table.groupby("group", sort=False):
        known = not rows["ood"].iloc[0]
        look = look_of(loss_style(loss) if known else data_style(str(name)))
        look |= {"fill": 0.45 if known else 0.16} | ({"dash": [2, 2], "fill": 0.15} if name == INTER else {})
        told = {"label": str(name) if known else look["label"], "n": int(rows["n"].iloc[0])}
        if "AUROC" in rows and not known:
            told["detected"] = ", ".join(f"{of} {percent(rows[of].iloc[0])}" for of in ("AUROC", "TNR@TPR95"))
        told |= {"median": float(rows["median"].iloc[0]), "look": look}
        groups.append(told | {name: rows[name].tolist() for name in ("count", "density")})
    edges = [*table["left"].unique().tolist(), float(table["right"].iloc[-1])]
    label = quantity_label(table["quantity"].iloc[0], loss)
    return {"kind": "histogram", "edges": edges, "label": label, "groups": groups}
