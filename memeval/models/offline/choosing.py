"""Multiple choice: the option that shares most with what the memory says about the question."""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter

from memeval.models.offline.questions import asked
from memeval.models.offline.window import window
from memeval.models.offline.words import stem, stems

_LABEL = re.compile(r"^[ \t]*\(?([A-Za-z0-9])[).:][ \t]*", re.MULTILINE)
_RELEVANT = 40  # sentences of the memory that are compared with the options


def choose(memory: str, question: str, options: str, seed: object) -> str:
    """`<final_answer> (x)`: the label of the best option. Without a memory, or where nothing tells the options apart, a draw
    by the hash of seed, question and options."""
    found = labelled(options)
    if not found:
        return "<final_answer> (a)"
    scores = _scores(memory, question, [text for _, text in found]) if memory.strip() else [0.0] * len(found)
    best = max(scores)
    tied = [label for (label, _), score in zip(found, scores, strict=True) if score == best]
    drawn = hashlib.sha256(repr((str(seed), question, options)).encode("utf-8", "surrogatepass")).digest()
    return f"<final_answer> ({tied[int.from_bytes(drawn[:8], 'big') % len(tied)]})"


def labelled(options: str) -> list[tuple[str, str]]:
    """(label, text) of each option: `(a) text`, possibly over several lines; lines without labels are a, b, c, ..."""
    marks = list(_LABEL.finditer(options))
    if len(marks) >= 2:
        ends = [mark.start() for mark in marks[1:]] + [len(options)]
        return [(mark.group(1).lower(), options[mark.end() : end].strip()) for mark, end in zip(marks, ends, strict=True)]
    lines = [line.strip() for line in options.splitlines() if line.strip()]
    return [("abcdefghijklmnopqrstuvwxyz"[number], line) for number, line in enumerate(lines[:26])]


def _scores(memory: str, question: str, options: list[str]) -> list[float]:
    """Per option: idf-weighted words that it shares with the sentences nearest to the question, each by its nearness, over
    the square root of the option's length."""
    lines = window(memory, asked(question)).lines
    contents = [stems(option) for option in options]
    sought = set().union(*contents)
    matched = [{root for word in line.words if (root := stem(word)) in sought} for line in lines]
    counts = Counter(root for found in matched for root in found)
    nearest = sorted(range(len(lines)), key=lambda index: (-lines[index].share, index))[:_RELEVANT]
    weight: dict[str, float] = {}
    for index in nearest:
        for root in matched[index]:
            idf = math.log(1 + len(lines) / (1 + counts[root]))
            weight[root] = max(weight.get(root, 0.0), idf * (0.05 + lines[index].share))
    return [sum(weight.get(root, 0.0) for root in sorted(content)) / math.sqrt(len(content) or 1) for content in contents]
