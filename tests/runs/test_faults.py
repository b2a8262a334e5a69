"""Whole runs against an endpoint that misbehaves: the results of a run without faults, nothing lost and nothing doubled."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from faulty_server import FAULTS, FaultyServer, first, in_thread, mixed
from folders import file_of, run_folders
from toys import reply

from memeval.commands.run import run_command
from memeval.models.calls import CallSettings
from memeval.models.gateway import Gateway
from memeval.models.limits import Policy
from memeval.runs import run_context
from memeval.runs.options import Options

QUESTIONS = 8
CONCURRENCY = 4
FILES = ("samples.jsonl", "operations.jsonl", "texts.jsonl", "questions.jsonl", "scores/task.jsonl")
QUICK = Policy(first_wait=0.002, longest_wait=0.02)
IMPATIENT = replace(QUICK, timeout=0.5)
"""For servers that hang. A good reply may take longer on a busy machine: it is asked for again, and nothing else differs."""


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> Callable[[Policy], None]:
    """`patience(policy)`: the limits of every run from here on."""

    def set_to(policy: Policy) -> None:
        def gateway(settings: CallSettings, *rest: Any) -> Gateway:
            return Gateway(replace(settings, policy=policy), *rest)

        monkeypatch.setattr(run_context, "Gateway", gateway)

    return set_to


def options(url: str, runs: Path) -> Options:
    return Options(
        agents=["memalpha"],
        tasks=["synth-10k"],
        models={"model": "tiny"},
        base_url=url,
        limit=QUESTIONS,
        concurrency=CONCURRENCY,
        use_cache=False,
        runs_dir=runs,
        quiet=True,
    )


def execute(url: str, runs: Path) -> int:
    """`memeval run`, in this process; returns the exit code."""
    return run_command(options(url, runs), fresh=False, form="json")


def folder(runs: Path) -> Path:
    (found,) = run_folders(runs)
    return found


def rows(runs: Path, name: str) -> list[str]:
    return sorted(file_of(folder(runs), name).read_text(encoding="utf-8").splitlines())


def summary(runs: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder(runs) / "summary.json").read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The run without faults: its folder, and what the endpoint served."""
    runs = tmp_path_factory.mktemp("clean")
    with in_thread(FaultyServer(body=reply)) as endpoint:
        assert execute(endpoint.url, runs) == 0
    assert endpoint.attempts == endpoint.served
    assert set(endpoint.served.values()) == {1}
    return {"runs": runs, "served": endpoint.served}


def assert_equal(runs: Path, clean: dict[str, Any]) -> None:
    for name in FILES:
        assert rows(runs, name) == rows(clean["runs"], name), name
    assert len(set(rows(runs, "samples.jsonl"))) == QUESTIONS


@pytest.mark.parametrize(
    "fault",  # each fault of one call: tests/models/test_endpoint.py
    [
        pytest.param(fault, marks=[pytest.mark.slow] * (fault not in ("500", "reset", "damaged-arguments")))
        for fault in FAULTS
        if fault not in ("hang", "drip")
    ],
)
def test_each_fault_at_the_first_attempt_of_every_prompt(
    fault: str, tmp_path: Path, clean: dict[str, Any], patience: Any
) -> None:
    patience(QUICK)
    with in_thread(FaultyServer(first(1, fault), body=reply)) as endpoint:
        assert execute(endpoint.url, tmp_path) == 0
    assert_equal(tmp_path, clean)
    assert endpoint.served == clean["served"]
    attempts = 1 if fault == "damaged-arguments" else 2  # repaired, not repeated
    assert set(endpoint.attempts.values()) == {attempts}
    assert summary(tmp_path)["requests"] == endpoint.attempts.total()


def test_a_mixture_of_faults_in_a_fifth_of_all_attempts(tmp_path: Path, clean: dict[str, Any], patience: Any) -> None:
    patience(IMPATIENT)
    with in_thread(FaultyServer(mixed(0.2), body=reply)) as endpoint:
        assert execute(endpoint.url, tmp_path) == 0
    assert_equal(tmp_path, clean)
    assert endpoint.served.keys() == clean["served"].keys()
    assert endpoint.attempts.total() > 1.1 * endpoint.served.total()
    assert summary(tmp_path)["requests"] == endpoint.attempts.total()


@pytest.mark.parametrize("fault", ["hang", pytest.param("drip", marks=pytest.mark.slow)])
def test_a_fault_that_takes_time_in_a_fifth_of_all_attempts(
    fault: str, tmp_path: Path, clean: dict[str, Any], patience: Any
) -> None:
    """Some prompts meet it twice and more."""
    patience(IMPATIENT)
    with in_thread(FaultyServer(mixed(0.2, (fault,)), body=reply)) as endpoint:
        assert execute(endpoint.url, tmp_path) == 0
    assert max(endpoint.attempts.values()) > 2
    assert_equal(tmp_path, clean)


@pytest.mark.parametrize("fault", ["500", "hang", "400"])
def test_a_poisoned_context_stops_nobody_else(fault: str, tmp_path: Path, clean: dict[str, Any], patience: Any) -> None:
    patience(IMPATIENT)
    samples = [json.loads(line) for line in rows(clean["runs"], "samples.jsonl")]
    marker = next(prompt for prompt in clean["served"] if "<new_chunk>" in prompt).split("<new_chunk>")[1][:200]
    poisoned = lambda prompt, attempt: fault if marker in prompt else None  # noqa: E731
    with in_thread(FaultyServer(poisoned, body=reply)) as endpoint:
        code = execute(endpoint.url, tmp_path)
    found = [json.loads(line) for line in rows(tmp_path, "samples.jsonl")]
    failed = [line for line in found if line["failure"] is not None]
    assert len(found) == QUESTIONS
    assert len(failed) == 1
    assert failed[0]["failure"].startswith("ingest: memory: ")
    assert failed[0]["answer"] is None
    keep = lambda lines: [line for line in lines if line["question_id"] != failed[0]["question_id"]]  # noqa: E731
    assert keep(found) == keep(samples)
    verdicts = {json.loads(line)["question_id"]: json.loads(line)["verdict"] for line in rows(tmp_path, "scores/task.jsonl")}
    assert [name for name, verdict in verdicts.items() if verdict == "failed"] == [failed[0]["question_id"]]
    assert (code, summary(tmp_path)["status"], summary(tmp_path)["failed"]) == (0, "complete", 1)  # one of eight may
    with in_thread(FaultyServer(body=reply)) as healed:
        assert execute(healed.url, tmp_path) == 0
    assert_equal(tmp_path, clean)  # failed samples are tried again, and only they
    assert sum(summary(tmp_path)["calls"].values()) > healed.served.total() > 0


@pytest.mark.slow
def test_two_contexts_that_hang_are_not_a_dead_endpoint(tmp_path: Path, clean: dict[str, Any], patience: Any) -> None:
    patience(IMPATIENT)
    first_chunks = [
        prompt for prompt in clean["served"] if "Semantic memory (the newest 0 of 0)" in prompt
    ]  # one of each context
    contexts = {json.loads(line)["context_id"] for line in rows(clean["runs"], "samples.jsonl")}
    hang = lambda prompt, attempt: "hang" if any(mark in prompt for mark in marked) else None  # noqa: E731
    marked = [prompt.split("<new_chunk>")[1][:200] for prompt in first_chunks[:2]]
    with in_thread(FaultyServer(hang, body=reply)) as endpoint:
        execute(endpoint.url, tmp_path)
    found = [json.loads(line) for line in rows(tmp_path, "samples.jsonl")]
    failed = {line["context_id"] for line in found if line["failure"] is not None}
    assert {line["context_id"] for line in found} == contexts  # nobody was stopped
    assert len(failed) == 2
    assert summary(tmp_path)["status"] in ("complete", "invalid")


def test_an_endpoint_that_dies_stops_the_run_and_the_same_command_finishes_it(
    tmp_path: Path, clean: dict[str, Any], patience: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    patience(replace(QUICK, wait=0.6))

    def last_words(asked: dict[str, Any]) -> dict[str, Any]:
        if endpoint.served.total() == 15:
            stops.append(asyncio.get_running_loop().create_task(endpoint.stop()))
        return reply(asked)

    stops: list[asyncio.Task[None]] = []
    endpoint = FaultyServer(body=last_words)
    capsys.readouterr()
    with in_thread(endpoint):
        code = execute(endpoint.url, tmp_path)
    out, err = capsys.readouterr()
    assert code == 3
    assert json.loads(out)["runs"][0]["status"] == summary(tmp_path)["status"] == "partial"
    (line,) = err.splitlines()
    assert line.startswith(f"memeval: stopped: {endpoint.url}: nothing has come from it: ")
    assert "the same command resumes" in line
    assert "cannot connect" in line
    before = endpoint.served.total()
    assert 15 < before < clean["served"].total()
    with in_thread(endpoint):  # on the same port
        assert execute(endpoint.url, tmp_path) == 0
    assert_equal(tmp_path, clean)
    assert endpoint.served.keys() == clean["served"].keys()
    assert endpoint.served.total() <= clean["served"].total() + CONCURRENCY  # at most what was in the air is asked again


@pytest.mark.parametrize("fault", ["500", "reset", "html"])
def test_an_endpoint_that_answers_with_nothing_but_faults(
    fault: str, tmp_path: Path, patience: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    patience(replace(QUICK, wait_at_start=0.5))
    capsys.readouterr()
    with in_thread(FaultyServer(lambda prompt, attempt: fault, body=reply)) as endpoint:
        assert execute(endpoint.url, tmp_path) == 3
    out, err = capsys.readouterr()
    assert json.loads(out)["runs"][0]["status"] == "partial"
    (line,) = err.splitlines()
    assert line.startswith(f"memeval: stopped: {endpoint.url}: ")


class Hanging(FaultyServer):
    """Hangs with all its routes once it has given `good` replies."""

    def __init__(self, good: int) -> None:
        faults = lambda prompt, attempt: "hang" if self.served.total() >= good else None  # noqa: E731
        super().__init__(faults, body=reply, models=[])
        self.good = good

    async def _list(self, request: Any) -> Any:
        await asyncio.sleep(3600 if self.served.total() >= self.good else 0)
        return await super()._list(request)


@pytest.mark.parametrize(
    ("good", "concurrency"),
    [pytest.param(0, 4, marks=pytest.mark.slow), pytest.param(15, 1, marks=pytest.mark.slow), (15, 16)],
)
def test_an_endpoint_that_hangs_for_ever_stops_the_run_long_before_its_calls_time_out(
    good: int, concurrency: int, tmp_path: Path, clean: dict[str, Any], patience: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    patience(replace(QUICK, timeout=3600.0, wait=1.0, wait_at_start=1.0, look=0.2))
    capsys.readouterr()
    endpoint = Hanging(good)
    with in_thread(endpoint):
        assert run_command(replace(options(endpoint.url, tmp_path), concurrency=concurrency), fresh=False, form="json") == 3
    out, err = capsys.readouterr()
    assert json.loads(out)["runs"][0]["status"] == "partial"
    (line,) = err.splitlines()
    assert "nothing has come from it" in line
    assert not any(json.loads(row)["failure"] for row in rows(tmp_path, "samples.jsonl"))
    patience(QUICK)
    with in_thread(FaultyServer(body=reply)) as healed:
        assert execute(healed.url, tmp_path) == 0
    assert_equal(tmp_path, clean)


@pytest.mark.parametrize(
    ("contexts", "concurrency"),
    [(20, 4), *(pytest.param(*case, marks=pytest.mark.slow) for case in [(1, 1), (2, 16), (4, 1)])],
)
def test_one_prompt_that_hangs_among_some_contexts(contexts: int, concurrency: int, tmp_path: Path, patience: Any) -> None:
    """`bm25` calls the reader alone, once a question."""
    patience(IMPATIENT)
    bad: list[str] = []

    def poisoned(prompt: str, attempt: int) -> str | None:
        bad[:] = bad or [prompt]  # the first that comes
        return "hang" if prompt == bad[0] else None

    with in_thread(FaultyServer(poisoned, body=reply)) as endpoint:
        asked = replace(options(endpoint.url, tmp_path), agents=["bm25"], limit=contexts, concurrency=concurrency)
        run_command(asked, fresh=False, form="json")
    failures = [json.loads(row)["failure"] for row in rows(tmp_path, "samples.jsonl")]
    assert len(failures) == contexts
    assert sum(failure is not None for failure in failures) == 1
    assert summary(tmp_path)["status"] == "complete"  # one may fail


def test_an_endpoint_that_never_was(tmp_path: Path, patience: Any, capsys: pytest.CaptureFixture[str]) -> None:
    patience(replace(QUICK, wait_at_start=0.5))
    with socket.socket() as taken:  # bound and not listening: nobody else gets the port
        taken.bind(("127.0.0.1", 0))
        code = execute(f"http://127.0.0.1:{taken.getsockname()[1]}/v1", tmp_path)
    out, err = capsys.readouterr()
    assert code == 3
    assert len(err.splitlines()) == 1
    assert "cannot connect" in err
    run = json.loads(out)["runs"][0]
    assert (run["status"], run["n"], run["failed"], run["headline"]["value"]) == ("partial", 0, 0, None)


def test_a_key_that_is_refused_stops_at_once(
    tmp_path: Path, clean: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MEMEVAL_API_KEY", "sk-old-0123456789")
    with in_thread(FaultyServer(body=reply, key="sk-new-0123456789")) as endpoint:
        assert execute(endpoint.url, tmp_path) == 3  # with the real policy, which would wait for minutes
        assert 1 <= len(endpoint.seen) <= CONCURRENCY
        out, err = capsys.readouterr()
        assert summary(tmp_path)["status"] == "partial"
        (line,) = err.splitlines()
        assert "HTTP 401" in line
        assert "check the key in MEMEVAL_API_KEY" in line
        assert "0123456789" not in out + err
        monkeypatch.setenv("MEMEVAL_API_KEY", "sk-new-0123456789")
        assert execute(endpoint.url, tmp_path) == 0
    assert_equal(tmp_path, clean)
    assert not [path for path in folder(tmp_path).rglob("*") if path.is_file() and b"0123456789" in path.read_bytes()]
