"""What goes wrong at an endpoint: one attempt (`Fault`), or all of them (`EndpointError`)."""

from __future__ import annotations

import math
import time
from email.utils import parsedate_to_datetime

from memeval.errors import StopRun


class EndpointError(StopRun):
    """The endpoint as a whole cannot be used. The message is one line with the URL and the last error, and no key.
    The engine stops the run as `partial`; the same command resumes it."""


class EndpointDown(EndpointError):
    """Nothing has succeeded for `Policy.dead_after` seconds while calls kept failing, nor has the probe."""


class EndpointRefused(EndpointError):
    """The endpoint says that the configuration is wrong: key, URL or model name. Repeating cannot help."""


class Fault(Exception):
    """A failed attempt that is worth repeating. The message is one short line.

    unreachable: no connection came about, so the call itself cannot be the reason. throttled: the server asks for less.
    retry_after: seconds it asks to wait. A throttled fault uses up no attempt unless `counted`.
    """

    def __init__(
        self,
        message: str,
        *,
        unreachable: bool = False,
        throttled: bool = False,
        counted: bool = True,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.unreachable = unreachable
        self.throttled = throttled
        self.counted = counted
        self.retry_after = retry_after


def retry_after(seconds: str | None, milliseconds: str | None = None, now: float | None = None) -> float | None:
    """Seconds to wait from the headers `Retry-After` (seconds or an HTTP date, RFC 9110 section 10.2.3) and
    `retry-after-ms`; None where they say nothing usable. `now` is Unix time."""
    for text, unit in ((milliseconds, 0.001), (seconds, 1.0)):
        try:
            wait = float(text) * unit if text else -1.0
        except ValueError:
            continue
        if 0.0 <= wait < math.inf:  # false for nan
            return wait
    try:
        date = parsedate_to_datetime(seconds or "")
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return max(0.0, date.timestamp() - (time.time() if now is None else now))
