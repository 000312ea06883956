"""Which captures may stand in one table: what was changed in their training, and which sets they share.

Averages over networks that differ in more than their seed are numbers of nothing: who averages asks here first.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence

from isomax_viz.analysis.histograms import chosen_ood
from isomax_viz.captures.capture import Capture
from isomax_viz.captures.provenance import machine, source, variant

__all__ = ["check_alike", "check_once", "shared_ood", "tell_machines"]

logger = logging.getLogger(__name__)

_SEPARATELY = "Look at each setting separately."


def check_alike(
    captures: Sequence[Capture],
    names: Iterable[str],
    may_differ: str,
    *,
    without: Collection[str] = (),
    parameter: str = "captures",
    remedy: str = _SEPARATELY,
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
    tell_machines(captures)
    for name in [*names, "training"]:
        values = list(dict.fromkeys(one[name] for one in told))
        if len(values) > 1:
            raise ValueError(
                f"{parameter} must differ in {may_differ} only, but have the {name} values {values}. {remedy}"
            )


def tell_machines(captures: Iterable[Capture]) -> None:
    """Warn where captures come from several machines or versions of PyTorch."""
    machines = list(dict.fromkeys(filter(None, map(machine, captures))))
    if len(machines) > 1:
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


def shared_ood(captures: Sequence[Capture], ood: str | Iterable[str] | None) -> list[str]:
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
    listed = ood if ood is None or isinstance(ood, str) else list(ood)
    return [list(chosen_ood(capture, listed)) for capture in captures][0]
