"""What an error of an endpoint means: repeat the attempt (`Fault`), change the call (`Refused`), or stop (`EndpointError`).
The tables of rules.py say which."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from memeval.errors import StopRun
from memeval.models import rules
from memeval.models.completion import Completion


class EndpointError(StopRun):
    """The endpoint as a whole cannot be used. The message is one line with the URL and the last error, and no key.
    The engine stops the run as `partial`; the same command resumes it."""


class EndpointDown(EndpointError):
    """Nothing at all has come from the endpoint for `Policy.wait` seconds, or it has put every call off for that long."""


class EndpointRefused(EndpointError):
    """The endpoint refuses something that every call of the run has: key, model name, tools, system text, credit."""


@dataclass(eq=False)
class Fault(Exception):
    """A failed attempt that is worth repeating. The message is one short line.

    cost: how many of a call's attempts it uses up. heard: whether anything came from the endpoint. slower: fewer calls at
    once from now on. put_off: the server asks to come back later. retry_after: seconds that it asks to wait.
    """

    message: str
    _: KW_ONLY
    cost: int = 1
    heard: bool = True
    slower: bool = False
    put_off: bool = False
    retry_after: float | None = None

    def __str__(self) -> str:
        return self.message


@dataclass(eq=False)
class Refused(Exception):
    """The server refuses this call for a reason of the table. `row` says what to do, `found` what its pattern found."""

    message: str
    row: rules.Refusal
    found: Mapping[str, str]


def outcome(status: int, headers: Mapping[str, str], said: str, text: str, tools: bool) -> Completion:
    """What an error means. said: its text in full, for the table; text: the same as one short line without keys.

    Returns a Completion (an unusable reply, or an error of this call alone). Raises Fault (repeat it) or Refused (change it,
    or stop)."""
    row, found = rules.refusal(status, said, tools) or (None, {})
    if row is None:
        return Completion(error=text, finish_reason="error")
    if row.does == "finish":
        return Completion(finish_reason=row.finish)
    if row.does in ("wait", "retry"):
        wait = retry_after(headers)
        put_off = row.does == "wait" or wait is not None
        raise Fault(
            text,
            cost=0 if put_off else 1,
            slower=row.slower,
            put_off=put_off,
            retry_after=wait,
        )
    raise Refused(text, row, found)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait from the headers `Retry-After` (seconds or an HTTP date, RFC 9110 section 10.2.3) and
    `retry-after-ms`; None where they say nothing usable."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        text = headers.get(name)
        try:
            wait = float(text) * unit if text else -1.0
        except ValueError:
            continue
        if 0.0 <= wait < math.inf:  # false for nan
            return wait
    try:
        date = parsedate_to_datetime(headers.get("retry-after") or "")
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return max(0.0, date.timestamp() - time.time())


def error_message(data: Any) -> tuple[str, str]:
    """(message, codes) of an error body in any of the usual shapes; of a gateway's with the provider's own words."""
    metadata: Any = None
    codes: list[str] = []
    place: Any = None  # FastAPI says of what by itself
    for key in ("error", "message", "detail", "msg"):
        while isinstance(data, dict) and data.get(key):
            place = data["loc"] if isinstance(data.get("loc"), list) else place
            metadata = data["metadata"] if isinstance(data.get("metadata"), dict) else metadata
            codes += [str(data[name]) for name in ("code", "type", "param") if isinstance(data.get(name), (str, int))]
            data = data[key]
        if isinstance(data, list) and data:
            data = data[0]
    text = data if isinstance(data, str) else repr(data)
    text = f"{text} ({'.'.join(map(str, place))})" if place else text
    raw = metadata.get("raw") if metadata else None
    return f"{text}: {raw}" if isinstance(raw, str) else text, " ".join(codes)
