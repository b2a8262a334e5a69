"""What a builder makes: streams with questions, as rows of Mem-alpha's published parquet schema, split by content."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from memeval.data import files
from memeval.data.files import DataFile, Found
from memeval.errors import UsageError
from memeval.tasks import Settings
from memeval.tasks.base import number, plain

TRAIN, VALIDATION = "train", "validation"
MOST_QUESTIONS = 100
"""Questions of one row at most, as published; a random sample where there are more."""

PROMPT = (
    "You will be shown a text piece by piece. After each piece, decide what to keep in memory; questions about all of it "
    "follow at the end."
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """What every builder goes by. split: train or validation. share: of the source items that go to validation. seed: of the
    split and of every draw. tokenizer: what chunk sizes are counted with."""

    split: str = TRAIN
    share: float = 0.1
    seed: int = 42
    tokenizer: str = "o200k_base"

    def __post_init__(self) -> None:
        if self.split not in (TRAIN, VALIDATION):
            raise UsageError(f"split '{self.split}': use {TRAIN} or {VALIDATION}")
        if not 0 < self.share < 1:
            raise UsageError(f"share {self.share}: the part for validation lies between 0 and 1")

    def takes(self, content: str) -> bool:
        """Whether a source item (an article, a labelled text, a character ...) belongs to this split. By a hash of its text,
        blanks and case aside: the same text is never on both sides, whatever file or order it comes in."""
        held_out = number("side", self.seed, plain(content).casefold()) < self.share * 2**64
        return held_out == (self.split == VALIDATION)

    def random(self, *parts: str | int) -> random.Random:
        """A generator of its own for each thing that is drawn."""
        return random.Random(number("build", self.seed, self.split, *parts))


@dataclass(frozen=True, slots=True)
class Instance:
    """One row to be. questions: `{"question", "answer": text or texts, "evidence"?: [[title, text of a chunk]]}`. content:
    texts of the source items it was made of. facts: what its metadata say beside recipe and filters."""

    chunks: tuple[str, ...]
    questions: tuple[Mapping[str, Any], ...]
    data_source: str
    content: tuple[str, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)

    def hashes(self) -> list[str]:
        """16 hex digits per source item, sorted, each once."""
        return sorted({f"{number(plain(text).casefold()):016x}" for text in self.content})


@dataclass(frozen=True, slots=True)
class Built:
    """The instances of one split. filters: filter -> what it did (`dropped n of m`, or `not applied`). files: facts of what
    was read."""

    family: str
    recipe: Recipe
    instances: tuple[Instance, ...]
    filters: Mapping[str, str]
    files: tuple[Mapping[str, Any], ...]

    def rows(self) -> list[dict[str, Any]]:
        """Rows in the published schema: `chunks`, `questions_and_answers` and `metadata` are JSON strings."""
        recipe = self.recipe
        shared = {
            **{"builder": "memeval", "version": 1, "family": self.family, "split": recipe.split, "seed": recipe.seed},
            **{"validation_share": recipe.share, "tokenizer": recipe.tokenizer, "filters": dict(self.filters)},
            "files": [{key: facts[key] for key in ("name", "sha256")} for facts in self.files],
        }
        return [
            {
                "instance_id": position,
                "prompt": PROMPT,
                "chunks": json.dumps(list(item.chunks)),
                "questions_and_answers": json.dumps([dict(question) for question in item.questions]),
                "data_source": item.data_source,
                "metadata": json.dumps({**shared, **item.facts, "content": item.hashes()}),
                "num_chunks": len(item.chunks),
                "num_questions": len(item.questions),
            }
            for position, item in enumerate(self.instances)
        ]


def write(parts: Sequence[Built], path: Path) -> int:
    """Write one split of one or several families as a parquet file; returns the number of rows. Raises UsageError when there
    are none."""
    rows = [row for part in parts for row in part.rows()]
    if not rows:
        raise UsageError(f"{path}: nothing to write, no instance was built")
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.Table.from_pylist([{**row, "instance_id": position} for position, row in enumerate(rows)])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        pyarrow.parquet.write_table(table, path)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror or error})") from None
    return len(rows)


def shared_content(left: Built, right: Built) -> set[str]:
    """Hashes of source items that stand on both sides; empty for the train and validation sets of one seed."""
    first, second = ({name for item in built.instances for name in item.hashes()} for built in (left, right))
    return first & second


def find(settings: Settings, names: Sequence[str], hub: Sequence[tuple[str, str]] = ()) -> Found:
    """The first of `names` in the data folder, else the first of `hub` (data set id, pattern). Raises UsageError with both
    remedies."""
    file = DataFile(tuple(names), tuple(f"{repository}/{pattern}" for repository, pattern in hub))
    return files.find(file, settings.data_dir)[0]


def capped(questions: Sequence[Mapping[str, Any]], draw: random.Random) -> tuple[Mapping[str, Any], ...]:
    """At most MOST_QUESTIONS of them, in their order."""
    if len(questions) <= MOST_QUESTIONS:
        return tuple(questions)
    kept = sorted(draw.sample(range(len(questions)), MOST_QUESTIONS))
    return tuple(questions[index] for index in kept)
