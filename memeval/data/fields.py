"""Fields of published records, which are trusted to have upstream's form; one wrapper reports where they have not."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from memeval.errors import UsageError


@contextmanager
def published(place: str) -> Iterator[None]:
    """Turn errors from reading a published record into a UsageError. place: the file and record, which it names."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, msgspec.MsgspecError) as error:
        fault = f"no field {error}" if isinstance(error, KeyError) else " ".join(str(error).split())[:160]
        raise UsageError(f"{place}: not as published ({fault}); fetch the file again") from None


def texts(value: Any) -> list[str]:
    """The stripped texts of a published list. Raises msgspec.ValidationError for anything else, also for a single text."""
    return [text.strip() for text in msgspec.convert(value, list[str])]


def literal(text: str) -> Any:
    """The value of a Python literal in data, which is parsed and never evaluated. Raises ValueError for anything else, and
    for a literal that is nested too deeply."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise ValueError(f"{text[:60]!r} is no Python literal") from None
