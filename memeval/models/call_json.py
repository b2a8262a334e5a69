"""Calls as JSON: the key under which a call is stored, and the encoding of bodies."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from memeval.errors import UsageError
from memeval.models.completion import Request

_NOT_SAMPLING = frozenset({"timeout"})


def call_key(identity: str, request: Request) -> bytes:
    """sha256 (32 bytes) of the canonical JSON of model identity, messages, tools, sampling parameters, repeat and sample.

    Raises UsageError for a parameter that is not JSON."""
    params = {key: value for key, value in request.params.items() if key not in _NOT_SAMPLING}
    try:
        text = _canonical([identity, request.messages, request.tools or None, params, request.repeat, request.sample])
    except (TypeError, ValueError) as error:
        raise UsageError(f"model '{identity}': the call is not JSON ({error})") from None
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def as_json(value: Any) -> Any:
    """`default=` of json.dumps: a mapping is an object; anything else that is not JSON is an error."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a {type(value).__name__} is not JSON")


wire = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=as_json).encode
"""Encode a value as the text that is sent. Raises TypeError or ValueError for values that are not JSON."""

_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=as_json).encode
