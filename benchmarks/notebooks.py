"""Time of each notebook from an empty store, against a minute: as long as a person waits before giving up."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from benchmarks.rows import Row, seconds
from isomax_viz.experiments.reports import execute
from isomax_viz.store.folder import Store

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
PATIENCE_S = 60


def notebook_row(path: Path) -> Row:
    """Return the row of one notebook; its kernel starts cold and its store is empty."""
    before = os.environ.get("ISOMAX_VIZ_STORE")
    with tempfile.TemporaryDirectory() as store:
        os.environ["ISOMAX_VIZ_STORE"] = store
        try:
            took = seconds(lambda: execute(path, timeout_s=3600))
        finally:
            os.environ.pop("ISOMAX_VIZ_STORE")
            if before is not None:
                os.environ["ISOMAX_VIZ_STORE"] = before
        trained = len(Store(store).ids())
    note = f"{took:.0f} s, {trained} trainings"
    return Row(
        f"notebook {path.stem}", f"{PATIENCE_S} s", (took / PATIENCE_S,), 1.0, at_most=True, note=note, values=(took,)
    )


def rows() -> list[Row]:
    """All rows of this file."""
    return [notebook_row(path) for path in sorted(FOLDER.glob("*.ipynb"))]
