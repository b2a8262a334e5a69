"""Agents that lose an answer in one way each, run for real: the run says where it was lost."""

from __future__ import annotations

from typing import Any

import pytest
from folders import read_lines, write_lines
from toys import context

from memeval import Item, MemoryStats, Recall, ToolResult
from memeval.memory.entries import Entries
from memeval.results.load import find_run
from memeval.results.lost import lost, sentence
from memeval.runs.run import run
from memeval.task import Context, Evidence, Question

FACT = "Ann Lee lives in Arlen."
UNITS = [FACT, *(f"Nothing of note happened on day {day} of the long dry year." for day in range(6))]


def lives(text: str = "Where does Ann Lee live?", gold: str = "Arlen", **more: Any) -> Context:
    evidence = more.pop("evidence", (Evidence(FACT, (0,)),))
    return context("town", UNITS, [Question("q", text, (gold,), evidence=evidence, **more)])


class Lists:
    """Keeps every chunk, lists all of them, and recalls all of them."""

    def begin(self, session: Any) -> None:
        self.session = session
        self.kept: list[Item] = []

    def observe(self, chunk: Any) -> None:
        self.kept.append(Item(chunk.text, (chunk.id,), chunk.id))

    def recall(self, query: Any) -> Recall:
        return Recall(list(self.kept))

    def memory(self) -> MemoryStats:
        return MemoryStats({"notes": len(self.kept)}, self.kept)


class Forgets(Lists):
    """Never writes the first chunk."""

    def observe(self, chunk: Any) -> None:
        if FACT not in chunk.text:
            super().observe(chunk)


class HidesIt(Lists):
    """Writes the first chunk and never recalls it."""

    def recall(self, query: Any) -> Recall:
        return Recall(self.kept[1:])


class HidesLazily(HidesIt):
    """The same, with entries that are made when they are read."""

    def memory(self) -> MemoryStats:
        return MemoryStats({"notes": len(self.kept)}, Entries(lambda: list(self.kept)))


class RewritesWhole(Lists):
    """One text, made of everything so far; it recalls none of it."""

    def observe(self, chunk: Any) -> None:
        before = self.kept[0] if self.kept else Item("")
        self.kept = [Item(f"{before.text} {chunk.text}".strip(), (*before.chunks, chunk.id), "whole")]

    def recall(self, query: Any) -> Recall:
        return Recall()


class RewritesAndForgets(RewritesWhole):
    """One text that names every chunk and has lost the first."""

    def observe(self, chunk: Any) -> None:
        super().observe(chunk)
        self.kept = [Item(self.kept[0].text.replace(FACT, ""), self.kept[0].chunks, "whole")]


class NamesNoChunk(HidesIt):
    """Its entries do not say which chunks they are from."""

    def observe(self, chunk: Any) -> None:
        self.kept.append(Item(chunk.text))


class SaysNothing(HidesIt):
    """Does not say what it holds."""

    memory = None  # type: ignore[assignment]


class OnlyCounts(HidesIt):
    """Says how much it holds, and not what."""

    def memory(self) -> MemoryStats:
        return MemoryStats({"notes": len(self.kept)})


class Records(SaysNothing):
    """Records what its operations change, and lists nothing; the last chunk replaces the entry `last`."""

    def observe(self, chunk: Any) -> None:
        super().observe(chunk)
        for name in (chunk.id, "last"):
            effect = {"op": "put", "type": "notes", "id": name, "text": chunk.text, "chunks": [chunk.id]}
            self.session.record(ToolResult("insert", {}, "ok", effect=effect))


class RecordsAndDeletes(Records):
    """The same, and deletes the first chunk again at once."""

    def observe(self, chunk: Any) -> None:
        super().observe(chunk)
        if FACT in chunk.text:
            for name in (chunk.id, "last"):
                effect = {"op": "delete", "type": "notes", "id": name}
                self.session.record(ToolResult("delete", {}, "ok", effect=effect))


class Native(Lists):
    """Answers by itself and shows no recall."""

    track = "native"

    def recall(self, query: Any) -> Recall:
        return Recall()

    def answer(self, query: Any, recall: Recall) -> str:
        return "Borvik"


class NativeThatShows(Native):
    """Answers by itself from a recall that it shows."""

    def recall(self, query: Any) -> Recall:
        return Recall(list(self.kept))


class Guesses(HidesIt):
    """Right without the evidence."""

    track = "native"

    def answer(self, query: Any, recall: Recall) -> str:
        return "Arlen"


@pytest.mark.parametrize(
    ("agent", "asked", "where"),
    [
        (Forgets, lives(), "write"),
        (HidesIt, lives(), "recall"),
        (HidesLazily, lives(), "recall"),
        (Lists, lives("Why does Ann Lee dislike Arlen?", gold="Ann Lee lives"), "read"),
        (RewritesWhole, lives(), "n/a"),
        (RewritesAndForgets, lives(), "write"),
        (NamesNoChunk, lives(), "n/a"),
        (SaysNothing, lives(), "not recalled"),
        (OnlyCounts, lives(), "not recalled"),
        (Records, lives(), "recall"),
        (RecordsAndDeletes, lives(), "write"),
        (Native, lives(), "n/a"),
        (NativeThatShows, lives(), "read"),
        (Lists, lives(gold="Borvik", evidence=()), "n/a"),
        (HidesIt, lives(position=4), "recall"),  # asked before the end of the stream
        (Records, lives(position=4), "recall"),
        (RecordsAndDeletes, lives(position=4), "write"),
    ],
)
def test_a_wrong_answer_is_followed(toy: Any, agent: type, asked: Context, where: str) -> None:
    planned = toy.planned(agent, [asked])
    run(planned, quiet=True)
    found = lost(find_run(planned.spec.folder))
    assert [(row.question_id, row.where) for row in found.answers] == [("q", where)]
    assert (found.wrong, dict(found.counts)) == (1, {where: 1})


def test_questions_of_several_hops_need_all_pieces(toy: Any) -> None:
    second = Evidence(UNITS[-1], (len(UNITS) - 1,))
    both = lives("What happened on day 5 in the town of Ann Lee?", "nothing", evidence=(Evidence(FACT, (0,)), second))
    for agent, where in ((Forgets, "write"), (HidesIt, "recall")):
        planned = toy.planned(agent, [both])
        run(planned, quiet=True)
        assert [row.where for row in lost(find_run(planned.spec.folder)).answers] == [where]


def test_a_right_answer_without_evidence_is_unsupported(toy: Any) -> None:
    planned = toy.planned(Guesses, [lives()])
    run(planned, quiet=True)
    found = lost(find_run(planned.spec.folder))
    assert (found.right, found.unsupported, found.unsupported_answers) == (1, 1, (("q", 0, 0),))
    assert sentence(found) == "of 1 right: 1 unsupported by what was recalled"


@pytest.mark.parametrize(("control", "where"), [("none", "n/a"), ("oracle", "read")])
def test_a_control_has_no_memory(toy: Any, control: str, where: str) -> None:
    planned = toy.planned(control, [lives("Why does Ann Lee dislike Arlen?", gold="Ann Lee lives")])
    run(planned, quiet=True)
    assert [row.where for row in lost(find_run(planned.spec.folder)).answers] == [where]


def test_a_run_of_an_earlier_version_says_what_it_can(toy: Any) -> None:
    """Samples without the field, and without recorded operations."""
    planned = toy.planned(Forgets, [lives()])
    run(planned, quiet=True)
    path = planned.spec.folder / "samples.jsonl"
    rows = [{key: value for key, value in row.items() if key != "evidence_held"} for row in read_lines(path)]
    write_lines(path, rows)
    assert sentence(lost(find_run(planned.spec.folder))) == "of 1 wrong: 1 not written or not recalled"


def test_entries_that_cannot_be_made_fail_their_questions_alone(toy: Any) -> None:
    class Breaks(Lists):
        def memory(self) -> MemoryStats:
            return MemoryStats({"notes": 1}, Entries(lambda: [1 / 0]))  # type: ignore[list-item]

    summary = run(toy.planned(Breaks, [lives()]), quiet=True).summary
    assert summary.failed == 1
    assert "ZeroDivisionError" in next(iter(summary.reasons))


def test_entries_are_listed_once_a_position(toy: Any) -> None:
    made = []

    class Counts(Lists):
        def memory(self) -> MemoryStats:
            return MemoryStats({"notes": 1}, Entries(lambda: made.append(1) or list(self.kept)))

    asked = [Question(f"q{n}", "Where does Ann Lee live?", ("Arlen",), evidence=(Evidence(FACT, (0,)),)) for n in range(3)]
    run(toy.planned(Counts, [context("town", UNITS, asked)]), quiet=True)
    assert len(made) == 1
