"""Memory folders as users meet them: one memory under several budgets, readers and processes, of a model that never says the
same twice and without the user's cache; generations; agents whose memory cannot be made again."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import random
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import preloaded
import pytest
from faulty_server import FaultyServer, in_thread
from folders import file_of, memory_of, read_json, read_lines, steps
from toys import killed_again

from memeval.commands.run import run_command
from memeval.commands.show import show_command
from memeval.runs.options import Options
from memeval.runs.plan import Planned, plan
from memeval.runs.run import run
from memeval.runs.run_all import anew
from memeval.tokens import counter

AGENT = """
from memeval import Item, Recall

class Rewriter:
    '''One free text, written anew with every chunk, and a look at it before each answer.'''
    def __init__(self, style="plain"):
        self.style = style

    def begin(self, session):
        self.session, self.memory = session, ""
        self.query = session.query.text if session.query else ""

    async def ask(self, text):
        model = self.session.models["memory"]
        return (await model.generate([{"role": "user", "content": text}], temperature=0.7)).text

    async def observe(self, chunk):
        self.memory = await self.ask(f"{self.style} WRITE {self.query} <{self.memory}> {chunk.text}")

    async def recall(self, query):
        return Recall([Item(self.memory + await self.ask(f"LOOK <{self.memory}> {query.text}"))])
"""
VARIANTS = """
questions: 0
chunk_tokens: 24
repeats: 1
sampling: {memory: {temperature: 0.7}, reader: {temperature: 0.7}}
variants:
  many: {answer_budget: 60}
  b12: {answer_budget: 12}
  b4: {answer_budget: 4}
  seen: {query_visible: true}
  seen-b4: {query_visible: true, answer_budget: 4}
"""
BUDGETS = ["diary", "diary@many", "diary@b12", "diary@b4"]
STREAMS, CHUNKS, QUESTIONS = 3, 4, 2  # two questions to a stream, the first asked after half of it


class Moody:
    """Replies that are never the same."""

    def __init__(self) -> None:
        self.number = itertools.count()

    def __call__(self, asked: dict[str, Any]) -> dict[str, Any]:
        text = " ".join(f"word{next(self.number)}" for _ in range(12))
        message = {"role": "assistant", "content": text}
        usage = {"prompt_tokens": 10, "completion_tokens": 20}
        return {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage}


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with in_thread(FaultyServer(body=Moody(), latency=0.01)) as served:
        yield served


@pytest.fixture
def project(project: Path) -> Path:
    lines = []
    for stream in range(STREAMS):
        units = [f"In year {year} the town number {stream} built bridge {year} over its river." for year in range(CHUNKS)]
        questions = [
            {"id": f"early-{stream}", "text": f"What did town {stream} build first?", "answer": "x", "position": 2},
            {"id": f"late-{stream}", "text": f"What did town {stream} build?", "answer": "bridge"},
        ]
        lines.append(json.dumps({"id": f"s{stream}", "units": units, "questions": questions}) + "\n")
    (project / "diary.jsonl").write_text("".join(lines))
    (project / "tasks").mkdir()
    (project / "tasks" / "diary.yaml").write_text(f"source: jsonl\nparams: {{file: ../diary.jsonl}}{VARIANTS}")
    (project / "agent.py").write_text(AGENT)
    return project


def options(server: FaultyServer, tasks: list[str], **rest: Any) -> Options:
    given = {"models": {"model": "moody"}, "base_url": server.url, "quiet": True, "use_cache": False, "concurrency": 2}
    return Options(agents=["agent.py:Rewriter"], tasks=tasks, **{**given, **rest})


def asked(server: FaultyServer) -> Counter[str]:
    """What the server was asked for: to write, to look, to read."""
    prompts = [call["messages"][-1]["content"] for call in server.seen]
    return Counter("write" if " WRITE " in text else "look" if text.startswith("LOOK") else "read" for text in prompts)


def rows(planned: Planned, name: str, *keys: str) -> list[str]:
    lines = read_lines(file_of(planned.spec.folder, f"{name}.jsonl"))
    return sorted(json.dumps({key: line[key] for key in keys or line}, sort_keys=True) for line in lines)


def seen(planned: Planned) -> dict[str, str]:
    """question -> what the reader saw."""
    texts = {line["sha"]: line["text"] for line in read_lines(planned.spec.folder / "texts.jsonl")}
    samples = read_lines(planned.spec.folder / "samples.jsonl")
    return {line["question_id"]: texts[line["recall"][0]["text"]] for line in samples}


ONE = {"write": STREAMS * CHUNKS, "look": STREAMS * QUESTIONS}  # a chunk is a unit: no fork reads an end of its own


def test_four_budgets_cost_one_ingest(project: Path, server: FaultyServer, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = options(server, BUDGETS)
    assert run_command(chosen, fresh=False, form="table") == 0
    assert asked(server) == {**ONE, "read": 4 * STREAMS * QUESTIONS}
    plans = plan(chosen)
    memory = memory_of(plans[0].spec.folder)
    assert memory.parent == project / "runs" / "diary" / "memories"
    assert len(steps(plans[0].spec.folder)) == ONE["write"]
    assert {memory_of(planned.spec.folder) for planned in plans} == {memory}
    assert {path.name for path in plans[0].spec.folder.iterdir()}.isdisjoint({"operations.jsonl"})
    for budget, planned in zip((None, 60, 12, 4), plans, strict=True):
        summary = read_json(planned.spec.folder / "summary.json") or {}
        assert summary["answer_budget"] == budget
        assert summary["calls"] == {"memory": sum(ONE.values()), "reader": STREAMS * QUESTIONS}
        assert summary["requests"] == STREAMS * QUESTIONS + (planned is plans[0]) * sum(ONE.values())
        assert summary["memory"] == f"runs/diary/memories/{memory.name}"
        calls = [line for line in read_lines(planned.spec.folder / "events.jsonl") if line["event"] == "call"]
        phases = Counter(line["phase"] for line in calls)
        assert phases["answer"] == STREAMS * QUESTIONS == len(calls) - (planned is plans[0]) * sum(ONE.values())
    whole = seen(plans[0])
    for budget, planned in zip((60, 12, 4), plans[1:], strict=True):
        count = counter(planned.spec.task.tokenizer)
        assert seen(planned) == {name: count.truncate(text, budget) for name, text in whole.items()}
        assert {count(text) for text in seen(planned).values()} <= {budget, budget - 1} or budget == 60
    printed = capsys.readouterr().out
    assert "diary@b4: f1, streams of " in printed
    assert ", answer budget 4\n" in printed


def test_the_option_and_the_variant_agree(project: Path, server: FaultyServer) -> None:
    (variant,) = plan(options(server, ["diary@b12"]))
    (option,) = plan(options(server, ["diary"], answer_budgets=(12,)))
    (both,) = plan(options(server, ["diary@many"], answer_budgets=(12,)))
    for planned in (variant, option, both):
        summary = run(planned, quiet=True).summary
        assert (summary.answer_budget, planned.spec.budget, planned.spec.recall_budget) == (12, 12, 30_000)
    kept = ("question_id", "recall", "recall_tokens", "recall_dropped", "recall_lost")
    assert rows(variant, "samples", *kept) == rows(option, "samples", *kept) == rows(both, "samples", *kept)
    assert {asked(server)[what] for what in ("write", "look")} == set(ONE.values())


@pytest.mark.parametrize(
    ("other", "shares"),
    [
        ({"models": {"model": "moody", "reader": "other@{url}"}}, True),
        ({"prompts": {"reader": "prompt.txt"}}, True),
        ({"answer_repeats": 2}, True),
        ({"limit": 2}, True),
        ({"repeats": 2}, True),  # its first memory; the second is its own
        ({"models": {"model": "moody", "memory": "other@{url}"}}, False),
        ({"settings": {"style": ["terse"]}}, False),
        ({"seed": 7}, False),
        ({"tasks": ["diary@seen"]}, False),
    ],
)
def test_what_shares_a_memory(project: Path, server: FaultyServer, other: dict[str, Any], shares: bool) -> None:
    (project / "prompt.txt").write_text("Answer from memory.")
    (first,) = plan(options(server, ["diary"]))
    run(first, quiet=True)
    if "models" in other:
        other = {"models": {role: name.format(url=server.url) for role, name in other["models"].items()}}
    (second,) = plan(options(server, **{"tasks": ["diary@b12"], **other}))
    run(second, quiet=True)
    assert (memory_of(first.spec.folder) == memory_of(second.spec.folder)) is shares
    if shares:
        assert asked(server)["write"] == {"repeats": 1, **other}["repeats"] * ONE["write"]


def test_each_repeat_has_a_memory_of_its_own(project: Path, server: FaultyServer) -> None:
    plans = plan(options(server, BUDGETS, repeats=3))
    for planned in plans:
        run(planned, quiet=True)
    assert asked(server) == {**{what: 3 * number for what, number in ONE.items()}, "read": 4 * 3 * STREAMS * QUESTIONS}
    assert len({tuple(rows(planned, "operations")) for planned in plans}) == 1
    texts = {(line["question_id"], line["recall"][0]["text"]) for line in read_lines(plans[0].spec.folder / "samples.jsonl")}
    assert len(texts) == 3 * STREAMS * QUESTIONS  # no two repeats remember alike


def test_a_memory_made_for_its_question_is_shared_too(project: Path, server: FaultyServer) -> None:
    wide, narrow = plan(options(server, ["diary@seen", "diary@seen-b4"]))
    run(wide, quiet=True)
    built = asked(server)
    assert built["write"] == STREAMS * (CHUNKS + 2)  # each question its own reading
    run(narrow, quiet=True)
    assert {what: asked(server)[what] for what in ("write", "look")} == {what: built[what] for what in ("write", "look")}
    assert rows(wide, "operations") == rows(narrow, "operations")


def test_answers_are_each_runs_own(project: Path, server: FaultyServer) -> None:
    """Where two budgets show the same text, the reader is asked twice all the same: only the memory is one."""
    whole, enough = plan(options(server, ["diary", "diary@many"]))
    for planned in (whole, enough):
        run(planned, quiet=True)
    assert seen(whole) == seen(enough)
    assert not set(rows(whole, "samples", "answer")) & set(rows(enough, "samples", "answer"))


def test_the_older_of_two_runs_goes_on_with_what_the_younger_built(project: Path, server: FaultyServer) -> None:
    (small,) = plan(options(server, ["diary"], limit=2))
    run(small, quiet=True)
    (other,) = plan(options(server, ["diary@b4"]))
    run(other, quiet=True)
    (large,) = plan(options(server, ["diary"]))
    assert large.spec.folder == small.spec.folder
    run(large, quiet=True)
    assert asked(server)["write"] == ONE["write"]


def test_several_budgets_of_one_command_are_answered_from_one_recall(project: Path, server: FaultyServer) -> None:
    chosen = options(server, ["diary"], answer_budgets=(60, 12, 4))
    assert run_command(chosen, form="json") == 0
    assert asked(server) == {**ONE, "read": 3 * STREAMS * QUESTIONS}
    plans = plan(chosen)
    assert [planned.spec.budget for planned in plans] == [60, 12, 4]
    assert len({planned.spec.folder for planned in plans}) == 3
    alone = plan(options(server, ["diary@b12"]))
    run(alone[0], quiet=True)
    kept = ("question_id", "recall", "recall_tokens", "recall_dropped", "recall_lost")
    assert rows(alone[0], "samples", *kept) == rows(plans[1], "samples", *kept)
    sources = Counter(
        line["source"] for line in read_lines(plans[1].spec.folder / "events.jsonl") if line["event"] == "call"
    )
    assert sources == {"model": STREAMS * QUESTIONS}  # nothing was read or recalled a second time, not even from the store
    assert run_command(options(server, ["diary"], answer_budgets=(60, 12, 4, 8)), form="json") == 0  # one more
    assert asked(server)["read"] == 5 * STREAMS * QUESTIONS
    assert {asked(server)[what] for what in ("write", "look")} == set(ONE.values())


def test_native_agents_answer_several_budgets_into_their_own_folders(project: Path, server: FaultyServer) -> None:
    (project / "agent.py").write_text(
        f"{AGENT}\n    track = 'native'\n    async def answer(self, query, recall):\n"
        "        return await self.ask(f'ANSWER {query.text}')\n"
    )
    chosen = options(server, ["diary"], answer_budgets=(60, 4))
    assert run_command(chosen, form="json") == 0
    assert asked(server) == {**ONE, "read": 2 * STREAMS * QUESTIONS}
    wide, narrow = plan(chosen)
    assert not set(rows(wide, "samples", "answer")) & set(rows(narrow, "samples", "answer"))
    for planned in (wide, narrow):
        calls = read_lines(planned.spec.folder / "events.jsonl")
        assert sum(line.get("phase") == "answer" for line in calls) == STREAMS * QUESTIONS
        assert (read_json(planned.spec.folder / "summary.json") or {})["calls"] == {
            "memory": sum(ONE.values()) + STREAMS * QUESTIONS
        }


# -- generations ------------------------------------------------------------------------------------------------------


def test_fresh_answers_anew_from_the_same_memory(project: Path, server: FaultyServer) -> None:
    one, other = plan(options(server, ["diary", "diary@b4"]))
    for planned in (one, other):
        run(planned, quiet=True)
    before = {"operations": rows(one, "operations"), "answers": rows(one, "samples", "answer")}
    assert run_command(options(server, ["diary"]), fresh=True, form="json") == 0
    assert rows(one, "operations") == before["operations"]
    assert not set(rows(one, "samples", "answer")) & set(before["answers"])
    assert asked(server) == {**ONE, "read": 3 * STREAMS * QUESTIONS}


def test_fresh_memory_reads_anew_and_other_runs_keep_theirs(project: Path, server: FaultyServer) -> None:
    one, other = plan(options(server, ["diary", "diary@b4"]))
    for planned in (one, other):
        run(planned, quiet=True)
    first = memory_of(one.spec.folder)
    kept = {path.name: path.read_bytes() for path in first.iterdir() if path.suffix in (".json", ".jsonl")}
    before = seen(other)
    assert run_command(options(server, ["diary"]), fresh_memory=True, form="json") == 0
    assert memory_of(one.spec.folder) == first.with_name(f"{first.name}.2")
    assert memory_of(other.spec.folder) == first
    assert {name: (first / name).read_bytes() for name in kept} == kept
    assert asked(server)["write"] == 2 * ONE["write"]
    assert seen(other) == before
    assert all(text not in before[name] for name, text in seen(one).items())
    # the same commands again read back what each has; a new run reads the newest memory
    for task in ("diary", "diary@b4"):
        assert run_command(options(server, [task]), form="json") == 0
    assert run_command(options(server, ["diary@b12"]), form="json") == 0
    (third,) = plan(options(server, ["diary@b12"]))
    assert memory_of(third.spec.folder) == memory_of(one.spec.folder)
    assert asked(server)["write"] == 2 * ONE["write"]
    assert run_command(options(server, ["diary", "diary@b12"]), fresh_memory=True, form="json") == 0
    assert {memory_of(planned.spec.folder).name for planned in (one, third)} == {f"{first.name}.3"}
    assert asked(server)["write"] == 3 * ONE["write"]


@pytest.mark.slow
def test_killed_with_fresh_memory_the_plain_command_finishes_it(project: Path, server: FaultyServer) -> None:
    (one,) = plan(options(server, ["diary"]))
    run(one, quiet=True)
    first = memory_of(one.spec.folder)
    assert killed_again([*command(server, "diary"), "--fresh-memory"], 1, lambda: len(server.seen), lambda: 7) == 1
    done = preloaded.run(command(server, "diary"))
    assert done.returncode == 0, done.stderr
    assert memory_of(one.spec.folder).name == f"{first.name}.2"
    assert asked(server)["write"] <= 2 * ONE["write"] + 2


UNREPLAYABLE = f"{AGENT}\n    replayable = False\n"


def test_a_memory_that_cannot_be_made_again_is_one_commands_alone(
    project: Path, server: FaultyServer, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "agent.py").write_text(UNREPLAYABLE)
    chosen = options(server, ["diary"], answer_budgets=(60, 12))
    assert run_command(chosen, form="table") == 0
    assert "runs of other commands have read another one" in capsys.readouterr().out
    assert asked(server)["write"] == ONE["write"]
    one, two = plan(chosen)
    assert memory_of(one.spec.folder) == memory_of(two.spec.folder)
    assert run_command(options(server, ["diary@b4"]), form="json") == 0
    (other,) = plan(options(server, ["diary@b4"]))
    assert memory_of(other.spec.folder).name == f"{memory_of(one.spec.folder).name}.2"
    assert asked(server)["write"] == 2 * ONE["write"]
    assert run_command(chosen, form="json") == 0  # finished: read back
    assert asked(server)["write"] == 2 * ONE["write"]
    assert run_command(chosen, fresh=True, form="json") == 0
    assert (
        memory_of(one.spec.folder).name == memory_of(two.spec.folder).name == f"{memory_of(other.spec.folder).name[:-2]}.3"
    )
    assert asked(server)["write"] == 3 * ONE["write"]


def test_a_card_may_say_that_a_memory_can_be_made_again(project: Path, server: FaultyServer) -> None:
    (project / "agent.py").write_text(UNREPLAYABLE)
    for word, shares in (("true", True), ("false", False)):
        (project / f"{word}.yaml").write_text(f"agent: agent.py:Rewriter\nreplayable: {word}\n")
        folders = []
        for task in ("diary", "diary@b4"):
            (planned,) = plan(dataclasses.replace(options(server, [task], limit=1), agents=[f"{word}.yaml"]))
            folders.append(run(anew([planned])[0], quiet=True).summary.memory)
        assert (folders[0] == folders[1]) is shares


# -- folders that are missing, moved or cannot be written -------------------------------------------------------------


def test_a_memory_that_is_missing_is_made_again_from_stored_replies(project: Path, server: FaultyServer) -> None:
    (one,) = plan(options(server, ["diary"], use_cache=True))
    first = run(one, quiet=True).summary
    before = rows(one, "operations")
    sent = len(server.seen)
    shutil.rmtree(memory_of(one.spec.folder))
    assert "not in" in show_command([str(one.spec.folder), "late-0"])
    (one,) = plan(options(server, ["diary"], use_cache=True))
    again = run(one, quiet=True).summary
    assert (again.headline, again.requests, len(server.seen)) == (first.headline, 0, sent)
    assert rows(one, "operations") == before


def test_runs_and_memories_can_be_moved_and_read_where_nothing_can_be_written(
    project: Path, server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    (one,) = plan(options(server, ["diary"]))
    first = run(one, quiet=True).summary
    (project / "runs").rename(project / "archive")
    moved = project / "archive" / "diary" / one.spec.folder.name
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)  # what a read-only mount says, also to root
    for name in ("memeval.records.files.write_whole", "memeval.records.appending.lock", "memeval.runs.run.RunWriter"):
        monkeypatch.setattr(name, lambda *args, **options: pytest.fail("written"))
    assert f"memory runs/diary/memories/{memory_of(moved).name}" in show_command([str(moved)])
    assert "after 4 chunks" in show_command([str(moved), "late-0"])
    (there,) = plan(options(server, ["diary"], runs_dir=Path("archive")))
    again = run(there, quiet=True).summary
    assert (again.headline, again.requests, again.path) == (first.headline, 0, f"archive/diary/{one.spec.folder.name}")


# -- several processes ------------------------------------------------------------------------------------------------


def command(server: FaultyServer, *tasks: str) -> list[str]:
    return [
        *("run", "--agent", "agent.py:Rewriter", "--model", "moody"),
        *("--base-url", server.url, "--no-cache", "--quiet", "--format", "json", "--concurrency", "2"),
        *(word for task in tasks for word in ("--task", task)),
    ]


@pytest.mark.slow
def test_runs_at_the_same_time_build_one_memory(project: Path, server: FaultyServer) -> None:
    server.latency = 0.05
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    started = [preloaded.start(command(server, task), **pipes) for task in BUDGETS]
    for process in started:
        _, error = process.communicate()
        assert process.returncode == 0, error
        assert error.count("waiting for another process") <= 1
    plans = plan(options(server, BUDGETS))
    assert asked(server) == {**ONE, "read": 4 * STREAMS * QUESTIONS}
    assert len(steps(plans[0].spec.folder)) == ONE["write"]
    whole = seen(plans[0])
    for planned in plans[1:]:
        assert all(whole[name].startswith(text) for name, text in seen(planned).items())


@pytest.mark.slow
def test_killed_again_and_again(project: Path, server: FaultyServer) -> None:
    chance = random.Random(3)
    kills = killed_again(command(server, *BUDGETS), 5, lambda: len(server.seen), lambda: chance.randint(2, 8))
    assert kills >= 3
    done = preloaded.run(command(server, *BUDGETS))
    assert done.returncode == 0, done.stderr
    plans = plan(options(server, BUDGETS))
    whole = seen(plans[0])
    for planned in plans[1:]:
        assert all(whole[name].startswith(text) for name, text in seen(planned).items())
    # nothing that was committed is sent again: with each kill are lost at most two calls that the server had, and as many
    # replies on their way to the disk
    assert len(server.seen) <= sum(ONE.values()) + 4 * STREAMS * QUESTIONS + 4 * kills
