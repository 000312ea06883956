"""The numbers under the picture, computed once per capture, score and set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from isomax_viz._common.checks import check_choice, check_known, check_number
from isomax_viz.analysis import metrics, tables
from isomax_viz.analysis import scores as scores_module
from isomax_viz.analysis.histograms import INTER, INTRA, KNOWN
from isomax_viz.analysis.scores import Score
from isomax_viz.analysis.tables import evaluate
from isomax_viz.analysis.thresholds import RULES, threshold_table
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.provenance import source
from isomax_viz.captures.samples import Samples
from isomax_viz.catalog.style import Style, data_style, loss_style
from isomax_viz.explorer import lessons as words
from isomax_viz.explorer.choices import Shelf
from isomax_viz.explorer.state import Look
from isomax_viz.figures._words import note, quantity_label

__all__ = [
    "ALL_COMBINATIONS",
    "BINS",
    "DARK",
    "Numbers",
    "VIEWS",
    "digest",
    "gives",
    "need_sets",
    "networks_of",
    "on_dark",
    "scores_of",
    "sets_of",
    "start_of",
]


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


DARK = "#1c1c1e"  # the page's own background where the reader's system is dark


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
        if _contrast(mixed, DARK) >= 4.5:  # what the accessibility guidelines ask of text
            break
    return "#" + "".join(f"{part:02x}" for part in mixed)


def _contrast(rgb: np.ndarray, background: str) -> float:
    """Return the contrast ratio of two colours as the Web Content Accessibility Guidelines define it."""
    other = np.array([int(background[place : place + 2], 16) for place in (1, 3, 5)])
    light = []
    for color in (rgb, other):
        share = np.asarray(color) / 255
        linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
        light.append(float(linear @ [0.2126, 0.7152, 0.0722]) + 0.05)
    return max(light) / min(light)


BINS = 600  # of each histogram; about ten of them make one bar of the page
STEPS = 200  # thresholds at equal distances, so that a slider reaches every part of the axis
PERCENTS = 100  # and at every percent of each set, so that ROC curves have no gap where many scores are alike
ALL_COMBINATIONS = 5  # up to so many sets, the best threshold of every combination of them is on the list

VIEWS = {
    "scores": ("Scores", "Distributions of the chosen score beside the ROC curve, with a threshold that you can move"),
    "logits": ("Logits", "Logits of the own class, of the other classes, and of the unknown images"),
    "entropy": ("Entropy", "How undecided the network is, image by image"),
    "max_probability": ("Max. probability", "How sure the network says it is, image by image"),
    "distances": (
        "Distances",
        "Distances between features and prototypes: own class, other classes, unknown images",
    ),
    "roc": ("ROC", "Share of unknown images accepted against share of known images accepted, at every threshold"),
}
_DASHES = {"-": [], "--": [6, 3], "-.": [6, 2, 1, 2], ":": [2, 2]}


def digest(
    captures: Sequence[Capture], titles: Sequence[str], *, scores: Sequence[Score], ood: Sequence[str]
) -> dict[str, Any]:
    """Return all that the page shows as JSON values.

    Parameters
    ----------
    captures : sequence of Capture
    titles : sequence of str
        Name of each capture on the page.
    scores : sequence of Score
        What to choose from; a capture that lacks what a score needs leaves it out.
    ood : sequence of str
        Out-of-distribution sets to choose from.

    Examples
    --------
    >>> capture = Capture.from_arrays([[3.0, 0.0], [0.0, 4.0]], [0, 1], ood={"mine": [[0.1, 0.0]]}, loss="softmax")
    >>> content = digest([capture], ["SoftMax"], scores=[scores_module.get("max_logit")], ood=["mine"])
    >>> content["networks"][0]["scores"]["max_logit"]["metrics"]["mine"]["AUROC"]
    1.0
    """
    return {
        "networks": [
            _network(capture, title, scores, [name for name in ood if name in capture.ood])
            for capture, title in zip(captures, titles, strict=True)
        ],
        "sets": {name: _look(data_style(name)) for name in ood},
        "scores": {score.key: {"label": score.label, "name": score.name} for score in scores},
        "views": {key: {"label": label, "tooltip": tooltip} for key, (label, tooltip) in VIEWS.items()},
        "metrics": metrics.METRICS,
    }


def _look(style: Style) -> dict[str, Any]:
    dash = _DASHES[style.linestyle] if isinstance(style.linestyle, str) else list(style.linestyle[1])
    return {"label": style.label, "color": style.color, "on_dark": on_dark(style.color), "dash": dash}


def _network(capture: Capture, title: str, scores: Sequence[Score], sets: list[str]) -> dict[str, Any]:
    accuracy = capture.test.accuracy
    n = {name: len(samples) for name, samples in capture.ood.items() if name in sets}
    return {
        "title": title,
        "note": note(pd.DataFrame([source(capture)])),
        "known": f"{capture.meta['data']}, ID" if capture.meta.get("data") else KNOWN,
        "accuracy": None if np.isnan(accuracy) else accuracy,
        "n": {KNOWN: len(capture.test)} | n,
        "needed": metrics.needed(0.95, len(capture.test)),
        **_look(loss_style(capture.loss)),
        "scores": {score.key: _score(capture, score, sets) for score in scores if gives(capture, score, sets)},
        "values": _values(capture, sets),
    }


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


def _values(capture: Capture, sets: list[str]) -> dict[str, Any]:
    if capture.test.logits is None:
        return {}
    made = {name: tables.values_table(capture, name, sets, bins=BINS) for name in ("entropy", "max_probability")}
    if (capture.test.labels >= 0).any():
        made["logits"] = tables.logits_table(capture, sets, bins=BINS)
        if all(item.distances is not None for item in [capture.test, *(capture.ood[name] for name in sets)]):
            made["distances"] = tables.logits_table(capture, sets, quantity="distance", bins=BINS)
    return {view: _binned(table) for view, table in made.items()}


def _binned(table: pd.DataFrame) -> dict[str, Any]:
    first, groups = table.iloc[0], table.groupby("group", sort=False)
    return {
        "label": quantity_label(first["quantity"], first["loss"]),
        "low": float(first["left"]),
        "high": float(table["right"].iloc[-1]),
        "groups": [
            {
                "name": str(name),
                "ood": bool(rows["ood"].iloc[0]),
                "n": int(rows["n"].iloc[0]),
                "median": float(rows["median"].iloc[0]),
                "counts": rows["count"].tolist(),
            }
            for name, rows in groups
        ],
    }


def _score(capture: Capture, score: Score, sets: list[str]) -> dict[str, Any]:
    values = {KNOWN: scores_module.compute(score, capture.test)}
    values |= {name: scores_module.compute(score, capture.ood[name]) for name in sets}
    rows = tables.evaluate(capture, scores=score, ood=sets).to_dict("records")
    return {
        "values": _binned(tables.scores_table(capture, score, sets, bins=BINS)),
        "metrics": {row["ood"]: {name: row[name] for name in metrics.METRICS} for row in rows},
        "thresholds": _thresholds(values),
    }


def _thresholds(values: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return thresholds in ascending order and how many more images of each set each of them rejects.

    The thresholds of both rules are among them (see :func:`isomax_viz.analysis.thresholds.find_threshold`).
    """
    known, *unknown = values.values()
    ordered = {name: np.sort(scores) for name, scores in values.items()}
    low, high = (limit(scores[end] for scores in ordered.values()) for limit, end in ((min, 0), (max, -1)))
    listed = [np.linspace(low, high, STEPS + 1), [metrics.threshold_at_tpr(known)]]
    for scores in ordered.values():
        listed.append(scores[np.linspace(0, len(scores) - 1, PERCENTS + 1).round().astype(int)])
    sizes = range(1, len(unknown) + 1) if len(unknown) <= ALL_COMBINATIONS else (1, len(unknown))
    for size in sizes:
        for chosen in combinations(unknown, size):
            listed.append([metrics.best_dtacc_threshold(known, np.concatenate(chosen))])
    single = all(scores.dtype == np.float32 for scores in values.values())
    edges = np.unique(np.concatenate(listed).astype(np.float32 if single else np.float64))
    return {
        "single": single,
        "edges": [_short(edge) for edge in edges] if single else edges.tolist(),
        # In the precision of the scores, as a comparison with them has it.
        "rejected": {
            name: np.diff(np.searchsorted(scores, edges.astype(scores.dtype)), prepend=0).tolist()
            for name, scores in ordered.items()
        },
    }


def _short(value: np.float32) -> float:
    """Return a number with few digits that is this one in single precision."""
    short = float(str(value))
    return short if np.float32(short) == value else float(value)


def need_sets(shelf: Shelf) -> list[str]:
    """Return the out-of-distribution sets of a shelf.

    Raises
    ------
    ValueError
        If there is none.

    Examples
    --------
    >>> from isomax_viz import Capture
    >>> need_sets(Shelf(Capture.from_arrays([[9.0, 0.0]], [0], ood={"mine": [[0.3, 0.1]]})))
    ['mine']
    """
    if not shelf.ood:
        raise ValueError(
            "None of the captures has an out-of-distribution set to compare with. Record one with "
            "Experiment.run(ood='letters'), or pass ood={'mine': logits} to Capture.from_arrays."
        )
    return list(shelf.ood)


def sets_of(shelf: Shelf, wanted: str | Iterable[str] | None) -> list[str]:
    """Return the sets to choose from: those that are wanted, by default all.

    Raises
    ------
    ValueError
        If a name is not on offer, or the known images go by it.
    """
    offered = need_sets(shelf)
    names = offered if wanted is None else check_known("ood", wanted, offered)
    if not names:
        raise ValueError("ood is empty. Choose at least one out-of-distribution set.")
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
    kept = []
    for number, capture in enumerate(shelf.captures):
        held = [name for name in sets if name in capture.ood]
        if any(gives(capture, score, held) for score in scores):
            kept.append(number)
    if not kept:
        raise ValueError(
            f"No capture gives one of the scores {[score.key for score in scores]} for its test images and its sets "
            f"among {list(sets)}. Choose another score, or leave out the sets that lack it."
        )
    return kept


def start_of(wanted: Mapping[str, Any], numbers: Sequence[int], scores: list[str], names: list[str]) -> dict[str, Any]:
    """Return what the page shows first, each part by default what tells most.

    Raises
    ------
    ValueError
        If something is not on offer.
    """
    check_known("start", wanted, ("network", "score", "ood", "view", "threshold"))
    number = wanted.get("network", numbers[0])
    if number not in numbers:
        raise ValueError(
            f"start['network'] must be the number of a capture with one of the sets {names!r}, one of {list(numbers)}, "
            f"but is {number!r}."
        )
    threshold = wanted.get("threshold", "tpr95")
    if isinstance(threshold, str):
        check_choice("start['threshold']", threshold, RULES, remedy="A number is accepted too.")
    else:
        threshold = float(check_number("start['threshold']", threshold))
    return {
        "network": numbers.index(number),
        "score": check_choice("start['score']", wanted.get("score", "es" if "es" in scores else scores[0]), scores),
        "ood": check_known("start['ood']", wanted.get("ood", names[:1]), names),
        "view": check_choice("start['view']", wanted.get("view", "scores"), VIEWS),
        "threshold": threshold,
    }
