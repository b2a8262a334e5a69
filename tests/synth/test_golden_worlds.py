"""The generated worlds, streams and questions are part of every published synth number: they must not change by a bit.

The digests were made by the generator of the first version, whose words were Python literals.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import pytest

from memeval.cards import TaskCard
from memeval.synth import generator
from memeval.tasks import Settings
from memeval.tasks.synth import Synth

GOLDEN = json.loads((Path(__file__).parent / "golden_digests.json").read_text(encoding="utf-8"))
CIRCLES = [0, 1, 17, 179, 180, 25_000]


def digest(items: object) -> str:
    def plain(value: object) -> object:
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        assert isinstance(value, frozenset)
        return sorted(value)

    return hashlib.sha256(json.dumps(items, default=plain, sort_keys=True).encode()).hexdigest()[:16]


@pytest.mark.parametrize("seed", [1, 2, 991])
@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_circles(split: str, seed: int) -> None:
    built = [generator.neighbourhood(split, seed, index) for index in CIRCLES]
    assert digest([part.documents for part in built]) == GOLDEN["documents"][f"{split}/{seed}"]
    assert digest([part.items for part in built]) == GOLDEN["questions"][f"{split}/{seed}"]


SPLITS = ("train", "validation", "test")
DEFAULT = (("train", 50), ("validation", 10), ("test", 50))


@pytest.mark.parametrize(
    ("split", "size"),
    [
        pytest.param(split, size, marks=[pytest.mark.slow] * ((split, size) not in DEFAULT))
        for split in SPLITS
        for size in (10, 50, 200)
    ],
)
def test_streams(split: str, size: int) -> None:
    card = TaskCard("synth", "synth", params={"split": split, "world_seed": 1}, documents=size, questions=1446)
    task = Synth().load(card, Settings())
    contexts = [task.context(ref) for ref in task.refs(task.order[1430:1446])]
    streams = [[(unit.text, unit.time) for unit in context.units] for context in contexts]
    asked = [
        (question.id, question.text, question.kind, question.answers, question.answerable, question.position)
        for context in contexts
        for question in context.questions
    ]
    assert digest(streams) == GOLDEN["streams"][f"{split}/{size}"]
    assert digest(asked) == GOLDEN["asked"][f"{split}/{size}"]
