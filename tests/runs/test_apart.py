"""`one_unit_per_chunk`: what the card says reaches the engine, also where questions are asked in the middle of a stream."""

from __future__ import annotations

from typing import Any

import pytest
from toys import Diary, context, simple

from memeval import tokens
from memeval.runs.prepare import prepare
from memeval.task import ContextRef, Question


@pytest.mark.parametrize(("apart", "chunks"), [(True, 7), (False, 1)])
def test_the_card_decides_whether_units_share_chunks(toy: Any, apart: bool, chunks: int) -> None:
    run = toy.planned(Diary, [simple(1)], card={"one_unit_per_chunk": apart, "chunk_tokens": 2048})
    (asked,) = (event for event in toy.events(run) if event["event"] == "question")
    assert (asked["stream_units"], asked["stream_chunks"]) == (7, chunks)
    assert [piece["chunks"] for piece in asked["evidence"]] == [["c00000"]]


def test_a_prefix_ends_with_a_whole_chunk() -> None:
    units = [f"Unit {number} is short." for number in range(6)]
    questions = [Question(f"q{end}", "?", ("x",), position=end) for end in (0, 2, 6)]
    stream = context("c", units, questions)
    ref = ContextRef("c", tuple(question.id for question in questions))
    prepared = prepare(stream, ref, 2048, tokens.counter(), apart=True)
    assert [chunk.text for chunk in prepared.stream] == units
    for point in prepared.points:
        assert point.position is not None
        assert point.chunks == prepared.stream[: point.position]
        assert point.shared == point.position
