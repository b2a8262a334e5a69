"""An agent that reaches its model over HTTP, as programs in other processes do, through whole runs."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import Any

import pytest
from faulty_server import FaultyServer, always, in_thread
from folders import read_lines, steps
from toys import simple

from memeval import Item, Recall
from memeval.models.completion import ModelSpec
from memeval.models.proxy.server import Proxy
from memeval.runs.run import run
from memeval.runs.run_all import anew

PROGRAM = """
import json, sys, urllib.error, urllib.request
for line in sys.stdin:
    asked = json.loads(line)
    body = {"model": "memory", "messages": [{"role": "user", "content": asked["text"]}], "temperature": 0}
    headers = {"Authorization": "Bearer " + asked["token"], "Content-Type": "application/json"}
    request = urllib.request.Request(asked["url"] + "/chat/completions", json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request) as response:
            said = json.load(response)["choices"][0]["message"]["content"]
    except urllib.error.HTTPError as error:
        said = "?"
    print(json.dumps(said), flush=True)
"""


class Remote:
    """Asks its program what to remember of each chunk. The program carries on whatever the model's server says."""

    fork = None

    async def begin(self, session: Any) -> None:
        self.notes: list[tuple[str, str]] = []
        self.proxy = await Proxy(session.models).__aenter__()
        self.start()

    def start(self) -> None:
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.program = subprocess.Popen([sys.executable, "-c", PROGRAM], **pipes)

    async def observe(self, chunk: Any) -> None:
        with self.proxy.step():
            self.notes.append((await asyncio.to_thread(self.ask, chunk.text), chunk.id))

    def ask(self, text: str) -> str:
        assert self.program.stdin is not None
        assert self.program.stdout is not None
        line = json.dumps({"text": text, "token": self.proxy.token, "url": self.proxy.base_url})
        self.program.stdin.write(f"{line}\n")
        self.program.stdin.flush()
        said: str = json.loads(self.program.stdout.readline())
        return said

    def recall(self, query: Any) -> Recall:
        return Recall([Item(text, (chunk,)) for text, chunk in self.notes])

    async def close(self) -> None:
        self.program.communicate()
        await self.proxy.__aexit__()


def models(url: str) -> dict[str, ModelSpec]:
    return {"memory": ModelSpec("tiny", url), "reader": ModelSpec("offline")}


def test_its_calls_are_booked_in_the_steps_that_made_them(toy: Any) -> None:
    with in_thread(FaultyServer()) as server:
        planned = toy.planned(Remote, [simple(n) for n in range(3)], models=models(server.url))
        outcome = run(planned, quiet=True)
        (fresh,) = anew([planned], fresh=True)
        again = run(fresh, quiet=True)
    assert (outcome.summary.status, outcome.summary.headline.value) == ("complete", 1.0)  # the server echoes
    operations = steps(planned.spec.folder)
    assert len(operations) == outcome.summary.calls["memory"] == len(set(server.served)) > 3
    for line in operations:
        assert line["calls"] == {"memory": 1}
        assert line["tokens"]["memory"]["completion"] == 7
    assert outcome.summary.calls["reader"] == 3
    assert again.summary.requests == 3  # only the reader's: the proxy is behind the same cache as everybody
    assert again.summary.calls == outcome.summary.calls


def test_its_memory_is_shared_with_runs_of_other_budgets(toy: Any) -> None:
    with in_thread(FaultyServer()) as server:
        shared = {"models": models(server.url), "use_cache": False}
        first = run(toy.planned(Remote, [simple(0)], **shared), quiet=True)
        calls = len(server.seen)
        second = run(toy.planned(Remote, [simple(0)], **shared, answer_budget=5), quiet=True)
    assert calls == len(server.seen) == first.summary.calls["memory"]
    assert second.summary.memory == first.summary.memory


def test_a_failed_call_fails_the_question_though_the_program_carried_on(toy: Any) -> None:
    with in_thread(FaultyServer(always("400"))) as server:
        planned = toy.planned(Remote, [simple(0)], models=models(server.url))
        outcome = run(planned, quiet=True)
    (sample,) = read_lines(planned.spec.folder / "samples.jsonl")
    assert sample["failure"] == "ingest: memory: HTTP 400: trouble 400"
    assert outcome.summary.failed == 1


def test_a_key_that_is_refused_stops_the_run_though_the_program_carried_on(
    toy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMEVAL_API_KEY", "sk-old-0123456789")
    with in_thread(FaultyServer(key="sk-new-0123456789")) as server:
        planned = toy.planned(Remote, [simple(0), simple(1)], models=models(server.url), concurrency=1)
        outcome = run(planned, quiet=True)
    assert outcome.stopped is not None
    assert "check the key" in outcome.stopped
    assert outcome.summary.status == "partial"
    assert len(server.seen) == 1
