"""Results as one Parquet file, through the package pyarrow: the rows are those of the lines of JSON.

A Parquet file cannot grow. While a command works its results stand as lines in NAME.parquet.jsonl; at the end they
become the file, whole, and the lines go. A command that goes on begins with the lines, or makes them from the file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from xlsr_ref.errors import XlsrError
from xlsr_ref.files import whole_file, write_whole
from xlsr_ref.untrusted import shown

SUFFIX, LINES = ".parquet", ".jsonl"


def is_parquet(path: str) -> bool:
    """Does a name ask for Parquet?"""
    return path.lower().endswith(SUFFIX)


def lines_beside(path: str) -> str:
    """Where the results of ``path`` stand as lines until the end; those of a file that is there already are put there.

    Raises XlsrError where pyarrow is missing, or the file is no Parquet.
    """
    arrow, lines = _pyarrow(), Path(path + LINES)
    if Path(path).is_file() and Path(path).stat().st_size and not (lines.is_file() and lines.stat().st_size):
        try:
            rows = arrow.read_table(path).to_pylist()
        except (OSError, ValueError) as error:  # pyarrow's own errors are ValueErrors
            raise XlsrError(f"{shown(path)}: is no Parquet file ({' '.join(str(error).split())})") from None
        write_whole(lines, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return str(lines)


def to_parquet(path: str) -> None:
    """The lines beside ``path`` as a Parquet file; then they go. Raises XlsrError."""
    import pyarrow

    lines = Path(path + LINES)
    rows: list[dict[str, Any]] = [json.loads(line) for line in lines.read_bytes().splitlines()]
    names = list(dict.fromkeys(name for row in rows for name in row))
    try:
        table = pyarrow.Table.from_pylist([{name: row.get(name) for name in names} for row in rows])
        with whole_file(path) as unfinished:
            _pyarrow().write_table(table, unfinished)
    except (OSError, ValueError, TypeError) as error:
        raise XlsrError(f"{shown(path)} cannot be written ({' '.join(str(error).split())}): see {lines}") from None
    lines.unlink()


def _pyarrow() -> Any:
    try:
        from pyarrow import parquet
    except ModuleNotFoundError:
        raise XlsrError(
            'Parquet needs the package pyarrow: pip install "xlsr_ref[parquet]", or name a file that ends in .jsonl'
        ) from None
    return parquet
