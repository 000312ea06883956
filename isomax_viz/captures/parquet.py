"""Per-sample rows as a Parquet file, which pandas, DuckDB, polars, R and others read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from isomax_viz._common.checks import missing_package
from isomax_viz._common.files import new_entry

__all__ = ["parts_of", "write_parquet"]

ROWS = 100_000  # that are turned into Parquet at once, and that a reader may skip at once


def parts_of(sets: Mapping[str, Any], names: Iterable[str]) -> dict[str, list[np.ndarray]]:
    """Return arrays of several sets of samples as the vector columns of :func:`write_parquet`.

    Parameters
    ----------
    sets : mapping of str to Samples
        In the order of the rows.
    names : iterable of str
        Of the samples' arrays.

    Raises
    ------
    ValueError
        If a set does not carry an array that is asked for.
    """
    columns = {}
    for name in names:
        missing = [key for key, samples in sets.items() if getattr(samples, name) is None]
        if missing:
            raise ValueError(
                f"vectors={name!r} is not recorded in {', '.join(map(repr, missing))}. Leave it out, or record all "
                "sets alike."
            )
        columns[name] = [getattr(samples, name) for samples in sets.values()]
    return columns


def write_parquet(
    path: Path, frame: pd.DataFrame, vectors: Mapping[str, Sequence[np.ndarray]], *, meta: Mapping[str, Any]
) -> Path:
    """Write a table with vector columns, whole or not at all.

    Parameters
    ----------
    path : Path
    frame : DataFrame
        The columns of one value per row.
    vectors : mapping of str to list of array, shape (n, length)
        Further columns, each in parts that stand one above the other as the rows do: a list of numbers in each row.
    meta : mapping
        Provenance; written as JSON under the key ``isomax_viz`` of the file's metadata.

    Raises
    ------
    ImportError
        If pyarrow is missing.
    OSError
        If the place can't be written; the message names it and what to do.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise missing_package("pyarrow", "write Parquet") from error
    schema = pa.Schema.from_pandas(frame.iloc[:1], preserve_index=False).remove_metadata()
    for name, parts in vectors.items():
        schema = schema.append(pa.field(name, pa.list_(pa.float32(), parts[0].shape[1])))
    schema = schema.with_metadata({"isomax_viz": json.dumps(meta, default=str)})
    try:
        with new_entry(path) as file, pq.ParquetWriter(file, schema) as writer:
            for start in range(0, len(frame), ROWS):
                rows = slice(start, start + ROWS)
                table = pa.Table.from_pandas(frame.iloc[rows], preserve_index=False)
                for name, parts in vectors.items():
                    block = _rows(parts, start, len(table))
                    column = pa.FixedSizeListArray.from_arrays(pa.array(block.ravel()), block.shape[1])
                    table = table.append_column(name, column)
                writer.write_table(table.cast(schema))
    except OSError as error:
        raise OSError(
            f"The table could not be written to {path}: {error.strerror or error}. Choose a folder that you may write "
            "to and that has free space."
        ) from error
    return path


def _rows(parts: Sequence[np.ndarray], start: int, count: int) -> np.ndarray:
    """Return some rows of arrays that stand one above the other, without joining all of them."""
    found = []
    for part in parts:
        if start < len(part) and count:
            found.append(part[start : start + count])
            count -= len(found[-1])
        start = max(0, start - len(part))
    return np.concatenate(found)
