"""Words on misspelt options, which Matplotlib would report as those of its own objects."""

from __future__ import annotations

import difflib
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["worded_options"]


@contextmanager
def worded_options() -> Iterator[None]:
    """Raise a TypeError about the plotting function where an option of it is misspelt."""
    try:
        yield
    except AttributeError as error:
        if "unexpected keyword argument" not in str(error):
            raise
        raise TypeError(_words(error)) from error


def _words(error: AttributeError) -> str:
    option = str(error).rpartition(" argument ")[2].strip("'\"")
    plotting = [
        frame.f_code
        for frame, _ in traceback.walk_tb(error.__traceback__)
        if frame.f_code.co_name.startswith("plot_") and frame.f_code.co_name != "plot_grid"
    ]
    if not plotting:
        return str(error)
    code = plotting[0]
    near = difflib.get_close_matches(option, code.co_varnames[: code.co_argcount + code.co_kwonlyargcount], n=1)
    meant = f" Did you mean {near[0]!r}?" if near else ""
    return f"{code.co_name} has no option {option!r}, nor has what Matplotlib draws for it.{meant}"
