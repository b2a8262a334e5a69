"""The rules for unusable replies and invalid runs (DESIGN section 1.2)."""

from __future__ import annotations

from typing import Literal

Status = Literal["complete", "partial", "invalid"]

UNUSABLE = {
    "empty": "the reply is empty",
    "length": "the reply was cut off at its token limit",
    "unclosed_think": "the reply never left its thinking",
    "overflow": "the prompt exceeds the model's window",
    "content_filter": "the provider's filter cut the reply off",
}
"""Finish reason -> why the reply counts as wrong. It is wrong, not failed: a reply was obtained."""


def unusable(finish_reason: str | None, cut_off: str = "wrong") -> str | None:
    """The reason why a reply with this finish reason counts as wrong; None if it does not. cut_off: of the task's card;
    with `scored`, a reply that was cut off at its token limit is scored as it is, as in most published scripts."""
    return None if cut_off == "scored" and finish_reason == "length" else UNUSABLE.get(finish_reason or "")


INVALID_SHARE = 0.02
"""A run is invalid when more than this share of its samples failed, and more than one."""


def status(complete: bool, failed: int, samples: int) -> Status:
    """`partial`, `invalid` or `complete`."""
    if not complete:
        return "partial"
    return "invalid" if failed > max(1.0, INVALID_SHARE * samples) else "complete"
