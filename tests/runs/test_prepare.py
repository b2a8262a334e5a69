"""From a context to chunks and positions: the same as packing every asked prefix by itself, at a fraction of the price."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memeval import tokens
from memeval.runs.prepare import prepare
from memeval.task import Context, ContextRef, Question, Unit
from memeval.tasks.chunking import pack

TEXT = st.text("abc de.\n", max_size=30) | st.sampled_from(["", " ", "word " * 40, "One sentence. " * 12, "x" * 90])
UNITS = st.lists(st.builds(Unit, TEXT, st.sampled_from([None, "2024-01-01", "2024-02-01"])), min_size=1, max_size=14)


def words(text: str) -> int:
    return len(text.split())


@settings(max_examples=200, deadline=None, derandomize=True)
@given(UNITS, st.data(), st.integers(8, 40), st.booleans(), st.sampled_from([words, tokens.counter()]))
def test_each_prefix_is_packed_as_if_it_were_the_whole_stream(
    units: list[Unit], data: st.DataObject, limit: int, apart: bool, count: Callable[[str], int]
) -> None:
    ends = data.draw(st.lists(st.none() | st.integers(0, len(units)), min_size=1, max_size=6))
    questions = tuple(Question(f"q{n}", "What?", ("x",), position=end) for n, end in enumerate(ends))
    context = Context("c", tuple(units), questions)
    prepared = prepare(context, ContextRef("c", tuple(question.id for question in questions)), limit, count, apart)
    stream = tuple(pack(units, limit, count, apart))
    assert prepared.stream == stream
    asked = {len(units) if asking.position is None else asking.position: asking for asking in prepared.askings}
    assert list(asked) == sorted({len(units) if end is None else end for end in ends})
    for end, asking in asked.items():
        alone = tuple(pack(units[:end], limit, count, apart))
        assert asking.chunks == alone
        assert asking.shared == len(alone) - (bool(alone) and alone[-1] not in stream)
        assert asking.chunks[: asking.shared] == stream[: asking.shared]
        assert asking.questions == tuple(q for q in questions if (len(units) if q.position is None else q.position) == end)


@pytest.mark.parametrize("positions", [10, 90])
def test_a_position_costs_one_chunk_of_counting_however_long_the_stream(positions: int) -> None:
    units = tuple(Unit(f"Turn {n} says a few words about a thing.") for n in range(2000))
    counted = []

    def count(text: str) -> int:
        counted.append(text)
        return words(text)

    pack(units, 200, count)
    once, per_chunk = len(counted), 200 // words(units[0].text)
    counted.clear()
    questions = tuple(Question(f"q{n}", "What?", ("x",), position=20 * n + 7) for n in range(positions))
    prepare(Context("c", units, questions), ContextRef("c", tuple(q.id for q in questions)), 200, count)
    assert once < len(counted) <= once + positions * 2 * (per_chunk + 1)
