"""Fields of untrusted records: texts, whole numbers, lists, objects, gold answers. What is wrong with one is one UsageError,
a line with the place and the key."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypeGuard

from memeval.datafiles.files import short
from memeval.errors import UsageError, suggest


def text_field(row: Mapping[str, Any], key: str, place: str, blank: bool = False) -> str:
    """A text of a record, stripped, and not blank (unless allowed)."""
    if key not in row:
        raise UsageError(f"{place}: no field '{key}' (it has {listed(row)})")
    value = row[key]
    if not isinstance(value, str):
        raise UsageError(f"{place}: '{key}' is {short(value)}, expected text")
    if not blank and not value.strip():
        raise UsageError(f"{place}: '{key}' is blank")
    return value.strip()


def optional_text(row: Mapping[str, Any], key: str, place: str) -> str | None:
    """A text that may be left out, null or blank, which are the same: None."""
    value = row.get(key)
    if value is not None and not isinstance(value, str):
        raise UsageError(f"{place}: '{key}' is {value!r}, expected text")
    return value.strip() or None if value else None


def is_whole(value: Any, least: int | None = 0, most: int | None = None) -> TypeGuard[int]:
    """Whether the value is a whole number of that range. True and false, which are numbers to Python, are none."""
    if not isinstance(value, int) or isinstance(value, bool):
        return False
    return (least is None or least <= value) and (most is None or value <= most)


def whole_field(row: Mapping[str, Any], key: str, place: str) -> int:
    """A whole number from 0, as a number or (as in a CSV) in digits."""
    value = row.get(key)
    text = str(value) if isinstance(value, int) else text_field(row, key, place)
    if not re.fullmatch(r"[0-9]{1,12}", text):
        raise UsageError(f"{place}: '{key}' is {text[:80]!r}, expected a whole number")
    return int(text)


def id_field(row: Mapping[str, Any], key: str, place: str) -> str | None:
    """An id that may be left out: a text, or a whole number."""
    value = row.get(key)
    return str(value) if is_whole(value, least=None) else optional_text(row, key, place)


def object_at(value: Any, place: str) -> Mapping[str, Any]:
    """The value as a record with named fields."""
    if not isinstance(value, Mapping):
        raise UsageError(f"{place}: expected an object with named fields, found {type(value).__name__}")
    return value


def known_object(value: Any, what: str, keys: Collection[str], place: str) -> Mapping[str, Any]:
    """The value as a JSON object with no other keys than these. what: its name in the error."""
    if not isinstance(value, dict):
        raise UsageError(f"{place}: {what} is {type(value).__name__}, expected a JSON object")
    for key in value:
        if key not in keys:
            raise UsageError(f"{place}: unknown key '{key[:80]}'{suggest(key[:80], keys)}")
    return value


def either(row: Mapping[str, Any], key: str, other: str, place: str) -> Any:
    """The value of a key that goes by two names. Raises UsageError where both are there."""
    if key in row and other in row:
        raise UsageError(f"{place}: has both '{key}' and '{other}'; keep one")
    return row.get(key, row.get(other))


def list_field(row: Mapping[str, Any], key: str, place: str) -> list[Any]:
    """A list of a record."""
    value = row.get(key)
    if not isinstance(value, list):
        raise UsageError(f"{place}: '{key}' is {type(value).__name__ if key in row else 'missing'}, expected a list")
    return value


def texts_field(row: Mapping[str, Any], key: str, place: str) -> list[str]:
    """A list of texts of a record, stripped, none of them blank."""
    return [text_field({f"{key}[{at}]": item}, f"{key}[{at}]", place) for at, item in enumerate(list_field(row, key, place))]


def answer_field(row: Mapping[str, Any], key: str, place: str) -> str:
    """A gold answer: a text, or a number, written out. Raises UsageError for anything else, NaN included."""
    value = row.get(key)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return str(value)
    return text_field(row, key, place)


def listed(names: Iterable[Any]) -> str:
    """Names as an error message lists them: no more of them than fit a line."""
    text = ", ".join(map(str, names)) or "none"
    return text if len(text) <= 400 else f"{text[:397]}..."
