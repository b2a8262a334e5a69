"""A question's digest changes with whatever its sample follows from, and with nothing else."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memeval.digests import context_digest, question_digest, question_digests
from memeval.task import Context, Evidence, Question, Unit

ASKED = Question("q", "Where?", ("Arlen",), evidence=(Evidence("lives", (0,)),))
OTHER = Question("r", "Who?", ("Ann",))
CONTEXT = Context("c", (Unit("Ann lives in Arlen."), Unit("Bob left.", "2024", "Ann")), (ASKED, OTHER), "c")

texts = st.text(st.characters(), max_size=6)  # lone surrogates included
maybe = st.none() | texts
units = st.builds(Unit, texts, maybe, maybe)


def test_by_hand() -> None:
    """sha256 of one JSON array a line: `printf '["a", null, "B"]\\n' | sha256sum`."""
    context = Context("c", (Unit("a", None, "B"),), ())
    assert context_digest(context) == "a0de4b3fabb5dee1"


@pytest.mark.parametrize(
    "change",
    [
        {"text": "Where to?"},
        {"answers": ("Castro",)},
        {"answers": ("Arlen", "Castro")},
        {"kind": "hop"},
        {"time": "2025"},
        {"options": ("a", "b")},
        {"position": 1},
        {"answerable": False},
        {"evidence": (Evidence("lives", (1,)),)},
        {"evidence": (Evidence("live", (0,)),)},
        {"keypoints": ("Arlen",)},
    ],
)
def test_an_edited_question_has_another_digest_and_its_neighbour_has_not(change: dict[str, Any]) -> None:
    edited = dataclasses.replace(CONTEXT, questions=(dataclasses.replace(ASKED, **change), OTHER))
    before, now = question_digests(CONTEXT), question_digests(edited)
    assert before["q"] != now["q"]
    assert before["r"] == now["r"]


@pytest.mark.parametrize(
    "stream",
    [
        (Unit("Ann lives in Arlen."), Unit("Bob left.", "2024")),
        (Unit("Ann lives in Arlen."), Unit("Bob left.", None, "Ann")),
        (Unit("Ann lives in Arlen.\nBob left."),),
        CONTEXT.units[::-1],
    ],
)
def test_an_edited_stream_asks_all_its_questions_again(stream: tuple[Unit, ...]) -> None:
    edited = dataclasses.replace(CONTEXT, units=stream)
    assert all(question_digests(edited)[name] != digest for name, digest in question_digests(CONTEXT).items())


def test_the_place_of_a_context_does_not_count() -> None:
    moved = dataclasses.replace(CONTEXT, id="line-7", meta={"documents": 2}, questions=(OTHER, ASKED))
    assert question_digests(moved) == question_digests(CONTEXT)


@given(st.lists(units, max_size=4), st.lists(units, max_size=4))
def test_streams_agree_where_their_units_do(one: list[Unit], two: list[Unit]) -> None:
    first, second = (context_digest(Context("c", tuple(stream), ())) for stream in (one, two))
    assert (first == second) == (one == two)


@given(texts, texts, maybe, st.lists(texts, max_size=3).map(tuple))
def test_one_way_to_compute_it(text: str, answer: str, time: str | None, options: tuple[str, ...]) -> None:
    question = Question("x", text, (answer,), time=time, options=options or None)
    context = dataclasses.replace(CONTEXT, questions=(question,))
    digest = question_digest(context, question, context_digest(context))
    assert digest == question_digests(context)["x"]
    assert len(digest) == 16
    assert set(digest) <= set("0123456789abcdef")
