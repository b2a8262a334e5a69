"""What is wrong with a record, as one line with its place: the strict checks of files that users write themselves,
and the one wrapper for published files, which are trusted to have upstream's fields."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeGuard

import msgspec

from memeval.errors import UsageError, suggest


@contextmanager
def published(place: str) -> Iterator[None]:
    """Names the file and the record in which a published file is not as upstream publishes it."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, msgspec.MsgspecError) as error:
        fault = f"no field {error}" if isinstance(error, KeyError) else " ".join(str(error).split())[:160]
        raise UsageError(f"{place}: not as published ({fault}); fetch the file again") from None


def texts(value: Any) -> list[str]:
    """A published list of texts, stripped. A single text is none, and not taken for a list of letters."""
    return [text.strip() for text in msgspec.convert(value, list[str])]


def literal(text: str, most: int) -> Any:
    """A Python literal that data hold as text; read as a literal, never evaluated. Raises ValueError for what is
    none, too deep, or longer than `most` characters."""
    try:
        if len(text) <= most:
            return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        pass
    raise ValueError(f"{text[:60]!r} is no Python literal of at most {most} characters")


def text_field(row: Mapping[str, Any], key: str, place: str, blank: bool = False) -> str:
    """A text of a record, stripped, and not blank (unless allowed)."""
    value = row.get(key)
    if key not in row:
        raise UsageError(f"{place}: no field '{key}' (it has {', '.join(map(str, row))[:200]})")
    if not isinstance(value, str) or not (blank or value.strip()):
        raise UsageError(f"{place}: '{key}' is {f'{value!r}'[:80]}, expected text")
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


def id_field(row: Mapping[str, Any], key: str, place: str) -> str | None:
    """An id that may be left out: a text, or a whole number."""
    value = row.get(key)
    return str(value) if is_whole(value, least=None) else optional_text(row, key, place)


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
