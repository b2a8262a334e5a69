"""The questions that a model answers without the stream: what it has seen elsewhere says nothing of its memory.

The QA sets are old Wikipedia. A run of the control `closed-book` with the same reader shows which questions are known;
tables can be given on the others alone (`--unseen`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from memeval.errors import UsageError
from memeval.records.rows import QuestionRow
from memeval.results.run import Run

CLOSED_BOOK = "closed-book"


def unseen_questions(run: Run, closed_book: Iterable[Run]) -> frozenset[str]:
    """The ids of the run's questions that closed-book does not get right in at least half of its answers, by the newest of
    these runs of it that has the run's reader, scorer and questions. Unanswerable questions are always among them: declining
    shows no knowledge. The streams may differ in length: closed-book reads none.

    Raises UsageError where there is no such run."""
    references = [other for other in closed_book if _is_reference(other, run)]
    if not references:
        raise UsageError(
            f"--unseen: no run of {CLOSED_BOOK} with the reader, the questions and the scorer of {run.path}; "
            f"run it: memeval run --agent {CLOSED_BOOK} --task {run.task} --reader {run.summary.reader}"
        )
    reference = max(references, key=lambda other: other.when)
    right: dict[str, list[bool]] = defaultdict(list)
    for score in reference.scores(reference.decides):
        right[score.question_id].append(score.verdict == "right")
    seen = {key for key, row in run.questions.items() if row.answerable and 2 * sum(right[key]) >= len(right[key]) > 0}
    return frozenset(run.questions) - seen


def _is_reference(other: Run, run: Run) -> bool:
    """Whether a run is of closed-book (the control, and no agent of this name), and shows what the reader of `run` knows of
    its questions."""
    return (
        (other.manifest.agent, other.manifest.memory) == (CLOSED_BOOK, None)
        and (_scored(other), _reader(other)) == (_scored(run), _reader(run))
        and all(_same(row, other.questions.get(key)) for key, row in run.questions.items())
    )


def _same(row: QuestionRow, other: QuestionRow | None) -> bool:
    return other is not None and (row.text, row.answers, row.options) == (other.text, other.answers, other.options)


def _scored(run: Run) -> tuple[str, str]:
    """What decides which answers are right."""
    return run.summary.headline.metric, run.decides


def _reader(run: Run) -> tuple[str | None, str | None]:
    """Whose knowledge it is: the model that answers, and its tag."""
    role = "memory" if run.manifest.track == "native" else "reader"
    return run.manifest.models.get(role), run.tags.get(role)
