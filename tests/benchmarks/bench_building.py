"""Building contexts (DESIGN section 8): a 10k context below 1 ms of CPU whatever the pool's size, a context of a million
tokens below 0.3 s, linear to ten million, memory below five times the text. Printed, never asserted."""

from __future__ import annotations

import statistics
import time
import tracemalloc
from collections.abc import Sequence

import pytest

from memeval import plugins, tokens
from memeval.cards import TaskCard
from memeval.config import data_dir
from memeval.errors import NoData
from memeval.runs.prepare import prepare
from memeval.task import ContextRef, Question
from memeval.tasks import Settings, Task
from memeval.tasks.pool import Passage, Pool
from memeval.tasks.streams import Example, PackedTask

pytestmark = pytest.mark.benchmark


def build(task: Task, refs: Sequence[ContextRef]) -> float:
    """Seconds of CPU per context."""
    card, count = task.card, tokens.counter(task.card.tokenizer)
    begun = time.process_time()
    for ref in refs:
        prepare(task.context(ref), ref, card.chunk_tokens, count, card.one_unit_per_chunk)
    return (time.process_time() - begun) / len(refs)


@pytest.mark.parametrize(
    ("name", "contexts"),
    [("synth-10k", 512), ("2wiki-10k", 300), ("2wiki-100k", 40), ("synth-1m", 2), ("2wiki-1m@tokens-1000000", 3)],
)
def test_building(name: str, contexts: int) -> None:
    card = plugins.find_task(name)
    begun = time.process_time()
    try:
        task = plugins.source(card)().load(card, Settings(data_dir(None, {})))
    except NoData as error:
        pytest.skip(str(error))
    refs = task.refs(task.order[:contexts])
    tokens.counter(card.tokenizer)("reads the vocabulary")
    loaded = time.process_time() - begun
    first = build(task, refs)  # counts the documents of the pool
    again = statistics.median(build(task, refs) for _ in range(3))
    print(f"\n{name}: {again * 1e3:.2f} ms of CPU per context, {first * 1e3:.2f} the first time; loading {loaded:.2f} s")


def made(size: int, **card: int) -> PackedTask:
    """A task with a pool of so many documents, and questions about the first hundred of them."""
    passages = [Passage(f"Title {n}", " ".join(f"word{(n * 31 + at * 7) % 9973}" for at in range(60))) for n in range(size)]
    examples = [Example(Question(f"q{n}", f"What of {n}?", ("it",)), (passages[n],), ((0, "word"),)) for n in range(100)]
    pool = Pool(passages)
    return PackedTask(TaskCard("made", "made", **card), Settings(), examples, lambda: pool, {})


def test_a_large_pool() -> None:
    line = []
    for size in (10_000, 100_000, 1_000_000):
        task = made(size, documents=50)
        refs = task.refs(task.order)
        build(task, refs)
        line.append(f"{size:,} documents {build(task, refs) * 1e3:.2f} ms")
    print(f"\na context of 50 documents, by the pool: {', '.join(line)}")


def test_long_contexts() -> None:
    task = made(100_000, tokens=1)
    for length in (100_000, 1_000_000, 10_000_000):
        task.card = TaskCard("made", "made", tokens=length)
        (ref,) = task.refs(task.order[:1])
        build(task, [ref])
        seconds = build(task, [ref])
        count = tokens.counter(task.card.tokenizer)
        tracemalloc.start()
        prepared = prepare(task.context(ref), ref, task.card.chunk_tokens, count)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        text = sum(len(unit.text.encode()) for unit in prepared.context.units)
        print(
            f"\n{prepared.tokens:,} tokens: {seconds:.3f} s of CPU, {seconds / prepared.tokens * 1e6:.3f} s per million; "
            f"peak {peak / text:.1f}x the text"
        )
