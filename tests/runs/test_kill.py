"""Killed at any instant and started again: the samples of an undisturbed run, and no finished call asked twice."""

from __future__ import annotations

import contextlib
import json
import os
import random
import sqlite3
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import preloaded
import pytest
from faulty_server import FaultyServer, in_thread
from folders import file_of
from toys import killed_again, reply

pytestmark = pytest.mark.slow
CONCURRENCY = 4


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    """The endpoint in a thread of its own, so that the test can count what it served."""
    with in_thread(FaultyServer(latency=0.1, body=reply, models=[{"id": "tiny", "object": "model"}])) as endpoint:
        yield endpoint


def command(server: FaultyServer, runs: Path) -> list[str]:
    return [
        *("run", "--agent", "memalpha", "--task", "synth-10k", "--limit", "5"),
        *("--model", "tiny", "--base-url", server.url, "--no-cache", "--quiet", "--format", "json"),
        *("--runs-dir", str(runs), "--concurrency", str(CONCURRENCY)),
    ]


def finish(server: FaultyServer, runs: Path, environment: dict[str, str]) -> dict[str, Any]:
    done = preloaded.run(command(server, runs), env=environment)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)["runs"][0]
    return result


def rows(run: dict[str, Any], name: str) -> list[str]:
    return sorted(file_of(Path(run["path"]), name).read_text(encoding="utf-8").splitlines())


def journal(runs: Path) -> int:
    """Calls that are committed."""
    found = 0
    for path in runs.rglob("calls.sqlite"):
        with sqlite3.connect(path) as database, contextlib.suppress(sqlite3.OperationalError):  # killed before the table
            found += database.execute("SELECT count(*) FROM calls").fetchone()[0]
    return found


def test_killed_again_and_again(server: FaultyServer, tmp_path: Path) -> None:
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    undisturbed = finish(server, tmp_path / "undisturbed", environment)
    calls = undisturbed["requests"]
    assert calls == sum(undisturbed["calls"].values()) == len(server.served)
    server.served.clear()

    chance = random.Random(7)
    runs = tmp_path / "killed"
    # somewhere in the work, not in the start of Python
    some = partial(chance.randint, 1, max(1, calls // 5))
    kills = killed_again(command(server, runs), 4, partial(journal, runs), some, environment)
    assert kills >= 2
    finished = journal(runs)
    last = finish(server, runs, environment)
    assert last["requests"] == calls - finished  # exactly what was not committed is asked again
    # at most the calls in flight, or on their way to the disk, are lost
    assert sum(server.served.values()) <= calls + 2 * kills * CONCURRENCY
    for name in ("samples.jsonl", "operations.jsonl", "texts.jsonl", "questions.jsonl", "scores/task.jsonl"):
        assert rows(last, name) == rows(undisturbed, name), name
    ignored = ("path", "memory", "seconds", "build_seconds", "requests", "latency", "ingest_seconds_per_1k")
    assert {k: v for k, v in last.items() if k not in ignored} == {k: v for k, v in undisturbed.items() if k not in ignored}


def test_the_seconds_of_a_killed_invocation_are_counted(tmp_path: Path) -> None:
    """But for the last second and the call in flight, also where it was killed after a few seconds."""
    environment, latency = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}, 0.5
    with in_thread(FaultyServer(latency=latency, body=reply, models=[{"id": "tiny", "object": "model"}])) as server:
        runs = tmp_path / "runs"
        one_by_one = [*command(server, runs)[:-1], "1"]
        assert killed_again(one_by_one, 1, partial(journal, runs), lambda: 8, environment) == 1
        done = preloaded.run(one_by_one, env=environment)
    run = json.loads(done.stdout)["runs"][0]
    assert run["seconds"] >= latency * sum(run["calls"].values()) - 2
