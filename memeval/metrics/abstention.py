"""Knowing when not to answer: does a reply decline, and does it decline where it should? (validity section 2)"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from memeval.metrics.reply import Reply
from memeval.metrics.text import answer_text

_SOURCE = r"(?:memory|memories|text|context|passages?|documents?|conversations?|notes|stream|story|material|information)"
_KNOWLEDGE = r"(?:information|idea|record|records|memory|knowledge|details|data|context)"
_ADVERB = r"(?:\w+ly )?"
_WHOLE = re.compile(
    r"(?:(?:the |my )?(?:final )?answer(?: is)? |(?:it|that|this) is )?"
    r"(?:unknown|not known|unclear|unanswerable|no ?answer|n/?a|not available|not sure|unsure|no idea|i have no idea"
    r"|i(?: a|')m (?:not sure|unsure)|(?:i )?(?:cannot|can't|can not) (?:say|tell|answer)|no (?:such )?information"
    r"|not (?:mentioned|stated|specified|provided|given|found|recorded|enough information))"
)
_INSIDE = re.compile(
    r"\bi (?:really |honestly )?(?:do not|don't|dont) (?:really |actually )?know\b(?! how to\b)"
    r"|\bi (?:do not|don't|dont) (?:recall|remember)\b"
    rf"|\bi (?:do not|don't|dont) have (?:\w+ ){{0,3}}{_KNOWLEDGE}\b"
    rf"|\bi have no (?:\w+ )?{_KNOWLEDGE}\b"
    rf"|\b(?:not|isn't|aren't|wasn't|weren't) {_ADVERB}(?:mentioned|stated|specified|provided|indicated)\b"
    rf"|\b(?:not|isn't|aren't|wasn't|weren't) {_ADVERB}(?:given|found|available|recorded|included|contained|present|known"
    rf"|described) (?:in|from|by) (?:the|this|my|any|these)(?: \w+)? {_SOURCE}\b"
    r"|\b(?:no|not enough|insufficient|not sufficient) (?:relevant |specific |further |direct )?"
    r"(?:information|mention|record)"
    r"(?= (?:is |was )?(?:available|about|on|of|regarding|in|for|to|provided|given|that|which|as)\b|\W*$)"
    r"|\b(?:cannot|can't|can not|could not|couldn't) be (?:determined|answered|inferred|known|told)\b"
    r"|\b(?:cannot|can't|can not|unable to|not able to|impossible to) (?:determine|answer|tell|infer)\b"
    rf"|\b{_SOURCE}(?: \w+){{0,4}} (?:does not|doesn't|do not|don't|did not|didn't) {_ADVERB}"
    r"(?:mention|say|state|specify|contain|include|provide|hold|indicate|give|tell|have|cover|discuss|answer)\b"
)
_SENTENCE = re.compile(r"(?<=\w{4})[.!?;](?=\s)|\n")
_TURN = re.compile(r"\b(?:but|however|though|although)\b")


def abstained(text: str) -> bool:
    """Whether a reply declines to answer: it is empty, is a bare "unknown" or the like, or its first sentence says that
    the speaker does not know or that the material does not tell.

    A refusal that turns ("I don't know for sure, but probably Oslo") is an answer, and so is one with a marked final
    answer. Titles such as "I Don't Know How to Love Him" are answers; no rule of this kind is complete.
    """
    answer = " ".join(_SENTENCE.split(answer_text(text), maxsplit=1)[0].lower().replace("’", "'").split())
    bare = answer.strip(" .!?,;:\"'*()[]-_")
    if not bare or _WHOLE.fullmatch(bare):
        return True
    found = _INSIDE.search(answer)
    return found is not None and not _TURN.search(answer, found.end())


def abstention(reply: Reply) -> float | None:
    """1 when the reply abstained, for every question; right or wrong is for `abstention_scores`."""
    return float(abstained(reply.prediction))


@dataclass(frozen=True, slots=True)
class AbstentionScores:
    """Abstaining seen as detecting unanswerable questions. None where the denominator is 0: precision without any
    abstention, recall and F1 without any unanswerable question."""

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
