"""Passages, and the pool that a stream is filled from.

Which passages a stream gets, and in which order, is decided by hashes of (question, passage) alone. So a shorter
stream is a subsequence of the longer one, neither depends on the order of a file, and curves over lengths are paired.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memeval.task import Unit
from memeval.tasks.base import normalised, number, plain

Hashes = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Passage:
    """A titled paragraph. time: an ISO date when the stream has an order in time."""

    title: str
    text: str
    time: str | None = None

    def unit(self) -> Unit:
        return Unit(f"{self.title}\n{self.text}" if self.title else self.text, time=self.time)


def title_key(title: str) -> str:
    """What makes two titles the same: case and blanks do not count."""
    return plain(title).casefold()


def keys(passages: Iterable[Passage]) -> Hashes:
    """One hash per passage, of its title and text."""
    return np.array([number(plain(item.title), plain(item.text)) for item in passages], dtype=np.uint64)


def mixed(passage_keys: Hashes, salt: int) -> Hashes:
    """A hash per (salt, passage), vectorised: the finaliser of splitmix64 (Steele, Lea, Flood: Fast splittable
    pseudorandom number generators, OOPSLA 2014) over the passage's key and the salt."""
    value = passage_keys ^ np.uint64(salt)
    value = value + np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


class Pool:
    """Distinct passages in order of title, and filler that is used only when they do not suffice.

    Two passages are the same when title and text are, blanks aside. Filler whose title the pool has is left out: it
    would be a second version of the same article. size: passages of the pool proper; `passages[size:]` is filler.
    digest: sha256 of the pool proper, so that scores on different pools are never taken for the same.
    """

    def __init__(self, passages: Iterable[Passage], filler: Iterable[Passage] = ()) -> None:
        own = _distinct(passages)
        titles = {title.casefold() for title, _ in own}
        extra = {key: item for key, item in _distinct(filler).items() if key[0].casefold() not in titles}
        self.passages: tuple[Passage, ...] = (*own.values(), *extra.values())
        self.size = len(own)
        self.keys = np.array([number(*key) for key in (*own, *extra)], dtype=np.uint64)
        self.times = tuple(sorted({item.time for item in self.passages if item.time}))
        digest = hashlib.sha256()
        for item in own.values():
            digest.update(f"{item.title}\x1f{item.text}\x1f{item.time or ''}\x1e".encode("utf-8", "surrogatepass"))
        self.digest = digest.hexdigest()
        self._titles: dict[str, list[int]] = {}
        for index, item in enumerate(self.passages):
            if item.title:  # passages without a title are told apart by their text alone
                self._titles.setdefault(title_key(item.title), []).append(index)
        self._lock = threading.Lock()
        self._search: _Nearest | None = None

    def __len__(self) -> int:
        return len(self.passages)

    def ranking(
        self, salt: int, own: Sequence[Passage], titles: Collection[str] = (), same_titles: bool = False
    ) -> NDArray[np.intp]:
        """Indices of the passages that may stand beside `own`, in the order in which a growing stream takes them: the
        pool by hash, then the filler by hash. Never a text of `own`; never a title of `titles`, nor (unless
        same_titles) of `own`."""
        open_ = np.ones(len(self.passages), dtype=bool)
        shut = {title_key(title) for title in titles}
        if not same_titles:
            shut |= {title_key(item.title) for item in own}
        for title in shut:
            open_[self._titles.get(title, [])] = False
        open_ &= ~np.isin(self.keys, keys(own))
        indices = np.flatnonzero(open_)
        return indices[np.lexsort((mixed(self.keys[indices], salt), indices >= self.size))]

    def nearest(self, ranking: NDArray[np.intp], query: str, answers: Iterable[str]) -> Iterator[int]:
        """The same passages, those nearest to the query first (BM25; ties as ranked), without any that holds one of the
        answers as whole normalised tokens. Filler stays behind the pool."""
        with self._lock:
            if self._search is None:
                self._search = _Nearest(self.passages)
        scores = self._search.scores(query)[ranking]
        needles = [f" {text} " for text in map(normalised, answers) if text]
        for position in np.lexsort((np.arange(len(ranking)), -scores, ranking >= self.size)):
            index = int(ranking[position])
            haystack = f" {normalised(f'{self.passages[index].title} {self.passages[index].text}')} "
            if not any(needle in haystack for needle in needles):
                yield index


class _Nearest:
    """BM25 scores of a query against every passage, on the index that the agents search with."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        from memeval.memory.bm25 import BM25Index

        self._count = len(passages)
        self._index = BM25Index()
        for item in passages:
            self._index.add(f"{item.title} {item.text}")

    def scores(self, query: str) -> NDArray[np.float64]:
        scores = np.zeros(self._count)
        for position, score in self._index.search(query, self._count):
            scores[position] = score
        return scores


def _distinct(passages: Iterable[Passage]) -> dict[tuple[str, str], Passage]:
    """Passages by title and text, blanks collapsed, in that order."""
    found: dict[tuple[str, str], Passage] = {}
    for item in dict.fromkeys(passages):  # most repeats are exact, and found faster so
        found.setdefault((plain(item.title), plain(item.text)), item)
    return dict(sorted(found.items(), key=lambda pair: pair[0]))
