"""What may be compared, and what is only named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from made_runs import Asked
from msgspec.structs import replace

from memeval.records.folder import RunFolder
from memeval.records.summary import QueryFacts
from memeval.results.comparable import differences, forbidden, groups, shared_questions
from memeval.results.load import find_run
from memeval.results.run import Run

Make = Callable[..., Path]


def made(make_run: Make, *questions: Asked | float, **options: object) -> Run:
    return find_run(make_run(questions or (1.0, 0.0, 1.0), **options))


@pytest.mark.parametrize(
    ("options", "what", "said"),
    [
        ({"task": "toy-30k"}, "task", "toy-10k against toy-30k"),
        ({"corpus": "corpus-2"}, "corpus", "corpus corpus-1 against corpus corpus-2"),
        ({"track": "native"}, "track", "reader against native"),
        ({"answer_budget": 256}, "budget", "no answer budget against answer budget 256"),
        ({"headline": "exact_match"}, "metric", "f1 against exact_match"),
        ({"manifest": {"format": 3}}, "format", "4 against 3"),
    ],
)
def test_what_was_measured_otherwise_is_not_compared(
    make_run: Make, options: dict[str, object], what: str, said: str
) -> None:
    a, b = made(make_run), made(make_run, agent="recent", **options)
    found = {one.what: one for one in forbidden(a, b)}
    assert list(found) == [what]
    assert said in str(found[what])
    assert len(groups([a, b])) == 2


def test_scores_by_other_rules_are_not_compared(make_run: Make) -> None:
    paths = [make_run([1.0, 0.0], agent=agent, scorer=rules) for agent, rules in (("bm25", "new"), ("recent", "old"))]
    runs = [find_run(path) for path in paths]
    assert forbidden(*runs) == ()  # both are scored anew, by the rules of today
    for path in paths:
        (path / "texts.jsonl").unlink()  # a baseline cannot be
    runs = [find_run(path) for path in paths]
    assert [str(one) for one in forbidden(*runs)] == ["scorer: new against old"]


def test_agents_and_models_are_what_is_compared(make_run: Make) -> None:
    a = made(make_run, agent="memalpha", tag="step-100")
    b = made(make_run, agent="memalpha", tag="step-200", params={"k": 5}, repeats=2)
    assert forbidden(a, b) == ()
    assert {one.what: (one.a, one.b) for one in differences(a, b)} == {
        "reader model": ("offline step-100", "offline step-200"),
        "repeats": ("1", "2"),
        "memory model": ("offline step-100", "offline step-200"),
    }
    assert groups([a, b]) == [[a, b]]
    assert differences(a, a) == ()


def test_a_model_that_one_agent_never_calls_is_no_difference(make_run: Make) -> None:
    a = made(make_run, agent="memalpha", model="writer")
    b = made(make_run, agent="oracle", control=True)
    assert differences(a, b) == ()


def test_questions_are_the_same_where_their_content_is(make_run: Make) -> None:
    a = made(make_run, Asked("a"), Asked("b"), Asked("c"))
    fewer = made(make_run, Asked("a"), Asked("b"), agent="recent")
    edited = made(make_run, Asked("c"), Asked("b", text="Where did she live?"), Asked("a"), agent="none")
    assert [str(one) for one in forbidden(a, fewer)] == ["questions: 3 against 2 (2 in both)"]
    assert [str(one) for one in forbidden(a, edited)] == [
        "questions: 3 against 3 (2 in both, 1 with another text, gold or stream)"
    ]
    assert shared_questions(a, edited) == ("a", "c")


def test_visibility_counts_as_it_was_used(make_run: Make) -> None:
    a, b, c = (made(make_run, agent=name) for name in ("bm25", "recent", "none"))
    for run, facts in ((a, QueryFacts(True, False)), (b, QueryFacts(False, False)), (c, QueryFacts(True, True))):
        RunFolder(run.path).write_summary(replace(run.summary, query=facts))
    a, b, c = (find_run(run.path) for run in (a, b, c))
    assert forbidden(a, b) == ()
    assert [one.what for one in forbidden(a, c)] == ["visibility"]


def test_a_card_that_was_changed_under_its_name_is_another_protocol(make_run: Make) -> None:
    a = made(make_run)
    path = make_run((1.0, 0.0, 1.0), agent="recent")
    known = RunFolder(path).known_manifest()
    task = {**known.identity["task"], "chunk_tokens": 512}
    RunFolder(path).write_manifest(replace(known, identity={**known.identity, "task": task}))
    assert [str(one) for one in forbidden(a, find_run(path))] == [
        "protocol: chunk_tokens None against chunk_tokens 512",
    ]
