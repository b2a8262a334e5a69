"""BM25 search over a memory that changes: add, update, delete and search in any order, without rebuilding.

The scores equal those of a new `rank_bm25.BM25Okapi` over the live entries in insertion order (k1 1.5, b 0.75, epsilon
0.25), the retriever of Mem-alpha (arXiv 2509.25911, section 3.3). Ties go to the older entry, and an updated entry
keeps its place. Like the published top-20, `search` returns min(k, live entries) hits, also those with score 0: entries
without a common word score 0 and follow in insertion order (above any negative score, which the floor can produce).
Where BM25Okapi divides by zero (no entry, or no entry with a word), every entry scores 0.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter

import numpy as np
from numpy.typing import NDArray

K1, B, EPSILON = 1.5, 0.75, 0.25
_WORD = re.compile(r"\b\w+\b")


def tokenize(text: str) -> list[str]:
    """Lower-case runs of word characters: the tokeniser of Mem-alpha's retriever."""
    return _WORD.findall(text.lower())


class BM25Index:
    """An incremental index. Entries are numbered 0, 1, 2, ... as they are added; a number is never reused.

    Every version of an entry's text gets its own slot. A posting is a flat array `slot, frequency, slot, ...` that only
    grows. A changed or deleted entry leaves its old slot behind, which scores ignore; old slots are removed once they
    outnumber the live entries. A copy shares every array until either side writes to it.
    """

    def __init__(self) -> None:
        self._postings: dict[str, array[int]] = {}
        self._documents: dict[str, int] = {}  # word -> live entries that hold it
        self._texts: list[str] = []  # by slot
        self._lengths = np.zeros(16, dtype=np.float64)  # words, by slot
        self._slot_of = np.full(16, -1, dtype=np.intp)  # by entry number; -1: deleted
        self._added = 0
        self._live = 0
        self._words = 0  # of all live entries
        self._floor: float | None = None
        self._shared = False
        self._owned: set[str] | None = None  # postings that are no copy's; None: all of them

    def __len__(self) -> int:
        """Live entries."""
        return self._live

    def add(self, text: str) -> int:
        """Index `text` as a new entry; returns its number."""
        self._before_write()
        number = self._added
        if number == len(self._slot_of):
            self._slot_of = np.concatenate([self._slot_of, np.full(number, -1, dtype=np.intp)])
        self._added += 1
        self._live += 1
        self._slot_of[number] = self._put(text)
        return number

    def update(self, number: int, text: str) -> None:
        """Replace the text of a live entry, which keeps its place in the order. KeyError if there is no such entry."""
        slot = self._slot(number)
        self._before_write()
        self._drop(slot)
        self._slot_of[number] = self._put(text)
        self._sweep_if_due()

    def delete(self, number: int) -> None:
        """Remove a live entry. KeyError if there is no such entry."""
        slot = self._slot(number)
        self._before_write()
        self._drop(slot)
        self._slot_of[number] = -1
        self._live -= 1
        self._sweep_if_due()

    def search(self, query: str, k: int) -> list[tuple[int, float]]:
        """The `k` best live entries as (number, score), best first; fewer only if fewer are live."""
        if k <= 0 or not self._live:
            return []
        numbers = np.flatnonzero(self._slot_of[: self._added] >= 0)
        scores = self._scores(tokenize(query))[self._slot_of[numbers]]
        if k < len(scores):
            last = np.partition(scores, len(scores) - k)[len(scores) - k]
            above = np.flatnonzero(scores > last)
            chosen = np.concatenate([above, np.flatnonzero(scores == last)[: k - len(above)]])
        else:
            chosen = np.arange(len(scores))
        best = chosen[np.lexsort((chosen, -scores[chosen]))]
        return [(int(numbers[i]), float(scores[i])) for i in best]

    def copy(self) -> BM25Index:
        """An independent index with the same entries. It costs nothing until either side is written to; then that side
        copies its tables (not the postings: they are copied one by one when they grow)."""
        twin = BM25Index.__new__(BM25Index)
        self._shared = True
        self._owned = set()
        twin.__dict__.update(self.__dict__)
        twin._owned = set()
        return twin

    def _scores(self, words: list[str]) -> NDArray[np.float64]:
        """BM25 score of every slot; the scores of old slots are meaningless."""
        scores = np.zeros(len(self._texts))
        if not self._words:
            return scores
        norms = K1 * (1 - B + B * (self._live / self._words) * self._lengths[: len(scores)])
        for word, times in Counter(words).items():
            held = self._documents.get(word, 0)
            if held:
                posting = np.frombuffer(self._postings[word], dtype=np.intc)
                slots, frequencies = posting[0::2], posting[1::2]
                weight = times * self._idf(held) * (K1 + 1)
                scores[slots] += weight * frequencies / (frequencies + norms[slots])
        return scores

    def _idf(self, held: int) -> float:
        """log((N - n + 0.5) / (n + 0.5)). For a word that more than half of the entries contain this would be negative;
        it gets epsilon times the mean idf of the vocabulary instead (which may be negative too, as in BM25Okapi)."""
        if 2 * held <= self._live:
            return float(np.log(self._live - held + 0.5) - np.log(held + 0.5))
        if self._floor is None:  # words in equally many entries have the same idf
            words = np.bincount(np.fromiter(self._documents.values(), np.intp, len(self._documents)))
            entries = np.arange(len(words))
            total = np.sum(words * (np.log(self._live - entries + 0.5) - np.log(entries + 0.5)))
            self._floor = float(EPSILON * total / np.sum(words))
        return self._floor

    def _slot(self, number: int) -> int:
        slot = int(self._slot_of[number]) if 0 <= number < self._added else -1
        if slot < 0:
            raise KeyError(f"no live entry {number} in the index")
        return slot

    def _before_write(self) -> None:
        self._floor = None
        if self._shared:
            self._shared = False
            self._postings = dict(self._postings)
            self._documents = dict(self._documents)
            self._texts = list(self._texts)
            self._lengths = self._lengths.copy()
            self._slot_of = self._slot_of.copy()

    def _put(self, text: str) -> int:
        slot = len(self._texts)
        if slot == len(self._lengths):
            self._lengths = np.concatenate([self._lengths, np.zeros(slot)])
        self._texts.append(text)
        words = tokenize(text)
        self._lengths[slot] = len(words)
        self._words += len(words)
        for word, frequency in Counter(words).items():
            posting = self._postings.get(word)
            if posting is None:
                posting = self._postings[word] = array("i")
            elif self._owned is not None and word not in self._owned:
                posting = self._postings[word] = posting[:]
            if self._owned is not None:
                self._owned.add(word)
            posting.append(slot)
            posting.append(frequency)
            self._documents[word] = self._documents.get(word, 0) + 1
        return slot

    def _drop(self, slot: int) -> None:
        words = tokenize(self._texts[slot])
        self._words -= len(words)
        self._texts[slot] = ""
        for word in set(words):
            self._documents[word] -= 1
            if not self._documents[word]:
                del self._documents[word]

    def _sweep_if_due(self) -> None:
        """Remove old slots once there are more of them than live entries: constant work per change on average."""
        if len(self._texts) <= 2 * self._live + 64:
            return
        numbers = np.flatnonzero(self._slot_of[: self._added] >= 0)
        kept = [self._texts[slot] for slot in self._slot_of[numbers]]
        self._postings, self._documents = {}, {}
        self._texts, self._words, self._owned = [], 0, None
        for number, text in zip(numbers, kept, strict=True):
            self._slot_of[number] = self._put(text)
