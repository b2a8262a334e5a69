"""Packing: the guarantees of tasks.chunking, with the real tokenizer and with a plain function that counts words."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memeval import tokens
from memeval.errors import UsageError
from memeval.task import Unit
from memeval.tasks.chunking import pack


def words(text: str) -> int:
    return len(text.split())


PLAIN = [
    "Mr. Smith went to Washington. He stayed there for eleven years! Then he left.",
    "a",
    "word " * 60,
    "supercalifragilisticexpialidocious" * 6,
    "日本語の文章です。" * 12,
    "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467" * 15,
    "/usr/lib",
    "…and so on",
    "",
    "  \n ",
    "first line\n\nsecond line\nthird line " * 5,
    "x = {'a': 1};\n\n    return x\n" * 8,
]
UNIT = st.builds(
    Unit,
    st.one_of(st.sampled_from(PLAIN), st.text(max_size=60), st.text(alphabet="ab .\n/!é中", max_size=200)),
    st.sampled_from([None, "2024-01-02", "2024-05-06"]),
    st.sampled_from([None, "Ann"]),
)
UNITS = st.lists(UNIT, max_size=12)
LIMIT = st.integers(8, 80)
PROPERTY = settings(deadline=None, max_examples=120, derandomize=True)


@PROPERTY
@given(UNITS, LIMIT)
def test_no_chunk_exceeds_the_limit_and_tokens_are_a_recount(units: list[Unit], limit: int) -> None:
    count = tokens.counter()
    for chunk in pack(units, limit, count):
        assert chunk.tokens == count._codec.size(chunk.text) <= limit


@PROPERTY
@given(UNITS, LIMIT)
def test_the_chunks_of_a_prefix_are_a_prefix_but_for_the_last(units: list[Unit], limit: int) -> None:
    whole = pack(units, limit, tokens.counter())
    for end in range(len(units)):
        part = pack(units[:end], limit, tokens.counter())
        assert part[:-1] == whole[: len(part) - 1 if part else 0]


@PROPERTY
@given(UNITS, LIMIT)
def test_every_text_survives_in_order(units: list[Unit], limit: int) -> None:
    chunks = pack(units, limit, tokens.counter())
    assert "".join("".join(chunk.text.split()) for chunk in chunks) == "".join(
        "".join(unit.render().split()) for unit in units
    )
    for chunk in chunks:
        assert list(chunk.units) == sorted(set(chunk.units))
        held = "".join(chunk.text.split())
        if len(chunk.units) > 1:  # a chunk of several units holds its inner ones whole
            assert all("".join(units[i].render().split()) in held for i in chunk.units[1:-1])
    placed = [i for chunk in chunks for i in chunk.units]
    assert sorted(set(placed)) == [i for i, unit in enumerate(units) if unit.render()]


@PROPERTY
@given(UNITS, LIMIT)
def test_greedy_and_split_only_what_does_not_fit(units: list[Unit], limit: int) -> None:
    count = tokens.counter()
    chunks = pack(units, limit, count)
    for index, unit in enumerate(units):
        holding = [chunk for chunk in chunks if index in chunk.units]
        if unit.render() and count(unit.render()) <= limit:
            assert len(holding) == 1
            assert unit.render() in holding[0].text
    for chunk, following in itertools.pairwise(chunks):
        first = units[following.units[0]].render()
        if count(first) <= limit:  # a whole unit opened the next chunk because it did not fit into this one
            assert count(f"{chunk.text}\n\n{first}") > limit


@PROPERTY
@given(UNITS, LIMIT)
def test_a_plain_function_packs_the_same(units: list[Unit], limit: int) -> None:
    count = tokens.counter()

    class Recounting:
        truncate = count.truncate

        def __call__(self, text: str) -> int:
            return count(text)

    assert pack(units, limit, Recounting()) == pack(units, limit, count)


@PROPERTY
@given(UNITS, LIMIT)
def test_a_plain_function_keeps_the_promises(units: list[Unit], limit: int) -> None:
    chunks = pack(units, limit, len)
    assert all(chunk.tokens == len(chunk.text) <= limit for chunk in chunks)
    assert "".join("".join(c.text.split()) for c in chunks) == "".join("".join(u.render().split()) for u in units)


def test_ids_times_and_indices_by_hand() -> None:
    units = [
        Unit("one two"),
        Unit("three four", "2024-01-01"),
        Unit(""),
        Unit("five"),
        Unit("six seven eight nine ten", "2024-02-02"),
        Unit("z"),
    ]
    chunks = pack(units, 8, words)
    # "[2024-01-01] three four" is three words, "[2024-02-02] six ..." is six
    assert [(c.id, c.units, c.time, c.tokens) for c in chunks] == [
        ("c00000", (0, 1, 3), "2024-01-01", 6),
        ("c00001", (4, 5), "2024-02-02", 7),
    ]
    assert chunks[0].text == "one two\n\n[2024-01-01] three four\n\nfive"


def test_a_long_unit_is_cut_at_sentences_then_words_then_tokens() -> None:
    text = "One two three. Four five six seven. Eight nine ten eleven! " + "w " * 10 + "end."
    assert [c.text for c in pack([Unit(text)], 8, words)] == [
        "One two three. Four five six seven.",
        "Eight nine ten eleven!",
        "w w w w w w w w",
        "w w end.",
    ]
    assert [len(c.text) for c in pack([Unit("x" * 20)], 8, len)] == [8, 8, 4]


def test_the_pieces_of_a_cut_unit_share_its_index_and_time() -> None:
    chunks = pack([Unit("a b c d. " * 4, "2024-01-01"), Unit("last")], 8, words)
    assert [c.units for c in chunks][:2] == [(0,), (0,)]
    assert chunks[-1].units == (0, 1)
    assert {c.time for c in chunks} == {"2024-01-01"}


def test_a_tokenizer_whose_parts_do_not_add_up() -> None:
    def count(text: str) -> int:  # joining costs more than the parts
        return len(text) + 3 * text.count("\n\n")

    chunks = pack([Unit("abc")] * 10, 17, count)
    assert [c.units for c in chunks] == [(0, 1), (2, 3), (4, 5), (6, 7), (8, 9)]  # 3+5+3 = 11; a third makes 19
    assert all(c.tokens == count(c.text) for c in chunks)


def test_no_units_no_chunks() -> None:
    assert pack([], 100, words) == []
    assert pack([Unit(" ")], 100, words) == []


def test_a_limit_of_a_few_tokens_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="chunk_tokens is 3"):
        pack([Unit("a")], 3, words)


def test_one_word_beyond_the_limit_of_a_function_that_never_fits_still_ends() -> None:
    assert [c.text for c in pack([Unit("abc")], 8, lambda text: 9)] == ["a", "b", "c"]


@PROPERTY
@given(UNITS, LIMIT)
def test_apart_no_two_units_share_a_chunk(units: list[Unit], limit: int) -> None:
    count = tokens.counter()
    chunks = pack(units, limit, count, apart=True)
    assert all(len(chunk.units) == 1 for chunk in chunks)
    alone = [chunk.text for unit in units for chunk in pack([unit], limit, count)]
    assert [chunk.text for chunk in chunks] == alone
    for end in range(len(units)):
        part = pack(units[:end], limit, count, apart=True)
        assert part == chunks[: len(part)]
