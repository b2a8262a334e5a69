"""Long pages as passages of a few hundred words, and the passage among them that answers a question.

For data that name the pages of an answer but not the place in them: as in distant supervision, any place that holds an
accepted answer may be the one, and the passage nearest to the question is taken.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Sequence

from memeval.tasks.base import normalised
from memeval.tasks.pool import Passage

LEAST, MOST = 20, 300
"""Words of a passage, about: a shorter paragraph (a heading, an item of a list) goes with the next, a longer one is
cut."""

_SENTENCE = re.compile(r"(?<=[.!?])\s+")

Cut = tuple[Passage, str]
"""A passage, and its title and text normalised."""


@functools.lru_cache(maxsize=256)  # questions share pages
def passages(title: str, text: str) -> tuple[Cut, ...]:
    """A page in passages of whole paragraphs (lines), in order."""
    pieces: list[str] = []
    held = ""
    for line in filter(None, map(str.strip, text.splitlines())):
        held = f"{held}\n{line}" if held else line
        if len(held.split()) >= LEAST:
            pieces.extend(_bounded(held))
            held = ""
    if held:
        pieces[-1:] = [f"{pieces[-1]}\n{held}"] if pieces else [held]
    return tuple((Passage(title, piece), normalised(f"{title} {piece}")) for piece in pieces)


def _bounded(paragraph: str) -> list[str]:
    """The paragraph, cut between sentences (inside one, where that alone is too long) into parts of at most MOST
    words."""
    if len(paragraph.split()) <= MOST:
        return [paragraph]
    parts: list[list[str]] = [[]]
    for sentence in _SENTENCE.split(paragraph):
        words = sentence.split()
        for start in range(0, len(words), MOST):
            chunk = words[start : start + MOST]
            if len(parts[-1]) + len(chunk) > MOST:
                parts.append([])
            parts[-1].extend(chunk)
    return [" ".join(words) for words in parts if words]


def nearest(question: str, answers: Sequence[str], cuts: Sequence[Cut]) -> Passage | None:
    """Of the passages that hold an answer as whole normalised tokens, the one that shares most with the question: the
    sum of ln(passages / passages with the word) over the shared words; of equals the first. None where no passage
    holds any."""
    needles = [f" {text} " for text in dict.fromkeys(map(normalised, answers)) if text]
    holding = [index for index, (_, text) in enumerate(cuts) if any(needle in f" {text} " for needle in needles)]
    if not holding:
        return None
    words = set(normalised(question).split())
    shared = [words.intersection(text.split()) for _, text in cuts]
    weight = {word: math.log(len(cuts) / sum(word in held for held in shared)) for word in set().union(*shared)}
    # fsum does not depend on the order of a set, which differs between processes
    best = max(holding, key=lambda index: (math.fsum(weight[word] for word in shared[index]), -index))
    return cuts[best][0]
