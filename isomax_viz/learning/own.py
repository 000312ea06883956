"""Heads and backbones of the reader's own, passed as classes or functions: their name, identity and way back.

An experiment's id must change when the text of such an object does, or the store would answer with a network of its
former self. So the identity is a hash over its source, that of its methods and base classes, and of whatever else it
uses that is the reader's own; installed libraries count by their names only.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import sys
import sysconfig
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

__all__ = ["check_own", "find_own", "fingerprint", "name_of", "reference"]

_PLAIN = (bool, int, float, str, bytes, type(None))
_INSTALLED = tuple(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
# What Python adds to a class by itself.
_GIVEN = (
    "__dict__",
    "__weakref__",
    "__module__",
    "__doc__",
    "__qualname__",
    "__firstlineno__",
    "__static_attributes__",
)


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
    except _Unidentified as error:
        raise ValueError(
            f"{parameter} {thing.__qualname__!r} can't be identified: it uses {error} from the function around it. "
            "Make that a number, a text or an argument with a default, or define it at the top level."
        ) from None
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


class _Unidentified(Exception):
    """A value that a source depends on and that has no text."""


def fingerprint(thing: Callable[..., Any]) -> str:
    """Return 12 hexadecimal digits that change when the source of a class or function does.

    Its own methods, base classes, and the functions, classes and plain values it uses by name are included as far as
    they are not part of an installed library. Where Python has no source (typed at its prompt), the bytecode counts.

    Examples
    --------
    >>> def backbone(in_channels=3): ...
    >>> fingerprint(backbone) == fingerprint(backbone), len(fingerprint(backbone))
    (True, 12)
    """
    text = "\n".join(_texts(thing, set(), first=True))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _is_own(thing: Any) -> bool:
    module = getattr(thing, "__module__", None) or ""
    if module.partition(".")[0] == "isomax_viz":
        return False
    file = getattr(sys.modules.get(module), "__file__", None)
    # A notebook's __main__ has no file; neither have builtins and extensions that are built in.
    return module == "__main__" or (file is not None and not any(Path(file).is_relative_to(p) for p in _INSTALLED))


def _texts(thing: Any, seen: set[int], *, first: bool = False) -> Iterator[str]:
    """Yield the source of a class or function and of all of the reader's own that it uses."""
    if isinstance(thing, (staticmethod, classmethod)):
        thing = thing.__func__
    if isinstance(thing, property):
        for part in (thing.fget, thing.fset, thing.fdel):
            yield from _texts(part, seen)
        return
    if isinstance(thing, _PLAIN) or (isinstance(thing, (tuple, list, dict, set, frozenset)) and _is_plain(thing)):
        yield repr(sorted(thing, key=repr)) if isinstance(thing, (set, frozenset)) else repr(thing)
    elif id(thing) in seen or not isinstance(thing, (type, FunctionType)) or not (first or _is_own(thing)):
        yield f"{getattr(thing, '__module__', '')}.{getattr(thing, '__qualname__', type(thing).__qualname__)}"
    else:
        seen.add(id(thing))
        yield from _of_class(thing, seen) if isinstance(thing, type) else _of_function(thing, seen)


def _is_plain(thing: Any) -> bool:
    parts = [*thing, *thing.values()] if isinstance(thing, dict) else thing
    return all(isinstance(part, _PLAIN) or (isinstance(part, tuple) and _is_plain(part)) for part in parts)


def _of_class(thing: type, seen: set[int]) -> Iterator[str]:
    yield f"class {thing.__name__}"
    for base in thing.__bases__:
        yield from _texts(base, seen)
    # Method by method: Python finds no source of a whole class that was defined in a notebook.
    for name, value in sorted(vars(thing).items()):
        if name not in _GIVEN:
            yield name
            yield from _texts(value, seen)


def _of_function(thing: FunctionType, seen: set[int]) -> Iterator[str]:
    code = thing.__code__
    try:
        yield textwrap.dedent(inspect.getsource(code))
    except (OSError, TypeError):
        yield code.co_code.hex() + repr([const for const in code.co_consts if not isinstance(const, CodeType)])
    for default in [*(thing.__defaults__ or ()), *(thing.__kwdefaults__ or {}).values()]:
        yield from _texts(default, seen)
    for name, cell in zip(code.co_freevars, thing.__closure__ or (), strict=True):
        if name != "__class__":  # what super() needs
            try:
                yield from _captured(name, cell.cell_contents, seen)
            except ValueError:  # an empty cell: a function that mentions itself before it is named
                continue
    for name in sorted(set(_names(code)) & set(thing.__globals__)):
        yield name
        yield from _texts(thing.__globals__[name], seen)


def _captured(name: str, value: Any, seen: set[int]) -> Iterator[str]:
    texts = list(_texts(value, seen))
    if not isinstance(value, (*_PLAIN, type, FunctionType)) and not (
        isinstance(value, (tuple, list, dict, set, frozenset)) and _is_plain(value)
    ):
        raise _Unidentified(f"{name!r}, an object of type {type(value).__name__},")
    yield from texts


def _names(code: CodeType) -> Iterator[str]:
    """Yield the names that a function looks up outside, also inside the functions that it defines."""
    yield from code.co_names
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield from _names(const)
