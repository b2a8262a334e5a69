"""How a stream is cut into passages, and what a hit brings back."""

from __future__ import annotations

import itertools
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from memeval.agent import Chunk, Item
from memeval.agents.passages import Cut, Passages


def words(text: str) -> int:
    return len(text.split())


def cut(texts: list[str], **numbers: int) -> tuple[Passages, list[list[str]]]:
    """(passages, their texts by chunk)"""
    passages = Passages(Cut(**numbers), words)
    return passages, [passages.add(Chunk(f"c{number}", text)) for number, text in enumerate(texts)]


ANN = "Ann Lee\nShe was born in Arlen. She sings."  # 2, 5 and 2 words
BOB = "Bob Ray\nHe cooks."


def test_paragraphs_are_packed_whole_and_cut_at_sentences_where_they_must() -> None:
    texts = [f"{ANN}\n\n{BOB}", "Cid naps."]
    assert cut(texts)[1] == [[texts[0]], [texts[1]]]
    assert cut(texts, passage=13)[1] == [[texts[0]], [texts[1]]]
    assert cut(texts, passage=12)[1] == [[ANN, BOB], [texts[1]]]
    assert cut(texts, passage=7)[1] == [["Ann Lee\nShe was born in Arlen.", f"She sings.\n\n{BOB}"], [texts[1]]]
    passages, made = cut(texts, passage=3)  # a sentence is never cut
    assert made == [["Ann Lee", "She was born in Arlen.", "She sings.", "Bob Ray", "He cooks."], [texts[1]]]
    assert passages.ids == ["c0.1", "c0.2", "c0.3", "c0.4", "c0.5", "c1"]


def test_a_passage_begins_with_the_last_sentences_of_the_one_before() -> None:
    texts = ["Ann sings. Bob cooks. Cid naps. Dora paints.", "Eve rows."]
    assert cut(texts, passage=4, overlap=2)[1] == [
        ["Ann sings. Bob cooks.", "Bob cooks. Cid naps.", "Cid naps. Dora paints."],
        ["Dora paints.\n\nEve rows."],  # across chunks too
    ]
    assert cut(texts, overlap=4)[1] == [[texts[0]], ["Cid naps. Dora paints.\n\nEve rows."]]


def test_a_hit_brings_its_neighbours_in_the_order_of_the_stream() -> None:
    passages, _ = cut(["Ann sings. Bob cooks. Cid naps.", "Dora paints. Eve rows."], passage=2, neighbours=1)
    assert passages.items([(2, 0.9)]) == [Item("Bob cooks. Cid naps.\n\nDora paints.", ("c0", "c1"), "c0.3", 0.9)]
    assert [item.text for item in passages.items([(0, 2.0), (4, 1.0)])] == [
        "Ann sings. Bob cooks.",
        "Dora paints. Eve rows.",
    ]
    # text that an earlier hit returned is not repeated; what is left on either side of it becomes two items
    assert [item.text for item in passages.items([(2, 2.0), (1, 1.0), (4, 0.5)])] == [
        "Bob cooks. Cid naps.\n\nDora paints.",
        "Ann sings.",
        "Eve rows.",
    ]


def test_a_budget_ends_what_is_recalled() -> None:
    def shown(budget: int) -> list[str]:
        passages, _ = cut(["Ann sings. Bob cooks a meal. Cid naps."], k=0, passage=2, budget=budget)
        return [item.text for item in passages.items([(1, 3.0), (0, 2.0), (2, 1.0)])]

    assert shown(1) == shown(5) == ["Bob cooks a meal."]
    assert shown(6) == shown(7) == ["Bob cooks a meal.", "Ann sings."]
    assert shown(8) == ["Bob cooks a meal.", "Ann sings.", "Cid naps."]


SENTENCES = st.lists(st.integers(1, 6), min_size=1, max_size=6).map(
    lambda sizes: " ".join(" ".join(["word"] * (size - 1) + [f"end{size}."]) for size in sizes)
)
CHUNKS = st.lists(st.lists(SENTENCES, min_size=1, max_size=3).map("\n\n".join), min_size=1, max_size=4)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(CHUNKS, st.integers(0, 14), st.integers(0, 5), st.integers(0, 2), st.data())
def test_every_sentence_is_in_a_passage_and_in_what_is_recalled_once(chunks, passage, overlap, neighbours, data) -> None:
    overlap = min(overlap, max(0, passage - 1)) if passage else overlap
    numbered = iter(range(10_000))
    texts = [re.sub(r"end", lambda match: f"end{next(numbered)}x", chunk) for chunk in chunks]  # every sentence is another
    sentences = [found for text in texts for found in re.findall(r"end\d+x\d\.", text)]
    passages, made = cut(texts, passage=passage, overlap=overlap, neighbours=neighbours)
    ends = [re.findall(r"end\d+x\d\.", text) for of_chunk in made for text in of_chunk]
    assert list(dict.fromkeys(end for some in ends for end in some)) == sentences  # all of them, in order
    for text in (text for of_chunk in made for text in of_chunk):
        assert not passage or words(text) <= passage or text.count("end") == 1
    for before, after in itertools.pairwise(ends):
        repeated = [end for end in after if end in before]
        assert sum(int(end[-2]) for end in repeated) <= overlap
        assert repeated == after[: len(repeated)]
    order = data.draw(st.permutations(range(len(ends))))
    shown = [end for item in passages.items([(number, 1.0) for number in order]) for end in re.findall(r"end\S+", item.text)]
    assert sorted(shown) == sorted(sentences)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(CHUNKS, st.integers(1, 14), st.integers(0, 5))
def test_the_passages_of_a_prefix_are_a_prefix_of_the_passages(texts: list[str], passage: int, overlap: int) -> None:
    numbers = {"passage": passage, "overlap": min(overlap, passage - 1)}
    whole, prefix = cut(texts, **numbers)[1], cut(texts[:-1], **numbers)[1]
    assert whole[:-1] == prefix
    trunk, _ = cut(texts[:-1], **numbers)
    held = list(trunk.spans)
    assert trunk.copy().add(Chunk(f"c{len(texts) - 1}", texts[-1])) == whole[-1]
    assert trunk.spans == held
