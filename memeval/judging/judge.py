"""Judge answers by a model: one call per answer (three per summary) at temperature 0, and a second try where a reply cannot
be read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from memeval import process
from memeval.errors import UsageError
from memeval.judging.official import OfficialJudge, official
from memeval.judging.prompts import (
    ORDER,
    RUBRICS,
    RULES,
    SCORE,
    SHARES,
    form_of,
    items_of,
    judge_calls,
    reminded,
    shown_order,
)
from memeval.judging.shares import rubric_shares, summary_shares, zero_parts
from memeval.judging.verdict import READERS, read_counts, read_order
from memeval.models.completion import Completion, Request
from memeval.records.rows import QuestionRow, SampleRow, ScoreRow
from memeval.records.verdicts import UNUSABLE, unusable
from memeval.task import Question

Generate = Callable[[Request], Awaitable[Completion]]
Case = tuple[Question, str]
"""(question, answer)"""
Progress = Callable[[int, int, int], None]
"""Called after each judgement with (done, total, failed)."""

PARAMS: Mapping[str, Any] = {"temperature": 0.0, "max_tokens": 512}
"""The default parameters of a judge's calls: it writes two sentences and a line. The limit is raised for a judge whose reply
shows thinking (models/adaptive.py)."""
POINTS: Mapping[str, Any] = {**PARAMS, "max_tokens": 4096}
"""The default parameters for families that give shares, which go through an answer point by point; the limit is that of
MemoryAgentBench. (Its temperature is 0.1.)"""
LONGEST_REPLY = 2000
"""The most characters of a judge's reply that are kept, and shown to it again for a second try."""


@dataclass(frozen=True, slots=True)
class Judge:
    """A model with the prompts of a family. params: of its calls, over the family's defaults. prompt: the user's rules in
    place of the family's. The methods raise what `generate` raises, and UsageError where an official judge's texts are
    missing."""

    family: str
    generate: Generate
    params: Mapping[str, Any] = field(default_factory=dict)
    prompt: str | None = None

    @property
    def upstream(self) -> OfficialJudge | None:
        """The published judge with these prompts; None where the prompts are ours or the user's."""
        return official().get(self.family) if self.prompt is None else None

    async def samples(
        self,
        samples: Sequence[SampleRow],
        questions: Mapping[str, QuestionRow],
        progress: Progress | None = None,
        cut_off: str = "wrong",
    ) -> list[ScoreRow]:
        """Judge samples, and return the rows of the scores file in the order of the samples. cut_off: `wrong` or `scored`,
        by the task's card, for an answer that was cut off at its token limit; published judges always score it.

        metrics: `{"judge": 0 or 1}`. Answers that failed stay failed, and unusable ones are wrong, without a call: only rows
        with a `reply` were judged. An unanswerable question gets a verdict like any other; callers average those separately.
        In families that give shares, `judge` is a share, and there are further ones (shares.py, PARTS).
        """
        unknown = next((row.question_id for row in samples if row.question_id not in questions), None)
        if unknown is not None:
            raise UsageError(f"samples.jsonl: question '{unknown}' is not in questions.jsonl; run its command again")
        given = [row.keypoints for row in questions.values()]
        check_keypoints(self.family, given, "give another --family, or run it anew with --fresh if its data have them")
        cut_off = "scored" if self.family in official() else cut_off
        cases = [(questions[sample.question_id].question(), sample.answer or "") for sample in samples]
        settled = [self._settled(sample, question, cut_off) for sample, (question, _) in zip(samples, cases, strict=True)]
        asked = [case for case, found in zip(cases, settled, strict=True) if not found]
        judged = iter(await self.cases(asked, progress))
        return [
            replace(found or next(judged), repeat=sample.repeat, answer_repeat=sample.answer_repeat)
            for sample, found in zip(samples, settled, strict=True)
        ]

    async def cases(self, cases: Sequence[Case], progress: Progress | None = None) -> list[ScoreRow]:
        """Judge all cases at once, and return the rows in their order. `generate` limits the calls in flight."""
        done = failed = 0

        async def one(case: Case) -> ScoreRow:
            nonlocal done, failed
            found = await self.case(*case)
            done += 1
            failed += found.verdict == "failed"
            if progress is not None:
                progress(done, len(cases), failed)
            return found

        return await process.all_of(map(one, cases))

    async def case(self, question: Question, answer: str) -> ScoreRow:
        """Judge one answer."""
        said: dict[str, Any] = {}
        reply = ""
        for asked, messages in judge_calls(self.family, question, answer, self.prompt).items():
            said[asked], wrote, reason = await self._ask(asked, messages, question)
            reply = f"{reply}\n\n{wrote}".strip()
            if reason is not None:
                return self._row(question, "failed", reason, reply)
        if self.family in SHARES:
            return self._shares(question, said, reply)
        (verdict,) = said.values()
        return self._row(question, verdict, reply=reply)

    async def _ask(self, asked: str, messages: list[dict[str, str]], question: Question) -> tuple[Any, str, str | None]:
        """(what was read, the end of what the judge wrote, why it gave up). The second try reminds the judge of the form.
        For an upstream judge, its own rule reads the reply, even one that was cut off, and the second try is the same
        call."""
        upstream = self.upstream
        usual = upstream.params if upstream else POINTS if self.family in SHARES else PARAMS
        tried, said = messages, ""
        for sample in range(2):
            completion = await self.generate(Request(tried, params={**usual, **self.params}, sample=sample))
            if reason := _no_reply(completion):
                return None, "", reason
            said = completion.text[-LONGEST_REPLY:]
            found = upstream.read(completion.text) if upstream else _read(asked, completion, question)
            if found is not None:
                return found, said, None
            tried = messages if upstream else reminded(messages, asked, said)
        return None, said, f"judge gave up: no {asked} in 2 replies"

    def _row(self, question: Question, verdict: str, reason: str | None = None, reply: str | None = None) -> ScoreRow:
        """The row of an answer that is right or counts 0. reply: None where the judge was not asked."""
        metrics = {"judge": float(verdict == "right"), **zero_parts(self.family, question.kind)}
        return ScoreRow(question_id=question.id, repeat=0, metrics=metrics, verdict=verdict, reason=reason, reply=reply)

    def _shares(self, question: Question, said: Mapping[str, Any], reply: str) -> ScoreRow:
        """The row of an answer from the judge's scores of a rubric's items, or from its counts of a summary's points."""
        counts: dict[str, int] = {}
        points: tuple[float, ...] = ()
        order: tuple[int, ...] = ()
        if self.family in RUBRICS:
            points = tuple(score for asked, score in said.items() if form_of(asked) == SCORE)
            shown = shown_order(items_of(question))
            order = tuple(number and shown[number - 1] + 1 for number in said.get(ORDER, ()))
            metrics = rubric_shares(points, order if ORDER in said else None)
        else:
            counts = {name: count for found in said.values() for name, count in found.items()}
            metrics = summary_shares(counts, len(question.keypoints))
        verdict = "right" if metrics["judge"] >= 1 else "partly" if metrics["judge"] > 0 else "wrong"
        row = self._row(question, verdict, reply=reply)
        return replace(row, metrics=metrics, counts=counts, points=points, order=order)

    def _settled(self, sample: SampleRow, question: Question, cut_off: str) -> ScoreRow | None:
        """The row of a sample that needs no judge; None where it needs one."""
        if sample.not_applicable:
            return replace(self._row(question, "n/a", sample.not_applicable), metrics={})
        if sample.failure is not None:
            return self._row(question, "failed", sample.failure)
        empty = UNUSABLE["empty"] if not (sample.answer or "").strip() else None
        if reason := unusable(sample.finish_reason, cut_off) or empty:
            return self._row(question, "wrong", reason)
        if self.family in SHARES and not question.keypoints:
            return self._row(question, "wrong", "there are no keypoints to tell: a recall of 0, as upstream counts")
        return None


def _no_reply(completion: Completion) -> str | None:
    """The reason why there is no reply to read; None where there is one."""
    if completion.error is not None:
        return f"judge gave up: {completion.error}"
    return "judge gave up: the prompt exceeds its window" if completion.finish_reason == "overflow" else None


def _read(asked: str, completion: Completion, question: Question) -> Any:
    """The value that a whole reply to one call states; None where it is not in the form that was asked for."""
    form, text = form_of(asked), completion.text
    if not completion.whole:
        return None
    if form in READERS:
        return READERS[form](text)
    if form == ORDER:
        return read_order(text, len(items_of(question)))
    return read_counts(form, text, len(question.keypoints))


def family_of(judge: str, source: str) -> str:
    """The family of prompts for a run's task: the card's `judge`, else its source where that has prompts of its own, else
    `generic`."""
    return judge or (source if source in RULES else "generic")


def check_keypoints(family: str, keypoints: Sequence[Sequence[str]], remedy: str) -> None:
    """Check that questions have what a family counts. Raises UsageError where it counts keypoints, and no question has
    any."""
    if family in SHARES and keypoints and not any(keypoints):
        raise UsageError(f"judge family '{family}' counts keypoints, and no question has any; {remedy}")
