"""Fields of a record that are not plain text: objects, lists, gold answers. Each error is one line with the place."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from memeval.datafiles.files import text_field
from memeval.errors import UsageError


def object_at(value: Any, place: str) -> Mapping[str, Any]:
    """The value as a record with named fields. Raises UsageError where it is something else."""
    if not isinstance(value, Mapping):
        raise UsageError(f"{place}: expected an object with named fields, found {type(value).__name__}")
    return value


def list_field(row: Mapping[str, Any], key: str, place: str) -> list[Any]:
    """A list of a record. Raises UsageError where it is missing or something else."""
    value = row.get(key)
    if not isinstance(value, list):
        raise UsageError(f"{place}: '{key}' is {type(value).__name__ if key in row else 'missing'}, expected a list")
    return value


def texts_field(row: Mapping[str, Any], key: str, place: str) -> list[str]:
    """A list of texts of a record, stripped. Raises UsageError where one is no text or blank."""
    return [text_field({f"{key}[{at}]": item}, f"{key}[{at}]", place) for at, item in enumerate(list_field(row, key, place))]


def answer_field(row: Mapping[str, Any], key: str, place: str) -> str:
    """A gold answer: a text, or a number, written out. Raises UsageError for anything else, NaN included."""
    value = row.get(key)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return str(value)
    return text_field(row, key, place)
