"""Fields of published records, which are trusted to be as upstream has them; one wrapper says where they are not."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from memeval.errors import UsageError


@contextmanager
def published(place: str) -> Iterator[None]:
    """Names the file and the record in which a published file is not as upstream publishes it."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, msgspec.MsgspecError) as error:
        fault = f"no field {error}" if isinstance(error, KeyError) else " ".join(str(error).split())[:160]
        raise UsageError(f"{place}: not as published ({fault}); fetch the file again") from None


def texts(value: Any) -> list[str]:
    """A published list of texts, stripped. Raises msgspec.ValidationError for anything else, also for a single text."""
    return [text.strip() for text in msgspec.convert(value, list[str])]


def literal(text: str) -> Any:
    """A Python literal that data hold as text; read as a literal, never evaluated. Raises ValueError for anything else, and
    for one that is too deep."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise ValueError(f"{text[:60]!r} is no Python literal") from None
