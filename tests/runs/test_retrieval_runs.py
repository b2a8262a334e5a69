"""`dense` as a command: its embedding calls are booked, priced, kept and limited like any other, and none is made twice."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import preloaded
import pytest
from aiohttp import web
from faulty_server import FaultyServer, in_thread
from folders import read_json

STREAMS = 3
TOWNS = ("Arlen", "Castro", "Delmar")


class Embedding(FaultyServer):
    """Counts the texts that were embedded. Vectors are counts of letters."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: Counter[str] = Counter()
        self.batches: list[int] = []

    async def _embed(self, request: web.Request) -> web.Response:
        texts = json.loads(await request.read())["input"]
        self.texts.update(texts)
        self.batches.append(len(texts))
        rows = [{"index": at, "embedding": [text.lower().count(c) for c in "aeiorstln"]} for at, text in enumerate(texts)]
        usage = {"prompt_tokens": sum(len(text.split()) for text in texts)}
        return web.json_response({"data": rows, "model": "e5", "usage": usage})


@pytest.fixture
def server() -> Iterator[Embedding]:
    with in_thread(Embedding()) as served:
        yield served  # type: ignore[misc]


@pytest.fixture
def project(project: Path) -> Path:
    lines = []
    for number, town in enumerate(TOWNS):
        units = [f"In {1900 + year} the town of {town} built bridge {year}. It was made of stone." for year in range(8)]
        question = {"id": f"q{number}", "text": f"What did {town} build in 1903?", "answer": "bridge 3"}
        lines.append(json.dumps({"id": f"s{number}", "units": units, "questions": [question]}) + "\n")
    (project / "towns.jsonl").write_text("".join(lines))
    (project / "towns.yaml").write_text("source: jsonl\nparams: {file: towns.jsonl}\nquestions: 0\nchunk_tokens: 64\n")
    (project / "memeval.yaml").write_text("prices: {e5: {prompt: 1000000, completion: 0}}\n")  # USD 1 a token
    return project


def dense(server: Embedding, *words: str) -> dict[str, Any]:
    given = ("--set", "passage=20", "--set", "overlap=0", "--set", "k=2", "--embedder", f"e5@{server.url}")
    command = ["run", "--agent", "dense", "--task", "towns.yaml", "--model", "offline", *given, "--format", "json", *words]
    done = preloaded.run(command)
    assert done.returncode in (0, 3), done.stderr
    found: dict[str, Any] = json.loads(done.stdout)["runs"][0]
    return found


def test_embedding_calls_are_booked_and_priced(project: Path, server: Embedding) -> None:
    found = dense(server)
    assert (found["status"], found["embedder"]) == ("complete", "e5")
    texts = 8 * STREAMS + STREAMS  # each unit is a passage of its own, and each question a text
    assert sum(server.texts.values()) == texts
    assert found["calls"] == {"embedder": len(server.batches), "reader": STREAMS}
    assert max(server.batches) > 1  # the passages of a chunk go together
    words = sum(len(text.split()) * times for text, times in server.texts.items())
    assert found["tokens_by_role"]["embedder"]["prompt"] == words
    assert found["cost"]["usd_by_role"]["embedder"] == pytest.approx(words)


def test_a_run_that_was_stopped_embeds_nothing_twice(project: Path, server: Embedding) -> None:
    first = dense(server, "--max-calls", "7", "--no-cache", "--concurrency", "1")
    assert first["status"] == "partial"
    assert 0 < sum(server.texts.values()) < 8 * STREAMS
    second = dense(server, "--no-cache")
    assert second["status"] == "complete"
    assert set(server.texts.values()) == {1}
    assert sum(server.texts.values()) == 8 * STREAMS + STREAMS
    sent = len(server.batches)
    assert dense(server, "--no-cache")["requests"] == 0
    assert len(server.batches) == sent


def test_vectors_are_kept_in_the_users_cache(project: Path, server: Embedding) -> None:
    first = dense(server)
    sent = len(server.batches)
    again = dense(server, "--runs-dir", "elsewhere")
    assert len(server.batches) == sent
    assert again["headline"] == first["headline"]
    assert (read_json(Path(again["path"]) / "summary.json") or {})["calls"] == first["calls"]
