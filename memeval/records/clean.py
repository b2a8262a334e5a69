"""Clean data before they enter msgspec: whatever models, servers and data sets send becomes text and numbers that JSON
can hold.

Lone surrogates become `?`, numbers that are not finite (or have no JSON form) become null, values nested deeper than
DEEPEST are left out, and objects of other classes become their text.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from typing import Any

import msgspec

DEEPEST = 60
"""Most levels of nesting that are kept."""

_LARGEST = 10**4299
"""Python neither writes nor reads integers with more digits (sys.set_int_max_str_digits)."""
_encode = msgspec.json.Encoder().encode


def encode(value: Any) -> bytes:
    """Encode a row or plain data as compact UTF-8 JSON. Clean values, which are nearly all, are encoded directly."""
    try:
        return _encode(value)
    except (UnicodeEncodeError, RecursionError, TypeError, ValueError, OverflowError):
        return _encode(clean(value))


def lost_numbers(value: Any) -> int:
    """The number of numbers in plain data that become null because JSON cannot hold them."""
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
    """Replace everything that JSON cannot hold. Typed rows stay rows."""
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
