"""Numbers with their nouns, as messages say them."""

from __future__ import annotations

_VOWELS = "aeiou"


def counted(number: int, noun: str) -> str:
    """`0 runs`, `1 run`, `1,234 runs`, `2 replies`."""
    if number == 1:
        return f"1 {noun}"
    ends_in_ies = noun.endswith("y") and noun[-2:-1] not in _VOWELS
    return f"{number:,} {noun[:-1]}ies" if ends_in_ies else f"{number:,} {noun}s"
