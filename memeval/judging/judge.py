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
from memeval.judging.prompts import ASPECTS, RULES, VERDICT, YES_NO, judge_calls, reminded
from memeval.judging.verdict import read_counts, read_verdict, read_yes_no, shares
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
"""Of calls that go through a summary point by point: upstream's limit. (Upstream's temperature is 0.1.)"""
LONGEST_REPLY = 2000
"""Characters of the judge's reply that are kept, and shown to it again for a second try."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """verdict: right, wrong, or failed (the judge gave up) with the reason; n/a for a sample without a result; of a summary
    right at 1, wrong at 0, else partly. reply: the end of what the judge wrote. counts, shares: of a summary, what the judge
    counted, and `judge`, its score in [0, 1], with the shares it is made of."""

    verdict: str
    reason: str | None = None
    reply: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    shares: Mapping[str, float] = field(default_factory=dict)


async def judge_samples(
    samples: Sequence[SampleRow],
    questions: Mapping[str, QuestionRow],
    family: str,
    generate: Generate,
    *,
    params: Mapping[str, Any] | None = None,
    prompt: str | None = None,
    seen: Seen | None = None,
) -> list[ScoreRow]:
    """The rows of a judge's scores file, in the order of the samples.

    metrics: `{"judge": 0 or 1}`. Answers that failed stay failed, and unusable ones are wrong, without a call: only rows
    with a `reply` were judged. An unanswerable question has a verdict like any other; callers average it by itself. Of a
    summary `judge` is a share, and `fluency`, `recall`, `precision` and `counts` are beside it.
    """
    unknown = next((row.question_id for row in samples if row.question_id not in questions), None)
    if unknown is not None:
        raise UsageError(f"samples.jsonl: question '{unknown}' is not in questions.jsonl; run its command again")
    given = [row.keypoints for row in questions.values()]
    check_keypoints(family, given, "give another --family, or run it anew with --fresh if its data have them")
    pairs = [(sample, questions[sample.question_id]) for sample in samples]
    settled = [_settled(sample, row, family) for sample, row in pairs]
    cases = [(row.question(), sample.answer or "") for (sample, row), found in zip(pairs, settled, strict=True) if not found]
    judged = iter(await judge_cases(cases, family, generate, params, prompt, seen))
    return [
        _row(sample, found or next(judged), family, found is None) for sample, found in zip(samples, settled, strict=True)
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
    (question, answer), points = case, len(case[0].keypoints)
    sampling = {**(POINTS if family in ASPECTS else PARAMS), **params}
    readers: Mapping[str, Callable[[str], Any]] = {VERDICT: read_verdict, YES_NO: read_yes_no}
    counts: dict[str, int] = {}
    reply = ""
    for asked, messages in judge_calls(family, question, answer, prompt).items():
        read = readers.get(asked) or partial(read_counts, asked, keypoints=points)
        found, said, reason = await _ask(asked, messages, sampling, generate, read)
        reply = f"{reply}\n\n{said}".strip()
        if reason is not None:
            return Judgement("failed", reason, reply)
        if asked in readers:
            return Judgement(found, reply=reply)
        counts.update(found)
    made = shares(counts, points)
    verdict = "right" if made["judge"] >= 1 else "partly" if made["judge"] > 0 else "wrong"
    return Judgement(verdict, None, reply, counts, made)


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
    if family in ASPECTS and keypoints and not any(keypoints):
        raise UsageError(f"judge family '{family}' counts keypoints, and no question has any; {remedy}")


def _settled(sample: SampleRow, question: QuestionRow, family: str) -> Judgement | None:
    """The verdict on a sample that needs no judge."""
    if sample.not_applicable:
        return Judgement("n/a", sample.not_applicable)
    if sample.failure is not None:
        return Judgement("failed", sample.failure)
    empty = UNUSABLE["empty"] if not (sample.answer or "").strip() else None
    cut_off = "scored" if family in official() else "wrong"
    if reason := unusable(sample.finish_reason, cut_off) or empty:
        return Judgement("wrong", reason)
    if family in ASPECTS and not question.keypoints:
        return Judgement("wrong", "there are no keypoints to tell: a recall of 0, as upstream counts")
    return None


def _row(sample: SampleRow, found: Judgement, family: str, judged: bool) -> ScoreRow:
    nothing = dict.fromkeys(ASPECTS.get(family, {}), 0.0)
    metrics = {"judge": float(found.verdict == "right"), **nothing, **found.shares}
    return ScoreRow(
        question_id=sample.question_id,
        repeat=sample.repeat,
        answer_repeat=sample.answer_repeat,
        metrics={} if found.verdict == "n/a" else metrics,
        verdict=found.verdict,
        reason=found.reason,
        reply=found.reply if judged else None,
        counts=dict(found.counts),
    )
