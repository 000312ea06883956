"""Identity of the reader's own classes and functions: a hash over the source of all that they are made of.

Stored results are found by it, so it must tell apart whatever trains another network: methods, base classes, helpers in
other files of the reader's, values by content. Installed libraries count by their names only.
"""

from __future__ import annotations
import __future__ as futures

import ast
import dis
import functools
import inspect
import linecache
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import CodeType, FunctionType, MappingProxyType, ModuleType
from typing import Any

import torch
from joblib import hashing
from torch import nn

from isomax_viz.learning.losses import Head

__all__ = ["Unidentified", "check_own", "find_own", "fingerprint", "is_own", "reference"]

_INSTALLED = tuple(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
# What Python adds to a class by itself; its methods and values say the same.
_GIVEN = {"__dict__", "__weakref__", "__module__", "__doc__", "__qualname__", "__annotations__", "_abc_impl"}
_GIVEN |= {"__firstlineno__", "__static_attributes__", "__annotate_func__", "__annotations_cache__"}  # since 3.13
# How bytecode looks up a global, in a function and in a class within it.
_LOOK_UPS = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
_FUTURES = functools.reduce(int.__or__, (getattr(futures, name).compiler_flag for name in futures.all_feature_names))


class Unidentified(Exception):
    """Something that a class or function depends on can't be told from another; the message says what."""


def is_own(thing: Any) -> bool:
    """Return whether a class or function is the reader's own, not of an installed library."""
    return _is_own_module(getattr(thing, "__module__", None) or "")


def _is_own_module(module: str) -> bool:
    if module.partition(".")[0] == "isomax_viz":
        return False
    file = getattr(sys.modules.get(module), "__file__", None)
    # A notebook's __main__ has no file; neither have builtins and extensions that are built in.
    return module == "__main__" or (file is not None and not _is_installed(file))


def _is_installed(file: str) -> bool:
    return any(Path(file).is_relative_to(place) for place in _INSTALLED)


def fingerprint(thing: Callable[..., Any]) -> str:
    """Return 12 hexadecimal digits that change when the source of a class or function does.

    Its own methods, base classes, and the functions, classes and values it uses by name are included as far as they are
    not part of an installed library; what a function imports while it runs is not. Comments and spaces do not count,
    nor where a definition stands.

    Raises
    ------
    Unidentified
        If it uses something without a source or a value without a content of its own (a lock, an open file), or if its
        file has been changed since it was imported.

    Examples
    --------
    >>> def backbone(in_channels=3): ...
    >>> fingerprint(backbone) == fingerprint(backbone), len(fingerprint(backbone))
    (True, 12)
    """
    try:
        return _Hasher(thing).digest()[:12]
    except RecursionError:
        raise Unidentified("an object that holds others in too many levels; keep numbers and texts instead") from None


class _Hasher(hashing.NumpyHasher):
    """joblib's hash of values, in which definitions of the reader's own count by their source, tensors by content."""

    def __init__(self, *definitions: Any) -> None:
        super().__init__("sha256")
        self.definitions = list(definitions)  # those that are met join them

    def digest(self, thing: Any = None) -> str:
        self.dump(thing)
        for definition in self.definitions:  # grows meanwhile
            self.dump(_parts(definition))
        return self.hash(None)

    def save(self, thing: Any) -> None:
        try:
            super().save(self._replaced(thing))
        except (Unidentified, RecursionError):
            raise
        except Exception as error:  # each type refuses in its own way to be pickled
            raise Unidentified(
                f"an object of type {type(thing).__qualname__}, whose content can't be read ({error}). Make it inside "
                "the function or class, or keep the numbers and texts that it is made of"
            ) from None

    def _replaced(self, thing: Any) -> Any:  # noqa: C901 - one branch a kind of value, and their order matters
        """Return what is hashed instead of a value that pickle knows by its name only, or not at all."""
        if isinstance(thing, (type, FunctionType)):
            if not is_own(thing):
                return f"{thing.__module__}.{thing.__qualname__}"
            places = [place for place, known in enumerate(self.definitions) if known is thing]
            if not places:
                self.definitions.append(thing)
            return thing.__qualname__, *(places or [len(self.definitions) - 1])
        if isinstance(thing, torch.Tensor):
            flat = thing.detach().cpu().contiguous().flatten()
            return type(thing), str(thing.dtype), tuple(thing.shape), flat.view(torch.uint8).numpy()
        if isinstance(thing, (set, frozenset)):  # each process has another order
            return type(thing), sorted(_Hasher().digest(part) for part in thing)
        if isinstance(thing, MappingProxyType):
            return dict(thing)
        if isinstance(thing, property):
            return "property", thing.fget, thing.fset, thing.fdel
        if isinstance(thing, functools.cached_property):
            return "cached_property", thing.func
        if isinstance(thing, (staticmethod, classmethod, functools._lru_cache_wrapper)):
            return type(thing).__name__, thing.__wrapped__
        caches = _caches(type(thing))  # type: ignore[arg-type]  # classes are hashable
        if caches:  # are there only once somebody has asked for them
            return type(thing), {name: value for name, value in vars(thing).items() if name not in caches}
        return thing

    def _batch_setitems(self, items: Any, *more: Any) -> None:
        # In the order of the dict, which may be that of layers; joblib sorts.
        hashing.Pickler._batch_setitems(self, items, *more)


@functools.cache
def _caches(kind: type) -> set[str]:
    members = (item for base in kind.__mro__ for item in vars(base).items())
    return {name for name, value in members if isinstance(value, functools.cached_property)}


def _parts(thing: Any) -> tuple[Any, ...]:
    """Return what a class or function is made of."""
    if isinstance(thing, type):
        kept = [item for item in sorted(vars(thing).items()) if item[0] not in _GIVEN and not _is_generated(*item)]
        return thing.__name__, type(thing), thing.__bases__, kept
    code = thing.__code__
    if hasattr(thing, "__wrapped__") and _is_installed(code.co_filename):  # by a library's decorator, such as no_grad()
        return code.co_qualname, thing.__wrapped__  # whose source has the decorator's line, with what that was given
    used = {name for part in _codes(code) for name in part.co_names}
    instructions = (item for part in _codes(code) for item in dis.get_instructions(part))
    there = sorted({item.argval for item in instructions if item.opname in _LOOK_UPS} & thing.__globals__.keys())
    return (
        _source(code),
        (thing.__defaults__, thing.__kwdefaults__, vars(thing)),
        list(_enclosed(thing)),
        [(name, _reached(thing.__globals__[name], used)) for name in there],
    )


def _is_generated(name: str, value: Any) -> bool:
    """Return whether a dataclass, a named tuple or a model of pydantic makes it from its fields, which count."""
    if name.startswith("__pydantic_"):
        return name != "__pydantic_fields__"
    is_special = name.startswith("__") and isinstance(value, FunctionType)
    return is_special and inspect.unwrap(value).__code__.co_filename == "<string>"


def _enclosed(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """Yield names and values of the function around it."""
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        if name != "__class__":  # what super() needs
            with suppress(ValueError):  # an empty cell: a function that mentions itself before it is named
                yield name, cell.cell_contents


def _codes(code: CodeType) -> Iterator[CodeType]:
    """Yield the code of a function and of those that it defines."""
    yield code
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield from _codes(const)


def _reached(value: Any, names: set[str], above: tuple[ModuleType, ...] = ()) -> Any:
    """Return a global; of a module of the reader's own, what the same function looks up in it."""
    if not isinstance(value, ModuleType):
        return value
    if value in above or not _is_own_module(value.__name__):
        return value.__name__
    there = sorted(names & vars(value).keys())
    return value.__name__, [(name, _reached(vars(value)[name], names, (*above, value))) for name in there]


_SOURCES: dict[int, tuple[CodeType, str]] = {}  # by identity; what runs stays what it is while its file is edited


def _source(code: CodeType) -> str:
    """Return the source of what runs, without comments."""
    if id(code) not in _SOURCES:
        linecache.checkcache(code.co_filename)
        text = "".join(linecache.getlines(code.co_filename))
        if not text:
            raise Unidentified(f"{code.co_qualname}, which has no source. Write it into a file or a notebook's cell")
        lines = _definitions(text, code.co_flags & _FUTURES).get(_anywhere(code))
        if lines is None:
            raise Unidentified(
                f"{code.co_qualname}, whose source in {code.co_filename} is not what runs: the file has been changed "
                "since it was imported. Import it again (restart the kernel, or importlib.reload)"
            )
        line = min(lines, key=lambda line: abs(line - code.co_firstlineno))
        _SOURCES[id(code)] = code, "\n".join(ast.unparse(node) for node in _nodes(ast.parse(text), line))
    return _SOURCES[id(code)][1]


def _nodes(tree: ast.Module, line: int) -> Iterator[ast.AST]:
    """Yield the functions that begin at a line."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            if min([node.lineno, *(item.lineno for item in getattr(node, "decorator_list", ()))]) == line:
                yield node


@functools.lru_cache(maxsize=32)
def _definitions(text: str, flags: int) -> dict[CodeType, list[int]]:
    """Return the lines on which a file's functions begin, by their code.

    A file is compiled as a whole, a notebook's cell statement by statement: the code is not the same.
    """
    tree = ast.parse(text)
    found: dict[CodeType, list[int]] = {}
    for part in [tree, *(ast.Module([statement], []) for statement in tree.body)]:
        with suppress(SyntaxError):  # a cell that awaits something at its top level
            for code in _codes(compile(part, "", "exec", flags=flags, dont_inherit=True)):
                found.setdefault(_anywhere(code), []).append(code.co_firstlineno)
    return found


def _anywhere(code: CodeType) -> CodeType:
    """Return the code as if it stood on the first line of any file."""
    consts = tuple(_anywhere(const) if isinstance(const, CodeType) else const for const in code.co_consts)
    return code.replace(co_consts=consts, co_firstlineno=1)


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
    ValueError: backbone must be a key or a function, but is a lambda, which has no name to appear under. Write a \
class or a function (def my_backbone(...)) and pass that: its source tells results apart.
    """
    found = repr(thing)
    if isinstance(thing, FunctionType) and thing.__name__ == "<lambda>":
        found = "a lambda, which has no name to appear under"
    elif len(found) > 60 or "\n" in found:
        found = f"an object of type {type(thing).__name__}"
    if not isinstance(thing, (type, FunctionType)) or thing.__name__ == "<lambda>":
        remedy = f"Write a class or a function (def my_{parameter}(...)) and pass that: its source tells results apart."
        raise ValueError(f"{parameter} must be {accepted}, but is {found}. {remedy}")
    try:
        fingerprint(thing)
    except Unidentified as error:
        raise ValueError(f"{parameter} {thing.__qualname__!r} can't be identified: it uses {error}.") from None
    return thing


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
    if not _is_own_module(module):
        raise ValueError(f"{what} is part of an installed library. Pass the object itself.")
    try:  # looked up without running anything, such as a property
        thing: Any = functools.reduce(inspect.getattr_static, name.split("."), sys.modules[module])
    except AttributeError:
        raise ValueError(f"{what} has nothing of that name. Define it again, or pass the object.") from None
    kind = Head if parameter == "loss" else nn.Module
    is_function = isinstance(thing, FunctionType) and (thing.__module__, thing.__qualname__) == (module, name)
    if not is_function and not (isinstance(thing, type) and issubclass(thing, kind) and is_own(thing)):
        raise ValueError(f"{what} is neither a function defined there nor a class derived from {kind.__name__}.")
    if fingerprint(thing) != expected:
        raise ValueError(f"{what} has been changed since. Pass the object as it is now: that is another experiment.")
    return thing
