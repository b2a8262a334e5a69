"""The product's limits, made faster for tests."""

from __future__ import annotations

from dataclasses import replace

from memeval.models.limits import Policy

TIMES = ("timeout", "wait", "wait_at_start", "first_wait", "longest_wait", "look")


def faster(times: float) -> Policy:
    """The policy of the product with all seconds divided."""
    return replace(Policy(), **{name: getattr(Policy(), name) / times for name in TIMES})
