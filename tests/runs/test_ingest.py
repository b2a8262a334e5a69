"""Feeding, forking, failing: the agent's side of the engine."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toys import Diary, context, simple

from memeval import Item, MemoryStats, Recall, ToolResult
from memeval.models.bound import EmbeddingFailed
from memeval.task import Question

units = st.lists(st.text("abcdefgh .", min_size=1, max_size=60).filter(str.strip), min_size=1, max_size=14)


class NoFork(Diary):
    fork = None


class AsyncDiary(Diary):
    async def begin(self, session: Any) -> None:
        super().begin(session)

    async def observe(self, chunk: Any) -> None:
        super().observe(chunk)

    async def recall(self, query: Any) -> Recall:
        return super().recall(query)


class OwnFork(Diary):
    def fork(self, session: Any) -> OwnFork:
        child = OwnFork()
        child.session, child.chunks, child.finished = session, list(self.chunks), self.finished
        return child


def samples(events: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    texts = {event["sha"]: event["text"] for event in events if event["event"] == "text"}
    return {
        event["question_id"]: {**event, "texts": [texts[item["text"]] for item in event["recall"]]}
        for event in events
        if event["event"] == "sample"
    }


@settings(max_examples=12, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(units=units, data=st.data(), agent=st.sampled_from([Diary, NoFork, AsyncDiary, OwnFork]))
def test_a_fork_equals_an_agent_that_saw_only_the_prefix(
    toy: Any, units: list[str], data: st.DataObject, agent: type
) -> None:
    positions = data.draw(st.lists(st.one_of(st.none(), st.integers(1, len(units))), min_size=1, max_size=5))
    questions = [Question(f"q{n}", "What?", ("x",), position=position) for n, position in enumerate(positions)]
    together = samples(toy.events(toy.planned(agent, [context("c", units, questions)])))
    for question in questions:
        end = len(units) if question.position is None else question.position
        alone = context("c", units[:end], [Question(question.id, "What?", ("x",))])
        expected = samples(toy.events(toy.planned(agent, [alone])))[question.id]
        found = together[question.id]
        assert found["failure"] is None
        assert found["texts"] == expected["texts"]
        assert [item["chunks"] for item in found["recall"]] == [item["chunks"] for item in expected["recall"]]


def test_memory_is_built_once_per_context(toy: Any) -> None:
    seen: list[str] = []

    class Counting(Diary):
        def observe(self, chunk: Any) -> None:
            super().observe(chunk)
            seen.append(chunk.text)

    units = [f"Sentence number {n} of a stream that is long enough to make chunks." for n in range(12)]
    questions = [Question(f"q{n}", "What?", ("x",), position=n) for n in (3, 6, 9, 12)]
    run = toy.planned(Counting, [context("c", units, questions)])
    events = toy.events(run)
    chunks = [event for event in events if event["event"] == "operation" and event["units"]]
    naive = sum(len(toy_chunks(units[:n])) for n in (3, 6, 9, 12))
    assert len(seen) == len(chunks) < naive
    assert len(seen) <= len(toy_chunks(units)) + 3  # at most one chunk of its own per fork


def toy_chunks(units: list[str]) -> list[Any]:
    from memeval import tokens
    from memeval.task import Unit
    from memeval.tasks.chunking import pack

    return pack([Unit(text) for text in units], 32, tokens.counter("o200k_base"))


def test_a_workdir_is_made_for_who_asks_for_it_and_deleted_at_the_end(toy: Any) -> None:
    folders: dict[str, Any] = {}

    class Writes(Diary):
        def begin(self, session: Any) -> None:
            super().begin(session)
            assert not session.scratch.exists()
            assert not list(session.workdir.iterdir())

        def finish(self) -> None:
            (self.session.workdir / "note").write_text("x")
            folders[self.chunks[0].text] = self.session.workdir

    found = samples(toy.events(toy.planned(Writes, [simple(0), simple(1)])))
    assert [sample["failure"] for sample in found.values()] == [None, None]
    one, other = folders.values()
    assert one != other
    assert not one.exists()
    assert not other.parent.parent.exists()  # nothing of the run is left


def test_fork_gets_the_child_session(toy: Any) -> None:
    class Writes(Diary):
        def observe(self, chunk: Any) -> None:
            super().observe(chunk)
            (self.session.workdir / chunk.id).write_text(chunk.text)

        def recall(self, query: Any) -> Recall:
            return Recall([Item(path.read_text(), (path.name,)) for path in sorted(self.session.workdir.iterdir())])

    units = [f"Sentence number {n} of a stream that is long enough to make chunks." for n in range(6)]
    questions = [Question("early", "What?", ("x",), position=2), Question("late", "What?", ("x",))]
    found = samples(toy.events(toy.planned(Writes, [context("c", units, questions)])))
    assert "number 1" in found["early"]["texts"][-1]
    assert not any("number 2" in text for text in found["early"]["texts"])
    assert any("number 5" in text for text in found["late"]["texts"])


def test_vectors_that_were_not_obtained_are_not_the_agents_doing(toy: Any) -> None:
    class Embedding(Diary):
        def observe(self, chunk: Any) -> None:
            raise EmbeddingFailed("HTTP 400: too long (given up after 6 attempts)")

    found = samples(toy.events(toy.planned(Embedding, [simple(0)])))
    assert found["q0"]["failure"] == "ingest: embedder: HTTP 400: too long (given up after 6 attempts)"


@pytest.mark.parametrize("method", ["__init__", "begin", "observe", "finish", "recall", "memory"])
def test_an_agent_that_raises_fails_its_context_only(toy: Any, method: str) -> None:
    def broken(self: Any, *args: Any) -> Any:
        session = getattr(self, "session", None) or (args[0] if args else None)
        if method == "__init__" or "Person1" in str(getattr(self, "chunks", "")) or method == "begin":
            raise KeyError("lost it")
        result = getattr(Diary, method, lambda *_: MemoryStats())(self, *args)
        assert session is not None or result is None
        return result

    agent = type("Broken", (Diary,), {method: broken})
    found = samples(toy.events(toy.planned(agent, [simple(0), simple(1), simple(2)])))
    hit = ["q0", "q1", "q2"] if method in ("__init__", "begin") else ["q1"]
    for name, sample in found.items():
        if name in hit:
            assert "agent raised KeyError('lost it')" in sample["failure"]
            assert f"in {method}" in sample["failure"]
            assert "test_ingest.py:" in sample["failure"]
            assert sample["answer"] is None
        else:
            assert sample["failure"] is None


def test_wrong_return_types_are_named(toy: Any) -> None:
    class Odd(Diary):
        def recall(self, query: Any) -> Any:
            return ["text"]

    found = samples(toy.events(toy.planned(Odd, [simple(0)])))
    assert found["q0"]["failure"].startswith("recall returned list, expected memeval.Recall at test_ingest.py:")


def test_native_agents_answer_themselves(toy: Any) -> None:
    class Native(Diary):
        track = "native"

        def answer(self, query: Any, recall: Recall) -> str:
            return f"{len(recall.items)} chunks for {query.text}"

    found = samples(toy.events(toy.planned(Native, [simple(0)])))
    assert found["q0"]["answer"] == "4 chunks for Where does Person0 Smith live?"
    assert found["q0"]["calls"] == {}
    sizes = [row["tokens"] for row in found["q0"]["recall"]]
    cut = samples(toy.events(toy.planned(Native, [simple(0)], answer_budget=sizes[0] + 1 + sizes[1])))["q0"]
    assert cut["answer"] == "2 chunks for Where does Person0 Smith live?"  # it answers from what the budget leaves
    assert [row["tokens"] for row in cut["recall"]] == sizes[:2]


def test_an_agent_is_not_told_the_answer_budget(toy: Any) -> None:
    class Nosy(Diary):
        track = "native"

        def answer(self, query: Any, recall: Recall) -> str:
            return str(self.session.budget)

    card = {"reader_budget": 900, "answer_budget": 40}
    found = samples(toy.events(toy.planned(Nosy, [simple(0)], card=card, answer_budget=30)))
    assert found["q0"]["answer"] == "900"


def test_plain_methods_of_a_context_never_overlap(toy: Any) -> None:
    class Slow(Diary):
        inside = 0

        def recall(self, query: Any) -> Recall:
            self.inside += 1
            time.sleep(0.002)
            assert self.inside == 1
            self.inside -= 1
            return Recall()

    questions = [Question(f"q{n}", "What?", ("x",)) for n in range(8)]
    found = samples(toy.events(toy.planned(Slow, [context("c", ["A text."], questions)])))
    assert [sample["failure"] for sample in found.values()] == [None] * 8


def test_calls_are_booked_where_they_belong(toy: Any) -> None:
    class Caller(Diary):
        def observe(self, chunk: Any) -> None:
            super().observe(chunk)
            self.session.models["memory"].generate_sync([{"role": "user", "content": chunk.text}])
            self.session.record(ToolResult("note", {"text": chunk.text}, "ok"))

        async def finish(self) -> None:
            await self.session.models["memory"].generate([{"role": "user", "content": "done"}])

        def recall(self, query: Any) -> Recall:
            self.session.models["reader"].generate_sync([{"role": "user", "content": query.text}])
            return Recall()

    events = toy.events(toy.planned(Caller, [simple(0)], answer_repeats=2))
    steps = [event for event in events if event["event"] == "operation"]
    assert [step["chunk"] for step in steps] == ["c00000", "c00001", "c00002", "c00003", "finish", "read"]
    assert not steps.pop()["calls"]
    assert [step["calls"] for step in steps] == [{"memory": 1}] * 5
    assert [len(step["results"]) for step in steps] == [1, 1, 1, 1, 0]
    asked = [event for event in events if event["event"] == "sample"]
    assert [sample["calls"] for sample in asked] == [{"reader": 2}, {"reader": 1}]  # recalling is paid once
    assert asked[0]["recalling"]["calls"] == {"reader": 1}
    assert asked[1]["recalling"] is None


def test_visible_query_is_offered_and_its_use_recorded(toy: Any) -> None:
    class Peeks(Diary):
        def finish(self) -> None:
            assert self.session.query.text.startswith("Which")

    questions = [Question("a", "Which one?", ("x",)), Question("b", "Which two?", ("x",))]
    run = toy.planned(Peeks, [context("c", ["A text."], questions)], card={"query_visible": True})
    found = samples(toy.events(run))
    assert {name: sample["query_used"] for name, sample in found.items()} == {"a": True, "b": True}
    assert {sample["context_id"] for sample in found.values()} == {"c?a", "c?b"}
    blind = samples(toy.events(toy.planned(Diary, [context("c", ["A text."], questions)], card={"query_visible": True})))
    assert {sample["query_used"] for sample in blind.values()} == {False}
    hidden = samples(toy.events(toy.planned(Diary, [context("c", ["A text."], questions)])))
    assert hidden["a"]["query_used"] is None


def test_budget_drops_the_lowest_ranked_and_counts_them(toy: Any) -> None:
    class Many(Diary):
        def recall(self, query: Any) -> Recall:
            return Recall([Item(f"item {n} with a few words", (f"c{n:05d}",)) for n in (2, 0, 1)], order="stream")

    # seven tokens each, and one for the blank line between two of them
    for budget, kept in ((15, ["c00000", "c00002"]), (14, ["c00002"])):  # ranks 1 and 2 in stream order; rank 1
        found = samples(toy.events(toy.planned(Many, [simple(0)], answer_budget=budget)))["q0"]
        assert [item["chunks"] for item in found["recall"]] == [[chunk] for chunk in kept]
        assert (found["recall_dropped"], found["recall_tokens"]) == (3 - len(kept), 7 * len(kept))
        assert found["recall_lost"] == 21 - 7 * len(kept)

    class Long(Diary):
        def recall(self, query: Any) -> Recall:
            return Recall([Item("one two three four five six seven eight", ("c00000",))])

    found = samples(toy.events(toy.planned(Long, [simple(0)], answer_budget=4)))["q0"]
    assert found["texts"] == ["one two three four"]
    assert (found["recall_dropped"], found["recall_tokens"], found["recall_lost"]) == (0, 4, 4)
