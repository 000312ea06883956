"""Heads and backbones of the reader's own, passed as classes or functions: their name, identity and way back.

An experiment's id must change when the text of such an object does, or the store would answer with a network of its
former self: :mod:`isomax_viz.learning.identity` gives the hash that tells one from another.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from types import FunctionType
from typing import Any

from isomax_viz.learning.identity import Unidentified, fingerprint

__all__ = ["check_own", "find_own", "fingerprint", "name_of", "reference"]


def check_own(parameter: str, thing: Any, *, accepted: str) -> Callable[..., Any]:
    """Return a class or function that can be identified; others are refused.

    Parameters
    ----------
    parameter : str
        Name of the argument.
    thing : object
        What was passed.
    accepted : str
        What it should be, in words.

    Raises
    ------
    ValueError
        If it is neither a class nor a named function, or depends on values that can't be told apart.

    Examples
    --------
    >>> check_own("backbone", lambda in_channels: None, accepted="a key or a function")
    Traceback (most recent call last):
        ...
    ValueError: backbone must be a key or a function, but is a lambda, which has no name to appear under. Write it as \
a function: def my_backbone(...).
    """
    if isinstance(thing, FunctionType) and thing.__name__ == "<lambda>":
        remedy = f"Write it as a function: def my_{parameter}(...)."
        raise ValueError(
            f"{parameter} must be {accepted}, but is a lambda, which has no name to appear under. {remedy}"
        )
    if not isinstance(thing, (type, FunctionType)):
        remedy = "Write a class or a function (def ...) and pass that: its source tells stored results apart."
        raise ValueError(f"{parameter} must be {accepted}, but is {_short(thing)}. {remedy}")
    try:
        fingerprint(thing)
    except Unidentified as error:
        raise ValueError(f"{parameter} {thing.__qualname__!r} can't be identified: it uses {error}.") from None
    return thing


def _short(thing: Any) -> str:
    text = repr(thing)
    return f"an object of type {type(thing).__name__}" if len(text) > 60 or "\n" in text else text


def name_of(thing: Any) -> str:
    """Return what figures and tables call it: its attribute ``label`` where there is one, else its name.

    Examples
    --------
    >>> class CosineHead:
    ...     label = "Cosine"
    >>> name_of(CosineHead), name_of(len), name_of("isomax+")
    ('Cosine', 'len', 'isomax+')
    """
    if isinstance(thing, str):
        return thing
    label = vars(thing).get("label") if isinstance(thing, (type, FunctionType)) else None
    return label if isinstance(label, str) and label else thing.__name__


def reference(thing: Callable[..., Any]) -> str:
    """Return ``module:name#fingerprint``, which :func:`find_own` follows back."""
    return f"{thing.__module__}:{thing.__qualname__}#{fingerprint(thing)}"


def find_own(parameter: str, text: str) -> Callable[..., Any]:
    """Return the object that a reference means; only modules that are imported already are looked into.

    Raises
    ------
    ValueError
        If its module is not imported, has no such object, or the object has been changed since.

    Examples
    --------
    >>> find_own("loss", "my_heads:CosineHead#0123456789ab")
    Traceback (most recent call last):
        ...
    ValueError: loss='my_heads:CosineHead#0123456789ab' means CosineHead of the module my_heads, which is not \
imported. Import it first (a description never imports by itself what a file names), or pass the object.
    """
    module, _, rest = text.partition(":")
    name, _, expected = rest.partition("#")
    what = f"{parameter}={text!r} means {name} of the module {module}, which"
    if module not in sys.modules:
        remedy = "Import it first (a description never imports by itself what a file names), or pass the object."
        raise ValueError(f"{what} is not imported. {remedy}")
    try:
        thing = functools.reduce(getattr, name.split("."), sys.modules[module])
    except AttributeError:
        raise ValueError(f"{what} has nothing of that name. Define it again, or pass the object.") from None
    if fingerprint(thing) != expected:
        raise ValueError(f"{what} has been changed since. Pass the object as it is now: that is another experiment.")
    return thing
