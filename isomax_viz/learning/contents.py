"""Contents: what tells a value from others of its type, as text that is the same in every process.

:mod:`isomax_viz.learning.identity` asks it for the globals, defaults and attributes of the reader's own classes and
functions. What belongs to the process and not to the network (locks, logs, files, caches) counts by the name of its
type only, and so do sources of random numbers: their state is another one after each draw.
"""

from __future__ import annotations

import collections
import copyreg
import dataclasses
import functools
import hashlib
import io
import logging
import os
import random
import re
import sys
import sysconfig
import threading
import weakref
from abc import ABC
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from pathlib import Path, PurePath
from types import FunctionType, MemberDescriptorType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

__all__ = [
    "Texts",
    "Unidentified",
    "content",
    "in_words",
    "is_foreign",
    "is_installed",
    "is_own",
    "is_own_module",
    "is_plain",
    "told_by_name",
]

# Gives the texts of a part; the mapping holds what was met already, by identity.
Texts = Callable[[Any, dict[Any, Any]], Iterator[str]]

_PLAIN = (bool, int, float, str, bytes, type(None))
_CONTAINERS = (tuple, list, dict, set, frozenset)
# Values that their words tell apart, in every process alike.
_IN_WORDS = (complex, range, slice, re.Pattern, PurePath, np.generic, np.dtype, torch.dtype, torch.device)
_INSTALLED = tuple(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
_OF_THE_PROCESS = (
    logging.Logger,
    io.IOBase,
    type(threading.Lock()),
    type(threading.RLock()),
    threading.local,
    weakref.ref,
    weakref.WeakSet,
    weakref.WeakKeyDictionary,
    weakref.WeakValueDictionary,
    type(os.environ),
    random.Random,
    np.random.Generator,
    np.random.RandomState,
    np.random.BitGenerator,
    torch.Generator,
    # What Python keeps in classes; their source says the same.
    dataclasses.Field,
    type(vars(ABC)["_abc_impl"]),
    type(collections.namedtuple("_", "field").field),
)


class Unidentified(Exception):
    """A value that a source depends on and that has no text; the message says which, and where it comes from."""


def is_own(thing: Any) -> bool:
    """Return whether a class or function is the reader's own, not of an installed library."""
    return is_own_module(getattr(thing, "__module__", None) or "")


def is_own_module(module: str) -> bool:
    """Return whether a module of that name is the reader's own."""
    if module.partition(".")[0] == "isomax_viz":
        return False
    file = getattr(sys.modules.get(module), "__file__", None)
    # A notebook's __main__ has no file; neither have builtins and extensions that are built in.
    return module == "__main__" or (file is not None and not is_installed(file))


def is_installed(file: str) -> bool:
    """Return whether a file is part of Python or of an installed library."""
    return any(Path(file).is_relative_to(place) for place in _INSTALLED)


def told_by_name(thing: Any) -> str:
    """Return module and name, of a value those of its type."""
    name = _own_name(thing)
    if isinstance(thing, ModuleType) or not isinstance(name, str):
        name = type(thing).__qualname__
    return f"{getattr(thing, '__module__', '')}.{name}"


def _own_name(thing: Any) -> Any:
    return getattr(thing, "__qualname__", None) or getattr(thing, "__name__", None)


def is_plain(thing: Any, above: tuple[int, ...] = ()) -> bool:
    """Return whether a value is a number, a text or the like, or a container of such values.

    Examples
    --------
    >>> endless = [1]
    >>> endless.append(endless)
    >>> is_plain([1, ("a", None)]), is_plain(endless)
    (True, False)
    """
    if isinstance(thing, _CONTAINERS):
        if id(thing) in above:  # it contains itself
            return False
        parts = [*thing, *thing.values()] if isinstance(thing, dict) else thing
        return all(is_plain(part, (*above, id(thing))) for part in parts)
    return isinstance(thing, _PLAIN) and not isinstance(thing, Enum)


def in_words(thing: Any) -> str:
    """Return the text of plain values; sets have another order in each process, unless they are sorted."""
    if isinstance(thing, (set, frozenset)):
        return f"[{', '.join(sorted(map(in_words, thing)))}]"
    if type(thing) is dict:
        return f"{{{', '.join(f'{in_words(key)}: {in_words(value)}' for key, value in thing.items())}}}"
    if type(thing) in (list, tuple):
        listed = ", ".join(map(in_words, thing))
        return f"[{listed}]" if type(thing) is list else f"({listed}{',' * (len(thing) == 1)})"
    return repr(thing)


def content(thing: Any, seen: dict[Any, Any], texts: Texts) -> Iterator[str]:
    """Yield what tells a value from others of its type.

    Parameters
    ----------
    thing : object
        Neither plain, nor a class or function.
    seen : dict
        What was met already, for ``texts``.
    texts : callable
        Gives the texts of a part.

    Raises
    ------
    Unidentified
        If nothing tells it apart.
    """
    if isinstance(thing, dict):
        for key, value in thing.items():
            yield from texts(key, seen)
            yield from texts(value, seen)
    elif isinstance(thing, (set, frozenset)):
        yield from sorted("\n".join(texts(part, dict(seen))) for part in thing)
    elif isinstance(thing, _CONTAINERS):
        for part in thing:
            yield from texts(part, seen)
    elif isinstance(thing, _IN_WORDS):
        yield repr(thing)
    elif isinstance(thing, (np.ndarray, torch.Tensor)):
        yield from _of_array(thing, seen, texts)
    elif isinstance(thing, Enum):
        yield thing.name
        # A member of a library's is told by its name; some hold whole descriptions of networks.
        own = is_plain(thing.value) or is_own(type(thing))
        yield from texts(thing.value, seen) if own else [told_by_name(thing.value)]
    elif isinstance(thing, (functools.partial, functools.partialmethod)):
        for part in (thing.func, thing.args, thing.keywords):
            yield from texts(part, seen)
    elif isinstance(thing, MethodType):
        for part in (thing.__func__, thing.__self__):
            yield from texts(part, seen)
    elif isinstance(thing, functools.cached_property):
        yield from texts(thing.func, seen)
    elif isinstance(thing, nn.Module):
        yield from _of_module_of_torch(thing, seen, texts)
    elif "__wrapped__" in getattr(thing, "__dict__", ()):  # functools.cache
        yield from texts(thing.__wrapped__, seen)
    elif is_own(type(thing)):
        yield from _of_own(thing, seen, texts)
    elif is_foreign(thing):
        yield from _of_foreign(thing, seen, texts)


def is_foreign(thing: Any) -> bool:
    """Return whether a value is of an installed library's type that has no name, and nothing but its content tells."""
    named = isinstance(thing, ModuleType) or isinstance(_own_name(thing), str)
    known = (*_PLAIN, *_CONTAINERS, *_IN_WORDS, *_OF_THE_PROCESS, np.ndarray, torch.Tensor, Enum, nn.Module)
    known += (type, FunctionType, MethodType, functools.partial, functools.partialmethod, functools.cached_property)
    known += (staticmethod, classmethod, property)
    return not (named or type(thing) is object or isinstance(thing, known) or is_own(type(thing)))


def _of_array(array: np.ndarray | torch.Tensor, seen: dict[Any, Any], texts: Texts) -> Iterator[str]:
    if isinstance(array, torch.Tensor):
        words = f"{array.dtype} {tuple(array.shape)}"
        if array.is_meta or array.layout != torch.strided:
            yield words
            return
        held = array.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    else:
        words = f"{array.dtype} {array.shape}"
        if array.dtype.hasobject:
            yield words
            yield from texts(array.ravel().tolist(), seen)
            return
        held = np.ascontiguousarray(array).tobytes()
    yield f"{words} {hashlib.sha256(held).hexdigest()}"


def _of_module_of_torch(module: nn.Module, seen: dict[Any, Any], texts: Texts) -> Iterator[str]:
    for kind in dict.fromkeys(type(part) for part in module.modules()):
        yield from texts(kind, seen)
    if " at 0x" not in repr(module):
        yield repr(module)
    for name, value in module.state_dict().items():
        yield name
        yield from _of_array(value, seen, texts) if isinstance(value, torch.Tensor) else [told_by_name(value)]


def _of_own(thing: Any, seen: dict[Any, Any], texts: Texts) -> Iterator[str]:
    """Yield class and attributes; beside them what a type of a library holds that the class is derived from."""
    kind = type(thing)
    yield from texts(kind, seen)
    yield from texts(_without_caches(kind, getattr(thing, "__dict__", {})), seen)
    for base in kind.__mro__:
        if is_own(base):
            for name, slot in sorted(vars(base).items()):
                if isinstance(slot, MemberDescriptorType) and hasattr(thing, name):
                    yield name
                    yield from texts(slot.__get__(thing), seen)
    how = next(base for base in kind.__mro__ if {"__reduce__", "__reduce_ex__"} & vars(base).keys())
    if how is not object and not is_own(how):
        yield from _of_parts(_reduced(thing), thing, seen, texts)


def _of_foreign(thing: Any, seen: dict[Any, Any], texts: Texts) -> Iterator[str]:
    """Yield what pickle would keep of it, else its words if they tell it apart."""
    if isinstance(thing, Mapping):  # a read-only view of a dict can't be pickled, and others keep caches
        yield from texts(dict(thing), seen)
        return
    parts = _reduced(thing)
    if parts is not None:
        yield from _of_parts(parts, thing, seen, texts)
    elif type(thing).__repr__ is not object.__repr__ and " at 0x" not in repr(thing):
        yield repr(thing)
    else:
        raise Unidentified(
            f"an object of type {type(thing).__qualname__}, whose content can't be read. "
            "Make it inside the function or class, or keep the numbers and texts that it is made of"
        )


def _reduced(thing: Any) -> tuple[Any, ...] | str | None:
    """Return how it would be built again; None where it can't be."""
    try:
        return copyreg.dispatch_table.get(type(thing), lambda it: it.__reduce_ex__(4))(thing)
    except Exception:  # noqa: BLE001 - each type refuses in its own way
        return None


def _of_parts(parts: tuple[Any, ...] | str | None, thing: Any, seen: dict[Any, Any], texts: Texts) -> Iterator[str]:
    if not isinstance(parts, tuple):
        yield str(parts)
        return
    made, arguments, state, *items = (*parts, None)[: max(len(parts), 3)]
    for part in (made, arguments, _without_caches(type(thing), state), *(item and list(item) for item in items[:2])):
        yield from texts(part, seen)


def _without_caches(kind: type, attributes: Any) -> Any:
    """Return attributes without those that are there only once somebody has asked for them."""
    if type(attributes) is not dict:
        return attributes
    kept = {
        name: value
        for name, value in attributes.items()
        if not isinstance(getattr(kind, str(name), None), functools.cached_property)
    }
    return attributes if len(kept) == len(attributes) else kept
