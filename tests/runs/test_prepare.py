"""From a context to chunks and positions: the same as packing every asked prefix by itself, at a fraction of the price."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memeval import tokens
from memeval.runs.prepare import evidence_rows, observed, prepare
from memeval.task import Context, ContextRef, Evidence, Question, Unit
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
    asked = {len(units) if point.position is None else point.position: point for point in prepared.points}
    assert list(asked) == sorted({len(units) if end is None else end for end in ends})
    for end, point in asked.items():
        alone = tuple(pack(units[:end], limit, count, apart))
        assert point.chunks == alone
        assert point.shared == len(alone) - (bool(alone) and alone[-1] not in stream)
        assert point.chunks[: point.shared] == stream[: point.shared]
        assert point.questions == tuple(q for q in questions if (len(units) if q.position is None else q.position) == end)


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


UNIT = Unit("One two three four five six seven eight.")


def test_what_is_not_asked_is_not_prepared_and_a_visible_question_has_a_context_of_its_own() -> None:
    questions = tuple(Question(f"q{n}", "What?", ("x",), position=position) for n, position in enumerate((1, 2, None)))
    context = Context("c", (UNIT, UNIT), questions)
    prepared = prepare(context, ContextRef("c", ("q0", "q2")), 8, words)
    assert [(point.questions, prepared.place(point)) for point in prepared.points] == [
        ((questions[0],), 1),
        ((questions[2],), None),
    ]
    assert prepared.context.id == "c"
    (point,) = prepare(context, ContextRef("c", ("q1",)), 8, words).points
    assert (point.position, prepared.place(point)) == (2, None)  # the end, however it is said
    assert prepare(context, ContextRef("c", ("q1",), "q1"), 8, words).context.id == "c?q1"


def test_evidence_is_in_each_chunk_that_holds_one_of_its_units() -> None:
    units = tuple(Unit(UNIT.text, title=title) for title in ("Ann", "Bob", "Ann", ""))
    chunks = pack(units, 8, words)
    assert [chunk.units for chunk in chunks] == [(0,), (1,), (2,), (3,)]
    question = Question("q", "What?", ("x",), evidence=(Evidence("seen twice", (0, 2)), Evidence("nowhere", ())))
    seen, nowhere = evidence_rows(question, chunks[:3], units)
    assert (seen.chunks, seen.units, seen.titles) == (("c00000", "c00002"), (0, 2), ("Ann",))
    assert (nowhere.chunks, nowhere.titles) == ((), ())
    assert observed(chunks[1]).text == chunks[1].text


def test_what_is_counted_of_a_stream_is_its_text() -> None:
    prepared = prepare(Context("c", (UNIT, UNIT), ()), ContextRef("c", ()), 8, words)
    assert prepared.tokens == 16
