"""By which rules the answers of a run are scored: what of its task's card, and of its agent's, scoring depends on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Rules:
    """metrics: names in METRICS; headline: the one that decides what is right. native: the agent answers by itself.

    keyword_separator: between the keywords of a gold (`keyword_share`). cut_off: what a reply is that was cut off at its
    token limit: `wrong`, or `scored` as far as it goes.
    """

    metrics: tuple[str, ...]
    headline: str
    native: bool = False
    keyword_separator: str = ""
    cut_off: str = "wrong"

    @classmethod
    def of(cls, card: Mapping[str, Any], headline: str, native: bool) -> Rules:
        """card: a task's, as a mapping; the identity of a run that was made before a key existed lacks it."""
        separator, cut_off = card.get("keyword_separator", ""), card.get("cut_off", "wrong")
        return cls(tuple(card.get("metrics", ())), headline, native, separator, cut_off)
