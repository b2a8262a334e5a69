"""Streams as MemOCR's script makes them (github.com/syr-cn/MemOCR at 61ceddf, taskutils/memory_data/process_test.py).

Questions: `random.seed(42)`, then one `random.sample` of 128 indices (in the order of the file) per length, so every length
asks other questions and the curve over lengths is not paired. Documents: the question's own, then uniformly random ones of
the pool, without regard to titles or answers. Order: one permutation, `random.Random(4).shuffle`, for all questions of a
length. Known differences: the script draws all data sets from one generator; here each data set has its own. The script's
distractors come from copies of one generator in several processes and cannot be reproduced; here they follow from a hash of
seed, length, question and passage."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from memeval.task import Unit
from memeval.tasks.base import hash64

LENGTHS = (50, 100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600)
"""Numbers of documents, in the order in which the script makes its files."""

SUBSET = 128
"""Questions per length."""


def drawn(ids: Sequence[str], documents: int, seed: int) -> list[str]:
    """The ids that the script draws for this length, in its order; all ids where they are fewer than SUBSET."""
    if len(ids) < SUBSET:
        return list(ids)
    generator = random.Random(seed)
    for _ in range(sum(length < documents for length in LENGTHS)):
        generator.sample(range(len(ids)), SUBSET)  # skip the draws of shorter lengths
    return [ids[index] for index in generator.sample(range(len(ids)), SUBSET)]


def permutation(size: int) -> list[int]:
    """Place in the stream -> index into the list of own documents followed by distractors."""
    order = list(range(size))
    random.Random(4).shuffle(order)
    return order


def salt(seed: int, documents: int, context_id: str) -> int:
    """The salt of the hash that draws distractors; it differs for every length."""
    return hash64("memocr", seed, documents, context_id)


def document(place: int, unit: Unit) -> Unit:
    """The unit (title and text on lines of their own) under the line `Document i:`. place: from 0."""
    return replace(unit, text=f"Document {place + 1}:\n{unit.text}")


def with_question_mark(question: str) -> str:
    """The question, with a question mark added if it has none."""
    text = question.strip()
    return text if text.endswith("?") else f"{text}?"
