"""TriviaQA: upstream's files and the hub's rows, gold passages, aliases. The data are made here, in upstream's schema."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from records import triviaqa as record
from records import triviaqa_row as as_row
from records import write_triviaqa as write

from memeval.cards import TaskCard
from memeval.datafiles import parquet
from memeval.errors import UsageError
from memeval.sources import Settings
from memeval.sources.triviaqa import TriviaQA
from memeval.streams import PackedTask
from memeval.task import Context

RECORDS = [record(n) for n in range(14)]


def load(root: Path | None, **card: Any) -> PackedTask:
    card.setdefault("name", "triviaqa-10k")
    return TriviaQA().load(TaskCard(source="triviaqa", **card), Settings(data_dir=root))


def everything(task: PackedTask) -> list[Context]:
    return [task.context(ref) for ref in task.refs(task.order)]


def test_pages_are_counted(tmp_path: Path) -> None:
    write(tmp_path, RECORDS)
    facts = load(tmp_path).data["files"][0]
    assert (facts["records"], facts["pages"], facts["pages_missing"]) == (14, 28, 0)


def test_rows_with_their_columns_in_each_element() -> None:
    rows = list(map(as_row, RECORDS))
    source = TriviaQA()
    paired = copy.deepcopy(rows[0])
    columns = paired["entity_pages"]
    paired["entity_pages"] = [
        {"title": title, "wiki_context": text} for title, text in zip(columns["title"], columns["wiki_context"], strict=True)
    ]
    del paired["search_results"]
    assert source.parse(paired, "here") == source.parse(rows[0], "here")


def test_the_gold_passage_is_the_one_that_answers(tmp_path: Path) -> None:
    write(tmp_path, RECORDS)
    task = load(tmp_path, documents=30)
    assert (task.data["questions"], task.data["incomplete"], task.data["pool"]) == (14, 0, 84)
    for context in everything(task):
        (question,) = context.questions
        n = int(question.id[3:])
        (piece,) = question.evidence
        # two passages hold the answer; one of them shares "musical", "opened" and the year with the question
        assert piece.text.startswith(f"Composer {n}\nThe musical of Composer {n} that opened in the year {1900 + n} is")
        assert [context.units[at].text for at in piece.units] == [piece.text]
        titles = [unit.text.split("\n")[0] for unit in context.units]
        assert len(titles) == 30
        assert titles.count(f"Composer {n}") == 1


def test_answers_are_the_value_and_its_aliases(tmp_path: Path) -> None:
    write(tmp_path, RECORDS)
    answers = {question.id: question.answers for question in load(tmp_path).golds()}
    # "The Opus 3" is "Opus 3" once normalised, "op 3" is "Op. 3", "!!!" is nothing; "Opus-3" becomes "opus3"
    assert answers["tc_3"] == ("Opus 3", "Opus-3", "Op. 3")


def test_a_question_whose_pages_do_not_answer_it_is_not_asked(tmp_path: Path) -> None:
    rows = copy.deepcopy(RECORDS)
    rows[4]["Answer"]["Aliases"] = rows[4]["Answer"]["NormalizedAliases"] = ["Elsewhere"]
    rows[4]["Answer"]["Value"] = "Elsewhere"
    write(tmp_path, rows)
    task = load(tmp_path, documents=20)
    assert (task.data["questions"], task.data["incomplete"], task.data["pool"]) == (13, 1, 84)


def test_pages_without_a_file_are_left_out_and_counted(tmp_path: Path) -> None:
    write(tmp_path, RECORDS)
    (tmp_path / "triviaqa" / "evidence" / "wikipedia" / "Composer_5.txt").unlink()
    task = load(tmp_path, documents=20)
    assert (task.data["questions"], task.data["pool"]) == (14, 81)
    assert task.data["files"][0]["pages_missing"] == 1
    context = next(context for context in everything(task) if context.id == "tc_5")
    assert context.questions[0].evidence[0].text.startswith("Town 5\nOpus 5 is played")


def test_a_page_whose_name_is_no_files_is_left_out(tmp_path: Path) -> None:
    rows = copy.deepcopy(RECORDS)
    rows[5]["EntityPages"][0]["Filename"] = f"{'a' * 5000}.txt"
    write(tmp_path, rows)
    assert load(tmp_path, documents=20).data["files"][0]["pages_missing"] == 1


def test_a_part_of_the_records_is_the_same_in_every_shape(tmp_path: Path) -> None:
    write(tmp_path, RECORDS)
    parquet.write(list(map(as_row, RECORDS))[::-1], tmp_path / "rows" / "triviaqa" / "validation-00000-of-00001.parquet")
    tasks = [load(root, documents=10, params={"records": 7}) for root in (tmp_path, tmp_path / "rows")]
    assert 3 <= tasks[0].data["questions"] <= 11
    assert everything(tasks[0]) == everything(tasks[1])
    assert tasks[0].data["files"][0]["pages"] == 2 * tasks[0].data["questions"]  # no other page is read
    for records in (0, 14, 1000):
        assert load(tmp_path, params={"records": records}).data["questions"] == 14
    with pytest.raises(UsageError, match=r"'params.records' is -1, expected a whole number, 0 or more"):
        load(tmp_path, params={"records": -1})


def test_web_pages_count_too() -> None:
    row = as_row(RECORDS[2])
    row["entity_pages"] = {"title": [], "wiki_context": []}
    row["search_results"] = {
        "title": ["A page", "Another"],
        "search_context": ["Nothing of note here.", "They say that Opus 2 is the best."],
    }
    passages, example = TriviaQA().parse(row, "here")
    assert [passage.title for passage in passages] == ["A page", "Another"]
    assert example.evidence == ((0, "Another\nThey say that Opus 2 is the best."),)


def test_the_two_records_of_a_question_in_the_mixed_setting_are_one(tmp_path: Path) -> None:
    rows = list(map(as_row, RECORDS))
    web = copy.deepcopy(rows[3])
    web["entity_pages"] = {key: [] for key in web["entity_pages"]}
    web["search_results"] = {"title": ["Elsewhere"], "search_context": ["A page that does not say."]}
    path = tmp_path / "triviaqa" / "rc.jsonl"
    path.parent.mkdir()
    for order in ([web, *rows], [*rows, web]):
        path.write_text("".join(f"{json.dumps(row)}\n" for row in order))
        task = load(tmp_path, documents=20, params={"files": "triviaqa/rc.jsonl"})
        assert (task.data["questions"], task.data["incomplete"], task.data["pool"]) == (14, 0, 85)
    other = {**copy.deepcopy(web), "question": "Something else?"}
    path.write_text("".join(f"{json.dumps(row)}\n" for row in [*rows, other]))
    with pytest.raises(UsageError, match=r"rc\.jsonl: line 15: id 'tc_3' was already used by .*line 4"):
        load(tmp_path, params={"files": "triviaqa/rc.jsonl"})


def change(*path: Any) -> Callable[[dict[str, Any]], None]:
    """Put the last of the path at the place the others name."""

    def apply(item: Any) -> None:
        *before, key, value = path
        for step in before:
            item = item[step]
        item[key] = value

    return apply


BROKEN = {
    "no question": (lambda item: item.pop("Question"), "no field 'question'"),
    "nan": (change("Question", float("nan")), "not valid JSON (NaN is no JSON value)"),
    "no id": (lambda item: item.pop("QuestionId"), "no field 'question_id'"),
    "no answer (a test set)": (lambda item: item.pop("Answer"), "'answer' is NoneType, expected an object"),
    "no value": (change("Answer", "Value", " "), "'answer': 'value' is blank"),
    "aliases are text": (change("Answer", "Aliases", "x"), "'aliases' is 'x', expected a list of texts"),
    "no aliases": (lambda item: item["Answer"].pop("NormalizedAliases"), "'normalized_aliases' is missing"),
    "pages are text": (change("EntityPages", "x"), "'entity_pages' is not a list of pages"),
    "a page is text": (change("EntityPages", 0, "x"), "'entity_pages' is not a list of pages"),
    "no title": (lambda item: item["EntityPages"][0].pop("Title"), "'title' is None, expected text"),
    "a name that leaves the folder": (
        change("EntityPages", 1, "Filename", "../../../secret.txt"),
        "leaves the evidence folder",
    ),
    "an absolute name": (change("EntityPages", 1, "Filename", "/etc/hostname"), "leaves the evidence folder"),
    "same id": (change("QuestionId", "tc_3"), "id 'tc_3' was already used by"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_damaged_record_is_one_line_with_file_and_number(name: str, tmp_path: Path) -> None:
    spoil, message = BROKEN[name]
    rows = copy.deepcopy(RECORDS)
    spoil(rows[5])
    path = write(tmp_path, rows)
    with pytest.raises(UsageError) as caught:
        load(tmp_path, documents=20)
    assert str(caught.value).startswith(f"{path}: record 6: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_uneven_columns_of_a_row() -> None:
    row = as_row(RECORDS[0])
    row["entity_pages"]["title"].pop()
    with pytest.raises(UsageError, match="here: 'entity_pages' needs the lists 'title' and 'wiki_context', equally long"):
        TriviaQA().parse(row, "here")


def test_damaged_files(tmp_path: Path) -> None:
    path = write(tmp_path, json.dumps({"Data": RECORDS}).encode()[:-3000])
    with pytest.raises(UsageError, match=r"wikipedia-dev\.json: record 1\d: not valid JSON"):
        load(tmp_path)
    write(tmp_path, b'{"data": []}')
    with pytest.raises(UsageError, match=r"wikipedia-dev\.json: expected a JSON object with 'Data'"):
        load(tmp_path)
    write(tmp_path, RECORDS)
    page = tmp_path / "triviaqa" / "evidence" / "wikipedia" / "Town_2.txt"
    page.write_bytes("Café".encode("latin-1"))
    with pytest.raises(UsageError, match=r"Town_2\.txt: not UTF-8 \(byte 3\)"):
        load(tmp_path)
    (tmp_path / "triviaqa" / "evidence").rename(tmp_path / "elsewhere")
    with pytest.raises(
        UsageError, match=r"no folder .*evidence with the pages of TriviaQA; unpack all of triviaqa-rc\.tar\.gz"
    ):
        load(tmp_path)
    path.unlink()
