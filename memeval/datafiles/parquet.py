"""Parquet files, read a few rows at a time: rows may hold whole books, so a file is never held as Python objects at once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

from memeval.errors import UsageError

BATCH = 16
"""Rows decoded at a time."""


class Rows(Sequence[tuple[int, Any]]):
    """(number from 1, row) of a parquet file, decoded anew on each pass. Raises UsageError, with the row it had reached,
    for a file that is damaged."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._open() as file:
            self._length: int = file.metadata.num_rows

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        number = 0
        try:
            with self._open() as file:
                for batch in file.iter_batches(batch_size=BATCH):
                    for row in batch.to_pylist():
                        number += 1
                        yield number, row
        except _damage() as error:
            raise _damaged(self.path, error, number + 1) from None

    @overload
    def __getitem__(self, index: int) -> tuple[int, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[tuple[int, Any]]: ...
    def __getitem__(self, index: int | slice) -> tuple[int, Any] | Sequence[tuple[int, Any]]:
        return list(self)[index]

    def sha256(self) -> str:
        """Of the file's bytes."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def _open(self) -> Any:
        parquet = _pyarrow_parquet(self.path)
        try:
            return parquet.ParquetFile(self.path)
        except _damage() as error:
            raise _damaged(self.path, error) from None


def write(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Write rows of one shape as a parquet file. Raises UsageError where it cannot be written."""
    parquet = _pyarrow_parquet(path)
    import pyarrow  # type: ignore[import-untyped]

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(pyarrow.Table.from_pylist(list(rows)), path)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror or error})") from None


def _pyarrow_parquet(path: Path) -> Any:
    try:
        import pyarrow.parquet  # type: ignore[import-untyped]
    except ImportError:
        raise UsageError(f"{path}: parquet needs pyarrow, which comes with datasets; pip install datasets") from None
    return pyarrow.parquet


def _damage() -> tuple[type[Exception], ...]:
    import pyarrow

    return (pyarrow.ArrowException, OSError, UnicodeDecodeError)


def _damaged(path: Path, error: Exception, row: int = 0) -> UsageError:
    at = f": row {row}" if row else ""
    return UsageError(f"{path}{at}: damaged parquet file ({' '.join(str(error).split())[:120]}); fetch it again")
