"""One memory under several answer budgets and readers, of a model that never says the same twice, without the cache."""

from __future__ import annotations

import itertools
import json
import random
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faulty_server import FaultyServer, in_thread
from folders import read_json, read_lines
from toys import killed_again

from memeval.commands.run import run_command
from memeval.runs.options import Options
from memeval.runs.plan import Planned, plan
from memeval.runs.run import run
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
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEMEVAL_CACHE", str(tmp_path / "cache"))
    lines = []
    for stream in range(STREAMS):
        units = [f"In year {year} the town number {stream} built bridge {year} over its river." for year in range(CHUNKS)]
        questions = [
            {"id": f"early-{stream}", "text": f"What did town {stream} build first?", "answer": "x", "position": 2},
            {"id": f"late-{stream}", "text": f"What did town {stream} build?", "answer": "bridge"},
        ]
        lines.append(json.dumps({"id": f"s{stream}", "units": units, "questions": questions}) + "\n")
    (tmp_path / "diary.jsonl").write_text("".join(lines))
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "diary.yaml").write_text(f"source: jsonl\nparams: {{file: ../diary.jsonl}}{VARIANTS}")
    (tmp_path / "agent.py").write_text(AGENT)
    return tmp_path


def options(server: FaultyServer, tasks: list[str], **rest: Any) -> Options:
    given = {"models": {"model": "moody"}, "base_url": server.url, "quiet": True, "use_cache": False, "concurrency": 2}
    return Options(agents=["agent.py:Rewriter"], tasks=tasks, **{**given, **rest})


def asked(server: FaultyServer) -> Counter[str]:
    """What the server was asked for: to write, to look, to read."""
    prompts = [call["messages"][-1]["content"] for call in server.seen]
    return Counter("write" if " WRITE " in text else "look" if text.startswith("LOOK") else "read" for text in prompts)


def rows(planned: Planned, name: str, *keys: str) -> list[str]:
    lines = read_lines(planned.spec.folder / f"{name}.jsonl")
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
    first = plans[0].spec.folder
    assert len(rows(plans[0], "operations")) == ONE["write"]
    for planned in plans[1:]:
        assert rows(planned, "operations") == rows(plans[0], "operations")
    for budget, planned in zip((None, 60, 12, 4), plans, strict=True):
        summary = read_json(planned.spec.folder / "summary.json") or {}
        assert summary["answer_budget"] == budget
        assert summary["calls"] == {"memory": sum(ONE.values()), "reader": STREAMS * QUESTIONS}
        assert summary["requests"] == STREAMS * QUESTIONS + (planned is plans[0]) * sum(ONE.values())
        shared = {} if planned is plans[0] else {f"diary/{first.name}": sum(ONE.values())}
        assert summary["memory_from"] == shared
        for line in read_lines(planned.spec.folder / "events.jsonl"):
            assert line.get("run") is None or (line["source"], line["attempts"]) == ("journal", 0)
    whole = seen(plans[0])
    for budget, planned in zip((60, 12, 4), plans[1:], strict=True):
        count = counter(planned.spec.task.tokenizer)
        assert seen(planned) == {name: count.truncate(text, budget) for name, text in whole.items()}
        assert {count(text) for text in seen(planned).values()} <= {budget, budget - 1} or budget == 60
    printed = capsys.readouterr().out
    assert f"on diary@b4: memory shared with diary/{first.name} ({sum(ONE.values())} calls not sent again)" in printed
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
        ({"settings": ["style=terse"]}, False),
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
    summary = run(second, quiet=True).summary
    assert bool(summary.memory_from) is shares
    same = first.spec.ingest_identity() == second.spec.ingest_identity()
    assert same is shares
    if shares and "limit" not in other:
        again = {"repeats": 1, **other}["repeats"]
        assert asked(server)["write"] == again * ONE["write"]
        assert set(rows(first, "operations")) <= set(rows(second, "operations"))


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


def test_fresh_reads_the_memory_that_another_run_holds(project: Path, server: FaultyServer) -> None:
    one, other = plan(options(server, ["diary", "diary@b4"]))
    for planned in (one, other):
        run(planned, quiet=True)
    before = rows(one, "operations")
    summary = run(one, fresh=True, quiet=True).summary
    assert summary.memory_from == {f"diary@b4/{other.spec.folder.name}": sum(ONE.values())}
    assert rows(one, "operations") == before
    assert asked(server)["write"] == ONE["write"]
    assert run_command(options(server, ["diary", "diary@b4"]), fresh=True, form="json") == 0  # all of them: built anew
    assert asked(server)["write"] == 2 * ONE["write"]
    assert rows(one, "operations") == rows(other, "operations")
    assert rows(one, "samples", "recall") != before


def test_the_older_of_two_runs_goes_on_with_what_the_younger_built(project: Path, server: FaultyServer) -> None:
    (small,) = plan(options(server, ["diary"], limit=2))
    run(small, quiet=True)
    (other,) = plan(options(server, ["diary@b4"]))
    run(other, quiet=True)
    (large,) = plan(options(server, ["diary"]))
    assert large.spec.folder == small.spec.folder
    run(large, quiet=True)
    assert asked(server)["write"] == ONE["write"]
    assert rows(large, "operations") == rows(other, "operations")


@pytest.mark.parametrize("damage", ["cut", "foreign", "gone", "manifest", "version"])
def test_a_sibling_of_no_use_is_left_alone(
    project: Path, server: FaultyServer, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    one, other = plan(options(server, ["diary", "diary@b4"]))
    run(one, quiet=True)
    folder = one.spec.folder
    journal = folder / "calls.sqlite"
    if damage == "cut":
        for tail in ("-wal", "-shm"):
            Path(f"{journal}{tail}").unlink(missing_ok=True)
        journal.write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    elif damage == "foreign":
        journal.unlink()
        with sqlite3.connect(journal) as database:
            database.execute("CREATE TABLE calls (key, value)")
    elif damage == "gone":
        journal.unlink()
    elif damage == "manifest":
        (folder / "manifest.json").write_text("{")
    else:
        known = read_json(folder / "manifest.json") or {}
        del known["ingest_hash"]
        (folder / "manifest.json").write_text(json.dumps(known))
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    summary = run(other, quiet=True).summary
    assert (summary.status, summary.memory_from) == ("complete", {})
    assert asked(server)["write"] == 2 * ONE["write"]
    error = capsys.readouterr().err
    assert ("cannot be shared" in error) is (damage in ("cut", "foreign"))
    assert error.count("\n") <= 1
    for path, content in before.items():
        assert path.read_bytes() == content  # nothing of another run is ever written


# -- several processes ------------------------------------------------------------------------------------------------


def command(server: FaultyServer, *tasks: str) -> list[str]:
    return [
        *(sys.executable, "-m", "memeval.cli", "run", "--agent", "agent.py:Rewriter", "--model", "moody"),
        *("--base-url", server.url, "--no-cache", "--quiet", "--format", "json", "--concurrency", "2"),
        *(word for task in tasks for word in ("--task", task)),
    ]


def test_runs_at_the_same_time_build_one_memory(project: Path, server: FaultyServer) -> None:
    server.latency = 0.05
    started = [
        subprocess.Popen(command(server, task), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for task in BUDGETS
    ]
    for process in started:
        _, error = process.communicate(timeout=60)
        assert process.returncode == 0, error
    plans = plan(options(server, BUDGETS))
    assert asked(server)["write"] == ONE["write"]
    for planned in plans[1:]:
        assert rows(planned, "operations") == rows(plans[0], "operations")
    assert seen(plans[3]).keys() == seen(plans[0]).keys()


def test_killed_again_and_again(project: Path, server: FaultyServer) -> None:
    chance = random.Random(3)
    kills = killed_again(command(server, *BUDGETS), 5, lambda: len(server.seen), lambda: chance.randint(2, 8))
    assert kills >= 3
    done = subprocess.run(command(server, *BUDGETS), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    plans = plan(options(server, BUDGETS))
    assert len({tuple(rows(planned, "operations")) for planned in plans}) == 1
    whole = seen(plans[0])
    for planned in plans[1:]:
        assert all(whole[name].startswith(text) for name, text in seen(planned).items())
    # nothing that was committed is sent again: at most the two calls in flight are lost with each kill
    assert len(server.seen) <= sum(ONE.values()) + 4 * STREAMS * QUESTIONS + 2 * kills
