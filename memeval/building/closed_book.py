"""Which questions are worth asking: short golds that a model does not know without the text (Mem-alpha, process_data.py,
`judge_answer_with_token_logic`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from memeval.errors import UsageError

Ask = Callable[[Sequence[str]], Sequence[str]]
"""Questions -> answers, one each, of a model that sees nothing but the question."""

LONGEST_GOLD = 4
"""Tokens. Upstream keeps golds of fewer than five."""

Question = Mapping[str, Any]


def unknown(
    streams: Sequence[Sequence[Question]],
    count: Callable[[str], int],
    least_before: int,
    least_after: int,
    ask: Ask | None,
    most_after: int = 0,
) -> tuple[list[list[Question]], dict[str, str]]:
    """The questions kept per stream (none: the stream is dropped), and what each filter did.

    A stream needs `least_before` questions at first, `least_after` (and at most `most_after`, 0: any number) at the end. A
    question is kept when its gold has fewer than five tokens and does not stand in the model's own answer, case ignored.
    Without `ask` the second is not applied. Raises UsageError when `ask` returns another number of answers.
    """
    large = [list(questions) if len(questions) >= least_before else [] for questions in streams]
    short = [[item for item in questions if count(str(item["answer"])) <= LONGEST_GOLD] for questions in large]
    known: set[str] = set()
    if ask is not None:
        asked = list(dict.fromkeys(item["question"] for questions in short for item in questions))
        answers = list(ask(asked))
        if len(answers) != len(asked):
            raise UsageError(f"closed_book gave {len(answers)} answers to {len(asked)} questions")
        said = {question: answer.lower() for question, answer in zip(asked, answers, strict=True)}
        known = {
            item["question"]
            for questions in short
            for item in questions
            if str(item["answer"]).lower() in said[item["question"]]
        }
    new = [[item for item in questions if item["question"] not in known] for questions in short]
    kept = [
        questions if len(questions) >= least_after and (not most_after or len(questions) <= most_after) else []
        for questions in new
    ]
    wanted = f"{least_after} to {most_after}" if most_after else f"{least_after} or more"
    report = {
        f"streams of {least_before} or more questions": _dropped(len(streams), sum(map(bool, large)), "streams"),
        "golds of fewer than five tokens": _dropped(sum(map(len, large)), sum(map(len, short)), "questions"),
        "golds that a model does not know without the text": (
            "not applied" if ask is None else _dropped(sum(map(len, short)), sum(map(len, new)), "questions")
        ),
        f"streams of {wanted} questions left": _dropped(sum(map(bool, large)), sum(map(bool, kept)), "streams"),
    }
    return kept, report


def _dropped(before: int, after: int, what: str) -> str:
    return f"dropped {before - after} of {before} {what}"
