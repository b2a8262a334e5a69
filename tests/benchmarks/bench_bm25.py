"""Speed of memory search at 10,000 entries, as a ratio to rank_bm25 rebuilt per search (DESIGN section 8: at least 100x).

Run: pytest tests/benchmarks/bench_bm25.py -m benchmark -s
"""

from __future__ import annotations

import gzip
import json
import os
import random
import re
import time
from pathlib import Path

import pytest
from rank_bm25 import BM25Okapi

from memeval.bm25 import BM25Index

ENTRIES, QUESTIONS, REBUILDS = 10_000, 200, 3


def real_data() -> tuple[list[str], list[str]]:
    """10,000 Wikipedia passages and questions of 2WikiMultihopQA; stop words and all."""
    root = Path(os.environ.get("MEMEVAL_DATA") or Path(__file__).parents[2] / "../shared/data")
    pool, dev = root / "wiki_pool/corpus-00068.jsonl.gz", root / "2wikimultihopqa/dev.json.gz"
    if not (pool.is_file() and dev.is_file()):
        pytest.skip("needs wiki_pool and 2wikimultihopqa in MEMEVAL_DATA")
    with gzip.open(pool, "rt", encoding="utf-8") as lines:
        passages = [json.loads(line)["text"] for line in lines][:ENTRIES]
    with gzip.open(dev, "rt", encoding="utf-8") as file:
        questions = [record["question"] for record in json.load(file)][:QUESTIONS]
    return passages, questions


def zipf_data() -> tuple[list[str], list[str]]:
    """The same shape without a download: words drawn by Zipf's law, so that a few stand in almost every entry."""
    rng = random.Random(0)
    words = [f"w{number}" for number in range(40_000)]
    weights = [1 / (rank + 2) for rank in range(len(words))]
    drawn = iter(rng.choices(words, weights, k=ENTRIES * 45 + QUESTIONS * 14))
    passages = [" ".join(next(drawn) for _ in range(45)) for _ in range(ENTRIES)]
    return passages, [" ".join(next(drawn) for _ in range(14)) for _ in range(QUESTIONS)]


@pytest.mark.benchmark
@pytest.mark.parametrize("data", [real_data, zipf_data], ids=["real", "zipf"])
def test_search_beats_a_rebuild_a_hundredfold(data) -> None:
    passages, questions = data()
    index = BM25Index()
    begun = time.perf_counter()
    for passage in passages:
        index.add(passage)
    adding = (time.perf_counter() - begun) / len(passages)

    rebuilt = []
    for question in questions[:REBUILDS]:
        begun = time.perf_counter()
        reference = BM25Okapi([re.findall(r"\b\w+\b", passage.lower()) for passage in passages])
        scores = reference.get_scores(re.findall(r"\b\w+\b", question.lower()))
        rebuilt.append(time.perf_counter() - begun)
        for number, score in index.search(question, 20):
            assert score == pytest.approx(scores[number], rel=1e-9)

    begun = time.perf_counter()
    for question in questions:
        index.search(question, 20)
    searching = (time.perf_counter() - begun) / len(questions)

    begun = time.perf_counter()  # the worst order: every search follows a change
    for number, question in enumerate(questions):
        index.update(number, passages[-number])
        index.add(question)
        index.delete(len(passages) - number - 1)
        index.search(question, 20)
    interleaved = (time.perf_counter() - begun) / len(questions)

    begun = time.perf_counter()
    fork = index.copy()
    fork.add("a fork writes one entry")
    forking = time.perf_counter() - begun

    rebuild = min(rebuilt)
    print(
        f"\nBM25 at {len(passages)} entries: rebuild + query {rebuild * 1e3:.0f} ms, search {searching * 1e3:.2f} ms "
        f"({rebuild / searching:.0f}x), change + search {interleaved * 1e3:.2f} ms ({rebuild / interleaved:.0f}x), "
        f"add {adding * 1e6:.0f} us, fork + first write {forking * 1e3:.1f} ms"
    )
    assert rebuild / searching >= 100
    assert rebuild / interleaved >= 100
