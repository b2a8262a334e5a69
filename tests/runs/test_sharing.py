"""One ingest for all questions of a context: the same answers as a rebuild per question, for fewer calls."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toys import Diary, MemoryTask

from memeval import Item, Recall, tokens
from memeval.cards import TaskCard
from memeval.runs.prepare import prepare
from memeval.task import Context, Question, Unit
from memeval.tasks import Settings
from memeval.tasks.personamem import PersonaMem

UNITS = st.lists(st.text("abcdefgh .", min_size=1, max_size=60).filter(str.strip), min_size=1, max_size=12)
OPTIONS = ("(a) Green tea.", "(b) Black coffee.", "(c) Cold water.", "(d) Warm milk.")


class Notes(Diary):
    """One memory call per chunk; what it recalls are the replies, and in which order they came."""

    concurrent = True

    def begin(self, session: Any) -> None:
        super().begin(session)
        self.notes: list[Item] = []

    async def observe(self, chunk: Any) -> None:
        told = [{"role": "user", "content": f"{len(self.notes)} {chunk.id} {chunk.text[-300:]}"}]
        reply = await self.session.models["memory"].generate(told, max_tokens=20)
        self.notes.append(Item(f"{chunk.tokens} {chunk.text[:200]} {reply.text}", (chunk.id,)))

    def recall(self, query: Any) -> Recall:
        words = set(query.text.split())
        return Recall(sorted(self.notes, key=lambda note: -len(words & set(note.text.split())))[:4])


def rebuilt(contexts: Sequence[Context]) -> list[Context]:
    """Every question alone, with a context that ends where it is asked: the naive way."""
    return [
        Context(
            f"{context.id}-{question.id}",
            context.units[: question.position],
            (dataclasses.replace(question, position=None),),
        )
        for context in contexts
        for question in context.questions
    ]


def outcome(events: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], int]:
    """question id -> what came of it; and the memory calls of the run."""
    kept = ("answer", "failure", "recall", "recall_tokens", "recall_dropped", "calls", "tokens", "finish_reason")
    found = {event["question_id"]: {key: event[key] for key in kept} for event in events if event["event"] == "sample"}
    calls = sum(event["calls"].get("memory", 0) for event in events if event["event"] == "operation")
    return found, calls


def sharing(task: Any, question_ids: Sequence[str]) -> tuple[float, float]:
    """(chunks with sharing, chunks without) of a run that asks these questions once: the stream up to its last
    position, and of each fork the chunk that it reads for itself."""
    card = task.card
    count = tokens.counter(card.tokenizer)
    packed = [prepare(task.context(ref), ref, card.chunk_tokens, count) for ref in task.refs(question_ids)]
    alone = sum(len(point.chunks) * len(point.questions) for found in packed for point in found.points)
    once = sum(len(found.points[-1].chunks) for found in packed)
    own = sum(len(point.chunks) - point.shared for found in packed for point in found.points[:-1])
    return once + own, alone


def compare(toy: Any, contexts: Sequence[Context], **card: Any) -> tuple[int, int]:
    """Memory calls (with sharing, without) of two runs that must agree in every sample."""
    shared = toy.planned(Notes, contexts, card=card)
    together, calls = outcome(toy.events(shared))
    alone, naive = outcome(toy.events(toy.planned(Notes, rebuilt(contexts), card=card)))
    assert together == alone
    assert {sample["failure"] for sample in together.values()} == {None}
    assert (calls, naive) == sharing(shared.task, shared.task.order)
    return calls, naive


@settings(max_examples=25, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(units=UNITS, data=st.data())
def test_sharing_equals_a_rebuild_per_question(toy: Any, units: list[str], data: st.DataObject) -> None:
    ends = data.draw(st.lists(st.one_of(st.none(), st.integers(1, len(units))), min_size=1, max_size=6))
    questions = [
        Question(f"q{n}", f"What of {'abcdefgh'[n]} ?", ("(b)",), options=OPTIONS, position=end)
        for n, end in enumerate(ends)
    ]
    calls, naive = compare(toy, [Context("c", tuple(map(Unit, units)), tuple(questions), cluster="c")])
    assert calls <= naive


def test_the_count_by_hand() -> None:
    """Units of 8 tokens, chunks of at most 17: two units and the blank line between them."""
    units = tuple(Unit("one two three four five six seven eight") for _ in range(6))
    ends = {"a": 1, "b": 4, "c": 4, "d": 5, "e": None}
    questions = tuple(Question(name, "What?", ("x",), position=end) for name, end in ends.items())
    task = MemoryTask([Context("c", units, questions)], TaskCard(name="toy", source="toy", chunk_tokens=17))
    # shared: chunks 0, 1, 2, and the halves of chunks 0 and 2 for a and d. Alone: 1 + 2 + 2 + 3 + 3.
    assert sharing(task, list("abcde")) == (5, 11)
    assert sharing(task, ["b"]) == (2, 2)
    assert sharing(task, []) == (0, 0)


@pytest.fixture(scope="module")
def real() -> list[Context]:
    root = Path(os.environ.get("MEMEVAL_DATA") or Path(__file__).parents[3] / "shared" / "data")
    if not (root / "personamem" / "questions_32k.csv").is_file():
        pytest.skip("needs the PersonaMem 32k slice in MEMEVAL_DATA or ../shared/data")
    card = TaskCard(name="personamem-32k", source="personamem", params={"size": "32k"})
    task = PersonaMem().load(card, Settings(data_dir=root))
    return [task.context(ref) for ref in task.refs(task.order)]


CARD = {"chunk_tokens": 2048, "reader_prompt": "reader-options", "reader_budget": 2000}


def test_a_real_history_is_read_once_for_all_its_questions(toy: Any, real: list[Context]) -> None:
    context = min(real, key=lambda context: len(context.questions))
    calls, naive = compare(toy, [context], **CARD)
    assert 3 * calls < naive


@pytest.mark.long
def test_calls_over_all_real_histories(toy: Any, real: list[Context]) -> None:
    calls, naive = compare(toy, real, **CARD)
    print(f"{len(real)} histories: {calls} memory calls with sharing, {naive} without: {naive / calls:.1f} times fewer")
    assert 8 * calls < naive
