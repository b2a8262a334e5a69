"""Abstention: does a reply decline to answer, and does it decline where it should? (validity section 2)

The table `_data/abstentions.yaml` lists how models decline; its examples are its test.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from memeval.metrics.reply import Reply
from memeval.metrics.text import answer_text
from memeval.yamlfile import read_yaml

TABLE = Path(__file__).parent.parent / "_data" / "abstentions.yaml"

_SENTENCE = re.compile(r"(?<=\w{4})[.!?;](?=\s)|\n")


def abstained(text: str) -> bool:
    """Whether a reply declines to answer: it is empty, is only "unknown" or the like, or its first sentence says that the
    speaker does not know or that the material does not tell.

    A refusal that is followed by an answer ("I don't know for sure, but probably Oslo") is an answer, and so is one with a
    marked final answer. Titles such as "I Don't Know How to Love Him" are answers; no rule of this kind is complete.
    """
    patterns = _patterns()
    plain = answer_text(text).lower().replace("’", "'").strip()
    answer = " ".join(_SENTENCE.split(patterns["lead"].sub("", plain, count=1), maxsplit=1)[0].split())
    bare = answer.strip(" .!?,;:\"'*()[]-_")
    if not bare or patterns["whole"].fullmatch(bare):
        return True
    found = patterns["inside"].search(answer)
    return found is not None and not patterns["turn"].search(answer, found.end())


@functools.cache
def _patterns() -> dict[str, re.Pattern[str]]:
    table = read_yaml(TABLE)
    rows = {"lead": f"^(?:{table['lead']})", "turn": table["turn"]}
    rows |= {kind: "|".join(f"(?:{row['says']})" for row in table[kind]) for kind in ("whole", "inside")}
    words = re.compile("|".join(f"<{name}>" for name in table["words"]))
    return {kind: re.compile(words.sub(lambda word: table["words"][word[0][1:-1]], text)) for kind, text in rows.items()}


def abstention(reply: Reply) -> float | None:
    """1 when the reply abstained, for every question. Whether it should have is for `abstention_scores`."""
    return float(abstained(reply.prediction))


@dataclass(frozen=True, slots=True)
class AbstentionScores:
    """Scores of abstaining as the detection of unanswerable questions. None where the denominator is 0: precision without
    any abstention, recall and F1 without any unanswerable question."""

    precision: float | None
    recall: float | None
    f1: float | None


def abstention_scores(pairs: Iterable[tuple[bool, bool]]) -> AbstentionScores:
    """Precision, recall and F1 from (abstained, answerable), one pair per question."""
    hits = given = wanted = 0
    for declined, answerable in pairs:
        given += declined
        wanted += not answerable
        hits += declined and not answerable
    return AbstentionScores(
        precision=hits / given if given else None,
        recall=hits / wanted if wanted else None,
        f1=2 * hits / (given + wanted) if wanted else None,
    )
