"""Files that are no list of records: one JSON object, or text in a stated encoding."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Mapping
from typing import Any

from memeval.data.files import Found
from memeval.data.records import parse_line
from memeval.errors import UsageError


def json_object(file: Found) -> tuple[Mapping[str, Any], dict[str, Any]]:
    """The object a .json file (plain or .gz) holds, and the file's facts. Raises UsageError for anything else."""
    data = content(file)
    value = parse_line(data.removeprefix(b"\xef\xbb\xbf"), str(file.path))
    if not isinstance(value, Mapping):
        raise UsageError(f"{file.path}: expected a JSON object, found {type(value).__name__}")
    return value, file.facts(hashlib.sha256(data).hexdigest(), len(data), len(value))


def text(file: Found, encoding: str = "utf-8-sig") -> tuple[str, dict[str, Any]]:
    """The text of a file (plain or .gz), with line ends as "\\n", and its facts. Raises UsageError with the line where the
    bytes are not of the encoding."""
    data = content(file)
    try:
        found = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{file.path}: line {line}: not {encoding} (byte {error.start})") from None
    found = found.replace("\r\n", "\n")
    lines = found.count("\n") + (not found.endswith("\n"))
    return found, file.facts(hashlib.sha256(data).hexdigest(), len(data), lines)


def content(file: Found) -> bytes:
    """The file's bytes, unzipped. Raises UsageError when it cannot be read."""
    try:
        data = file.path.read_bytes()
        return gzip.decompress(data) if file.path.name.endswith(".gz") else data
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UsageError(f"{file.path}: damaged or cut gzip file ({error}); fetch it again") from None
    except OSError as error:
        raise UsageError(f"{file.path}: cannot be read ({error.strerror or error})") from None
