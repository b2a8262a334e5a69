"""A run's samples before a judge: one call per answer (three per summary), at temperature 0, into a scores file of its own.

Calls go through the journal of the run folder: judging again costs nothing for verdicts that are there, and a judgement that
was stopped goes on where it was. Equal answers to one question are one call, whatever their repeat.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import asdict, replace

from memeval.cards import digest
from memeval.errors import UsageError
from memeval.judging.calibrate import saved
from memeval.judging.lineage import related_roles
from memeval.judging.prompts import ASPECTS, RULES, prompt_hash
from memeval.judging.ruling import Case, Generate, Ruling, Seen, consult, rule_all, scorer_name
from memeval.models.budget import Budget
from memeval.models.completion import ModelSpec
from memeval.records.folder import RunFolder, RunWriter
from memeval.records.judgements import JudgeHeader
from memeval.records.manifest import JudgeFacts, Manifest
from memeval.records.rows import QuestionRow, SampleRow, ScoreRow
from memeval.records.verdicts import UNUSABLE


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

    metrics: `{"judge": 0 or 1}`. Answers that failed stay failed, and unusable or empty ones are wrong, without a call: only
    rows with a `reply` were judged. An unanswerable question has a verdict like any other; who averages keeps it apart. Of a
    summary `judge` is a share, `fluency`, `recall` and `precision` are beside it, and `counts`.
    """
    cases = _cases(samples, questions, family)
    return _rows(samples, questions, family, await rule_all(cases, family, generate, params, prompt, seen))


def judge_folder(
    path: Path,
    judge: ModelSpec,
    family: str | None = None,
    *,
    prompt: str | None = None,
    concurrency: int = 16,
    use_cache: bool = True,
    seen: Seen | None = None,
    budget: Budget | None = None,
) -> str:
    """Judge every sample of a run; returns the scorer's name. `scores/<name>.jsonl` holds the verdicts, `scores/<name>.json`
    who gave them: judge, family, prompt hash, related roles, cost, the judge's calibration where one is kept.

    family None: the one the task names (`family_of`). Both files are replaced whole, at the end; manifest.json
    gets the judge under `judges`. Raises UsageError (no run, locked, unknown names) and StopRun (judge again to go on).
    """
    folder = RunFolder(path)
    manifest = folder.known_manifest()
    family = family or family_of(manifest.judge, manifest.source)
    scorer = scorer_name(judge, family, prompt)
    with RunWriter(folder):
        questions, samples = folder.questions(), folder.samples()
        if not samples:
            raise UsageError(f"{path}: no samples yet; run its command first")
        cases = _cases(samples, questions, family)
        hearing = consult(
            judge, cases, family, journal=path / "calls.sqlite",
            concurrency=concurrency, use_cache=use_cache, seen=seen, prompt=prompt, budget=budget,
        )  # fmt: skip
        facts = JudgeFacts(
            judge=judge.name,
            family=family,
            prompt_hash=prompt_hash(family, prompt),
            own_prompt=prompt is not None,
            params=dict(judge.params),
            related=tuple(related_roles(judge.name, _judged_models(manifest))),
        )
        rules = digest([judge.name, facts.prompt_hash, facts.params])[:16]
        rows = _rows(samples, questions, family, hearing.rulings)
        folder.write_scores([replace(row, scorer=rules) for row in rows], scorer)
        folder.write_judge_header(
            JudgeHeader(
                **asdict(facts),
                scorer=scorer,
                base_url=judge.base_url,
                calls=hearing.calls,
                requests=hearing.requests,
                tokens=hearing.tokens,
                calibration=saved(scorer),
            )
        )
        folder.write_manifest(replace(manifest, judges={**manifest.judges, scorer: facts}))
    return scorer


def family_of(judge: str, source: str) -> str:
    """The family of prompts a run's task names: the card's `judge`, else its source where that has prompts of its own, else
    `generic`."""
    return judge or (source if source in RULES else "generic")


def check_keypoints(family: str, keypoints: Sequence[Sequence[str]], remedy: str) -> None:
    """Raises UsageError where a family counts keypoints and there are questions, but none that has any."""
    if family in ASPECTS and keypoints and not any(keypoints):
        raise UsageError(f"judge family '{family}' counts keypoints, and no question has any; {remedy}")


def _cases(samples: Sequence[SampleRow], questions: Mapping[str, QuestionRow], family: str) -> list[Case]:
    """What has to be asked of the judge, in the order of the samples."""
    unknown = next((row.question_id for row in samples if row.question_id not in questions), None)
    if unknown is not None:
        raise UsageError(f"samples.jsonl: question '{unknown}' is not in questions.jsonl; run its command again")
    given = [row.keypoints for row in questions.values()]
    check_keypoints(family, given, "give another --family, or run it anew with --fresh if its data have them")
    asked = [(sample, questions[sample.question_id]) for sample in samples]
    return [(row.question(), sample.answer or "") for sample, row in asked if _settled(sample, row, family) is None]


def _settled(sample: SampleRow, question: QuestionRow, family: str) -> Ruling | None:
    """The verdict on a sample that no judge need see."""
    if sample.not_applicable:
        return Ruling("n/a", sample.not_applicable)
    if sample.failure is not None:
        return Ruling("failed", sample.failure)
    unusable = UNUSABLE.get(sample.finish_reason or "")
    if unusable or not (sample.answer or "").strip():
        return Ruling("wrong", unusable or "the reply is empty")
    if family in ASPECTS and not question.keypoints:
        return Ruling("wrong", "there are no keypoints to tell: a recall of 0, as upstream counts")
    return None


def _rows(
    samples: Sequence[SampleRow], questions: Mapping[str, QuestionRow], family: str, rulings: Sequence[Ruling]
) -> list[ScoreRow]:
    given = iter(rulings)
    nothing = dict.fromkeys(ASPECTS.get(family, {}), 0.0)
    rows = []
    for sample in samples:
        settled = _settled(sample, questions[sample.question_id], family)
        ruling = settled or next(given)
        metrics = {"judge": float(ruling.verdict == "right"), **nothing, **ruling.shares}
        rows.append(
            ScoreRow(
                question_id=sample.question_id,
                repeat=sample.repeat,
                answer_repeat=sample.answer_repeat,
                metrics={} if ruling.verdict == "n/a" else metrics,
                verdict=ruling.verdict,
                reason=ruling.reason,
                reply=None if settled else ruling.reply,
                counts=dict(ruling.counts),
            )
        )
    return rows


def _judged_models(manifest: Manifest) -> dict[str, str]:
    """role -> model whose words are judged: the reader's, or those of an agent that answers by itself."""
    role = "memory" if manifest.track == "native" else "reader"
    model = manifest.models.get(role)
    return {role: model} if model else {}
