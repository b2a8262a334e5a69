"""The questions that a model answers without the stream: what it has seen elsewhere says nothing of its memory.

The QA sets are old Wikipedia. A run of the control `closed-book` with the same reader shows which questions are known;
tables, comparisons and pages can be given on the others alone (`--unseen`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from memeval.errors import UsageError
from memeval.records.rows import QuestionRow
from memeval.results.load import Run

CLOSED_BOOK = "closed-book"


def seen(run: Run, closed_book: Run) -> set[str]:
    """The ids of the run's questions that closed-book gets right in at least half of its answers. Unanswerable questions are
    never among them: declining shows no knowledge. The streams may differ in length: closed-book reads none.

    Raises UsageError where the second run is not of that control, is scored otherwise, has another reader, or lacks some of
    the questions."""
    if not _is_closed_book(closed_book):
        raise UsageError(f"{closed_book.path}: a run of '{closed_book.agent}', not of the control {CLOSED_BOOK}")
    if _scored(closed_book) != _scored(run):
        raise UsageError(
            f"{closed_book.path}: scored by {_scored(closed_book)}, while {run.path} is scored by {_scored(run)}"
        )
    if _reader(closed_book) != _reader(run):
        raise UsageError(
            f"{closed_book.path}: answered by {_reader(closed_book)}, while {run.path} was answered by {_reader(run)}"
        )
    missing = [key for key, row in run.questions.items() if not _same(row, closed_book.questions.get(key))]
    if missing:
        raise UsageError(
            f"{closed_book.path}: {len(missing)} of the {len(run.questions):,} questions of {run.path} were not asked, "
            f"such as '{missing[0]}'; run {CLOSED_BOOK} on {run.task} with --limit {len(run.questions)}"
        )
    right: dict[str, list[bool]] = defaultdict(list)
    for score in closed_book.scores(closed_book.decides):
        right[score.question_id].append(score.verdict == "right")
    return {key for key, row in run.questions.items() if row.answerable and 2 * sum(right[key]) >= len(right[key]) > 0}


def closed_book_of(run: Run, runs: Iterable[Run]) -> Run | None:
    """Of these runs, the newest of closed-book that `seen` takes for this run; None where there is none."""
    found = [
        other
        for other in runs
        if _is_closed_book(other)
        and (_scored(other), _reader(other)) == (_scored(run), _reader(run))
        and all(_same(row, other.questions.get(key)) for key, row in run.questions.items())
    ]
    return max(found, key=lambda other: other.when, default=None)


def _is_closed_book(run: Run) -> bool:
    return run.manifest.agent == CLOSED_BOOK and run.manifest.memory is None


def _same(row: QuestionRow, other: QuestionRow | None) -> bool:
    return other is not None and (row.text, row.answers, row.options) == (other.text, other.answers, other.options)


def _scored(run: Run) -> str:
    """What decides which answers are right."""
    return f"{run.summary.headline.metric} ({run.decides})"


def _reader(run: Run) -> str:
    """Whose knowledge it is: the model that answers, and its tag."""
    role = "memory" if run.manifest.track == "native" else "reader"
    return " ".join(filter(None, (run.manifest.models.get(role, "no model"), run.tags.get(role, ""))))
