"""What the explorer's browser module asks for: numbers of captures as JSON and arrays. Nothing here draws."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from isomax_viz._common.checks import check_known, check_ood
from isomax_viz.analysis import metrics, tables
from isomax_viz.analysis import scores as scores_module
from isomax_viz.analysis.features import class_names
from isomax_viz.analysis.histograms import INTER, INTRA, KNOWN
from isomax_viz.analysis.scores import Score
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.provenance import note, source
from isomax_viz.captures.samples import Samples
from isomax_viz.catalog.style import Style, data_style, loss_style
from isomax_viz.explorer.choices import DIMENSIONS, Shelf, word
from isomax_viz.explorer.lessons import loss_lesson, score_lesson
from isomax_viz.explorer.views import AXES, DRAWERS, FORMATS, START, VIEWS, Answer, columns_of

__all__ = ["Numbers", "digest", "gives", "look_of", "networks_of", "packed", "scores_of", "sets_of"]

DARK = (0x1C, 0x1C, 0x1E)
_DASHES = {"-": [], "--": [6, 3], "-.": [6, 2, 1, 2], ":": [2, 2]}


class Numbers:
    """Answers to what the browser asks of captures.

    Parameters
    ----------
    shelf : Shelf
    scores : mapping of str to Score
        Those on offer.

    Examples
    --------
    >>> shelf = Shelf(Capture.from_arrays([[9.0, 0.0]], [0], ood={"mine": [[0.0, 0.0]]}, loss="softmax"))
    >>> numbers = Numbers(shelf, {"max_logit": scores_module.get("max_logit")})
    >>> answer = numbers.answer({"what": "scores", "network": 0, "name": "max_logit"})
    >>> answer["columns"]["ID"].tolist(), answer["metrics"]["mine"]["AUROC"]
    ([9.0], 1.0)
    """

    def __init__(self, shelf: Shelf, scores: Mapping[str, Score]) -> None:
        self._shelf, self._scores = shelf, scores
        self._asked = {"scores": self._columns, "view": self._view, "labels": self._labels, "logits": self._logits}

    def answer(self, request: Mapping[str, Any]) -> Answer:
        """Return what is asked for: ``what``, of which ``network`` (its number) and of which ``name``."""
        return self._asked[request["what"]](self._shelf.captures[request["network"]], request["name"])

    def _columns(self, capture: Capture, key: str) -> Answer:
        score = self._scores[key]
        rows = tables.evaluate(capture, scores=score).to_dict("records")
        return {
            "columns": in_single_precision(columns_of(capture, lambda samples: scores_module.compute(score, samples))),
            "metrics": {row["ood"]: {name: row[name] for name in metrics.METRICS} for row in rows},
        }

    def _view(self, capture: Capture, key: str) -> Answer:
        return VIEWS[key].send(capture)  # type: ignore[misc]  # views of scores ask for scores

    def _labels(self, capture: Capture, name: str) -> Answer:
        samples = capture.samples["test" if name == KNOWN else name]
        numbers = {"labels": samples.labels, "predictions": samples.require("predictions")}
        return {key: value.astype(np.int32) for key, value in numbers.items()}

    def _logits(self, capture: Capture, name: str) -> Answer:
        samples = capture.samples["test" if name == KNOWN else name]
        parts = {"logits": samples.logits, "distances": samples.distances}
        return {key: value.astype(np.float32).ravel() for key, value in parts.items() if value is not None}


def in_single_precision(columns: Mapping[str, np.ndarray], *, step: int = 1) -> dict[str, np.ndarray]:
    """Return columns in float32 in which every two values compare as before, equal ones included.

    Two values that would become one are moved apart by the smallest step, so that counts stay exact.

    Parameters
    ----------
    columns : mapping of str to array
    step : int
        Round to every so many float32 values; fewer digits take less space.

    Examples
    --------
    >>> made = in_single_precision({"ID": np.array([1.0, 1.0 + 1e-12]), "mine": np.array([1.0])})
    >>> bool(made["ID"][0] < made["ID"][1]), bool(made["ID"][0] == made["mine"][0])
    (True, True)
    """
    if step == 1 and all(values.dtype == np.float32 for values in columns.values()):
        return dict(columns)
    distinct, places = np.unique(np.concatenate(list(columns.values())), return_inverse=True)
    ranks = np.arange(len(distinct))
    keys = np.rint(order_keys(distinct.astype(np.float32)) / step).astype(np.int64) * step
    keys = np.maximum.accumulate(keys - ranks) + ranks
    ends = np.cumsum([len(values) for values in columns.values()])[:-1]
    return dict(zip(columns, np.split(from_order_keys(keys)[places], ends), strict=True))


def order_keys(values: np.ndarray) -> np.ndarray:
    """Return whole numbers that order like float32 values and follow each other as these do.

    Examples
    --------
    >>> np.diff(order_keys(np.array([-1e-45, 0.0, 1e-45], dtype=np.float32))).tolist()
    [1, 1]
    """
    bits = (values + np.float32(0)).view(np.int32).astype(np.int64)
    return np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)


def from_order_keys(keys: np.ndarray) -> np.ndarray:
    """Return the float32 values of :func:`order_keys`."""
    return np.where(keys < 0, -keys | 0x80000000, keys).astype(np.uint32).view(np.float32)


def packed(answer: Any, buffers: list[bytes]) -> Any:
    """Return an answer as JSON values; its arrays are appended to ``buffers`` and named by their number.

    Examples
    --------
    >>> buffers = []
    >>> packed({"x": np.array([1, 2], dtype=np.int32)}, buffers), len(buffers[0])
    ({'x': {'buffer': 0, 'type': 'i4'}}, 8)
    """
    if isinstance(answer, np.ndarray):
        buffers.append(np.ascontiguousarray(answer).tobytes())
        return {"buffer": len(buffers) - 1, "type": answer.dtype.str[1:]}
    if isinstance(answer, Mapping):
        return {key: packed(value, buffers) for key, value in answer.items()}
    return [packed(value, buffers) for value in answer] if isinstance(answer, list) else answer


def digest(shelf: Shelf, scores: Sequence[Score], sets: Sequence[str]) -> Answer:
    """Return what can be chosen, with its words and looks, as JSON values; numbers follow when they are asked for.

    Examples
    --------
    >>> capture = Capture.from_arrays([[3.0, 0.0], [0.0, 4.0]], [0, 1], ood={"mine": [[0.1, 0.0]]}, loss="softmax")
    >>> content = digest(Shelf(capture), [scores_module.get("max_logit")], ["mine"])
    >>> content["networks"][0]["title"], content["networks"][0]["n"], content["scores"]["max_logit"]["label"]
    ('SoftMax', {'ID': 2, 'mine': 1}, 'max logit')
    """
    sources = pd.DataFrame([source(capture) for capture in shelf.captures])
    notes = [note(sources[number : number + 1]) for number in range(len(shelf))]
    return {
        "networks": [_network(shelf, number, scores, sets) | {"note": words} for number, words in enumerate(notes)],
        "dimensions": {name: _dimension(shelf, name) for name in shelf.choosers},
        "sets": {name: look_of(data_style(name)) for name in sets},
        "scores": {score.key: score_lesson(score) for score in scores},
        "losses": {loss: loss_lesson(loss) for loss in shelf.options("loss")},
        "views": {key: {"label": v.label, "tooltip": v.tooltip, "kind": v.kind} for key, v in VIEWS.items()},
        "metrics": metrics.METRICS,
        "start": START,
        "axes": AXES,
        "drawers": DRAWERS,
        "formats": FORMATS,
    }


def _dimension(shelf: Shelf, name: str) -> Answer:
    (label, tooltip), values = DIMENSIONS[name], shelf.options(name)
    return {"label": label, "tooltip": tooltip, "options": [[value, word(name, value, short=True)] for value in values]}


def _network(shelf: Shelf, number: int, scores: Sequence[Score], sets: Sequence[str]) -> Answer:
    capture = shelf.captures[number]
    held = [name for name in sets if name in capture.ood]
    data = capture.meta.get("data")
    return {
        "title": shelf.title(number),
        "place": shelf.places[number],
        "known": f"{data_style(data).label}, ID" if data else KNOWN,
        "n": {KNOWN: len(capture.test)} | {name: len(capture.ood[name]) for name in held},
        "seen": {name: _seen(capture, number, name) for name in (KNOWN, *held)},
        "classes": class_names(capture),
        "scores": [score.key for score in scores if gives(capture, score, held)],
        "views": [key for key, view in VIEWS.items() if view.given(capture)],
        **look_of(loss_style(capture.loss)),
    }


def _seen(capture: Capture, number: int, name: str) -> str | None:
    """Return what is equal for two captures that recorded the same images in the same order; None where none knows."""
    if ("test" if name == KNOWN else name) in capture.meta.get("unordered", ()):
        return f"in an order of its own ({number})"
    if name == KNOWN:
        labels = hashlib.sha256(capture.test.labels.tobytes()).hexdigest()[:16]
        return f"{capture.meta.get('data')} {labels}"
    return capture.meta.get("ood", {}).get(name, {}).get("fingerprint")


def look_of(style: Style) -> Answer:
    """Return how something is drawn, on light and on dark paper, as JSON values."""
    dash = _DASHES[style.linestyle] if isinstance(style.linestyle, str) else list(style.linestyle[1])
    return {"label": style.label, "color": style.color, "dark": on_dark(style.color), "dash": dash}


def on_dark(color: str) -> str:
    """Return a colour that stands out from a dark background: mixed with white as far as it takes.

    Examples
    --------
    >>> on_dark("#E69F00"), on_dark("#4D4D4D")
    ('#e69f00', '#878787')
    """
    rgb = np.array([int(color[place : place + 2], 16) for place in (1, 3, 5)])
    for share in np.linspace(0, 1, 41):
        mixed = np.rint(rgb + share * (255 - rgb)).astype(int)
        # The contrast that the Web Content Accessibility Guidelines ask of text.
        if (_light(mixed) + 0.05) / (_light(DARK) + 0.05) >= 4.5:
            break
    return "#" + "".join(f"{part:02x}" for part in mixed)


def _light(rgb: Sequence[int] | np.ndarray) -> float:
    share = np.asarray(rgb) / 255
    return float(np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722])


def gives(capture: Capture, score: Score, sets: list[str]) -> bool:
    """Return whether a capture carries what a score needs, in every set.

    Examples
    --------
    >>> capture = Capture.from_arrays([[3.0, 0.0]], [0], ood={"mine": [[0.1, 0.0]]})
    >>> [gives(capture, scores_module.get(key), ["mine"]) for key in ("es", "mds")]
    [True, False]
    """
    samples = [capture.test, *(capture.ood[name] for name in sets)]
    if score.key in scores_module.COLUMNS or any(score.key in item.extra_scores for item in samples):
        return bool(sets) and all(score.key in item.extra_scores for item in samples)
    return bool(sets) and score.fits(*samples)


def sets_of(shelf: Shelf, wanted: str | Iterable[str] | None) -> list[str]:
    """Return the sets to choose from: those that are wanted, by default all.

    Raises
    ------
    ValueError
        If a name is not on offer, or the known images go by it.
    """
    if not shelf.ood:
        raise ValueError(
            "None of the captures has an out-of-distribution set to compare with. Record one with "
            "Experiment.run(ood='letters'), or pass ood={'mine': logits} to Capture.from_arrays."
        )
    names = check_ood(wanted, shelf.ood)
    for name in names:
        if name in (KNOWN, INTRA, INTER):
            raise ValueError(
                f"ood holds a set called {name!r}, as the known images are called on the page. Give it another name: "
                "capture.replace(ood={'mine': ...})."
            )
    return names


def scores_of(shelf: Shelf, wanted: str | Callable[[Samples], Any] | Iterable[Any] | None) -> list[Score]:
    """Return the scores to choose from, each once: those that are wanted, by default all.

    Raises
    ------
    ValueError
        If a name is not on offer, or two scores share one.
    """
    if wanted is None:
        wanted = shelf.scores
    listed = [wanted] if isinstance(wanted, str) or callable(wanted) else list(wanted)
    if not listed:
        raise ValueError("scores is empty. Choose at least one score.")
    names = [item for item in listed if isinstance(item, str)]
    check_known("scores", names, shelf.scores, remedy="Your own function (samples -> array) is accepted too.")
    chosen: dict[str, tuple[Any, Score]] = {}
    for item in listed:
        # By name, words() finds the columns of any capture; a function brings its own words.
        score = scores_module.words(item) if isinstance(item, str) else scores_module.get(item)
        if chosen.setdefault(score.key, (item, score))[0] != item:
            raise ValueError(
                f"scores must have names of their own, but two are called {score.key!r}. "
                "Define your functions with def, under different names."
            )
    return [score for _, score in chosen.values()]


def networks_of(shelf: Shelf, scores: Sequence[Score], sets: Sequence[str]) -> list[int]:
    """Return the numbers of the captures with one of the sets and what one of the scores needs.

    Raises
    ------
    ValueError
        If there is none.
    """
    held = [[name for name in sets if name in capture.ood] for capture in shelf.captures]
    pairs = list(zip(shelf.captures, held, strict=True))
    kept = [k for k, pair in enumerate(pairs) if any(gives(pair[0], score, pair[1]) for score in scores)]
    if not kept:
        raise ValueError(
            f"No capture gives one of the scores {[score.key for score in scores]} for its test images and its sets "
            f"among {list(sets)}. Choose another score, or leave out the sets that lack it."
        )
    return kept
