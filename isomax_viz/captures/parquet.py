"""Per-sample rows as a Parquet file, which pandas, DuckDB, polars, R and others read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from isomax_viz._common.checks import missing_package
from isomax_viz._common.files import new_entry
from isomax_viz.captures.samples import Samples

__all__ = ["write_parquet"]

ROWS = 100_000  # that a reader may skip at once


def write_parquet(
    path: Path, frame: pd.DataFrame, sets: Mapping[str, Samples], vectors: Iterable[str], *, meta: Mapping[str, Any]
) -> Path:
    """Write a table with vector columns, whole or not at all.

    Parameters
    ----------
    path : Path
    frame : DataFrame
        The columns of one value per row.
    sets : mapping of str to Samples
        In the order of the rows.
    vectors : iterable of str
        Arrays of the samples that become further columns, a list of numbers in each row.
    meta : mapping
        Provenance; written as JSON under the key ``isomax_viz`` of the file's metadata.

    Raises
    ------
    ImportError
        If pyarrow is missing.
    ValueError
        If a set does not carry an array that is asked for.
    OSError
        If the place can't be written; the message names it and what to do.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise missing_package("pyarrow", "write Parquet") from error
    schema = pa.Schema.from_pandas(frame.iloc[:1], preserve_index=False)
    for name in vectors:
        missing = [key for key, samples in sets.items() if getattr(samples, name) is None]
        if missing:
            raise ValueError(
                f"vectors={name!r} is not recorded in {', '.join(map(repr, missing))}. Leave it out, or record all "
                "sets alike."
            )
        schema = schema.append(pa.field(name, pa.list_(pa.float32(), getattr(sets["test"], name).shape[1])))
    schema = schema.with_metadata({"isomax_viz": json.dumps(meta, default=str)})
    start, remedy = 0, "Choose a folder that you may write to and that has free space."
    with new_entry(path, remedy=remedy) as file, pq.ParquetWriter(file, schema) as writer:
        for samples in sets.values():
            table = pa.Table.from_pandas(frame.iloc[start : start + len(samples)], preserve_index=False)
            for name in vectors:
                array = getattr(samples, name)
                column = pa.FixedSizeListArray.from_arrays(pa.array(array.ravel()), array.shape[1])
                table = table.append_column(name, column)
            writer.write_table(table.cast(schema), row_group_size=ROWS)
            start += len(samples)
    return path
