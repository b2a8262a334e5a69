"""Which questions a model answers without the stream."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from made_runs import Asked

from memeval.errors import UsageError
from memeval.results.load import find_run, load_runs
from memeval.results.seen import closed_book_of, seen

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


def test_what_closed_book_gets_right_is_seen(make_run: Make) -> None:
    run = find_run(make_run(ASKED))
    closed = find_run(make_run(CLOSED, agent="closed-book", control=True, task="toy-100k", repeats=2))
    assert seen(run, closed) == {"known", "half"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"agent": "none", "control": True}, "not of the control closed-book"),
        ({"agent": "closed-book"}, "not of the control closed-book"),  # an agent of the user's that has this name
        ({"agent": "closed-book", "control": True, "reader": "gpt"}, "answered by gpt, while .* was answered by offline"),
        ({"agent": "closed-book", "control": True, "tag": "step-1"}, "answered by offline step-1, while"),
        ({"agent": "closed-book", "control": True, "headline": "substring"}, "scored by substring"),
    ],
)
def test_another_run_is_refused(make_run: Make, fields: dict[str, object], message: str) -> None:
    run, other = find_run(make_run(ASKED)), find_run(make_run(CLOSED, task="toy-30k", repeats=2, **fields))
    with pytest.raises(UsageError, match=message):
        seen(run, other)
    assert closed_book_of(run, [other]) is None


def test_questions_that_were_not_asked_are_named(make_run: Make) -> None:
    run = find_run(make_run([*ASKED, Asked("later", text="Who?")]))
    other = find_run(make_run([*CLOSED, Asked("later", text="Who else?")], agent="closed-book", control=True, repeats=2))
    with pytest.raises(UsageError, match="1 of the 6 questions of .* were not asked, such as 'later'; .* --limit 6"):
        seen(run, other)


def test_the_newest_is_found(make_run: Make, tmp_path: Path) -> None:
    run = find_run(make_run(ASKED, started=9.0))
    paths = [
        make_run(CLOSED, agent="closed-book", control=True, repeats=2, started=started, seed=int(started))
        for started in (2.0, 3.0, 1.0)
    ]
    found = closed_book_of(run, load_runs(tmp_path / "runs"))
    assert found is not None
    assert found.path == paths[1]
