"""Retrieval by vectors: a small agent of a user's own over the role `embedder`."""

from __future__ import annotations

import asyncio
import copy
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from gateways import gateway

from memeval.agent import Chunk, Item, Query, Recall, Session
from memeval.models import bound, usage
from memeval.models.completion import ModelSpec
from memeval.models.usage import Ledger


class Dense:
    """Recalls the k chunks whose vectors are nearest to the question's."""

    concurrent = True

    def __init__(self, k: int = 1) -> None:
        self.k = k

    def begin(self, session: Session) -> None:
        self.embedder = session.models["embedder"]
        self.chunks: list[Chunk] = []
        self.vectors = np.zeros((0, 0), np.float32)

    async def observe(self, chunk: Chunk) -> None:
        vectors = await self.embedder.embed([chunk.text])
        self.vectors = np.concatenate([self.vectors, vectors]) if self.chunks else vectors
        self.chunks.append(chunk)

    async def recall(self, query: Query) -> Recall:
        (question,) = await self.embedder.embed([query.text])
        scores = self.vectors @ question
        best = np.argsort(-scores, kind="stable")[: self.k]
        return Recall([Item(self.chunks[n].text, (self.chunks[n].id,), score=float(scores[n])) for n in best])


class PlainDense(Dense):
    """The same with plain methods, as they run in a worker thread."""

    def observe(self, chunk: Chunk) -> None:  # type: ignore[override]
        vectors = self.embedder.embed_sync([chunk.text])
        self.vectors = np.concatenate([self.vectors, vectors]) if self.chunks else vectors
        self.chunks.append(chunk)

    def recall(self, query: Query) -> Recall:  # type: ignore[override]
        (question,) = self.embedder.embed_sync([query.text])
        best = int(np.argmax(self.vectors @ question))
        return Recall([Item(self.chunks[best].text, (self.chunks[best].id,))])


FACTS = ["Ann Lee was born in Arlen.", "The harvest failed in Castro.", "Bob Ray paints ships.", "A comet was seen."]
QUESTIONS = {"Where was Ann Lee born?": "c0", "Who paints ships?": "c2", "What failed in Castro?": "c1"}


def ask(kind: type[Dense], folder: Path) -> tuple[dict[str, str], Ledger, Dense]:
    """question -> id of the chunk that was recalled."""

    async def main() -> tuple[dict[str, str], Ledger, Dense]:
        loop = asyncio.get_running_loop()
        door, spec, ledger = gateway(), ModelSpec("offline"), Ledger("ingest")

        route = bound.open_route(partial(door.call, spec), loop)
        models = {"embedder": bound.BoundModel("offline", "embedder", route)}
        usage.current.set(ledger)
        session = Session(models, 1, folder, 1000, lambda text: len(text.split()), lambda event: None)
        agent = kind()
        agent.begin(session)

        async def step(method, argument):
            if asyncio.iscoroutinefunction(method):
                return await method(argument)
            return await asyncio.to_thread(method, argument)

        try:
            for number, text in enumerate(FACTS):
                await step(agent.observe, Chunk(f"c{number}", text))
            fork = copy.deepcopy(agent)
            found = {question: (await step(fork.recall, Query(question))).items[0].chunks[0] for question in QUESTIONS}
        finally:
            bound.close_route(route)
            await door.close()
        return found, ledger, agent

    return asyncio.run(main())


@pytest.mark.parametrize("kind", [Dense, PlainDense])
def test_the_nearest_chunk_is_recalled_and_every_embedding_is_booked(kind, tmp_path):
    found, ledger, agent = ask(kind, tmp_path)
    assert found == QUESTIONS
    assert ledger.calls == {"embedder": len(FACTS) + len(QUESTIONS)}
    letters = [len(text) for text in [*FACTS, *QUESTIONS]]
    assert ledger.tokens["embedder"].prompt == sum(-(-count // 4) for count in letters)
    assert agent.vectors.shape == (4, 512)
