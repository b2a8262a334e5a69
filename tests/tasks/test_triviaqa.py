"""TriviaQA: the rows of the hub, gold passages, aliases. The data are made here."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from records import everything, parquet
from records import triviaqa as record

from memeval.cards import TaskCard
from memeval.errors import UsageError
from memeval.tasks import Settings
from memeval.tasks.streams import PackedTask
from memeval.tasks.triviaqa import TriviaQA

RECORDS = [record(n) for n in range(14)]


def load(root: Path | None, **card: Any) -> PackedTask:
    card.setdefault("name", "triviaqa-10k")
    return TriviaQA().load(TaskCard(source="triviaqa", **card), Settings(data_dir=root))


def write(root: Path, rows: list[Any]) -> None:
    half = len(rows) // 2
    for part, some in enumerate((rows[:half], rows[half:])):
        parquet(root / f"triviaqa/validation-0000{part}-of-00002.parquet", some)


def test_the_gold_passage_is_the_one_that_answers(tmp_path: Path) -> None:
    write(tmp_path, RECORDS)
    task = load(tmp_path, documents=30)
    assert (task.data["questions"], task.data["incomplete"], task.data["pool"]) == (14, 0, 84)
    for context in everything(task).values():
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
    rows[4]["answer"] |= {"value": "Elsewhere", "aliases": ["Elsewhere"], "normalized_aliases": ["elsewhere"]}
    write(tmp_path, rows)
    task = load(tmp_path, documents=20)
    assert (task.data["questions"], task.data["incomplete"], task.data["pool"]) == (13, 1, 84)


def test_a_part_of_the_records_does_not_depend_on_their_order(tmp_path: Path) -> None:
    write(tmp_path, RECORDS)
    write(tmp_path / "other", RECORDS[::-1])
    tasks = [load(root, documents=10, params={"records": 7}) for root in (tmp_path, tmp_path / "other")]
    assert 3 <= tasks[0].data["questions"] <= 11
    assert everything(tasks[0]) == everything(tasks[1])
    for records in (0, 14, 1000):
        assert load(tmp_path, params={"records": records}).data["questions"] == 14
    with pytest.raises(UsageError, match=r"'params.records' is -1, expected a whole number >= 0"):
        load(tmp_path, params={"records": -1})


def test_web_pages_count_too() -> None:
    row = copy.deepcopy(RECORDS[2])
    row["entity_pages"] = {"title": [], "wiki_context": []}
    row["search_results"] = {
        "title": ["A page", "Another"],
        "search_context": ["Nothing of note here.", "They say that Opus 2 is the best."],
    }
    passages, example = TriviaQA().parse(row)
    assert [passage.title for passage in passages] == ["A page", "Another"]
    assert example.evidence == ((0, "Another\nThey say that Opus 2 is the best."),)


def test_uneven_columns_of_a_row() -> None:
    row = copy.deepcopy(RECORDS[0])
    row["entity_pages"]["title"].pop()
    with pytest.raises(ValueError, match="is shorter than|is longer than"):
        TriviaQA().parse(row)
