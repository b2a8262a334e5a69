"""How much the streams of a run have in common: distractors are drawn from one pool, so questions are not independent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable


class Overlap:
    """Counts in how many streams each unit stands. Units are told apart by `hash()`, which holds within one process."""

    def __init__(self) -> None:
        self.streams = 0
        self._in: Counter[int] = Counter()

    def add(self, units: Iterable[int]) -> None:
        """One stream, as the hashes of its units."""
        self.streams += 1
        self._in.update(set(units))

    @property
    def share(self) -> float | None:
        """The share of a stream's units that another stream of the run has too, averaged over all pairs; None below two."""
        total = sum(self._in.values())
        if self.streams < 2 or not total:
            return None
        return sum(count * (count - 1) for count in self._in.values()) / (total * (self.streams - 1))

    def to_json(self) -> dict[str, float | int | None]:
        return {"streams": self.streams, "share": self.share}
