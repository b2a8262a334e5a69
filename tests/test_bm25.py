"""BM25Index against rank_bm25 built afresh over the live entries."""

from __future__ import annotations

import itertools
import math
import re

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from rank_bm25 import BM25Okapi

from memeval.bm25 import BM25Index, tokenize

# Few words, so that common words (negative idf, hence the floor), ties and repeated words all happen often.
WORDS = ["the", "The", "river", "Oslo", "1999", "naïve", "東京", "a_b"]
texts = st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join) | st.sampled_from(["", "?!", "x-y; river's"])


def reference(live: dict[int, str], query: str) -> dict[int, float]:
    """Scores by the official implementation. It divides by zero without a word: there every score is 0."""
    corpus = [re.findall(r"\b\w+\b", text.lower()) for text in live.values()]
    if not any(corpus):
        return dict.fromkeys(live, 0.0)
    scores = BM25Okapi(corpus).get_scores(re.findall(r"\b\w+\b", query.lower()))
    return dict(zip(live, map(float, scores), strict=True))


def agrees(index: BM25Index, live: dict[int, str], query: str, k: int) -> None:
    wanted = reference(live, query)
    hits = index.search(query, k)
    assert len(hits) == min(k, len(live))
    assert len({number for number, _ in hits}) == len(hits)
    for number, score in hits:
        # 1e-12: where the mean idf cancels to nothing, both sides hold only the rounding of their sums
        assert math.isclose(score, wanted[number], rel_tol=1e-9, abs_tol=1e-12)
    for (first, high), (second, low) in itertools.pairwise(hits):
        assert high > low or (high == low and first < second)
    if hits:
        worst_number, worst = hits[-1]
        scores = dict(index.search(query, len(live)))
        for number in wanted.keys() - {number for number, _ in hits}:
            assert wanted[number] <= worst + max(1e-12, 1e-9 * abs(worst))
            if scores[number] == worst:
                assert number > worst_number


class Changes(RuleBasedStateMachine):
    """Random add, update, delete and copy over a few indexes that may share arrays; after every step each of them is
    searched, unless nobody looks for some steps, and must not have noticed what happened to the others."""

    def __init__(self) -> None:
        super().__init__()
        self.pairs: list[tuple[BM25Index, dict[int, str]]] = [(BM25Index(), {})]
        self.unseen = 0

    def pick(self, at: int) -> tuple[BM25Index, dict[int, str]]:
        return self.pairs[at % len(self.pairs)]

    @rule(at=st.integers(0, 2))
    def copy(self, at: int) -> None:
        index, live = self.pick(at)
        self.pairs = [*self.pairs[-2:], (index.copy(), dict(live))]

    @rule(at=st.integers(0, 2), added=st.lists(texts, min_size=1, max_size=5))
    def add(self, at: int, added: list[str]) -> None:
        index, live = self.pick(at)
        for text in added:
            number = index.add(text)
            assert number > max(live, default=-1)
            live[number] = text

    @rule(at=st.integers(0, 2), entry=st.integers(0, 50), text=texts)
    def update(self, at: int, entry: int, text: str) -> None:
        index, live = self.pick(at)
        if live:
            number = sorted(live)[entry % len(live)]
            index.update(number, text)
            live[number] = text

    @rule(at=st.integers(0, 2), entry=st.integers(0, 50))
    def delete(self, at: int, entry: int) -> None:
        index, live = self.pick(at)
        if live:
            number = sorted(live)[entry % len(live)]
            index.delete(number)
            del live[number]
            with pytest.raises(KeyError):
                index.update(number, "gone")

    @rule(at=st.integers(0, 2), text=texts)
    def churn(self, at: int, text: str) -> None:  # enough tombstones for a sweep
        index, live = self.pick(at)
        number = index.add(text)
        for step in range(80):
            index.update(number, f"{text} {step % 3}")
        live[number] = f"{text} 1"

    @rule(at=st.integers(0, 2), query=texts, k=st.integers(0, 12))
    def search(self, at: int, query: str, k: int) -> None:
        agrees(*self.pick(at), query, k)

    @rule(steps=st.integers(1, 4))
    def look_away(self, steps: int) -> None:  # what is added now is indexed later
        self.unseen = steps

    @invariant()
    def all_equal_the_reference(self) -> None:
        self.unseen -= 1
        if self.unseen > 0:
            return
        for index, live in self.pairs:
            agrees(index, live, "the river in Oslo the the", 20)


Changes.TestCase.settings = settings(max_examples=80, stateful_step_count=25, deadline=None, derandomize=True)
TestChanges = Changes.TestCase


def test_scores_worked_by_hand() -> None:
    # 3 entries of 2, 2, 4 words; mean length 8/3. "red" is in one of three: idf = ln 2.5 - ln 1.5.
    index = BM25Index()
    for text in ("red fox", "grey goose", "blue whale blue sea"):
        index.add(text)
    idf = math.log(2.5 / 1.5)
    short = idf * 1 * 2.5 / (1 + 1.5 * (0.25 + 0.75 * 2 / (8 / 3)))
    long = idf * 2 * 2.5 / (2 + 1.5 * (0.25 + 0.75 * 4 / (8 / 3)))
    hits = index.search("Red, blue!", 3)
    assert [number for number, _ in hits] == [2, 0, 1]
    assert [score for _, score in hits] == pytest.approx([long, short, 0.0], rel=1e-12)


def test_zero_scores_fill_up_to_k_in_order_of_insertion() -> None:
    index = BM25Index()
    for text in ("one", "two", "three", "four"):
        index.add(text)
    assert [number for number, _ in index.search("three", 3)] == [2, 0, 1]
    assert index.search("", 2) == [(0, 0.0), (1, 0.0)]


def test_an_updated_entry_keeps_its_place() -> None:
    index = BM25Index()
    for text in ("same words", "same words", "other text here"):
        index.add(text)
    index.update(0, "something else")
    index.update(0, "same words")
    assert [number for number, _ in index.search("same words", 2)] == [0, 1]


@pytest.mark.parametrize("contents", [[], ["", "?", " "]])
def test_an_index_without_words_scores_zero(contents: list[str]) -> None:
    index = BM25Index()
    for text in contents:
        index.add(text)
    assert index.search("anything", 10) == [(number, 0.0) for number in range(len(contents))]


def test_unknown_and_deleted_numbers_are_errors() -> None:
    index = BM25Index()
    index.add("text")
    index.delete(0)
    for number in (0, 1, -1):
        with pytest.raises(KeyError):
            index.delete(number)
    assert len(index) == 0
    assert index.add("text") == 1


def test_a_copy_and_its_original_do_not_see_each_other() -> None:
    index = BM25Index()
    index.add("alpha beta")
    twin = index.copy()
    before = index.search("alpha gamma", 5)
    twin.add("gamma")
    twin.update(0, "gamma gamma")
    grandchild = twin.copy()
    grandchild.delete(0)
    assert index.search("alpha gamma", 5) == before
    assert (len(index), len(twin), len(grandchild)) == (1, 2, 1)
    index.delete(0)
    agrees(twin, {0: "gamma gamma", 1: "gamma"}, "gamma alpha", 5)
    agrees(grandchild, {1: "gamma"}, "gamma alpha", 5)


def test_tombstones_are_swept() -> None:
    index = BM25Index()
    for step in range(2000):
        index.add(f"word{step} shared")
        if step >= 10:
            index.delete(step - 10)
    for step in range(2000):
        index.update(1999, f"word{step} shared" if step < 1999 else "word1999 shared")
    assert len(index) == 10
    assert index._slot_of[: index._added].max() < 200
    agrees(index, {n: f"word{n} shared" for n in range(1990, 2000)}, "word1995 shared", 10)


def test_tokenizer_matches_the_official_expression() -> None:
    text = "Don't STOP: naïve_42 東京タワー İstanbul \ud800 e.g."
    assert tokenize(text) == re.findall(r"\b\w+\b", text.lower())


def test_large_random_index_equals_the_reference() -> None:
    rng = np.random.default_rng(5)
    vocabulary = [f"w{number}" for number in range(3000)]
    weights = 1 / np.arange(1, 3001)
    weights /= weights.sum()
    index, live = BM25Index(), {}
    for _ in range(600):
        text = " ".join(rng.choice(vocabulary, size=int(rng.integers(1, 60)), p=weights))
        live[index.add(text)] = text
    for number in rng.choice(600, size=200, replace=False).tolist():
        if number % 2:
            index.delete(number)
            del live[number]
        else:
            live[number] = " ".join(rng.choice(vocabulary, size=20, p=weights))
            index.update(number, live[number])
    for _ in range(20):
        agrees(index, live, " ".join(rng.choice(vocabulary, size=12, p=weights)), 20)
