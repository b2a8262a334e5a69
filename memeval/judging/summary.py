"""The judged score of a run: raw with its interval, by kind and part, and corrected for the judge's errors where known."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from memeval.errors import UsageError, suggest
from memeval.judging.prompts import ASPECTS
from memeval.judging.rates import Rate, corrected
from memeval.runs.store import read_json, read_lines
from memeval.runs.summary import INVALID_SHARE
from memeval.stats import failure_bounds, interval

Line = Mapping[str, Any]


def judged_summary(folder: Path, scorer: str, asked: Collection[str] | None = None) -> dict[str, Any]:
    """What a judge made of a run. Rates are fractions 0..1. asked: count these questions only.

    value, low, high, n, clusters, rule, within_stream: answerable questions, repeats of a question averaged first; failed
    samples count 0. parts: of summaries, the same for what the value is made of (counts.py). kinds: the same per kind;
    `unanswerable`: the share that was rightly declined. overall: all questions, the average that LongMemEval prints.
    failed: samples without a verdict; failure_bounds: were they all wrong, all right.
    status: complete, invalid (failed > max(1, 2 %)), or partial like its run. corrected: value, low, high by Rogan and
    Gladen, or None, and then uncorrected says why; calibration: what it rests on. Beside them scorer, judge, family,
    prompt_hash, own_prompt, related (roles whose model is the judge's kin), and the run's trained_on.

    Raises UsageError when this judge has not scored the run.
    """
    header = read_json(folder / "scores" / f"{scorer}.json")
    path = folder / "scores" / f"{scorer}.jsonl"
    if header is None or not path.is_file():
        known = scorers(folder)
        listed = f" (there are {', '.join(known)})" if known else "; memeval score RUN --judge NAME judges it"
        raise UsageError(f"{folder}: no verdicts of '{scorer}'{suggest(scorer, known)}{listed}")
    questions = {line["question_id"]: line for line in read_lines(folder / "questions.jsonl")}
    wanted = set(questions) if asked is None else set(asked)
    lines = [line for line in read_lines(path) if line["question_id"] in wanted and "judge" in line["metrics"]]
    answerable = [line for line in lines if questions[line["question_id"]]["answerable"]]
    kinds: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        question = questions[line["question_id"]]
        kinds[question["kind"] if question["answerable"] else "unanswerable"].append(line)
    failed = sum(line["verdict"] == "failed" for line in lines)
    run = read_json(folder / "summary.json") or {}
    found = _corrected(answerable, questions, header["family"], header["calibration"])
    invalid = failed > max(1.0, INVALID_SHARE * len(lines))
    summary = {
        **{key: header[key] for key in ("scorer", "judge", "family", "prompt_hash", "own_prompt", "related")},
        "status": "partial" if run.get("status") == "partial" else "invalid" if invalid else "complete",
        **_average(answerable, questions),
        "failed": failed,
        "samples": len(lines),
        "verdicts": dict(Counter(line["verdict"] for line in lines)),
        "reasons": dict(Counter(line["reason"] for line in lines if line["reason"]).most_common(5)),
        "parts": {part: _average(answerable, questions, part) for part in ASPECTS.get(header["family"], {})},
        "kinds": {kind: _average(rows, questions) for kind, rows in sorted(kinds.items())},
        "overall": _average(lines, questions),
        "failure_bounds": None,
        "calibration": header["calibration"],
        "corrected": None if isinstance(found, str) else {"value": found.value, "low": found.low, "high": found.high},
        "uncorrected": found if isinstance(found, str) else None,
        "trained_on": run.get("trained_on"),
        "cost": {key: header[key] for key in ("calls", "requests", "tokens")},
    }
    lost = sum(line["verdict"] == "failed" for line in answerable)
    if lost:
        bounds = failure_bounds(sum(line["metrics"]["judge"] for line in answerable), len(answerable), lost)
        summary["failure_bounds"] = [bounds.all_wrong, bounds.all_right]
    return summary


def scorers(folder: Path) -> list[str]:
    """The judges that have scored a run, by name of their scores file."""
    return sorted(path.stem for path in (folder / "scores").glob("judge-*.jsonl"))


def _average(lines: Sequence[Line], questions: Mapping[str, Line], metric: str = "judge") -> dict[str, Any]:
    values = _per_question(lines, lambda line: float(line["metrics"][metric]))
    if not values:
        return {"value": None, "low": None, "high": None, "n": 0}
    found = interval(list(values.values()), [questions[key]["cluster"] for key in values])
    return {
        "value": found.value,
        "low": found.low,
        "high": found.high,
        "n": found.n,
        "clusters": found.clusters,
        "rule": found.method,
        "within_stream": found.within_stream,
    }


def _per_question(lines: Sequence[Line], value: Any) -> dict[str, float]:
    rows: dict[str, list[float]] = defaultdict(list)
    for line in lines:
        rows[line["question_id"]].append(value(line))
    return {key: sum(found) / len(found) for key, found in rows.items()}


def _corrected(
    lines: Sequence[Line], questions: Mapping[str, Line], family: str, calibration: Mapping[str, Any] | None
) -> Rate | str:
    """The judge's errors touch only the answers it has seen: those with a `reply` and a verdict."""
    if not lines:
        return "no answerable question was judged"
    if family in ASPECTS:
        return "a share has no false accepts or rejects"
    if calibration is None:
        return "no calibration of this judge (memeval judge calibrate [FILE] --judge NAME --family FAMILY)"
    rates = calibration["answerable"]
    if not rates["false_accepts"] or not rates["false_rejects"]:
        return "the calibration lacks right or wrong answers to answerable questions"
    raw = _average(lines, questions)
    seen = _per_question(lines, lambda line: float("reply" in line and line["verdict"] != "failed"))
    observed = Rate(raw["value"], raw["low"], raw["high"], raw["n"])
    share = sum(seen.values()) / len(seen)
    return corrected(observed, Rate(**rates["false_accepts"]), Rate(**rates["false_rejects"]), share)
