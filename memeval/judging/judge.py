"""A run's samples before a judge: one call per answer (three per summary), at temperature 0, into a scores file of its own.

Calls go through the journal of the run folder: judging again costs nothing for verdicts that stand, and a judgement that was
stopped goes on where it was. Equal answers to one question are one call, whatever their repeat.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from memeval.errors import UsageError
from memeval.judging.calibrate import saved
from memeval.judging.lineage import related_roles
from memeval.judging.prompts import ASPECTS, RULES, prompt_hash
from memeval.judging.ruling import Case, Generate, Ruling, Seen, consult, rule_all, scorer_name
from memeval.models.budget import Budget
from memeval.models.completion import ModelSpec
from memeval.runs.score import UNUSABLE, question_of
from memeval.runs.store import Store, read_json, write_json, write_lines

Line = Mapping[str, Any]


async def judge_samples(
    samples: Sequence[Line],
    questions: Mapping[str, Line],
    family: str,
    generate: Generate,
    *,
    params: Mapping[str, Any] | None = None,
    prompt: str | None = None,
    seen: Seen | None = None,
) -> list[dict[str, Any]]:
    """The lines of a judge's scores file, in the order of the samples (lines of samples.jsonl; questions: id -> line of
    questions.jsonl).

    `{"question_id", "repeat", "answer_repeat", "metrics": {"judge": 0 or 1}, "verdict": right | wrong | failed | n/a,
    "reason"}`, and `"reply"`, what the judge wrote, where it was asked. Answers that failed stay failed, and unusable or
    empty ones are wrong, without a call. An unanswerable question has a verdict like any other; who averages keeps it apart.
    Of a summary `judge` is a share, `fluency`, `recall` and `precision` stand beside it, and `"counts"` beside the reply.
    """
    cases = _cases(samples, questions, family)
    return _lines(samples, questions, family, await rule_all(cases, family, generate, params, prompt, seen))


def judge_folder(
    folder: Path,
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
    manifest = read_json(folder / "manifest.json")
    if manifest is None:
        raise UsageError(f"{folder}: not a run folder (no manifest.json); give RUNS/<task>/<agent>-<hash>")
    family = family or family_of(manifest)
    scorer = scorer_name(judge, family, prompt)
    with Store(folder) as store:
        questions = {line["question_id"]: line for line in store.lines("questions")}
        samples = list(store.lines("samples"))
        if not samples:
            raise UsageError(f"{folder}: no samples yet; run its command first")
        cases = _cases(samples, questions, family)
        options: dict[str, Any] = {
            "concurrency": concurrency,
            "use_cache": use_cache,
            "seen": seen,
            "prompt": prompt,
            "budget": budget,
        }
        hearing = consult(judge, cases, family, journal=folder / "calls.sqlite", **options)
        facts = {
            "judge": judge.name,
            "family": family,
            "prompt_hash": prompt_hash(family, prompt),
            "own_prompt": prompt is not None,
            "params": dict(judge.params),
            "related": related_roles(judge.name, _judged_models(manifest)),
        }
        write_lines(folder / "scores" / f"{scorer}.jsonl", _lines(samples, questions, family, hearing.rulings))
        cost = {"calls": hearing.calls, "requests": hearing.requests, "tokens": msgspec.structs.asdict(hearing.tokens)}
        write_json(
            folder / "scores" / f"{scorer}.json",
            {"scorer": scorer, **facts, "base_url": judge.base_url, **cost, "calibration": saved(scorer)},
        )
        write_json(folder / "manifest.json", {**manifest, "judges": {**manifest.get("judges", {}), scorer: facts}})
    return scorer


def family_of(manifest: Line) -> str:
    """The family of prompts a run's task names: the card's `judge`, else its source where that has prompts of its own, else
    `generic`."""
    task = manifest["task"]
    named = manifest.get("judge") or task.get("judge")
    if named:
        return str(named)
    source = str(task.get("source"))
    return source if source in RULES else "generic"


def check_keypoints(family: str, keypoints: Sequence[Sequence[str]], remedy: str) -> None:
    """Raises UsageError where a family counts keypoints and there are questions, but none that has any."""
    if family in ASPECTS and keypoints and not any(keypoints):
        raise UsageError(f"judge family '{family}' counts keypoints, and no question has any; {remedy}")


def _cases(samples: Sequence[Line], questions: Mapping[str, Line], family: str) -> list[Case]:
    """What has to be asked of the judge, in the order of the samples."""
    unknown = next((line["question_id"] for line in samples if line["question_id"] not in questions), None)
    if unknown is not None:
        raise UsageError(f"samples.jsonl: question '{unknown}' is not in questions.jsonl; run it anew with --fresh")
    given = [line.get("keypoints", ()) for line in questions.values()]
    check_keypoints(family, given, "give another --family, or run it anew with --fresh if its data have them")
    asked = [(sample, questions[sample["question_id"]]) for sample in samples]
    return [(question_of(line), sample["answer"]) for sample, line in asked if _settled(sample, line, family) is None]


def _settled(sample: Line, question: Line, family: str) -> Ruling | None:
    """The verdict on a sample that no judge need see."""
    if sample.get("not_applicable"):
        return Ruling("n/a", sample["not_applicable"])
    if sample["failure"] is not None:
        return Ruling("failed", sample["failure"])
    unusable = UNUSABLE.get(sample["finish_reason"] or "")
    if unusable or not (sample["answer"] or "").strip():
        return Ruling("wrong", unusable or "the reply is empty")
    if family in ASPECTS and not question.get("keypoints"):
        return Ruling("wrong", "there are no keypoints to tell: a recall of 0, as upstream counts")
    return None


def _lines(
    samples: Sequence[Line], questions: Mapping[str, Line], family: str, rulings: Sequence[Ruling]
) -> list[dict[str, Any]]:
    given = iter(rulings)
    nothing = dict.fromkeys(ASPECTS.get(family, {}), 0.0)
    lines = []
    for sample in samples:
        settled = _settled(sample, questions[sample["question_id"]], family)
        ruling = settled or next(given)
        metrics = {"judge": int(ruling.verdict == "right"), **nothing, **ruling.shares}
        line: dict[str, Any] = {
            "question_id": sample["question_id"],
            "repeat": sample["repeat"],
            "answer_repeat": sample["answer_repeat"],
            "metrics": {} if ruling.verdict == "n/a" else metrics,
            "verdict": ruling.verdict,
            "reason": ruling.reason,
        }
        counts = {"counts": dict(ruling.counts)} if ruling.counts else {}
        lines.append(line if settled else {**line, **counts, "reply": ruling.reply})
    return lines


def _judged_models(manifest: Line) -> dict[str, str]:
    """role -> model whose words are judged: the reader's, or those of an agent that answers by itself."""
    role = "memory" if manifest["agent"].get("track") == "native" else "reader"
    model = manifest.get("models", {}).get(role)
    return {role: model["name"]} if model else {}
