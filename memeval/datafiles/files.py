"""Finding data files and reading them: the user's data folder first, then the Hugging Face hub or its cache.

The data folder is `--data-dir` or the environment's MEMEVAL_DATA, with a folder per data set and upstream's file names
(`2wikimultihopqa/dev.json`), plain or gzipped. Whatever is wrong with a file is one UsageError with file and record.
"""

from __future__ import annotations

import fnmatch
import functools
import gzip
import hashlib
import json
import os
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memeval.datafiles import parquet
from memeval.errors import UsageError, suggest
from memeval.sources import Settings

HUB_SECONDS = 5
"""How long the hub may take to say which revision is current, before its local cache is used."""

AS_UTF8 = "save it as UTF-8, or fetch it again"
MENDED = "mend it, or fetch the file again"
"""What to do about a file that is not in the right encoding, and about a record that cannot be read."""

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file at hand. name: as manifests print it, relative to the data folder or to the hub repository."""

    name: str
    path: Path
    hub: str | None = None
    revision: str | None = None

    def facts(self, sha256: str, size: int, records: int) -> dict[str, Any]:
        """What a manifest says of it. sha256, size: of the unzipped content, so that `dev.json` and `dev.json.gz` are the
        same data."""
        facts = {"name": self.name, "sha256": sha256, "bytes": size, "records": records}
        return facts | ({"hub": self.hub, "revision": self.revision} if self.hub else {})


@dataclass(frozen=True, slots=True)
class Records:
    """What a file holds: `rows` with their numbers (1-based: records of an array, lines of a JSONL, rows of a CSV after its
    header). facts: name, sha256 and bytes of the content, number of records."""

    file: DataFile
    rows: Sequence[tuple[int, Any]]
    facts: Mapping[str, Any]

    def objects(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """(place for an error message, record); UsageError for a record that is no object."""
        unit = "line" if ".jsonl" in self.file.name else "row" if ".csv" in self.file.name else "record"
        for number, row in self.rows:
            place = f"{self.file.path}: {unit} {number}"
            if not isinstance(row, Mapping):
                raise UsageError(f"{place}: expected an object with named fields, found {short(row)}")
            yield place, row

    def where(self, key: str, wanted: str, value: Callable[[Mapping[str, Any], str], str]) -> Iterator[tuple[str, Any]]:
        """The objects of which `value(row, place)`, called `key` in the data, is the wanted one. Raises UsageError with the
        others where there are none."""
        others: set[str] = set()
        taken = False
        for place, row in self.objects():
            found = value(row, place)
            if found == wanted:
                taken = True
                yield place, row
            else:
                others.add(found)
        if not taken:
            held = ", ".join(sorted(others)) or "no rows"
            raise UsageError(f"{self.file.path}: no row with {key} '{wanted}'{suggest(wanted, others)} (it has {held})")


def data_folder(settings: Settings) -> Path | None:
    """Where the user keeps data, or None. Raises UsageError for a folder that does not exist."""
    named = settings.data_dir or os.environ.get("MEMEVAL_DATA")
    if not named:
        return None
    folder = Path(named).expanduser()
    if not folder.is_dir():
        raise UsageError(f"data folder {folder} does not exist; see --data-dir and MEMEVAL_DATA")
    return folder


def find(settings: Settings, name: str) -> DataFile | None:
    """`folder/file` in the data folder, plain or .gz; or the file right in it, where the folder is the data set's own.
    Raises UsageError for a folder of that name, and for a link that leads nowhere."""
    root = data_folder(settings)
    if root is None:
        return None
    for path in (root / name, root / Path(name).name):
        for candidate in (path, path.with_name(f"{path.name}.gz")):
            if candidate.is_file():
                return DataFile(candidate.relative_to(root).as_posix().removesuffix(".gz"), candidate)
            if candidate.suffix and (candidate.is_dir() or candidate.is_symlink()):
                what = "a folder" if candidate.is_dir() else "a link that leads nowhere"
                raise UsageError(f"{candidate}: is {what}, expected a file; put the file itself there")
    return None


def named(names: Sequence[str]) -> str:
    """Files that would do, in words: "a.jsonl or b.jsonl (plain or .gz)". Parquet is compressed in itself."""
    zipped = "" if all(name.endswith(".parquet") for name in names) else " (plain or .gz)"
    return f"{' or '.join(names)}{zipped}"


def matching(settings: Settings, pattern: str) -> list[DataFile]:
    """All `folder/pattern` files of the data folder, plain or .gz, in order of name, each once."""
    root = data_folder(settings)
    if root is None:
        return []
    folder, _, name = pattern.rpartition("/")
    place = root / folder if (root / folder).is_dir() else root
    found: dict[str, DataFile] = {}
    for path in sorted(place.glob(f"{name}*")):
        plain = path.name.removesuffix(".gz")
        if path.is_file() and fnmatch.fnmatch(plain, name):
            found.setdefault(plain, DataFile(f"{folder}/{plain}" if folder else plain, path))
    return list(found.values())


def from_hub(repository: str, pattern: str, revision: str | None = None) -> tuple[list[DataFile], str]:
    """Files of a hub data set that match `pattern`, downloaded or from the hub's cache; and why there are none, if so.

    Waits at most seconds for a network that does not answer; with HF_HUB_OFFLINE only the cache is asked.
    """
    from huggingface_hub import HfApi, constants, snapshot_download

    resolved, reason = None, "offline"
    if not constants.HF_HUB_OFFLINE:
        try:
            resolved = HfApi().dataset_info(repository, revision=revision, timeout=HUB_SECONDS).sha
        except (
            Exception
        ) as error:  # requests or httpx raise, depending on the hub's version: reported, and the cache is next
            reason = f"{type(error).__name__}: {short(str(error))}"
    try:
        folder = Path(
            snapshot_download(
                repository,
                repo_type="dataset",
                revision=revision,  # not the resolved one: only a name leaves the mark by which it is found offline
                allow_patterns=[pattern],
                etag_timeout=HUB_SECONDS,
                local_files_only=resolved is None,
            )
        )
    except Exception as error:  # as above; the caller tells the user
        if resolved is not None:
            reason = f"{type(error).__name__}: {short(str(error))}"
        return [], reason
    files = _in_snapshot(folder, repository, pattern)
    return files, "" if files else f"no {pattern} in the cached copy"


def in_hub_cache(repository: str, pattern: str, revision: str | None = None) -> list[DataFile]:
    """Files of a hub data set that match `pattern` and are in the hub's cache: what `from_hub` gives without a network."""
    from huggingface_hub import snapshot_download

    try:
        found = snapshot_download(
            repository, repo_type="dataset", revision=revision, allow_patterns=[pattern], local_files_only=True
        )
    except (OSError, ValueError):  # how the hub says that it is not there
        return []
    return _in_snapshot(Path(found), repository, pattern)


def _in_snapshot(folder: Path, repository: str, pattern: str) -> list[DataFile]:
    paths = [path for path in sorted(folder.glob(pattern)) if path.is_file()]
    names = [path.relative_to(folder).as_posix().removesuffix(".gz") for path in paths]
    return [DataFile(name, path, repository, folder.name) for name, path in zip(names, paths, strict=True)]


def read(file: DataFile, member: str = "") -> Records:
    """All records of a .json array, a .jsonl, a .csv or a .parquet file (all but the last also gzipped). member: for a .json
    object, the name of the array in it.

    Parquet rows are decoded a few at a time, on each pass over `rows`; the others are held.
    """
    if file.name.endswith(".parquet"):
        table = parquet.Rows(file.path)
        return Records(file, table, file.facts(table.sha256(), file.path.stat().st_size, len(table)))
    data = content(file)
    parse: Callable[[DataFile, bytes], list[tuple[int, Any]]] = functools.partial(_array, member=member)
    if file.name.endswith(".jsonl"):
        parse = _lines
    elif file.name.endswith(".csv"):
        parse = _table
    rows = parse(file, data)
    return Records(file, rows, file.facts(hashlib.sha256(data).hexdigest(), len(data), len(rows)))


def content(file: DataFile) -> bytes:
    """The file's bytes, unzipped. Raises UsageError when it cannot be read."""
    try:
        data = file.path.read_bytes()
    except OSError as error:
        raise UsageError(f"{file.path}: cannot be read ({error.strerror or error})") from None
    if file.path.name.endswith(".gz"):
        try:
            data = gzip.decompress(data)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise UsageError(f"{file.path}: damaged or cut gzip file ({error}); fetch it again") from None
    return data


def _array(file: DataFile, data: bytes, member: str = "") -> list[tuple[int, Any]]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = _reached(data[: error.start].decode("utf-8-sig", "ignore"), member)
        raise UsageError(f"{file.path}: record {number}: not UTF-8 (byte {error.start}); {AS_UTF8}") from None
    try:
        rows = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        place = f"{file.path}: record {_reached(text, member)}"
        raise UsageError(f"{place}: not valid JSON ({short(str(error))}); {MENDED}") from None
    if member:
        if not isinstance(rows, dict) or member not in rows:
            raise UsageError(f"{file.path}: expected a JSON object with '{member}', found {short(rows)}")
        rows = rows[member]
    if not isinstance(rows, list):
        raise UsageError(f"{file.path}: expected a JSON array of records, found {short(rows)}")
    numbered = list(enumerate(rows, start=1))
    if _SURROGATE.search(data):
        for number, row in numbered:
            _check_text(row, f"{file.path}: record {number}")
    return numbered


def _reached(text: str, member: str = "") -> int:
    """The number of the record at which parsing a JSON array (of an object's member) stops."""
    decoder = json.JSONDecoder(parse_constant=_refuse)
    blank = re.compile(r"[\s,]*")
    opening = re.search(rf'"{re.escape(member)}"\s*:\s*\[', text) if member else re.match(r"\s*\[", text)
    at, number = (opening.end() if opening else 0), 1
    while True:
        start = blank.match(text, at)
        at = start.end() if start else at
        try:
            _, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            return number
        number += 1


def _lines(file: DataFile, data: bytes) -> list[tuple[int, Any]]:
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    return [
        (number, parse_line(line, f"{file.path}: line {number}"))
        for number, line in enumerate(lines, start=1)
        if line.strip()
    ]


def parse_line(line: bytes, place: str) -> Any:
    """One JSON value. Strict: no NaN, no half surrogate pairs."""
    try:
        row = json.loads(line.decode("utf-8"), parse_constant=_refuse)
    except UnicodeDecodeError as error:
        raise UsageError(f"{place}: not UTF-8 (byte {error.start} of the line); {AS_UTF8}") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{place}: not valid JSON ({short(str(error))}); {MENDED}") from None
    if _SURROGATE.search(line):
        _check_text(row, place)
    return row


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON value")


def _check_text(row: Any, place: str) -> None:
    try:
        json.dumps(row, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise UsageError(f"{place}: holds half of a surrogate pair, which is no text") from None


def _table(file: DataFile, data: bytes) -> list[tuple[int, Any]]:
    """A CSV with a header: column -> cell, as text. Every row has as many cells as the header."""
    import csv
    import io

    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{file.path}: line {line}: not UTF-8 (byte {error.start}); {AS_UTF8}") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] = []
    rows: list[tuple[int, Any]] = []
    try:
        for cells in reader:
            if not header:
                header = cells
                if not all(name.strip() for name in header) or len(set(header)) < len(header):
                    raise UsageError(f"{file.path}: the header has a blank or repeated column ({short(', '.join(header))})")
            elif cells and len(cells) != len(header):
                place = f"{file.path}: row {len(rows) + 1} (line {reader.line_num})"
                raise UsageError(f"{place}: {len(cells)} cells, expected {len(header)}; a cut or damaged file?")
            elif cells:
                rows.append((len(rows) + 1, dict(zip(header, cells, strict=True))))
    except csv.Error as error:
        place = f"{file.path}: row {len(rows) + 1} (line {reader.line_num})"
        raise UsageError(f"{place}: not valid CSV ({error}); {MENDED}") from None
    return rows


def short(value: Any) -> str:
    """A value as a message shows it, on one line."""
    text = " ".join(str(value).split()) if isinstance(value, str) else repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
