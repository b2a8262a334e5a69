"""The boundary to msgspec: whatever models, servers and data sets send becomes text and numbers that JSON can hold.

Lone surrogates become `?`, numbers that are not finite (or have no JSON number) become null, what lies deeper than DEEPEST
is left out, and an object of another program's class becomes its text.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from typing import Any

import msgspec

DEEPEST = 60
"""Levels of nesting that are kept."""

_LARGEST = 10**4299
"""Integers of more digits are neither written nor read by Python (sys.set_int_max_str_digits)."""
_encode = msgspec.json.Encoder().encode


def encode(value: Any) -> bytes:
    """Compact JSON in UTF-8 of a row or of plain data. Clean values, which are nearly all, are encoded as they are."""
    try:
        return _encode(value)
    except (UnicodeEncodeError, RecursionError, TypeError, ValueError, OverflowError):
        return _encode(clean(value))


def lost_numbers(value: Any) -> int:
    """How many numbers of plain data become null, because JSON cannot hold them."""
    if value is None or isinstance(value, (str, bytes, bytearray, memoryview)):
        return 0
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, int):
        return not -_LARGEST < value < _LARGEST
    if isinstance(value, Mapping):
        return sum(map(lost_numbers, value.values()))
    if isinstance(value, (Sequence, Set)):
        return sum(map(lost_numbers, value))
    return 0


def clean(value: Any, depth: int = 0) -> Any:
    """The same with everything replaced that JSON cannot hold. Typed rows stay rows."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, int):
        return int(value) if -_LARGEST < value < _LARGEST else None
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, (Mapping, Sequence, Set)) and depth >= DEEPEST:
        return None
    if isinstance(value, msgspec.Struct):
        fields = {name: clean(getattr(value, name), depth) for name in value.__struct_fields__}
        return msgspec.structs.replace(value, **fields)
    if isinstance(value, Mapping):
        return {clean(str(key)): clean(part, depth + 1) for key, part in value.items()}
    if isinstance(value, (Sequence, Set)) and not isinstance(value, (bytes, bytearray, memoryview)):
        return [clean(part, depth + 1) for part in value]
    return clean(str(value))
