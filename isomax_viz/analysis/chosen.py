"""What a call asks for: captures, scores and out-of-distribution sets, in every form in which they may be given.

Averages over networks that differ in more than their seed are numbers of nothing: who averages asks here first which
captures may stand together (:func:`check_alike`, :func:`check_once`), and which sets they share.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np

from isomax_viz._common.checks import run_hint
from isomax_viz.analysis.scores import Score, ScoreLike, compute, get
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.provenance import Names, chosen_ood, machine, source, variant
from isomax_viz.captures.samples import Samples

__all__ = [
    "Captures", "Names", "as_list", "as_names", "check_alike", "check_once", "chosen_ood", "chosen_scores", "one_each",
    "set_scores", "shared_ood", "tell_machines",
]  # fmt: skip

logger = logging.getLogger(__name__)

Captures = Capture | Iterable[Capture]


def as_list(captures: Captures) -> list[Capture]:
    """Return one capture, or many, as a list.

    Raises
    ------
    TypeError
        If there is something else among them.
    ValueError
        If there is none.

    Examples
    --------
    >>> as_list(Capture.from_arrays([[3.0, 0.0]], [0]))
    [Capture(unknown loss: test 1)]
    """
    listed: Any = [captures] if isinstance(captures, Capture) or run_hint(captures) else captures
    listed = list(listed.values()) if isinstance(listed, dict) else listed
    listed = list(listed) if isinstance(listed, Iterable) and not isinstance(listed, str) else [listed]
    if not listed:
        raise ValueError("captures is empty. Give one Capture or a list of them.")
    for item in listed:
        if not isinstance(item, Capture):
            holds = f"a {type(item).__name__}. {run_hint(item)}".rstrip()
            raise TypeError(f"captures must be one Capture or a list of them, but holds {holds}")
    return listed


def as_names(names: Any) -> Any:
    """Return names that can be gone through more than once: a generator would be empty for the second capture."""
    return names if names is None or isinstance(names, str) or callable(names) else list(names)


def one_each(parameter: str, value: Any, captures: Sequence[Capture], *, what: str = "value") -> list[Any]:
    """Return one value per capture, of a list of as many or of one for all.

    Examples
    --------
    >>> one_each("score", "es", [Capture.from_arrays([[3.0, 0.0]], [0])])
    ['es']
    """
    values = list(value) if isinstance(value, (list, tuple, np.ndarray)) else [value] * len(captures)
    if len(values) != len(captures):
        raise ValueError(f"{parameter} must have one {what} per capture ({len(captures)}), but has {len(values)}.")
    return values


def chosen_scores(scores: ScoreLike | Iterable[ScoreLike] | None, samples: Samples) -> list[Score]:
    """Return the scores, each under a name of its own: rows of two that share one could not be told apart."""
    listed = [scores] if scores is None or isinstance(scores, str) or callable(scores) else list(scores)
    if not listed:
        raise ValueError("The list of scores is empty. Name at least one, such as 'es'.")
    found = [get(item, samples) for item in listed]
    keys = [score.key for score in found]
    for key in keys:
        if keys.count(key) > 1:
            raise ValueError(
                f"The list of scores holds {key!r} {keys.count(key)} times. Name each once, and give functions of your "
                "own different names: write them with def, or set function.__name__."
            )
    return found


def set_scores(
    capture: Capture, score: ScoreLike | None, ood: Names
) -> tuple[Score, np.ndarray, dict[str, np.ndarray]]:
    """Return the score, what it gives for the test images, and what for those of each out-of-distribution set.

    Examples
    --------
    >>> capture = Capture.from_arrays([[3.0, 0.0]], [0], ood={"letters": [[0.2, 0.1]]})
    >>> _, inside, outside = set_scores(capture, "max_logit", None)
    >>> inside.tolist(), outside["letters"].round(1).tolist()
    ([3.0], [0.20000000298023224])
    """
    sets, chosen = chosen_ood(capture, ood), get(score, capture.test)
    return chosen, compute(chosen, capture.test), {name: compute(chosen, samples) for name, samples in sets.items()}


def check_alike(
    captures: Sequence[Capture],
    names: Iterable[str],
    may_differ: str,
    *,
    without: Collection[str] = (),
    parameter: str = "captures",
    remedy: str = "Look at each setting separately.",
) -> None:
    """Raise an error if captures differ in one of these columns, or in how their training was changed.

    Parameters
    ----------
    captures : sequence of Capture
    names : iterable of str
        Columns of :func:`isomax_viz.captures.provenance.source` that must be the same.
    may_differ : str
        In which they may differ, in words.
    without : collection of str
        Changed settings that may differ.
    parameter, remedy : str
        Words of the message.

    Examples
    --------
    >>> captures = [Capture.from_arrays([[3.0, 0.0]], [0], meta={"data": data}) for data in ("digits", "svhn")]
    >>> check_alike(captures, ["data"], "the seed")
    Traceback (most recent call last):
        ...
    ValueError: captures must differ in the seed only, but have the data values ['digits', 'svhn']. Look at each \
setting separately.
    """
    told = [source(capture) | {"training": variant(capture, without=without) or "as usual"} for capture in captures]
    seeds = dict.fromkeys(capture.meta.get("seed") for capture in captures)
    tell_machines([capture for capture in captures if capture.meta.get("seed") == seed] for seed in seeds)
    for name in [*names, "training"]:
        values = list(dict.fromkeys(one[name] for one in told))
        if len(values) > 1:
            raise ValueError(
                f"{parameter} must differ in {may_differ} only, but have the {name} values {values}. {remedy}"
            )


def tell_machines(groups: Iterable[Iterable[Capture]]) -> None:
    """Warn where captures that are held against each other come from several machines or versions of PyTorch.

    Seeds need not come from the same machine, as long as all networks of one seed do.
    """
    found = [dict.fromkeys(filter(None, map(machine, group))) for group in groups]
    machines = dict.fromkeys(name for names in found if len(names) > 1 for name in names)
    if machines:
        logger.warning(
            "The captures come from %d machines or versions (%s). The same experiment gives another network on each, "
            "so a part of the difference may be theirs.",
            len(machines),
            "; ".join(machines),
        )


def check_once(captures: Sequence[Capture], names: Sequence[str]) -> None:
    """Raise an error if two captures with a seed are alike in these columns and the seed: one would count twice.

    Examples
    --------
    >>> capture = Capture.from_arrays([[3.0, 0.0]], [0], loss="isomax", meta={"seed": 0})
    >>> check_once([capture, capture], ["loss"])
    Traceback (most recent call last):
        ...
    ValueError: captures holds seed 0 twice with loss 'isomax'. Give every training once.
    """
    seen = set()
    for capture in captures:
        told = {**source(capture), **capture.meta}
        key = tuple(told.get(name) for name in (*names, "seed"))
        if key[-1] is not None and key in seen:
            listed = ", ".join(f"{name} {value!r}" for name, value in zip(names, key, strict=False))
            raise ValueError(f"captures holds seed {key[-1]} twice with {listed}. Give every training once.")
        seen.add(key)


def shared_ood(captures: Sequence[Capture], ood: Names) -> list[str]:
    """Return the out-of-distribution sets of that name or names, which all captures must have; None means all shared.

    Raises
    ------
    ValueError
        If a capture has no such set, an empty one, or there is none that all have.

    Examples
    --------
    >>> captures = [Capture.from_arrays([[3.0, 0.0]], [0], ood={name: [[0.2, 0.1]] for name in names})
    ...             for names in (["letters", "patches"], ["patches", "uniform"])]
    >>> shared_ood(captures, None)
    ['patches']
    """
    if ood is None and all(capture.ood for capture in captures):
        ood = [name for name in captures[0].ood if all(name in capture.ood for capture in captures)]
        if not ood:
            listed = "; ".join(", ".join(capture.ood) for capture in captures)
            raise ValueError(
                f"captures must have an out-of-distribution set in common, but have: {listed}. "
                "Record one for all of them with Experiment.run(ood=...)."
            )
    ood = as_names(ood)
    return [list(chosen_ood(capture, ood)) for capture in captures][0]
