"""Small tasks held in memory, and an agent that keeps everything it is shown."""

from __future__ import annotations

import hashlib
import json
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import preloaded

from memeval import Item, Recall
from memeval.cards import TaskCard
from memeval.task import Context, ContextRef, Evidence, Question, Unit


class MemoryTask:
    """A task over contexts that exist already."""

    def __init__(self, contexts: Sequence[Context], card: TaskCard | None = None) -> None:
        self.card = card or TaskCard(name="toy", source="toy", chunk_tokens=32, questions=0)
        self.data = {"contexts": len(contexts)}
        self._contexts = {context.id: context for context in contexts}
        self.order = [question.id for context in contexts for question in context.questions]

    def refs(self, question_ids: Sequence[str]) -> list[ContextRef]:
        asked = set(question_ids)
        found = [(c.id, tuple(q.id for q in c.questions if q.id in asked)) for c in self._contexts.values()]
        if self.card.query_visible:
            return [ContextRef(context, (name,), name) for context, names in found for name in names]
        return [ContextRef(context, names) for context, names in found if names]

    def context(self, ref: ContextRef) -> Context:
        return self._contexts[ref.context_id]

    def golds(self) -> list[Question]:
        return [question for context in self._contexts.values() for question in context.questions]


class Diary:
    """An agent that keeps every chunk and recalls them all; `log` is what it was shown, for comparison."""

    def begin(self, session: Any) -> None:
        self.session = session
        self.chunks: list[Any] = []
        self.finished = False

    def observe(self, chunk: Any) -> None:
        assert not self.finished
        self.chunks.append(chunk)

    def finish(self) -> None:
        self.finished = True

    def recall(self, query: Any) -> Recall:
        return Recall([Item(chunk.text, (chunk.id,)) for chunk in self.chunks], order="stream")


def context(name: str, units: Sequence[str], questions: Sequence[Question]) -> Context:
    return Context(name, tuple(Unit(text) for text in units), tuple(questions), cluster=name)


def simple(number: int, sentences: int = 6) -> Context:
    """A context whose question has its evidence in the first unit."""
    city = ["Arlen", "Borvik", "Castro", "Delmar", "Eskel", "Fenwick", "Galton", "Harrow"][number % 8]
    units = [
        f"Person{number} Smith lives in {city}.",
        *(f"Nothing of note happened on day {n} of year {number}." for n in range(sentences)),
    ]
    question = Question(
        f"q{number}", f"Where does Person{number} Smith live?", (city,), evidence=(Evidence(units[0], (0,)),)
    )
    return context(f"ctx{number}", units, [question])


def reply(asked: dict[str, Any]) -> dict[str, Any]:
    """Like a model that stores a line of each chunk, and answers from its prompt: a function of the request alone."""
    prompt = asked["messages"][-1]["content"]
    word = hashlib.sha256(prompt.encode()).hexdigest()[:8]
    message: dict[str, Any] = {"role": "assistant", "content": f"answer {word}"}
    if asked.get("tools"):
        arguments = json.dumps({"memory_type": "semantic", "content": f"note {word}: {prompt[-300:-100]}"})
        call = {"id": "1", "type": "function", "function": {"name": "new_memory_insert", "arguments": arguments}}
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
    return {
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": len(prompt), "completion_tokens": 9},
    }


def killed_again(
    words: Sequence[str],
    times: int,
    done: Callable[[], int],
    step: Callable[[], int],
    environment: Mapping[str, str] | None = None,
) -> int:
    """Run `memeval WORDS` and kill it once `done` has grown by a `step`, `times` times or until it comes to its end. Returns
    how often it was killed."""
    for kills in range(times):
        process = preloaded.start(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wanted, patience = done() + step(), time.monotonic() + 100
        while done() < wanted and process.poll() is None and time.monotonic() < patience:
            time.sleep(0.003)
        if process.poll() is not None:
            return kills
        process.kill()
        process.wait()
    return times
