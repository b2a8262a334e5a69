"""HotpotQA: which file is read, how sentences join, and the real slice where it is at hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memeval import tokens
from memeval.cards import TaskCard
from memeval.errors import UsageError
from memeval.tasks import Settings
from memeval.tasks.chunking import pack
from memeval.tasks.multihop import HotpotQA
from memeval.tasks.streams import PackedTask


def record(n: int, complete: bool = True) -> dict[str, Any]:
    gold = [[f"Gold {n}", [f"Gold {n} met Ada.", " It rained."]]]
    return {
        "_id": f"h{n}",
        "type": "bridge",
        "level": "easy",
        "question": f"Whom did Gold {n} meet?",
        "answer": "Ada",
        "supporting_facts": [[f"Gold {n}", 0]],
        "context": [[f"Other {n}", ["Nothing here."]], *(gold if complete else [])],
    }


def write(root: Path, name: str, rows: list[dict[str, Any]]) -> None:
    (root / "hotpotqa").mkdir(exist_ok=True)
    (root / "hotpotqa" / name).write_text(json.dumps(rows))


def load(root: Path, **card: Any) -> PackedTask:
    return HotpotQA().load(TaskCard(name="hotpotqa-10k", source="hotpotqa", **card), Settings(data_dir=root))


def test_the_distractor_setting_comes_before_fullwiki_and_train_is_never_read(tmp_path: Path, hub_cache: Path) -> None:
    write(tmp_path, "hotpot_train_v1.1.json", [record(0)])
    with pytest.raises(UsageError, match="no data"):
        load(tmp_path)
    write(tmp_path, "hotpot_dev_fullwiki_v1.json", [record(1), record(2, complete=False)])
    task = load(tmp_path)
    assert (task.order, task.data["incomplete"], task.data["pool"]) == (["h1"], 1, 3)
    write(tmp_path, "hotpot_dev_distractor_v1.json", [record(3)])
    assert load(tmp_path).order == ["h3"]


def test_sentences_join_without_a_blank_of_ours(tmp_path: Path) -> None:
    write(tmp_path, "hotpot_dev_distractor_v1.json", [record(1)])
    task = load(tmp_path)
    context = task.context(task.refs(task.order)[0])
    assert {unit.text for unit in context.units} == {"Gold 1\nGold 1 met Ada. It rained.", "Other 1\nNothing here."}
    assert context.questions[0].evidence[0].text == "Gold 1\nGold 1 met Ada."


@pytest.fixture
def real(slices: Callable[[str], Path]) -> Path:
    return slices("hotpotqa/hotpot_dev_fullwiki_v1.json")


def test_the_real_slice(real: Path) -> None:
    task = load(real, documents=50)
    assert (task.data["questions"], task.data["incomplete"], task.data["pool"]) == (169, 688, 8417)
    for ref in task.refs(task.order[:40]):
        context = task.context(ref)
        assert len(context.units) == 50
        gold = {piece.text.split("\n")[0].casefold() for piece in context.questions[0].evidence}
        assert len(gold) == len(context.questions[0].evidence) == 2
        titles = [unit.text.split("\n")[0].casefold() for unit in context.units]
        assert all(titles.count(title) == 1 for title in gold)
        for piece in context.questions[0].evidence:
            first = piece.text.split("\n")[1][:20]
            assert first in context.units[piece.units[0]].text
        chunks = pack(context.units, 2048, tokens.counter())
        assert all(tokens.counter()(chunk.text) == chunk.tokens <= 2048 for chunk in chunks)
