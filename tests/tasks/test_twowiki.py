"""2WikiMultihopQA: how sentences join, and the real slice where it is at hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memeval import plugins, tokens
from memeval.cards import TaskCard
from memeval.tasks import Settings
from memeval.tasks.chunking import pack
from memeval.tasks.multihop import TwoWiki
from memeval.tasks.streams import PackedTask


def load(root: Path, **card: Any) -> PackedTask:
    return TwoWiki().load(TaskCard(name="2wiki-10k", source="2wiki", **card), Settings(data_dir=root))


def test_sentences_are_joined_by_a_blank(tmp_path: Path) -> None:
    record = {
        "_id": "w1",
        "type": "bridge_comparison",
        "question": "Are both from Veldania?",
        "context": [["Ada", ["Ada is old.", "She is from Veldania.", "She sings."]], ["Bo", ["Bo is from Veldania."]]],
        "entity_ids": "Q1_Q2",
        "supporting_facts": [["Ada", 1], ["Bo", 0], ["Ada", 2]],
        "evidences": [["Ada", "country", "Veldania"]],
        "answer": "yes",
    }
    (tmp_path / "dev.json").write_text(json.dumps([record]))
    task = load(tmp_path)
    context = task.context(task.refs(["w1"])[0])
    (question,) = context.questions
    assert (question.kind, question.answers) == ("bridge_comparison", ("yes",))
    assert {unit.text for unit in context.units} == {
        "Ada\nAda is old. She is from Veldania. She sings.",
        "Bo\nBo is from Veldania.",
    }
    assert [piece.text for piece in question.evidence] == [
        "Ada\nShe is from Veldania. She sings.",
        "Bo\nBo is from Veldania.",
    ]


@pytest.fixture
def real(slices: Callable[[str], Path]) -> Path:
    return slices("2wikimultihopqa/dev.json")


def test_the_real_slice_asks_every_question(real: Path) -> None:
    task = load(real, documents=50)
    # shared/data/README.md counts 8092 distinct passages in dev and corpus
    assert (task.data["questions"], task.data["incomplete"], task.data["pool"]) == (380, 0, 8092)
    assert {question.kind for question in task.golds()} == {"compositional", "comparison", "inference", "bridge_comparison"}


@pytest.mark.slow
def test_variants_on_the_real_slice(real: Path) -> None:
    settings = Settings(data_dir=real)
    hard = TwoWiki().load(plugins.find_task("2wiki-10k@hard"), settings)
    plain = TwoWiki().load(plugins.find_task("2wiki-10k"), settings)
    for ref in plain.refs(plain.order[:5]):
        own = set(plain.context(ref).units) & set(hard.context(ref).units)
        assert 10 <= len(own) < 30  # its own ten, and few of the distractors
    filled = TwoWiki().load(plugins.find_task("2wiki-10k@tokens-20000"), settings)
    assert all(19_000 < filled.context(ref).meta["tokens"] <= 20_000 for ref in filled.refs(filled.order[:5]))
    shared = TwoWiki().load(plugins.find_task("2wiki-30k@shared"), settings)
    context = shared.context(shared.refs(shared.order[:1])[0])
    assert (len(context.units), len(context.questions)) == (200, 8)


@pytest.mark.slow
def test_a_context_of_a_million_tokens(real: Path) -> None:
    task = TwoWiki().load(plugins.find_task("2wiki-1m@tokens-1000000"), Settings(data_dir=real))
    context = task.context(task.refs(task.order[:1])[0])
    chunks = pack(context.units, 2048, tokens.counter())
    assert 999_000 < context.meta["tokens"] <= 1_000_000
    assert context.meta["from_wiki_pool"] > 0
    assert sum(chunk.tokens for chunk in chunks) > 1_000_000
