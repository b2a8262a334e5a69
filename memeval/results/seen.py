"""The questions that a model answers without the stream. Its score on them says nothing about a memory.

The QA data sets are made of old Wikipedia pages. A run of the control `closed-book` with the same reader shows which
questions the reader knows; `--unseen` limits tables to the others.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from memeval.errors import UsageError
from memeval.records.rows import QuestionRow
from memeval.results.run import Run

CLOSED_BOOK = "closed-book"
_WANTED = f"no run of {CLOSED_BOOK} with the reader, the questions and the scorer of"


def seen(run: Run, closed_book: Run) -> set[str]:
    """The ids of the run's questions that closed-book answers right in at least half of its repeats. Unanswerable questions
    are never among them: declining shows no knowledge. The streams may differ in length: closed-book reads none.

    Raises UsageError where `closed_book` is not a run of that control with the run's reader, scorer and questions."""
    if not _is_reference(closed_book, run):
        raise UsageError(f"{closed_book.path}: {_WANTED} {run.path}")
    right: dict[str, list[bool]] = defaultdict(list)
    for score in closed_book.scores(closed_book.decides):
        right[score.question_id].append(score.verdict == "right")
    return {key for key, row in run.questions.items() if row.answerable and 2 * sum(right[key]) >= len(right[key]) > 0}


def unseen(run: Run, closed_book: Iterable[Run]) -> frozenset[str]:
    """The ids of the run's questions that are not `seen`, by the newest run of closed-book that fits. Raises UsageError
    where none fits."""
    references = [other for other in closed_book if _is_reference(other, run)]
    if not references:
        raise UsageError(
            f"--unseen: {_WANTED} {run.path}; "
            f"run it: memeval run --agent {CLOSED_BOOK} --task {run.task} --reader {run.summary.reader}"
        )
    return frozenset(run.questions) - seen(run, max(references, key=lambda other: other.when))


def _is_reference(other: Run, run: Run) -> bool:
    """Whether `other` is a run of the control closed-book (not of an agent with that name), with the reader, the scorer and
    the questions of `run`."""
    return (
        (other.manifest.agent, other.manifest.memory) == (CLOSED_BOOK, None)
        and (_scored(other), _reader(other)) == (_scored(run), _reader(run))
        and all(_same(row, other.questions.get(key)) for key, row in run.questions.items())
    )


def _same(row: QuestionRow, other: QuestionRow | None) -> bool:
    return other is not None and (row.text, row.answers, row.options) == (other.text, other.answers, other.options)


def _scored(run: Run) -> tuple[str, str]:
    """The metric and the scorer that decide which answers are right."""
    return run.summary.headline.metric, run.decides


def _reader(run: Run) -> tuple[str | None, str | None]:
    """The model that answers, and its tag."""
    role = "memory" if run.manifest.track == "native" else "reader"
    return run.manifest.models.get(role), run.tags.get(role)
