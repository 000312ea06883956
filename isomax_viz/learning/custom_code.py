"""Identity of the reader's own classes and functions: a hash over the source of all that they are made of.

A text that is too particular costs a training that need not have been; one that is too coarse lets the store answer
with a network of former code. So whatever can be told apart is: methods, base classes, helpers in other files of the
reader's, values by content. Installed libraries count by their names only.
"""

from __future__ import annotations

import collections
import copyreg
import dataclasses
import dis
import functools
import hashlib
import inspect
import io
import linecache
import logging
import os
import random
import re
import sys
import sysconfig
import textwrap
import threading
import weakref
from abc import ABC
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from pathlib import Path, PurePath
from types import CodeType, FunctionType, MemberDescriptorType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

__all__ = [
    "Texts",
    "Unidentified",
    "check_own",
    "content",
    "find_own",
    "fingerprint",
    "in_words",
    "is_foreign",
    "is_installed",
    "is_own",
    "is_own_module",
    "is_plain",
    "name_of",
    "reference",
    "told_by_name",
]

logger = logging.getLogger(__name__)

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
# How bytecode looks up a global, in a function and in a class within it.
_LOOK_UPS = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")


def fingerprint(thing: Callable[..., Any]) -> str:
    """Return 12 hexadecimal digits that change when the source of a class or function does.

    Its own methods, base classes, and the functions, classes and values it uses by name are included as far as they are
    not part of an installed library; what a function imports while it runs is not. Where Python has no source (typed at
    its prompt), or where the file has been changed since it was imported, the bytecode counts.

    Raises
    ------
    Unidentified
        If it uses a value, of the function around it or elsewhere, that can't be told from another.

    Examples
    --------
    >>> def backbone(in_channels=3): ...
    >>> fingerprint(backbone) == fingerprint(backbone), len(fingerprint(backbone))
    (True, 12)
    """
    try:
        text = "\n".join(_texts(thing, {}, first=True))
    except RecursionError:
        raise Unidentified("an object that holds others in too many levels; keep numbers and texts instead") from None
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _texts(thing: Any, seen: dict[Any, Any], *, first: bool = False) -> Iterator[str]:
    """Yield the source of a class or function and of all of the reader's own that it uses, or a value's content.

    ``seen`` holds objects by their identity, and thereby alive: another could be given the same one.
    """
    if isinstance(thing, (staticmethod, classmethod)):
        thing = thing.__func__
    if isinstance(thing, property):
        for part in (thing.fget, thing.fset, thing.fdel):
            yield from _texts(part, seen)
    elif is_plain(thing):
        yield in_words(thing)
    elif id(thing) in seen:
        yield told_by_name(thing)
    elif not isinstance(thing, (type, FunctionType)):
        seen[id(thing)] = thing
        yield told_by_name(thing)
        yield from content(thing, seen, _texts)
    elif first or is_own(thing):
        seen[id(thing)] = thing
        yield from _of_class(thing, seen) if isinstance(thing, type) else _of_function(thing, seen)
    else:
        yield told_by_name(thing)


def _of_class(thing: type, seen: dict[Any, Any]) -> Iterator[str]:
    yield f"class {thing.__name__}"
    for base in thing.__bases__:
        yield from _texts(base, seen)
    # Method by method: Python finds no source of a whole class that was defined in a notebook.
    for name, value in sorted(vars(thing).items()):
        if name not in _GIVEN:
            yield name
            # Machinery of a library's class decorator or metaclass, which their source says too.
            told = name.startswith("__") and is_foreign(value)
            yield from [told_by_name(value)] if told else _texts(value, seen)


def _of_function(thing: FunctionType, seen: dict[Any, Any]) -> Iterator[str]:
    code = thing.__code__
    inner = getattr(thing, "__wrapped__", None)
    if inner is not None and is_installed(code.co_filename):  # a library's decorator, such as torch.no_grad()
        yield code.co_qualname
        yield from _texts(inner, seen)  # its source has the decorator's line, with what that was given
        return
    yield _source(code) or _bytecode(code)
    for default in [*(thing.__defaults__ or ()), *(thing.__kwdefaults__ or {}).values()]:
        yield from _texts(default, seen)
    for name, cell in zip(code.co_freevars, thing.__closure__ or (), strict=True):
        if name != "__class__":  # what super() needs
            try:
                yield from _captured(name, cell.cell_contents, seen)
            except ValueError:  # an empty cell: a function that mentions itself before it is named
                continue
    names = set(_names(code))
    for name in sorted(names & set(thing.__globals__)):
        yield name
        value = thing.__globals__[name]
        if is_foreign(value) and name not in _globals_of(code):
            # An attribute happens to have the name of a global, such as `data` in a notebook.
            yield told_by_name(value)
        else:
            yield from _looked_up(value, names, seen)


def _captured(name: str, value: Any, seen: dict[Any, Any]) -> Iterator[str]:
    if not is_plain(value) and not isinstance(value, (type, FunctionType)):
        raise Unidentified(
            f"{name!r}, an object of type {type(value).__name__}, from the function around it. Make that a number, a "
            "text or an argument with a default, or define it at the top level"
        )
    yield from _texts(value, seen)


def _looked_up(value: Any, names: Iterable[str], seen: dict[Any, Any]) -> Iterator[str]:
    """Yield the texts of a global; of a module of the reader's own, what the same function looks up in it."""
    if not isinstance(value, ModuleType) or not is_own_module(value.__name__):
        yield from _texts(value, seen)
        return
    yield told_by_name(value)
    for name in sorted(set(names) & set(vars(value))):
        if (id(value), name) not in seen:
            seen[id(value), name] = value
            yield name
            yield from _looked_up(vars(value)[name], names, seen)


def _names(code: CodeType) -> Iterator[str]:
    """Yield the names that a function looks up outside, also inside the functions that it defines."""
    yield from code.co_names
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield from _names(const)


@functools.lru_cache(maxsize=1024)
def _globals_of(code: CodeType) -> frozenset[str]:
    """Return the names among them that are no attributes of something else."""
    there = {item.argval for item in dis.get_instructions(code) if item.opname in _LOOK_UPS}
    return frozenset(there.union(*(_globals_of(const) for const in code.co_consts if isinstance(const, CodeType))))


def _source(code: CodeType) -> str | None:
    """Return the source of what runs; None where there is none, or only that of other code."""
    try:
        text = inspect.getsource(code)  # also looks whether the file has changed
        there = _compiled(code.co_filename, "".join(linecache.getlines(code.co_filename)))
    except SyntaxError:  # a notebook's cell with a magic command: what it defines is as it stands there
        return textwrap.dedent(text)
    except (OSError, TypeError):
        return None
    same = [item for item in there if item.co_qualname == code.co_qualname and _bytecode(item) == _bytecode(code)]
    if same:
        nearest = min(same, key=lambda item: abs(item.co_firstlineno - code.co_firstlineno))
        return textwrap.dedent(inspect.getsource(nearest))
    logger.warning(
        "%s has been changed in %s since it was imported, and its former code is what runs. Import it again (restart "
        "the kernel, or importlib.reload) to use what the file says now.",
        code.co_qualname,
        code.co_filename,
    )
    return None


@functools.lru_cache(maxsize=32)
def _compiled(file: str, text: str) -> tuple[CodeType, ...]:
    """Return the code of everything that a file defines."""

    def walk(code: CodeType) -> Iterator[CodeType]:
        for const in code.co_consts:
            if isinstance(const, CodeType):
                yield const
                yield from walk(const)

    return tuple(walk(compile(text, file, "exec", dont_inherit=True)))


def _bytecode(code: CodeType) -> str:
    consts = [_bytecode(const) if isinstance(const, CodeType) else in_words(const) for const in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {code.co_varnames} {consts}"


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
