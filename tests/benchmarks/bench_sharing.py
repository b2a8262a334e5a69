"""What reading a context once for all its questions saves on PersonaMem (DESIGN section 8: about 12 times fewer calls)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from memeval import plugins, tokens
from memeval.runs.prepare import prepare
from memeval.tasks import Settings

pytestmark = pytest.mark.benchmark


def test_calls_saved() -> None:
    root = Path(os.environ.get("MEMEVAL_DATA") or Path(__file__).parents[2] / "../shared/data")
    if not (root / "personamem" / "questions_32k.csv").is_file():
        pytest.skip("needs personamem in MEMEVAL_DATA")
    card = plugins.find_task("personamem-32k")
    task = plugins.source(card)().load(card, Settings(root))
    count = tokens.counter(card.tokenizer)
    packed = [prepare(task.context(ref), ref, card.chunk_tokens, count) for ref in task.refs(task.order)]
    once = sum(len(found.points[-1].chunks) for found in packed)
    once += sum(len(point.chunks) - point.shared for found in packed for point in found.points[:-1])
    alone = sum(len(point.chunks) * len(point.questions) for found in packed for point in found.points)
    asked = len(task.order)
    print(f"\npersonamem-32k, {asked} questions: {once} chunks, {alone} without sharing: {alone / once:.1f}x fewer")
