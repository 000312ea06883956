"""What the name of a loss tells: with what extra data it was trained, and what it does with features and prototypes."""

from __future__ import annotations

from typing import Any

__all__ = ["EXTRA_DATA", "compares_directions", "has_prototypes", "split_loss", "without_extra_data"]

# What follows the name of a loss that was trained with extra data: "softmax+oe".
EXTRA_DATA = ("oe", "acet", "energy")

_WITHOUT_PROTOTYPES = ("softmax", "logit_norm", "godin")
_OF_DIRECTIONS = ("isomax+", "scaled_cosine")


def split_loss(loss: Any) -> tuple[str, str]:
    """Return the name of a loss without that of extra data, and that of the extra data, empty if there is none.

    Examples
    --------
    >>> split_loss("isomax++oe"), split_loss("isomax+")
    (('isomax+', 'oe'), ('isomax+', ''))
    """
    name = str(loss)
    base, _, method = name.rpartition("+")
    return (base, method) if base and method in EXTRA_DATA else (name, "")


def without_extra_data(loss: Any) -> str:
    """Return the name of a loss without that of extra data.

    Examples
    --------
    >>> without_extra_data("isomax++oe"), without_extra_data("isomax+")
    ('isomax+', 'isomax+')
    """
    return split_loss(loss)[0]


def has_prototypes(loss: Any) -> bool:
    """Return whether a loss has prototypes; where it has none, the class means of the features stand in.

    Examples
    --------
    >>> has_prototypes("isomax"), has_prototypes("softmax+oe")
    (True, False)
    """
    return without_extra_data(loss) not in _WITHOUT_PROTOTYPES


def compares_directions(loss: Any) -> bool:
    """Return whether a loss brings features and prototypes to length 1.

    Examples
    --------
    >>> compares_directions("isomax++acet"), compares_directions("isomax2")
    (True, False)
    """
    return without_extra_data(loss) in _OF_DIRECTIONS
