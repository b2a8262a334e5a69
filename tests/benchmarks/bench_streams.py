"""Building a stream of a million tokens (DESIGN section 8): linear, below 1 s beyond reading the data, below 5x the text."""

from __future__ import annotations

import time
import tracemalloc

import pytest

from memeval import plugins, tokens
from memeval.config import data_dir
from memeval.errors import NoData
from memeval.runs.prepare import prepare
from memeval.tasks import Settings

pytestmark = pytest.mark.benchmark


@pytest.mark.parametrize("name", ["synth-100k", "synth-1m", "2wiki-1m@tokens-1000000"])
def test_building(name: str) -> None:
    card = plugins.find_task(name)
    count = tokens.counter(card.tokenizer)
    try:
        task = plugins.source(card)().load(card, Settings(data_dir(None, {})))
    except NoData as error:
        pytest.skip(str(error))
    refs = task.refs(task.order[:4])
    prepare(task.context(refs[0]), refs[0], card.chunk_tokens, count)  # makes the pool and counts its documents once
    begun = time.monotonic()
    for ref in refs[1:]:
        prepared = prepare(task.context(ref), ref, card.chunk_tokens, count)
    seconds = (time.monotonic() - begun) / 3
    tracemalloc.start()
    prepared = prepare(task.context(refs[1]), refs[1], card.chunk_tokens, count)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    text = sum(len(unit.text.encode()) for unit in prepared.context.units)
    print(
        f"\n{name}: {prepared.tokens:,} tokens in {seconds:.3f} s, {seconds / prepared.tokens * 1e6:.2f} s per million; "
        f"peak {peak / text:.1f}x the text"
    )
