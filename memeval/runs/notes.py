"""What a reader of a run's numbers must know: data, the same in a table, in JSON and in `memeval show`."""

from __future__ import annotations

from collections.abc import Iterator

from memeval.records.averages import Average
from memeval.records.summary import Contamination, Note, Summary
from memeval.records.verdicts import UNUSABLE

FEW = 100
"""Questions below which a table ranks nothing."""

OFFLINE_JUDGE = "judge offline: a string rule in place of a judge; it checks the harness and is no judged score."


def notes(run: Summary) -> tuple[Note, ...]:
    return tuple(_notes(run))


def _notes(run: Summary) -> Iterator[Note]:
    if run.n < FEW:
        yield Note("few", f"n below {FEW}: this table shows the machinery, it ranks nothing.")
    if run.judge_family and run.headline.metric != "judge":
        text = f"made to be scored by a judge; without one (--judge NAME), {run.headline.metric} is shown instead."
        yield Note("not-judged", text)
    if run.judge and run.judge.judge == "offline":
        yield Note("offline-judge", OFFLINE_JUDGE)
    if "offline" in (run.model, run.reader):
        text = "model offline: a rule-based reader; these rows check the harness and never stand beside published ones."
        yield Note("offline-model", text)
    if run.embedder == "offline":
        text = "embedder offline: hashed words and spellings; what it retrieves compares with no published row."
        yield Note("offline-embedder", text)
    if run.judge:
        related = f"; of the family of {', '.join(run.judge.related)}" if run.judge.related else ""
        parts = f": {parts_line(run.judge.parts)}" if run.judge.parts else ""
        yield Note("judged", f"judged by {run.judge.judge} (prompts {run.judge.prompt_hash[:8]}{related}){parts}")
    if run.trained_on:
        yield Note("contamination", trained_text(run.trained_on))
    if not run.replayable:
        text = "the memory does not follow from stored replies: runs of other commands have read another one."
        yield Note("own-memory", text)
    if run.query.offered:
        used = "used" if run.query.used else "not used"
        yield Note("query-visible", f"the question was shown while reading ({used})")
    for reason, number in run.unread.items():
        yield Note("unread", f"{number} calls while reading brought nothing: {reason}")
    useless = {reason: number for reason, number in run.reasons.items() if reason in UNUSABLE.values()}
    for reason, number in useless.items():
        yield Note("unusable", f"{number} replies count as wrong: {reason}")
    if run.failure_bounds:
        low, high = run.failure_bounds
        yield Note("failure-bounds", f"failures count 0; all wrong or all right: {percent(low)} to {percent(high)}")
    if run.status != "complete" or run.failed:
        reasons = [reason for reason in run.reasons if run.failed and reason not in useless]
        why = f" ({reasons[0]})" if reasons else ""
        yield Note("failed", f"{run.status}, {run.failed} failed{why}; see {run.path}")


def trained_text(trained: Contamination) -> str:
    """What is known of the models' training data, in words."""
    how = f": {'; '.join(trained.notes)}" if trained.notes else ""
    text = f"{trained.mark} ({', '.join(trained.by)}{how})"
    if trained.known is not None:
        text += f"; {trained.known} of {trained.asked} asked questions were trained on"
    if trained.others:
        row = trained.others
        text += f"; {row.metric} on the others {percent(row.value)}, {range_text(row)}, n {row.n}"
    return text


def parts_line(parts: dict[str, Average]) -> str:
    """What a judged score of summaries is made of."""
    return ", ".join(f"{part} {percent(row.value)}" for part, row in parts.items())


def percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def range_text(row: Average) -> str:
    return "-" if row.low is None else f"{percent(row.low)} to {percent(row.high)}"
