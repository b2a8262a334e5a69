"""Which questions a model answers without the stream."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from made_runs import Asked

from memeval.errors import UsageError
from memeval.results.load import find_run, load_runs
from memeval.results.seen import unseen_questions

Make = Callable[..., Path]
ASKED = [Asked("known", 0.0), Asked("half", 1.0), Asked("partly", 1.0), Asked("new", 1.0), Asked("none", answerable=False)]
CLOSED = [
    Asked("known", (1.0, 1.0)),
    Asked("half", (0.0, 1.0)),
    Asked("partly", (0.9, 0.9)),
    Asked("new", (0.0, None)),
    Asked("none", 1.0, answerable=False),
    Asked("further", 1.0),
]


def test_what_closed_book_gets_wrong_is_unseen(make_run: Make) -> None:
    run = find_run(make_run(ASKED))
    closed = find_run(make_run(CLOSED, agent="closed-book", control=True, task="toy-100k", repeats=2))
    assert unseen_questions(run, [closed]) == {"partly", "new", "none"}


@pytest.mark.parametrize(
    "fields",
    [
        {"agent": "none", "control": True},
        {"agent": "closed-book"},  # an agent of the user's that has this name
        {"agent": "closed-book", "control": True, "reader": "gpt"},
        {"agent": "closed-book", "control": True, "tag": "step-1"},
        {"agent": "closed-book", "control": True, "headline": "substring"},
    ],
)
def test_another_run_is_refused(make_run: Make, fields: dict[str, object]) -> None:
    run, other = find_run(make_run(ASKED)), find_run(make_run(CLOSED, task="toy-30k", repeats=2, **fields))
    with pytest.raises(UsageError, match="no run of closed-book with the reader, the questions and the scorer of"):
        unseen_questions(run, [other])


def test_a_run_that_was_asked_other_questions_is_refused(make_run: Make) -> None:
    run = find_run(make_run([*ASKED, Asked("later", text="Who?")]))
    other = find_run(make_run([*CLOSED, Asked("later", text="Who else?")], agent="closed-book", control=True, repeats=2))
    with pytest.raises(UsageError, match="memeval run --agent closed-book --task"):
        unseen_questions(run, [other])


def test_the_newest_decides(make_run: Make, tmp_path: Path) -> None:
    run = find_run(make_run(ASKED, started=9.0))
    for started in (2.0, 3.0, 1.0):
        rows = CLOSED if started == 3.0 else [Asked(row.id, 1.0, answerable=row.answerable) for row in CLOSED]
        make_run(rows, agent="closed-book", control=True, repeats=2, started=started, seed=int(started))
    assert unseen_questions(run, load_runs(tmp_path / "runs")) == {"partly", "new", "none"}
