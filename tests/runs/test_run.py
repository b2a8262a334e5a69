"""The driver: folders, resume, growth, failures, and what the command prints."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from folders import file_of, memory_of, read_lines, steps
from msgspec.structs import replace
from toys import Diary, context, simple

from memeval.errors import UsageError
from memeval.metrics import METRICS
from memeval.models.completion import ModelSpec
from memeval.records.folder import RunFolder, RunWriter
from memeval.records.rows import InvocationRow
from memeval.records.summary import Chunks, QueryFacts
from memeval.results.run_table import runs_table
from memeval.runs.progress import Progress
from memeval.runs.run import run
from memeval.runs.run_all import anew
from memeval.runs.signals import ContextDone, Event
from memeval.runs.spec import RunSpec
from memeval.task import Context, Evidence, Question, Unit


def lines(planned: Any, name: str) -> list[dict[str, Any]]:
    return list(read_lines(file_of(planned.spec.folder, f"{name}.jsonl")))


def freshly(planned: Any, *, memory: bool = False, **options: Any) -> Any:
    """The run with its answers made anew, or its memory too."""
    return run(anew([planned], fresh=True, fresh_memory=memory)[0], quiet=True, **options)


def as_set(rows: list[dict[str, Any]]) -> set[str]:
    return {json.dumps(row, sort_keys=True) for row in rows}


def test_a_run_leaves_everything_in_its_folder(toy: Any) -> None:
    planned = toy.planned(Diary, [simple(n) for n in range(4)])
    outcome = run(planned, quiet=True)
    summary = outcome.summary
    assert (summary.status, summary.n, summary.failed) == ("complete", 4, 0)
    assert summary.headline.value == 1.0  # the offline reader finds a plain sentence among six
    assert summary.calls == {"reader": 4}
    assert {path.name for path in planned.spec.folder.iterdir()} >= {
        "manifest.json", "samples.jsonl", "questions.jsonl", "texts.jsonl", "scores", "events.jsonl", "calls.sqlite",
        "summary.json",
    }  # fmt: skip
    assert {path.name for path in memory_of(planned.spec.folder).iterdir()} >= {
        "manifest.json", "operations.jsonl", "calls.sqlite",
    }  # fmt: skip
    assert memory_of(planned.spec.folder).parent == planned.spec.folder.with_name("memories")
    sample = lines(planned, "samples")[0]
    assert set(sample) == {
        "question_id", "context_id", "repeat", "answer_repeat", "position", "query", "answer", "failure", "finish_reason",
        "recall", "recall_tokens", "recall_dropped", "recall_lost", "memory_tokens", "tokens", "calls", "services", "facts",
        "recalling", "evidence_held", "query_used", "not_applicable",
    }  # fmt: skip
    score = read_lines(planned.spec.folder / "scores" / "task.jsonl")[0]
    assert (score["verdict"], score["reason"]) == ("right", None)
    assert score["metrics"]["evidence_all"] == 1.0
    printed = msgspec.to_builtins(outcome.summary)
    assert printed["headline"]["metric"] == "f1"
    assert printed["stream_tokens"]["tokenizer"] == "o200k_base"
    json.dumps(printed)


def test_same_command_same_folder_and_no_call(toy: Any) -> None:
    contexts = [simple(n) for n in range(4)]
    first = run(toy.planned(Diary, contexts), quiet=True)
    before = lines(first.planned, "samples")
    second = run(toy.planned(Diary, contexts), quiet=True)
    assert second.planned.spec.folder == first.planned.spec.folder
    assert second.summary.requests == 0
    assert lines(second.planned, "samples") == before
    assert replace(second.summary, requests=0) == replace(first.summary, requests=0)


def test_a_larger_limit_grows_the_folder_and_a_smaller_reads_part_of_it(toy: Any) -> None:
    contexts = [simple(n) for n in range(6)]
    planned = toy.planned(Diary, contexts)
    small = dataclasses.replace(planned, question_ids=planned.question_ids[:2])
    assert run(small, quiet=True).summary.n == 2
    whole = run(planned, quiet=True)
    assert (whole.summary.n, whole.summary.requests) == (6, 4)
    again = run(small, quiet=True)
    assert (again.summary.n, again.summary.requests) == (2, 0)
    assert len(lines(planned, "samples")) == 6


def test_failed_samples_are_tried_again(toy: Any) -> None:
    broken = {"now": True}

    class Flaky(Diary):
        def recall(self, query: Any) -> Any:
            if broken["now"] and "Person1" in query.text:
                raise RuntimeError("out of order")
            return super().recall(query)

    contexts = [simple(n) for n in range(3)]
    first = run(toy.planned(Flaky, contexts), quiet=True)
    assert (first.summary.failed, first.summary.status) == (1, "complete")
    assert first.summary.headline.value == pytest.approx(2 / 3)
    assert first.summary.failure_bounds == pytest.approx((2 / 3, 1.0))
    broken["now"] = False
    second = run(toy.planned(Flaky, contexts), quiet=True)
    assert (second.summary.failed, second.summary.requests) == (0, 1)
    assert second.summary.headline.value == 1.0


def test_invalid_when_more_than_one_in_fifty_fails(toy: Any) -> None:
    class Broken(Diary):
        def recall(self, query: Any) -> Any:
            raise RuntimeError("out of order")

    outcome = run(toy.planned(Broken, [simple(n) for n in range(3)]), quiet=True)
    assert (outcome.summary.status, outcome.summary.failed) == ("invalid", 3)
    (note,) = (line for line in runs_table([outcome.summary]).splitlines() if ": invalid, " in line)
    assert "3 failed (agent raised RuntimeError(out of order) in recall" in note  # the table says why, in one line


def test_fresh_starts_anew(toy: Any) -> None:
    contexts = [simple(n) for n in range(2)]
    run(toy.planned(Diary, contexts), quiet=True)
    assert freshly(toy.planned(Diary, contexts)).summary.requests == 2


def test_repeats_are_averaged_by_question_never_pooled(toy: Any) -> None:
    outcome = run(toy.planned(Diary, [simple(n) for n in range(3)], repeats=2, answer_repeats=2), quiet=True)
    assert outcome.summary.n == outcome.summary.headline.n == 3
    assert len(lines(outcome.planned, "samples")) == 12
    assert len(outcome.summary.repeats) == 4
    assert len({(row["repeat"], row["chunk"]) for row in steps(outcome.planned.spec.folder)}) == 8


def test_arms(toy: Any) -> None:
    gold = Question("q", "Where does Ann Lee live?", ("Arlen",), evidence=(Evidence("Ann Lee lives in Arlen.", (0,)),))
    blind = Question("b", "Where does Bob Ray live?", ("Castro",))
    contexts = [context("c", ["Ann Lee lives in Arlen.", "Bob Ray lives in Castro."], [gold, blind])]
    oracle = run(toy.planned("oracle", contexts), quiet=True)
    by_id = {row["question_id"]: row for row in lines(oracle.planned, "samples")}
    assert by_id["q"]["answer"] == "Arlen"
    assert by_id["b"]["not_applicable"] == "the data have no gold evidence for this question"
    assert oracle.summary.headline.n == 1
    none = run(toy.planned("none", contexts), quiet=True)
    assert none.summary.headline.value == 0.0
    assert none.summary.memory_tokens.max == 0
    closed = run(toy.planned("closed-book", contexts), quiet=True)
    assert closed.summary.headline.value == 0.0
    constant = run(toy.planned("constant", contexts, models={}), quiet=True)
    assert constant.summary.headline.value == 0.5
    assert constant.summary.calls == {}
    shotgun = run(toy.planned("shotgun", contexts, models={}, card={"metrics": ("f1", "substring")}), quiet=True)
    assert {row["answer"] for row in lines(shotgun.planned, "samples")} == {"ann lee, arlen, bob ray, castro"}
    assert shotgun.summary.metrics["substring"].value == 1.0
    assert shotgun.summary.headline.value == pytest.approx(2 / 7)  # one token of the six is the answer
    assert (shotgun.summary.calls, shotgun.summary.memory_tokens.max) == ({}, None)


def test_shuffled_recalls_from_the_stream_of_another_cluster(toy: Any) -> None:
    def asked(number: int, cluster: str) -> Context:
        unit = f"Ann Lee lives in Town{number}."
        gold = Question(f"q{number}", "Where does Ann Lee live?", (f"Town{number}",), evidence=(Evidence(unit, (0,)),))
        return Context(f"c{number}", (Unit(unit),), (gold,), cluster)

    contexts = [asked(0, "a"), asked(1, "a"), asked(2, "b"), asked(3, "b"), asked(4, "c")]
    outcome = run(toy.planned("shuffled", contexts), quiet=True)
    answers = {row["question_id"]: row["answer"] for row in lines(outcome.planned, "samples")}
    # the nearest before it of another cluster; for those of the first cluster the nearest after it
    assert answers == {"q0": "Town2", "q1": "Town2", "q2": "Town1", "q3": "Town1", "q4": "Town3"}
    assert (outcome.summary.headline.value, outcome.summary.memory_tokens.max) == (0.0, None)
    assert "evidence_all" not in outcome.summary.metrics  # chunk ids of another stream prove nothing here
    fewer = dataclasses.replace(toy.planned("shuffled", contexts, label="fewer"), question_ids=("q0", "q1"))
    assert {row["answer"] for row in lines(run(fewer, quiet=True).planned, "samples")} >= {"Town2"}


def test_shuffled_needs_a_second_stream(toy: Any) -> None:
    outcome = run(toy.planned("shuffled", [simple(0)]), quiet=True)
    (row,) = lines(outcome.planned, "samples")
    assert row["not_applicable"] == "the task has no other stream to recall from"
    assert outcome.summary.verdicts == {"n/a": 1}
    assert "n/a: the task has no stream of another cluster to recall from" in [note.text for note in outcome.summary.notes]


def test_the_longest_option_is_a_floor_of_its_own(toy: Any) -> None:
    """Of two that are longest the first; a question without options has no longest one."""
    options = ("(a) tea", "(b) a walk by the sea", "(c) a walk in the sun", "(d) no")
    asked = [
        Question("right", "What now?", ("(b)",), options=options),
        Question("wrong", "What now?", ("(c)",), options=options),
        Question("open", "What now?", ("tea",)),
    ]
    contexts = [context("c", ["Ann likes walks."], asked)]
    found = run(
        toy.planned("longest-option", contexts, models={}, card={"metrics": ("letter",), "headline": "letter"}), quiet=True
    )
    by_id = {row["question_id"]: row for row in lines(found.planned, "samples")}
    assert [by_id[name]["answer"] for name in ("right", "wrong", "open")] == ["(b)", "(b)", None]
    assert by_id["open"]["not_applicable"] == "the question has no options"
    assert (found.summary.headline.value, found.summary.headline.n, found.summary.calls) == (0.5, 2, {})
    assert "n/a for 1 of 3 questions: they have no options" in [note.text for note in found.summary.notes]


def test_the_summary_says_what_sharing_a_stream_saved(toy: Any) -> None:
    units = [f"Sentence number {n} of a stream that is long enough to make chunks." for n in range(12)]
    questions = [Question(f"q{n}", "What?", ("x",), position=position) for n, position in enumerate((3, 7, 7, None))]
    outcome = run(toy.planned(Diary, [context("c", units, questions)]), quiet=True)
    shown = len(steps(outcome.planned.spec.folder))
    alone = sum(line["prefix_chunks"] for line in lines(outcome.planned, "questions"))
    assert outcome.summary.chunks == Chunks(shown, alone)
    assert shown < alone
    assert outcome.summary.query == QueryFacts()


def test_a_stop_leaves_a_partial_run_that_the_same_command_finishes(toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from memeval.errors import StopRun
    from memeval.models.gateway import Gateway

    real, left = Gateway.call, {"calls": 3}

    async def limited(self: Gateway, spec: ModelSpec, request: Any) -> Any:
        if left["calls"] == 0:
            raise StopRun("http://127.0.0.1:1/v1: nothing has succeeded for 15 s")
        left["calls"] -= 1
        return await real(self, spec, request)

    contexts = [simple(n) for n in range(6)]
    expected = run(toy.planned(Diary, contexts, concurrency=2), quiet=True)
    rows = as_set(lines(expected.planned, "samples"))
    monkeypatch.setattr(Gateway, "call", limited)
    first = freshly(toy.planned(Diary, contexts, concurrency=2))
    assert first.stopped is not None
    assert first.summary.status == "partial"
    assert 0 < first.summary.n < 6
    left["calls"] = -1
    second = run(toy.planned(Diary, contexts, concurrency=2), quiet=True)
    assert second.summary.status == "complete"
    assert second.summary.requests in (3, 4)  # the call in flight at the stop may have been lost
    assert as_set(lines(second.planned, "samples")) == rows


def test_a_run_stopped_behind_its_last_sample_is_whole_when_the_same_command_comes_again(
    toy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    contexts = [simple(n) for n in range(4)]
    real = Progress.see

    def see(self: Progress, event: Event) -> None:
        real(self, event)
        if isinstance(event, ContextDone) and self.done_contexts == len(contexts):
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Progress, "see", see)
    first = run(toy.planned(Diary, contexts), quiet=True)
    monkeypatch.undo()
    assert (first.summary.status, first.summary.n, first.interrupted) == ("partial", 4, True)
    second = run(toy.planned(Diary, contexts), quiet=True)
    assert (second.summary.status, second.summary.n, second.summary.requests) == ("complete", 4, 0)


BASE = {"answer_repeats": 1, "repeats": 1, "answer_budget": 0}


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"concurrency": 3}, True),
        ({"use_cache": False}, True),
        ({"repeats": 2}, False),
        ({"answer_repeats": 2}, False),
        ({"answer_budget": 64}, False),
        ({"prompts": {"reader": "Answer."}}, False),
        ({"params": {"last": 3}}, False),
        ({"models": {"reader": ModelSpec("offline", "http://127.0.0.1:1/v1"), "memory": ModelSpec("offline")}}, False),
        ({"models": {"reader": ModelSpec("openai/other"), "memory": ModelSpec("offline")}}, False),
        ({"models": {"reader": ModelSpec("offline", params={"temperature": 1}), "memory": ModelSpec("offline")}}, False),
        ({"card": {"chunk_tokens": 64}}, False),
    ],
)
def test_what_the_folder_hangs_on(toy: Any, change: dict[str, Any], same: bool) -> None:
    def folder(**options: Any) -> Path:
        spec: RunSpec = toy.planned(Diary, [simple(0)], **options).spec
        return spec.folder

    assert (folder(**change) == folder()) is same


def test_the_folder_does_not_hang_on_the_url_of_a_model(toy: Any) -> None:
    folders = [
        toy.planned(Diary, [simple(0)], models={"reader": ModelSpec("m", url), "memory": ModelSpec("m", url)}).spec.folder
        for url in ("http://127.0.0.1:1/v1", "http://127.0.0.1:2/v1")
    ]
    assert folders[0] == folders[1]


def test_names_cannot_leave_the_runs_folder(toy: Any) -> None:
    from memeval.runs.spec import folder_name

    assert folder_name("../../etc/x@hard") == "_.._etc_x@hard"
    assert folder_name("..") == "unnamed"


def test_an_agent_that_answers_by_itself_is_asked_anew_for_each_answer(toy: Any) -> None:
    class Native(Diary):
        track = "native"

        async def answer(self, query: Any, recall: Any) -> str:
            asked = [{"role": "user", "content": query.text}]
            votes = [await self.session.models["memory"].generate(asked, sample=vote) for vote in range(2)]
            return votes[0].text

    for repeats, answers in ((1, 1), (1, 3), (2, 3)):
        summary = run(toy.planned(Native, [simple(0)], repeats=repeats, answer_repeats=answers), quiet=True).summary
        assert summary.requests == 2 * repeats * answers


def test_an_agent_that_catches_everything_cannot_swallow_a_stop(toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from memeval.models.budget import Budget

    class Stubborn(Diary):
        track = "native"

        async def observe(self, chunk: Any) -> None:
            try:
                await self.session.models["memory"].generate([{"role": "user", "content": chunk.text}])
            except Exception:
                self.chunks = []
            super().observe(chunk)

        async def answer(self, query: Any, recall: Any) -> str:
            try:
                return (await self.session.models["memory"].generate([{"role": "user", "content": query.text}])).text
            except Exception:
                return "whatever"

    contexts = [simple(n) for n in range(3)]
    expected = run(toy.planned(Stubborn, contexts, concurrency=1), quiet=True)
    names = ("samples", "operations")
    rows = {name: as_set(lines(expected.planned, name)) for name in names}
    calls = expected.summary.requests
    for limit in range(1, calls, 4):
        first = freshly(toy.planned(Stubborn, contexts, concurrency=1), memory=True, budget=Budget(max_calls=limit))
        assert first.summary.status == "partial"
        assert first.summary.requests == limit
        second = run(toy.planned(Stubborn, contexts, concurrency=1), quiet=True)
        assert second.summary.requests == calls - limit
        for name in names:
            assert as_set(lines(second.planned, name)) == rows[name]


def test_a_reader_without_its_key_costs_no_stream(toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory of the first streams would be paid for before the first question is asked."""
    for name in ("OPENAI_API_KEY", "MEMEVAL_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    read: list[str] = []

    class Reading(Diary):
        def observe(self, chunk: Any) -> None:
            read.append(chunk.text)

    models = {"memory": ModelSpec("offline"), "reader": ModelSpec("openai/m")}
    with pytest.raises(UsageError, match="set OPENAI_API_KEY"):
        run(toy.planned(Reading, [simple(n) for n in range(4)], models=models), quiet=True)
    assert read == []


# -- what a folder tells later commands -------------------------------------------------------------------------------


def test_a_smaller_limit_changes_nothing_that_a_larger_run_knows(toy: Any) -> None:
    planned = toy.planned(Diary, [simple(n) for n in range(6)])
    folder = RunFolder(planned.spec.folder)
    run(planned, quiet=True)
    before = {path.name: path.read_bytes() for path in folder.path.iterdir() if path.suffix in (".json", ".jsonl")}
    small = run(dataclasses.replace(planned, question_ids=planned.question_ids[:2]), quiet=True)
    assert (small.summary.n, small.summary.status) == (2, "complete")
    assert {name: (folder.path / name).read_bytes() for name in before} == before


def test_the_summary_of_a_folder_covers_all_that_is_finished(toy: Any) -> None:
    planned = toy.planned(Diary, [simple(n) for n in range(6)])
    for part in (planned.question_ids[:2], planned.question_ids[3:5]):
        assert run(dataclasses.replace(planned, question_ids=part), quiet=True).summary.n == 2
    stored = RunFolder(planned.spec.folder).summary()
    assert stored is not None
    assert (stored.n, stored.status, len(stored.notes) > 0) == (4, "complete", True)


def test_scores_by_other_rules_are_made_anew(toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = toy.planned(Diary, [simple(n) for n in range(2)])
    first = run(planned, quiet=True).summary
    assert first.headline.value == 1.0
    with monkeypatch.context() as changed:
        changed.setitem(METRICS, "f1", lambda reply: 0.25)  # of another file
        again = run(planned, quiet=True).summary
    assert (again.headline.value, again.requests) == (0.25, 0)
    assert run(planned, quiet=True).summary.headline == first.headline


@pytest.mark.parametrize("name", ["questions", "texts", "operations"])
@pytest.mark.parametrize("left", [0, 1])
def test_what_a_power_cut_took_is_made_again_from_stored_replies(toy: Any, name: str, left: int) -> None:
    planned = toy.planned(Diary, [simple(n) for n in range(3)])
    whole = run(planned, quiet=True).summary
    names = ("questions", "texts", "operations", "samples")
    rows = {each: as_set(lines(planned, each)) for each in names}
    path = file_of(planned.spec.folder, f"{name}.jsonl")
    path.write_bytes(b"".join(path.read_bytes().splitlines(True)[:left]))
    again = run(planned, quiet=True).summary
    assert {each: as_set(lines(planned, each)) for each in names} == rows
    assert len(lines(planned, "samples")) == 3
    assert (again.requests, again.headline) == (0, whole.headline)


def test_seconds_of_a_killed_invocation_count(toy: Any) -> None:
    planned = toy.planned(Diary, [simple(n) for n in range(2)])
    first = run(planned, quiet=True).summary
    with RunWriter(RunFolder(planned.spec.folder)) as writer:
        for seconds in (5.0, 40.0):  # as far as a process had come that was killed
            writer.append(InvocationRow(id="killed", seconds=seconds, build_seconds=seconds / 10))
    (planned.spec.folder / "summary.json").unlink()
    again = run(planned, quiet=True).summary
    assert again.seconds == pytest.approx(first.seconds + 40)
    assert again.build_seconds == pytest.approx(first.build_seconds + 4)


def test_a_finished_run_is_read_back_where_nothing_can_be_written(toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = toy.planned(Diary, [simple(n) for n in range(2)])
    first = run(planned, quiet=True).summary
    (planned.spec.folder / "summary.json").unlink()

    def refuse(*args: Any, **options: Any) -> None:
        raise AssertionError("written")

    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)  # what a read-only mount says, also to root
    monkeypatch.setattr("memeval.records.files.write_whole", refuse)
    monkeypatch.setattr("memeval.runs.run.RunWriter", refuse)
    assert replace(run(planned, quiet=True).summary, requests=0) == replace(first, requests=0)


def test_scores_follow_samples_that_were_made_again(toy: Any) -> None:
    """Killed behind the last new sample: the scores of the folder are still those of the failed one."""
    planned = toy.planned(Diary, [simple(n) for n in range(2)])
    run(planned, quiet=True)
    folder = RunFolder(planned.spec.folder)
    stale = [replace(row, verdict="failed", metrics={"f1": 0.0}) for row in folder.scores()]
    folder.write_scores(stale)
    stored = folder.summary()
    assert stored is not None
    folder.write_summary(replace(stored, basis="of the failed samples", failed=2))
    again = run(planned, quiet=True).summary
    assert (again.headline.value, again.failed, again.requests) == (1.0, 0, 0)
