"""What an endpoint's error means: repeat the attempt (`Fault`), change the call (`Refused`), or stop (`EndpointError`).
The tables of rules.py decide."""

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
    """The endpoint as a whole cannot be used. The message is one line with the URL and the last error, without a key.
    The engine stops the run as `partial`; the same command resumes it."""


class EndpointDown(EndpointError):
    """The endpoint has sent nothing for `Policy.wait` seconds, or has postponed every call for that long."""


class EndpointRefused(EndpointError):
    """The endpoint refuses a part of every call of the run: key, model name, tools, system text, credit."""


@dataclass(eq=False)
class Fault(Exception):
    """A failed attempt that is worth repeating. The message is one short line.

    cost: how many of a call's attempts it uses up. responded: whether the endpoint sent anything. slower: make fewer
    calls at once from now on. postponed: the server asks to come back later. retry_after: seconds to wait, as requested
    by the server.
    """

    message: str
    _: KW_ONLY
    cost: int = 1
    responded: bool = True
    slower: bool = False
    postponed: bool = False
    retry_after: float | None = None

    def __str__(self) -> str:
        return self.message


@dataclass(eq=False)
class Refused(Exception):
    """The server refuses this call for a reason in the table. `row` says what to do, `found` is what its pattern
    matched."""

    message: str
    row: rules.Refusal
    found: Mapping[str, str]


def outcome(status: int, headers: Mapping[str, str], said: str, text: str, tools: bool) -> Completion:
    """Classify an error. said: its full text, for the table; text: the same as one short line without keys.

    Returns a Completion (an unusable reply, or an error of this call alone). Raises Fault (repeat it) or Refused
    (change it, or stop).
    """
    row, found = rules.refusal(status, said, tools) or (None, {})
    if row is None:
        return Completion(error=text, finish_reason="error")
    if row.does == "finish":
        return Completion(finish_reason=row.finish)
    if row.does in ("wait", "retry"):
        wait = retry_after(headers)
        postponed = row.does == "wait" or wait is not None
        raise Fault(
            text,
            cost=0 if postponed else 1,
            slower=row.slower,
            postponed=postponed,
            retry_after=wait,
        )
    raise Refused(text, row, found)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait from the headers `Retry-After` (seconds or an HTTP date, RFC 9110 section 10.2.3) and
    `retry-after-ms`; None if they have no usable value."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        text = headers.get(name)
        try:
            wait = float(text) * unit if text else -1.0
        except ValueError:
            continue
        if 0.0 <= wait < math.inf:  # false for NaN
            return wait
    try:
        date = parsedate_to_datetime(headers.get("retry-after") or "")
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return max(0.0, date.timestamp() - time.time())


def error_message(data: Any) -> tuple[str, str]:
    """(message, codes) of an error body in any of the usual forms; for a gateway's error, including the provider's own
    words."""
    metadata: Any = None
    codes: list[str] = []
    place: Any = None  # FastAPI names the place separately
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
