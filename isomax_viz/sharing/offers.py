"""What can be chosen on a page: sets, scores and networks that go together, and what it shows first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from isomax_viz._common.checks import check_choice, check_known, check_number
from isomax_viz.analysis import scores as scores_module
from isomax_viz.analysis.histograms import INTER, INTRA, KNOWN
from isomax_viz.analysis.scores import Score
from isomax_viz.analysis.thresholds import RULES
from isomax_viz.captures.samples import Samples
from isomax_viz.sharing.digest import VIEWS, gives
from isomax_viz.shelf import Shelf

__all__ = ["need_sets", "networks_of", "scores_of", "sets_of", "start_of"]


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
