"""`memeval list runs` and `memeval show`: what they print of runs on disk, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from made_runs import Asked

from memeval.cli import main
from memeval.records.attribution import AttributedAnswer, Attribution
from memeval.records.rows import OperationRow, ToolRow
from memeval.results.load import find_run

PARIS, ROME = "Ada Lovelace lives in Paris.", "Bo Ray lives in Rome."


def memeval(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


def printed(*words: str) -> str:
    done = memeval(*words)
    assert done.exit_code == 0, done.output
    return done.output


def refused(*words: str) -> str:
    done = memeval(*words)
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    return done.stderr


@pytest.fixture(autouse=True)
def here(make_run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    questions = [
        Asked("right", 1.0),
        Asked("misread", 0.0, answer="Oslo"),
        Asked("forgotten", 0.0, recalled=("Nothing of it.",)),
        Asked("unwritten", 0.0, wrote=("Nothing of it.",), recalled=("Nothing of it.",)),
        Asked("failed", None),
    ]
    make_run(questions, agent="memalpha", started=2000.0, label="mine")
    make_run([1.0, 0.0], started=1000.0, tag="step-9")


def test_runs_are_listed_newest_last() -> None:
    first, second = printed("list", "runs").splitlines()[1:3]
    assert "toy-10k bm25 step-9 offline f1 50.0 2 complete 1970-01-01 00:16 runs/" in " ".join(first.split())
    assert second.split()[:3] == ["toy-10k", "memalpha", "mine"]
    assert printed("list", "runs", "step-9").count("bm25") == 2  # the agent, and its folder
    assert "memalpha" not in printed("list", "runs", "toy-10k/bm25")


def test_runs_as_json() -> None:
    one, other = json.loads(printed("list", "runs", "--format", "json"))["runs"]
    assert (one["agent"], one["tag"], one["score"], one["n"], one["usd"]) == ("bm25", "step-9", 0.5, 2, None)
    assert (other["label"], other["when"], other["questions"]) == ("mine", "1970-01-01T00:33:20Z", 5)


def test_nothing_to_list(tmp_path: Path) -> None:
    assert "no runs in elsewhere" in printed("list", "runs", "--runs-dir", "elsewhere")
    assert json.loads(printed("list", "runs", "--runs-dir", "elsewhere", "--format", "json")) == {"runs": []}
    assert "did you mean 'toy-10k'" in refused("list", "runs", "toy-10")
    assert "no runs here" in refused("show", "latest", "--runs-dir", "elsewhere")


@pytest.mark.parametrize("what", ["tasks", "agents", "models", "metrics", "memories"])
def test_other_lists_as_json(what: str) -> None:
    rows: list[dict[str, Any]] = json.loads(printed("list", what, "--format", "json"))[what]
    assert rows
    assert all(row.keys() == rows[0].keys() for row in rows)
    header = " ".join(name.replace("_", " ").upper() for name in rows[0])
    assert " ".join(printed("list", what).splitlines()[0].split()) == header


def test_a_run_says_where_its_answers_were_lost() -> None:
    for name in ("latest", "mine", "toy-10k/memalpha"):
        text = printed("show", name)
        assert "memalpha on toy-10k   " in text
        assert "of 3 wrong: 1 never written, 1 not recalled, 1 misread" in text
        assert "first 4 of 4 wrong or failed" in text
    assert printed("show", "toy-10k").count(" on toy-10k   ") == 2
    found = json.loads(printed("show", "latest", "--format", "json"))["runs"][0]
    assert (found["headline"]["n"], found["label"]) == (5, "mine")
    assert found["lost"]["counts"] == {"write": 1, "recall": 1, "read": 1}
    assert found["economics"]["changes"] == {"writes": 5, "updates": 0, "deletes": 0}
    assert "memory entries written 5, replaced 0, deleted 0" in printed("show", "latest")


def test_wrong_answers_with_their_golds() -> None:
    text = printed("show", "latest", "--wrong")
    assert "4 wrong or failed" in text
    assert "misread  wrong (misread)" in text
    assert "answer    Oslo" in text
    assert "failed  failed" in text
    assert "\nright" not in text
    assert "\nright  right" in printed("show", "latest", "--all")
    rows = json.loads(printed("show", "latest", "--wrong", "--format", "json"))["runs"][0]["answers"]
    assert [(row["question_id"], row["lost"]) for row in rows] == [
        ("misread", "read"),
        ("forgotten", "recall"),
        ("unwritten", "write"),
        ("failed", None),
    ]


def test_one_question_in_full() -> None:
    text = printed("show", "mine", "forgotten")
    assert text == printed("show", "mine", "--question", "forgotten")
    assert "score     wrong (not recalled)  f1 0" in text
    assert f"evidence  in c00000 (not recalled): {PARIS}" in text
    assert f"   *[m0] {PARIS}" in text
    assert "  c00000 memory_insert(text='Ada Lovelace lives in Paris.') -> ok" in text
    story = json.loads(printed("show", "mine", "forgotten", "--format", "json"))
    assert story["found"] == [False]
    assert story["memory"]["entries"][0]["evidence"] == ["forgotten"]
    assert story["question"]["answers"] == ["Paris"]


def test_what_came_of_asking_again() -> None:
    rows = (AttributedAnswer(question_id="misread", where="read", with_evidence="Oslo"),)
    found = Attribution(reader="m", scorer="task", wrong=3, counts={"read": 1}, answers=rows, memory="operations")
    find_run("mine").folder.write_attribution(found)
    assert "of 1 of 3 wrong, asked again: 1 misread" in printed("show", "mine")
    assert "again     read: with the evidence 'Oslo'" in printed("show", "mine", "misread")
    assert "again" not in printed("show", "mine", "forgotten")
    story = json.loads(printed("show", "mine", "misread", "--format", "json"))
    assert [item["holds"] for item in story["recalled"] if item["evidence"]] == [[0]]
    assert (story["memory_tokens"], story["memory"]["replies"]) == (5, {})
    assert story["answers"][0]["attributed"]["where"] == "read"


def test_everything_of_every_question() -> None:
    text = printed("show", "latest", "--wrong", "--full")
    assert text.count("== ") == 4
    assert text.count("calls that wrote it") == 4
    assert len(json.loads(printed("show", "latest", "--full", "--format", "json"))["runs"][0]["questions"]) == 5


def test_names_that_mean_nothing_or_too_much() -> None:
    assert "no question 'forgoten'; did you mean 'forgotten'" in refused("show", "mine", "forgoten")
    assert "2 runs have this name; give one of" in refused("show", "toy-10k", "--memory")
    assert "no context 'x'" in refused("show", "mine", "--memory", "--context", "x")
    assert "--context and --position belong to --memory" in refused("show", "mine", "--position", "2")


def step(chunk: str, units: tuple[int, int], text: str, *, forget: str = "") -> OperationRow:
    """A chunk of which one text is stored, under the chunk's name, and another forgotten."""
    put = {"op": "put", "type": "notes", "id": chunk, "text": text, "chunks": [chunk]}
    results = [ToolRow(name="put", status="ok", effect=put)]
    if forget:
        results.append(ToolRow(name="forget", status="ok", effect={"op": "delete", "type": "notes", "id": forget}))
    return OperationRow(
        context_id="stream-a",
        digest="stream-a",
        repeat=0,
        chunk=chunk,
        units=units,
        chunk_tokens=9,
        results=tuple(results),
        held={"notes": 5},
    )


def test_a_memory_along_its_stream(make_run: Callable[..., Path]) -> None:
    steps = (step("c00000", (0, 1), PARIS), step("c00001", (2, 3), ROME, forget="c00000"))
    make_run([Asked("a", operations=steps)], agent="forgetful")
    name = ("show", "toy-10k/forgetful", "--memory")
    early, late = printed(*name, "--position", "3"), printed(*name)
    assert f"*[c00000] {PARIS}" in early
    assert "after 1 chunk (2 units)" in early
    assert PARIS not in late.partition("calls that wrote it")[0]
    assert f" [c00001] {ROME}" in late
    assert "no memory at position 1 in repeat 0; its first chunk ends at 2" in refused(*name, "--position", "1")
    assert "in repeat 3; its repeats are [0]" in refused(*name, "--repeat", "3")
    found = json.loads(printed(*name, "--context", "stream-a", "--position", "3", "--format", "json"))["memory"]
    assert [(entry["text"], entry["evidence"]) for entry in found["entries"]] == [(PARIS, ["a"])]
    assert (found["position"], found["units"], found["held"]) == (3, 2, {"notes": 5})


def test_a_control_has_no_memory(make_run: Callable[..., Path]) -> None:
    make_run([1.0], agent="none", control=True)
    assert "memory    none: a control" in printed("show", "toy-10k/none", "--memory")
    assert json.loads(printed("show", "toy-10k/none", "--memory", "--format", "json"))["memory"] is None


def test_a_baseline_says_what_it_lacks(tmp_path: Path) -> None:
    printed("export", "mine", "--to", "baseline", "--output", "base")
    assert "f1 20.0 [" in printed("show", "base")
    assert "a baseline: scores and sizes without texts" in printed("show", "base")
    assert "memory    none: a baseline has no texts" in printed("show", "base", "misread")


def test_what_a_model_says_does_not_move_the_cursor(make_run: Callable[..., Path]) -> None:
    make_run([Asked("a", 0.0, answer="\x1b[2J", recalled=("\x1b[1mbold",))], agent="rude")
    for words in (["a"], ["--wrong"], ["--memory"], ["--full"], []):
        assert "\x1b" not in printed("show", "toy-10k/rude", *words)
