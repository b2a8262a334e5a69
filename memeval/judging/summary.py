"""The judged score of a run: raw with its interval, by kind and by part, and corrected where the judge's errors are
known."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from msgspec.structs import asdict

from memeval.errors import UsageError, suggest
from memeval.judging.prompts import SHARES
from memeval.judging.rates import corrected
from memeval.judging.shares import PARTS, PUBLISHED
from memeval.records.averages import average, bounds
from memeval.records.folder import RunFolder
from memeval.records.judgements import CalibrationFacts, Rate
from memeval.records.rows import QuestionRow, ScoreRow
from memeval.records.summary import JudgeCost, JudgeSummary, Limits
from memeval.records.verdicts import status
from memeval.stats import average_repeats

JUDGE = "judge"


def judged_summary(path: Path, scorer: str, asked: Collection[str] | None = None) -> JudgeSummary:
    """The judged score of a run by one scorer. asked: count only these questions. Raises UsageError where this judge has not
    scored the run."""
    folder = RunFolder(path)
    header = folder.judge_header(scorer)
    known = folder.judges()
    if header is None or scorer not in known:
        listed = f" (there are {', '.join(known)})" if known else "; memeval score RUN --judge NAME judges it"
        raise UsageError(f"{path}: no verdicts of '{scorer}'{suggest(scorer, known)}{listed}")
    questions = folder.questions()
    wanted = set(questions) if asked is None else set(asked)
    rows = [row for row in folder.scores(scorer) if row.question_id in wanted and JUDGE in row.metrics]
    answerable = [row for row in rows if questions[row.question_id].answerable]
    kinds: dict[str, list[ScoreRow]] = defaultdict(list)
    for row in rows:
        kinds[questions[row.question_id].reported_kind].append(row)
    run = folder.summary()
    failed = sum(row.verdict == "failed" for row in rows)
    found = _corrected(answerable, questions, header.family, header.calibration)
    return JudgeSummary(
        **asdict(average(answerable, questions, JUDGE)),
        scorer=scorer,
        judge=header.judge,
        family=header.family,
        prompt_hash=header.prompt_hash,
        own_prompt=header.own_prompt,
        related=header.related,
        status=status(run is None or run.status != "partial", failed, len(rows)),
        failed=failed,
        samples=len(rows),
        verdicts=dict(Counter(row.verdict for row in rows)),
        reasons=dict(Counter(row.reason for row in rows if row.reason).most_common(5)),
        parts={part: average(answerable, questions, part) for part in PARTS.get(header.family, ())},
        kinds={kind: average(some, questions, JUDGE) for kind, some in sorted(kinds.items())},
        published_kinds={
            kind: average(some, questions, PUBLISHED)
            for kind, some in sorted(kinds.items())
            if PUBLISHED in PARTS.get(header.family, ())
        },
        overall=average(rows, questions, JUDGE),
        failure_bounds=bounds(answerable, JUDGE),
        calibration=header.calibration,
        corrected=None if isinstance(found, str) else Limits(found.value, found.low, found.high),
        uncorrected=found if isinstance(found, str) else None,
        trained_on=run.trained_on if run else None,
        cost=JudgeCost(header.calls, header.requests, header.tokens),
        served=header.served,
    )


def _corrected(
    rows: Sequence[ScoreRow],
    questions: Mapping[str, QuestionRow],
    family: str,
    calibration: CalibrationFacts | None,
) -> Rate | str:
    """The corrected score, or the reason why there is none. The judge's errors affect only the answers that it saw: those
    with a `reply` and a verdict."""
    raw = average(rows, questions, JUDGE)
    if raw.value is None or raw.low is None or raw.high is None:
        return "no answerable question was judged"
    if family in SHARES:
        return "a share has no false accepts or rejects"
    if calibration is None:
        return "no calibration of this judge (memeval judge calibrate [FILE] --judge NAME --family FAMILY)"
    accepts, rejects = calibration.answerable.false_accepts, calibration.answerable.false_rejects
    if not accepts or not rejects:
        return "the calibration lacks right or wrong answers to answerable questions"
    seen = average_repeats((row.question_id, float(row.reply is not None and row.verdict != "failed")) for row in rows)
    return corrected(Rate(raw.value, raw.low, raw.high, raw.n), accepts, rejects, sum(seen.values()) / len(seen))
