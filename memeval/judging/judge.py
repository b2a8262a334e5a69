"""Answers judged by a model: one call per answer (three per summary) at temperature 0, and a second try where a reply
cannot be read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from memeval.errors import UsageError
from memeval.judging.official import OfficialJudge, official
from memeval.judging.prompts import (
    ORDER,
    RULES,
    SCORE,
    SHARES,
    VERDICT,
    YES_NO,
    form_of,
    items_of,
    judge_calls,
    reminded,
    shown_order,
)
from memeval.judging.rubric import nothing, rubric_shares
from memeval.judging.verdict import read_counts, read_order, read_score, read_verdict, read_yes_no, shares
from memeval.models.completion import Completion, Request
from memeval.records.rows import QuestionRow, SampleRow, ScoreRow
from memeval.records.verdicts import UNUSABLE, unusable
from memeval.task import Question

Generate = Callable[[Request], Awaitable[Completion]]
Case = tuple[Question, str]
"""(question, answer)"""
Seen = Callable[[int, int, int], None]
"""Called after each judgement with (done, total, failed)."""

PARAMS: Mapping[str, Any] = {"temperature": 0.0, "max_tokens": 512}
"""Of every judge's calls, unless its spec says otherwise: it writes two sentences and a line. The limit of a judge that
thinks is raised once it is seen to think (models/adaptive.py)."""
POINTS: Mapping[str, Any] = {**PARAMS, "max_tokens": 4096}
"""Of the calls of families that give shares, which go through an answer point by point: MemoryAgentBench's limit. (Its
temperature is 0.1.)"""
LONGEST_REPLY = 2000
"""Characters of the judge's reply that are kept, and shown to it again for a second try."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """verdict: right, wrong, or failed (the judge gave up) with the reason; n/a for a sample without a result; of a share
    right at 1, wrong at 0, else partly. reply: the end of what the judge wrote. counts: what it counted in a summary.
    points, order: of a rubric, the scores of its items, and its items as the answer puts them in order (0: none of them).
    shares: `judge`, the score in [0, 1], with what stands beside it."""

    verdict: str
    reason: str | None = None
    reply: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    shares: Mapping[str, float] = field(default_factory=dict)
    points: tuple[float, ...] = ()
    order: tuple[int, ...] = ()


async def judge_samples(
    samples: Sequence[SampleRow],
    questions: Mapping[str, QuestionRow],
    family: str,
    generate: Generate,
    *,
    params: Mapping[str, Any] | None = None,
    prompt: str | None = None,
    seen: Seen | None = None,
    cut_off: str = "wrong",
) -> list[ScoreRow]:
    """The rows of a judge's scores file, in the order of the samples. cut_off: of the task's card: whether an answer that
    was cut off at its token limit is wrong, or is judged as far as it goes, which judges as published always do.

    metrics: `{"judge": 0 or 1}`. Answers that failed stay failed, and unusable ones are wrong, without a call: only rows
    with a `reply` were judged. An unanswerable question has a verdict like any other; callers average it by itself. In
    families that give shares `judge` is one, and others stand beside it (rubric.py, PARTS).
    """
    unknown = next((row.question_id for row in samples if row.question_id not in questions), None)
    if unknown is not None:
        raise UsageError(f"samples.jsonl: question '{unknown}' is not in questions.jsonl; run its command again")
    given = [row.keypoints for row in questions.values()]
    check_keypoints(family, given, "give another --family, or run it anew with --fresh if its data have them")
    pairs = [(sample, questions[sample.question_id]) for sample in samples]
    settled = [_settled(sample, row, family, "scored" if family in official() else cut_off) for sample, row in pairs]
    cases = [(row.question(), sample.answer or "") for (sample, row), found in zip(pairs, settled, strict=True) if not found]
    judged = iter(await judge_cases(cases, family, generate, params, prompt, seen))
    return [
        _row(sample, found or next(judged), nothing(family, row.kind), found is None)
        for (sample, row), found in zip(pairs, settled, strict=True)
    ]


async def judge_cases(
    cases: Sequence[Case],
    family: str,
    generate: Generate,
    params: Mapping[str, Any] | None = None,
    prompt: str | None = None,
    seen: Seen | None = None,
) -> list[Judgement]:
    """All cases at once, in their order; how many calls are in flight is up to `generate`. Raises what `generate` raises."""
    done = failed = 0

    async def one(case: Case) -> Judgement:
        nonlocal done, failed
        found = await judge_case(case, family, generate, params or {}, prompt)
        done += 1
        failed += found.verdict == "failed"
        if seen is not None:
            seen(done, len(cases), failed)
        return found

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(case)) for case in cases]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


async def judge_case(
    case: Case, family: str, generate: Generate, params: Mapping[str, Any], prompt: str | None = None
) -> Judgement:
    """Judge one answer. Raises only what `generate` raises, and UsageError where an official judge's texts are missing."""
    if family in official() and prompt is None:
        return await _official(case, official()[family], generate, params)
    question, answer = case
    items = items_of(question)
    sampling = {**(POINTS if family in SHARES else PARAMS), **params}
    readers: Mapping[str, Callable[[str], Any]] = {
        VERDICT: read_verdict,
        YES_NO: read_yes_no,
        SCORE: read_score,
        ORDER: partial(read_order, events=len(items)),
    }
    said: dict[str, Any] = {}
    reply = ""
    for asked, messages in judge_calls(family, question, answer, prompt).items():
        form = form_of(asked)
        read = readers.get(form) or partial(read_counts, form, keypoints=len(question.keypoints))
        said[asked], wrote, reason = await _ask(asked, messages, sampling, generate, read)
        reply = f"{reply}\n\n{wrote}".strip()
        if reason is not None:
            return Judgement("failed", reason, reply)
        if form in (VERDICT, YES_NO):
            return Judgement(said[asked], reply=reply)
    return _share(said, items, len(question.keypoints), reply)


def _share(said: Mapping[str, Any], items: Sequence[str], keypoints: int, reply: str) -> Judgement:
    """The judgement that a judge's scores of a rubric's items, or its counts of a summary's points, make."""
    points = tuple(score for asked, score in said.items() if form_of(asked) == SCORE)
    counts: dict[str, int] = {} if points else {name: count for found in said.values() for name, count in found.items()}
    order = tuple(number and shown_order(items)[number - 1] + 1 for number in said.get(ORDER, ()))
    made = rubric_shares(points, order if ORDER in said else None) if points else shares(counts, keypoints)
    verdict = "right" if made["judge"] >= 1 else "partly" if made["judge"] > 0 else "wrong"
    return Judgement(verdict, None, reply, counts, made, points, order)


async def _official(case: Case, judge: OfficialJudge, generate: Generate, params: Mapping[str, Any]) -> Judgement:
    """As upstream judges: its reply counts as far as it goes."""
    messages, said = judge.messages(*case), ""
    for sample in range(2):
        completion = await generate(Request(messages, params={**judge.params, **params}, sample=sample))
        if completion.error is not None:
            return Judgement("failed", f"judge gave up: {completion.error}")
        said = completion.text[-LONGEST_REPLY:]
        if verdict := judge.read(completion.text):
            return Judgement(verdict, reply=said)
    return Judgement("failed", "judge gave up: its reply could not be read twice", said)


async def _ask(
    asked: str,
    messages: list[dict[str, str]],
    params: Mapping[str, Any],
    generate: Generate,
    read: Callable[[str], Any],
) -> tuple[Any, str, str | None]:
    """(what was read, the end of what the judge wrote, why it gave up). The second try reminds the judge of the form."""
    tried, said = messages, ""
    for sample in range(2):
        completion = await generate(Request(tried, params=params, sample=sample))
        if completion.error is not None:
            return None, "", f"judge gave up: {completion.error}"
        if completion.finish_reason == "overflow":
            return None, "", "judge gave up: the prompt exceeds its window"
        found = read(completion.text) if completion.whole else None
        said = completion.text[-LONGEST_REPLY:]
        if found is not None:
            return found, said, None
        tried = reminded(messages, asked, said)
    return None, said, f"judge gave up: no {asked} in 2 replies"


def family_of(judge: str, source: str) -> str:
    """The family of prompts that a run's task names: the card's `judge`, else its source where that has prompts of its own,
    else `generic`."""
    return judge or (source if source in RULES else "generic")


def check_keypoints(family: str, keypoints: Sequence[Sequence[str]], remedy: str) -> None:
    """Raises UsageError where a family counts keypoints and there are questions, but none that has any."""
    if family in SHARES and keypoints and not any(keypoints):
        raise UsageError(f"judge family '{family}' counts keypoints, and no question has any; {remedy}")


def _settled(sample: SampleRow, question: QuestionRow, family: str, cut_off: str) -> Judgement | None:
    """The verdict on a sample that needs no judge."""
    if sample.not_applicable:
        return Judgement("n/a", sample.not_applicable)
    if sample.failure is not None:
        return Judgement("failed", sample.failure)
    empty = UNUSABLE["empty"] if not (sample.answer or "").strip() else None
    if reason := unusable(sample.finish_reason, cut_off) or empty:
        return Judgement("wrong", reason)
    if family in SHARES and not question.keypoints:
        return Judgement("wrong", "there are no keypoints to tell: a recall of 0, as upstream counts")
    return None


def _row(sample: SampleRow, found: Judgement, parts: Mapping[str, float], judged: bool) -> ScoreRow:
    """parts: what stands beside `judge` of an answer that counts 0."""
    metrics = {"judge": float(found.verdict == "right"), **parts, **found.shares}
    return ScoreRow(
        question_id=sample.question_id,
        repeat=sample.repeat,
        answer_repeat=sample.answer_repeat,
        metrics={} if found.verdict == "n/a" else metrics,
        verdict=found.verdict,
        reason=found.reason,
        reply=found.reply if judged else None,
        counts=dict(found.counts),
        points=found.points,
        order=found.order,
    )
