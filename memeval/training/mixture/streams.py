"""Streams of the training mixture, and their rows in Mem-alpha's published parquet schema, so that `source: memalpha` reads
them like the published ones. Unlike the published files they have splits by content, evidence, and labelled sets without
the test questions of MemoryAgentBench.

This module has what all families share: the split, the form of a chunk, the filters. It reads no data files.
"""

from __future__ import annotations

import datetime
import functools
import json
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from memeval import tokens
from memeval.tasks.base import hash64, plain
from memeval.yamlfile import read_yaml

TRAIN, VALIDATION = "train", "validation"
MOST_QUESTIONS = 100
"""The most questions of one stream, as published; a random sample where there are more."""
LONGEST_GOLD = 4
"""The most tokens of a gold of SQuAD or HotpotQA: upstream keeps golds of fewer than five."""
FIRST_DAY = datetime.date(2024, 1, 1)
PROMPT = (
    "You will be shown a text piece by piece. After each piece, decide what to keep in memory; questions about all of it "
    "follow at the end."
)
JOINT = "\n\n"
_DIALOGUE = Path(__file__).parents[2] / "_data" / "training" / "dialogue.yaml"
Record = Mapping[str, Any]
"""A record of a source file."""
Asked = dict[str, Any]
"""A question: `{"question", "answer": text or texts, "evidence"?: [[title, text of a chunk]]}`."""


@dataclass(frozen=True, slots=True)
class Split:
    """One side of the split. name: train or validation. share: the part of the source items that goes to validation. seed:
    of the split and of every draw."""

    name: str = TRAIN
    share: float = 0.1
    seed: int = 42

    def takes(self, content: str) -> bool:
        """Whether a source item (an article, a labelled text, a character ...) belongs to this split. A hash of its text,
        without case and white space, decides: the same text is never on both sides, whatever the file or the order."""
        held_out = hash64("side", self.seed, plain(content).casefold()) < self.share * 2**64
        return held_out == (self.name == VALIDATION)

    def random(self, *parts: str | int) -> random.Random:
        """A random generator for one purpose, which `parts` name."""
        return random.Random(hash64("build", self.seed, self.name, *parts))


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream, which becomes one row. content: texts of its source items. facts: for its metadata."""

    chunks: tuple[str, ...]
    questions: tuple[Asked, ...]
    data_source: str
    content: tuple[str, ...]
    facts: Record = field(default_factory=dict)

    def hashes(self) -> list[str]:
        """A hash of 16 hex digits for each source item, sorted, without repeats."""
        return sorted({f"{hash64(plain(text).casefold()):016x}" for text in self.content})


@dataclass(slots=True)
class Built:
    """The streams of one split of one family, and how many items each filter dropped."""

    streams: list[Stream] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)


def rows(built: Built, split: Split, files: Sequence[Record] = ()) -> list[dict[str, Any]]:
    """Rows in the published schema: `chunks`, `questions_and_answers` and `metadata` are JSON texts. files: name and sha256
    of the files that were read, which go into the metadata with the split and the counts of what was dropped."""
    shared = {
        "builder": "memeval",
        "version": 2,
        "split": split.name,
        "seed": split.seed,
        "validation_share": split.share,
        "tokenizer": tokens.DEFAULT,
        "dropped": dict(built.dropped),
        "files": list(files),
    }
    return [
        {
            "instance_id": position,
            "prompt": PROMPT,
            "chunks": json.dumps(stream.chunks),
            "questions_and_answers": json.dumps(stream.questions),
            "data_source": stream.data_source,
            "metadata": json.dumps({**shared, **stream.facts, "content": stream.hashes()}),
            "num_chunks": len(stream.chunks),
            "num_questions": len(stream.questions),
        }
        for position, stream in enumerate(built.streams)
    ]


def divided(published: Sequence[Record], split: Split) -> Built:
    """The rows of one family of a published file that belong to this split. The first chunk of a stream decides its side; a
    training stream that shares a chunk with a validation stream is dropped."""
    streams = [
        Stream(tuple(chunks), tuple(json.loads(row["questions_and_answers"])), str(row["data_source"]), tuple(chunks))
        for row in published
        if (chunks := json.loads(row["chunks"]))
    ]
    validation = replace(split, name=VALIDATION)
    held_out = [stream for stream in streams if validation.takes(stream.chunks[0])]
    if split.name == VALIDATION:
        return Built(held_out)
    theirs = {name for stream in held_out for name in stream.hashes()}
    rest = [stream for stream in streams if not validation.takes(stream.chunks[0])]
    kept = [stream for stream in rest if not theirs & set(stream.hashes())]
    return Built(kept, Counter({"streams that share a chunk with validation": len(rest) - len(kept)}))


def chunked(
    texts: Sequence[str],
    draw: random.Random,
    count: Callable[[str], int],
    least: int = 100,
    most: int = 2048,
    joint: str = JOINT,
) -> list[list[int]]:
    """Indices of the texts of each chunk, as in upstream's `create_chunks`: greedy, in order, never cut. Every chunk has a
    limit of its own, drawn from `least` to `most` tokens, which only a single text may exceed. joint: the text that is
    counted between two texts."""
    chunks: list[list[int]] = []
    size, target = 0, 0
    for index, text in enumerate(texts):
        new = count(text)
        joined = size + count(joint) + new
        if not chunks or joined > target:
            chunks.append([])
            size, target = new, draw.randint(least, most)
        else:
            size = joined
        chunks[-1].append(index)
    return chunks


def dialogues(texts: Iterable[str], draw: random.Random, openings: str = "openings") -> tuple[str, ...]:
    """One dialogue for each text, in which a user tells an assistant the text; they are a day apart, from FIRST_DAY on. The
    form is upstream's, the sentences are our own. openings: name of the list of openings."""
    sentences = _sentences()
    return tuple(
        f"[Dialogue between User and Assistant on {FIRST_DAY + datetime.timedelta(days=day)} 00:00]\n"
        f"<User>{draw.choice(sentences[openings])}\n{text}\n<Assistant>{draw.choice(sentences['acknowledgements'])}"
        for day, text in enumerate(texts)
    )


@functools.cache
def _sentences() -> dict[str, list[str]]:
    return read_yaml(_DIALOGUE)


def short(asked: list[Asked], count: Callable[[str], int], before: int, after: int, dropped: Counter[str]) -> list[Asked]:
    """The questions with short golds; empty where there are fewer than `before` questions, or fewer than `after` short
    ones. Counts what it drops in `dropped`."""
    kept = [item for item in asked if count(item["answer"]) <= LONGEST_GOLD]
    if len(asked) < before or len(kept) < after:
        dropped["streams with too few questions"] += 1
        return []
    dropped[f"questions with golds of more than {LONGEST_GOLD} tokens"] += len(asked) - len(kept)
    return kept


def capped(questions: Sequence[Asked], draw: random.Random) -> tuple[Asked, ...]:
    """A random sample of at most MOST_QUESTIONS questions, in their order."""
    kept = sorted(draw.sample(range(len(questions)), min(len(questions), MOST_QUESTIONS)))
    return tuple(questions[index] for index in kept)
