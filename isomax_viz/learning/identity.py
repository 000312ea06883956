"""Identity of the reader's own classes and functions: a hash over the source of all that they are made of.

A text that is too particular costs a training that need not have been; one that is too coarse lets the store answer
with a network of former code. So whatever can be told apart is: methods, base classes, helpers in other files of the
reader's, values by content. Installed libraries count by their names only.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import linecache
import logging
import re
import sys
import sysconfig
import textwrap
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from pathlib import Path, PurePath
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

__all__ = ["Unidentified", "fingerprint"]

logger = logging.getLogger(__name__)

_PLAIN = (bool, int, float, str, bytes, type(None))
_CONTAINERS = (tuple, list, dict, set, frozenset)
# Values that their words tell apart, in every process alike.
_IN_WORDS = (complex, range, slice, re.Pattern, PurePath, np.generic, np.dtype, torch.dtype, torch.device)
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


class Unidentified(Exception):
    """A value that a source depends on and that has no text."""


def fingerprint(thing: Callable[..., Any]) -> str:
    """Return 12 hexadecimal digits that change when the source of a class or function does.

    Its own methods, base classes, and the functions, classes and values it uses by name are included as far as they are
    not part of an installed library; what a function imports while it runs is not. Where Python has no source (typed at
    its prompt), or where the file has been changed since it was imported, the bytecode counts.

    Raises
    ------
    Unidentified
        If a function uses a value of the function around it that can't be told from another.

    Examples
    --------
    >>> def backbone(in_channels=3): ...
    >>> fingerprint(backbone) == fingerprint(backbone), len(fingerprint(backbone))
    (True, 12)
    """
    text = "\n".join(_texts(thing, set(), first=True))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _is_own(thing: Any) -> bool:
    return _is_own_module(getattr(thing, "__module__", None) or "")


def _is_own_module(module: str) -> bool:
    if module.partition(".")[0] == "isomax_viz":
        return False
    file = getattr(sys.modules.get(module), "__file__", None)
    # A notebook's __main__ has no file; neither have builtins and extensions that are built in.
    return module == "__main__" or (file is not None and not _is_installed(file))


def _is_installed(file: str) -> bool:
    return any(Path(file).is_relative_to(place) for place in _INSTALLED)


def _texts(thing: Any, seen: set[Any], *, first: bool = False) -> Iterator[str]:
    """Yield the source of a class or function and of all of the reader's own that it uses, or a value's content.

    ``seen`` holds identities, so what is passed must live on: another object could be given the same one.
    """
    if isinstance(thing, (staticmethod, classmethod)):
        thing = thing.__func__
    if isinstance(thing, property):
        for part in (thing.fget, thing.fset, thing.fdel):
            yield from _texts(part, seen)
    elif _is_plain(thing):
        yield _in_words(thing)
    elif id(thing) in seen:
        yield _name(thing)
    elif not isinstance(thing, (type, FunctionType)):
        seen.add(id(thing))
        yield _name(thing)
        yield from _of_value(thing, seen)
    elif first or _is_own(thing):
        seen.add(id(thing))
        yield from _of_class(thing, seen) if isinstance(thing, type) else _of_function(thing, seen)
    else:
        yield _name(thing)


def _name(thing: Any) -> str:
    name = getattr(thing, "__qualname__", None) or getattr(thing, "__name__", None)
    if isinstance(thing, ModuleType) or not isinstance(name, str):
        name = type(thing).__qualname__
    return f"{getattr(thing, '__module__', '')}.{name}"


def _is_plain(thing: Any) -> bool:
    if isinstance(thing, _CONTAINERS):
        parts = [*thing, *thing.values()] if isinstance(thing, dict) else thing
        return all(_is_plain(part) for part in parts)
    return isinstance(thing, _PLAIN) and not isinstance(thing, Enum)


def _in_words(thing: Any) -> str:
    """Return the text of plain values; sets have another order in each process, unless they are sorted."""
    if isinstance(thing, (set, frozenset)):
        return f"[{', '.join(sorted(map(_in_words, thing)))}]"
    if type(thing) is dict:
        return f"{{{', '.join(f'{_in_words(key)}: {_in_words(value)}' for key, value in thing.items())}}}"
    if type(thing) in (list, tuple):
        listed = ", ".join(map(_in_words, thing))
        return f"[{listed}]" if type(thing) is list else f"({listed}{',' * (len(thing) == 1)})"
    return repr(thing)


def _of_value(thing: Any, seen: set[Any]) -> Iterator[str]:
    """Yield what tells a value from others of its type; nothing where nobody knows."""
    if isinstance(thing, dict):
        for key, value in thing.items():
            yield from _texts(key, seen)
            yield from _texts(value, seen)
    elif isinstance(thing, (set, frozenset)):
        yield from sorted("\n".join(_texts(part, set(seen))) for part in thing)
    elif isinstance(thing, _CONTAINERS):
        for part in thing:
            yield from _texts(part, seen)
    elif isinstance(thing, _IN_WORDS):
        yield repr(thing)
    elif isinstance(thing, (np.ndarray, torch.Tensor)):
        yield _of_array(thing)
    elif isinstance(thing, Enum):
        yield thing.name
        yield from _texts(thing.value, seen)
    elif isinstance(thing, (functools.partial, functools.partialmethod)):
        for part in (thing.func, thing.args, thing.keywords):
            yield from _texts(part, seen)
    elif isinstance(thing, MethodType):
        for part in (thing.__func__, thing.__self__):
            yield from _texts(part, seen)
    elif isinstance(thing, functools.cached_property):
        yield from _texts(thing.func, seen)
    elif isinstance(thing, nn.Module):
        yield from _of_module_of_torch(thing, seen)
    elif "__wrapped__" in getattr(thing, "__dict__", ()):  # functools.cache
        yield from _texts(thing.__wrapped__, seen)
    elif _is_own(type(thing)):
        yield from _texts(type(thing), seen)
        yield from _texts(getattr(thing, "__dict__", {}), seen)


def _of_array(array: np.ndarray | torch.Tensor) -> str:
    if isinstance(array, torch.Tensor):
        words = f"{array.dtype} {tuple(array.shape)}"
        if array.is_meta or array.layout != torch.strided:
            return words
        content = array.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    else:
        words = f"{array.dtype} {array.shape}"
        if array.dtype.hasobject:
            return words
        content = np.ascontiguousarray(array).tobytes()
    return f"{words} {hashlib.sha256(content).hexdigest()}"


def _of_module_of_torch(module: nn.Module, seen: set[Any]) -> Iterator[str]:
    for kind in dict.fromkeys(type(part) for part in module.modules()):
        yield from _texts(kind, seen)
    if " at 0x" not in repr(module):
        yield repr(module)
    for name, value in module.state_dict().items():
        yield name
        yield _of_array(value) if isinstance(value, torch.Tensor) else _name(value)


def _of_class(thing: type, seen: set[Any]) -> Iterator[str]:
    yield f"class {thing.__name__}"
    for base in thing.__bases__:
        yield from _texts(base, seen)
    # Method by method: Python finds no source of a whole class that was defined in a notebook.
    for name, value in sorted(vars(thing).items()):
        if name not in _GIVEN:
            yield name
            yield from _texts(value, seen)


def _of_function(thing: FunctionType, seen: set[Any]) -> Iterator[str]:
    code = thing.__code__
    inner = getattr(thing, "__wrapped__", None)
    if inner is not None and _is_installed(code.co_filename):  # a library's decorator, such as torch.no_grad()
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
        yield from _looked_up(thing.__globals__[name], names, seen)


def _captured(name: str, value: Any, seen: set[Any]) -> Iterator[str]:
    if not _is_plain(value) and not isinstance(value, (type, FunctionType)):
        raise Unidentified(f"{name!r}, an object of type {type(value).__name__},")
    yield from _texts(value, seen)


def _looked_up(value: Any, names: Iterable[str], seen: set[Any]) -> Iterator[str]:
    """Yield the texts of a global; of a module of the reader's own, what the same function looks up in it."""
    if not isinstance(value, ModuleType) or not _is_own_module(value.__name__):
        yield from _texts(value, seen)
        return
    yield _name(value)
    for name in sorted(set(names) & set(vars(value))):
        if (id(value), name) not in seen:
            seen.add((id(value), name))
            yield name
            yield from _looked_up(vars(value)[name], names, seen)


def _names(code: CodeType) -> Iterator[str]:
    """Yield the names that a function looks up outside, also inside the functions that it defines."""
    yield from code.co_names
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield from _names(const)


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
    consts = [_bytecode(const) if isinstance(const, CodeType) else _in_words(const) for const in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {code.co_varnames} {consts}"
