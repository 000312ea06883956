"""Identity of the reader's own classes and functions: a hash over the source of all that they are made of.

A text that is too particular costs a training that need not have been; one that is too coarse lets the store answer
with a network of former code. So whatever can be told apart is: methods, base classes, helpers in other files of the
reader's, values by content. Installed libraries count by their names only.
"""

from __future__ import annotations

import dis
import functools
import hashlib
import inspect
import linecache
import logging
import textwrap
from collections.abc import Callable, Iterable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

from isomax_viz.learning.contents import (
    Unidentified,
    content,
    in_words,
    is_foreign,
    is_installed,
    is_own,
    is_own_module,
    is_plain,
    told_by_name,
)

__all__ = ["Unidentified", "fingerprint"]

logger = logging.getLogger(__name__)

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
