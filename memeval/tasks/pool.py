"""Passages, and the pool from which a stream is filled.

Only hashes of (question, passage) decide which passages a stream gets, and in which order. So a shorter stream is a
subsequence of a longer one, neither depends on the order of a file, and curves over lengths are paired.
"""

from __future__ import annotations

import functools
import hashlib
import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memeval.bm25 import BM25Index
from memeval.task import Unit
from memeval.tasks.base import hash64, normalise, plain

Hashes = NDArray[np.uint64]

_BLOCK = 1 << 13
"""How many hashes are mixed at a time, so that they stay in the processor's cache."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A titled paragraph. time: an ISO date, where the stream is ordered by time."""

    title: str
    text: str
    time: str | None = None

    def unit(self) -> Unit:
        return Unit(f"{self.title}\n{self.text}" if self.title else self.text, time=self.time, title=self.title)


@functools.lru_cache(maxsize=1 << 16)
def title_key(title: str) -> str:
    """The form in which two titles are compared: without regard to case and white space."""
    return plain(title).casefold()


def keys(passages: Iterable[Passage]) -> Hashes:
    """A hash of each passage's title and text."""
    return np.array([hash64(plain(item.title), plain(item.text)) for item in passages], dtype=np.uint64)


def mixed(passage_keys: Hashes, salt: int) -> Hashes:
    """A hash of (salt, passage) for each passage, vectorised: the finaliser of splitmix64 (Steele, Lea, Flood: Fast
    splittable pseudorandom number generators, OOPSLA 2014), applied to the passage's key and the salt."""
    mixed_keys = passage_keys ^ np.uint64(salt)
    for start in range(0, len(mixed_keys), _BLOCK):
        value = mixed_keys[start : start + _BLOCK]
        value += np.uint64(0x9E3779B97F4A7C15)
        shifted = value >> np.uint64(30)
        value ^= shifted
        value *= np.uint64(0xBF58476D1CE4E5B9)
        value ^= np.right_shift(value, np.uint64(27), out=shifted)
        value *= np.uint64(0x94D049BB133111EB)
        value ^= np.right_shift(value, np.uint64(31), out=shifted)
    return mixed_keys


def rising(hashes: Hashes, expected: int) -> Iterator[int]:
    """Indices by rising hash (ties in order), sorted only as far as they are taken. expected: about how many will be
    taken."""
    reached = np.uint64(0)
    expected = max(expected, 1)
    while expected < len(hashes) // 2:
        limit = np.uint64(expected * 2**64 // len(hashes))  # hashes are uniform, so about `expected` of them are below
        found = np.flatnonzero((hashes >= reached) & (hashes < limit)) if reached else np.flatnonzero(hashes < limit)
        yield from found[np.argsort(hashes[found], kind="stable")].tolist()
        reached, expected = limit, 4 * expected
    found = np.flatnonzero(hashes >= reached)
    yield from found[np.argsort(hashes[found], kind="stable")].tolist()


class Pool:
    """Distinct passages in order of title, and filler that is used only when they do not suffice.

    Two passages are the same if title and text are equal apart from white space. Filler with a title that the pool has is
    left out: it would be a second version of the same article. size: the number of passages without filler;
    `passages[size:]` is filler. digest: sha256 of the passages without filler, so that scores on different pools are kept
    apart. times: the distinct times, in order; moments: for each passage the index of its time, -1 where it has none.
    """

    def __init__(self, passages: Iterable[Passage], filler: Iterable[Passage] = ()) -> None:
        own = _distinct(passages)
        titles = {title.casefold() for title, _ in own}
        extra = {key: item for key, item in _distinct(filler).items() if key[0].casefold() not in titles}
        self.passages: tuple[Passage, ...] = (*own.values(), *extra.values())
        self.size = len(own)
        self.keys = np.array([hash64(*key) for key in (*own, *extra)], dtype=np.uint64)
        self.times = tuple(sorted({item.time for item in self.passages if item.time}))
        at = {time: moment for moment, time in enumerate(self.times)}
        self.moments = np.array([at[item.time] if item.time else -1 for item in self.passages], dtype=np.int64)
        self._by_key = np.argsort(self.keys, kind="stable")
        self._sorted_keys = self.keys[self._by_key]
        digest = hashlib.sha256()
        for item in own.values():
            digest.update(f"{item.title}\x1f{item.text}\x1f{item.time or ''}\x1e".encode("utf-8", "surrogatepass"))
        self.digest = digest.hexdigest()
        self._titles: dict[str, list[int]] = {}
        for index, item in enumerate(self.passages):
            if item.title:  # passages without a title differ by their text alone
                self._titles.setdefault(title_key(item.title), []).append(index)
        self._units: dict[int, Unit] = {}
        self._lock = threading.Lock()
        self._search: BM25Index | None = None

    def __len__(self) -> int:
        return len(self.passages)

    def unit(self, index: int) -> Unit:
        """A passage as a unit, made when it is first drawn: most passages of a large pool are never drawn."""
        unit = self._units.get(index)
        if unit is None:
            unit = self._units[index] = self.passages[index].unit()
        return unit

    def ranking(
        self,
        salt: int,
        own: Sequence[Passage],
        titles: Collection[str] = (),
        same_titles: bool = False,
        expected: int | None = None,
    ) -> Iterator[int]:
        """Indices of the passages that may be in a stream with `own`, in the order in which a growing stream takes them: the
        pool by hash, then the filler by hash. Passages of `own` are left out, and those with a title in `titles` or (unless
        same_titles) in `own`. expected: about how many will be taken (None: all); it changes the effort, not the result."""
        excluded = set(self._of_keys(keys(own)))
        names = {title_key(title) for title in titles}
        if not same_titles:
            names |= {title_key(item.title) for item in own}
        for name in names:
            excluded.update(self._titles.get(name, ()))
        wanted = len(self) if expected is None else expected + len(excluded)
        for start, end in ((0, self.size), (self.size, len(self))):
            for index in rising(mixed(self.keys[start:end], salt), wanted):
                if start + index not in excluded:
                    yield start + index

    def _of_keys(self, wanted: Hashes) -> Iterator[int]:
        """Indices of the passages with one of these keys."""
        starts = np.searchsorted(self._sorted_keys, wanted, side="left")
        ends = np.searchsorted(self._sorted_keys, wanted, side="right")
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            yield from self._by_key[start:end].tolist()

    def nearest(self, ranking: Iterable[int], query: str, answers: Iterable[str]) -> Iterator[int]:
        """The passages of a ranking sorted by BM25 for the query (ties as ranked), without those that contain an answer as
        whole normalised tokens. Filler stays after the pool."""
        with self._lock:
            if self._search is None:
                self._search = BM25Index()
                for item in self.passages:
                    self._search.add(f"{item.title} {item.text}")
        ranked = np.fromiter(ranking, dtype=np.intp)
        found = np.zeros(len(self))
        for index, score in self._search.search(query, len(self)):
            found[index] = score
        scores = found[ranked]
        needles = [f" {text} " for text in map(normalise, answers) if text]
        for position in np.lexsort((np.arange(len(ranked)), -scores, ranked >= self.size)):
            index = int(ranked[position])
            haystack = f" {normalise(f'{self.passages[index].title} {self.passages[index].text}')} "
            if not any(needle in haystack for needle in needles):
                yield index


def _distinct(passages: Iterable[Passage]) -> dict[tuple[str, str], Passage]:
    """(title, text) with white space collapsed -> passage, in the order of these keys."""
    found: dict[tuple[str, str], Passage] = {}
    for item in dict.fromkeys(passages):  # drops exact repeats, which are most, at once
        found.setdefault((plain(item.title), plain(item.text)), item)
    return dict(sorted(found.items(), key=lambda pair: pair[0]))
