"""Where answers were lost, from the rows of a run folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from click.testing import CliRunner
from made_runs import Asked
from msgspec.structs import replace

from memeval.cli import main
from memeval.records.files import write_rows
from memeval.records.folder import RunFolder
from memeval.records.rows import OperationRow, SampleRow, ToolRow
from memeval.results.breakdowns import lost_table
from memeval.results.economics import economics
from memeval.results.load import find_run, load_runs
from memeval.results.lost import LostAnswer, lost, sentence

Make = Callable[..., Path]
FACT = "Ada Lovelace lives in Paris."

QUESTIONS = [
    Asked("right"),
    Asked("guessed", wrote=(), recalled=()),
    Asked("partly", 0.5),
    Asked("failed", None),
    Asked("forgotten", 0.0, wrote=("Ada Lovelace reads.",), recalled=("Ada Lovelace reads.",)),
    Asked("not found", 0.0, recalled=()),
    Asked("misread", 0.0),
    Asked("no evidence", 0.0, evidence=()),
]


def test_wrong_answers_by_what_the_operations_say(make_run: Make) -> None:
    found = lost(find_run(make_run(QUESTIONS)))
    assert {row.question_id: row.where for row in found.answers} == {
        "forgotten": "write",
        "not found": "recall",
        "misread": "read",
        "no evidence": "n/a",
    }
    assert found.where["misread", 0, 0] == "read"
    assert (found.wrong, found.partly, found.right) == (4, 1, 2)
    assert found.counts == {"write": 1, "recall": 1, "read": 1, "n/a": 1}
    assert found.unsupported_answers == (("guessed", 0, 0),)
    assert sentence(found) == (
        "of 4 wrong: 1 never written, 1 not recalled, 1 misread, 1 cannot be followed; "
        "of 2 right: 1 unsupported by what was recalled"
    )


def test_a_row_per_run(make_run: Make) -> None:
    folder = make_run(QUESTIONS)
    grid = lost_table(load_runs(folder))
    (row,) = grid.records()
    assert (row["wrong"], row["never written"], row["not recalled"], row["misread"], row["cannot be followed"]) == (
        4,
        1,
        1,
        1,
        1,
    )
    assert (row["right"], row["of these unsupported"]) == (2, 1)
    result = CliRunner().invoke(main, ["table", str(folder), "--lost"])
    assert result.exit_code == 0, result.output
    assert "where wrong answers were lost" in result.stdout


def test_every_repeat_is_an_answer(make_run: Make) -> None:
    found = lost(find_run(make_run([Asked("q", (1.0, 0.0))], repeats=2, answer_repeats=2)))
    assert found.answers == (LostAnswer("q", 1, 0, "read"), LostAnswer("q", 1, 1, "read"))


def test_nothing_lost(make_run: Make) -> None:
    assert sentence(lost(find_run(make_run([1.0, 1.0])))) == ""


def test_what_the_driver_saw_goes_before_operations(make_run: Make) -> None:
    path = make_run([Asked("q", 0.0, recalled=())])
    folder = RunFolder(path)
    (row,) = folder.samples()
    change(folder, row, evidence_held=(False,))
    assert lost(find_run(path)).counts == {"write": 1}
    change(folder, row, evidence_held=(None,))
    assert lost(find_run(path)).counts == {"n/a": 1}
    change(folder, row, evidence_held=(True, True))  # the question had other evidence then
    assert lost(find_run(path)).counts == {"not recalled": 1}


def test_without_texts_nothing_is_claimed(make_run: Make) -> None:
    """A baseline has no texts, and a folder may have lost them."""
    path = make_run([Asked("q", 0.0), Asked("right")])
    (path / "texts.jsonl").unlink()
    found = lost(find_run(path))
    assert (found.counts, found.unsupported) == ({"n/a": 1}, 0)


def test_without_a_memory_folder_what_was_held_is_not_known(make_run: Make) -> None:
    path = make_run([Asked("q", 0.0, recalled=())])
    for file in (path.parent / "memories").glob("*/operations.jsonl"):
        file.unlink()
    assert lost(find_run(path)).counts == {"not recalled": 1}


def test_effects_of_an_agents_own_kind_say_nothing(make_run: Make) -> None:
    own = ToolRow(name="link", status="ok", effect={"op": "link", "nodes": [["a", 1], ["b", 2]]})
    step = OperationRow(context_id="stream-q", digest="stream-q", repeat=0, chunk="c00000", units=(0, 0), results=(own,))
    run = find_run(make_run([Asked("q", 0.0, recalled=(), operations=(step,))]))
    assert lost(run).counts == {"not recalled": 1}
    assert economics(run).memories == 1


def change(folder: RunFolder, row: SampleRow, **fields: object) -> None:
    write_rows(folder.file(SampleRow), [replace(row, **fields)])
