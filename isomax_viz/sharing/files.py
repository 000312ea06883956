"""Text into a file that is there whole or as it was before."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from isomax_viz._atomic import hidden_name, put_in_place, settle

__all__ = ["write_text"]


def write_text(path: Path, text: str, *, remedy: str) -> None:
    """Write a file as UTF-8 and make the folders that it lies in; a former file stays until the new one is whole.

    Parameters
    ----------
    path : Path
    text : str
    remedy : str
        What to do if the place cannot be written.

    Raises
    ------
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "new" / "page.html"
    ...     write_text(path, "<p>", remedy="Choose another path.")
    ...     path.read_text(), len(list(path.parent.iterdir()))
    ('<p>', 1)
    """
    hidden = hidden_name(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        hidden.write_text(text, encoding="utf-8")
        settle(hidden)
        put_in_place(hidden, path)
    except OSError as error:
        raise OSError(f"{path} could not be written: {error.strerror or error}. {remedy}") from error
    finally:
        with suppress(OSError):
            hidden.unlink()
