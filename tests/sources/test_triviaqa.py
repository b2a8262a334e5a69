"""TriviaQA: upstream's files and the hub's rows, gold passages, aliases. The data are made here, in upstream's schema."""

from __future__ import annotations

import copy
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memeval import plugins
from memeval.cards import TaskCard
from memeval.errors import UsageError
from memeval.sources import Settings
from memeval.sources.triviaqa import TriviaQA
from memeval.streams import PackedTask
from memeval.task import Context

REVISION = "0123456789abcdef0123456789abcdef01234567"


def pages(n: int) -> dict[str, str]:
    """File name -> text of the evidence pages of question n, three paragraphs each."""
    about = " ".join(f"detail{n}.{i}" for i in range(20))
    return {
        f"Composer_{n}.txt": (
            f"Composer {n} was born in Town {n} and left it early, {about}.\n\n"
            f"The musical of Composer {n} that opened in the year {1900 + n} is Opus {n}, {about}.\n\n"
            f"Later years brought nothing, {about}.\n"
        ),
        f"Town_{n}.txt": (
            f"Town {n} has a river, a mill and a church, {about}.\n\n"
            f"Opus {n} is played in Town {n} every summer, {about}.\n\n"
            f"Its mayor is not known, {about}."
        ),
    }


def record(n: int) -> dict[str, Any]:
    """A record of qa/wikipedia-dev.json."""
    return {
        "Answer": {
            "Aliases": [f"Opus {n}", f"Opus-{n}", f"The Opus {n}", "!!!", f"Op. {n}"],
            "MatchedWikiEntityName": f"Opus {n}",
            "NormalizedAliases": [f"opus {n}", f"op {n}"],
            "NormalizedMatchedWikiEntityName": f"opus {n}",
            "NormalizedValue": f"opus {n}",
            "Type": "WikipediaEntity",
            "Value": f"Opus {n}",
        },
        "EntityPages": [
            {
                "DocSource": "TagMe",
                "Filename": name,
                "LinkProbability": "0.02",
                "Rho": "0.2",
                "Title": name[:-4].replace("_", " "),
            }
            for name in pages(n)
        ],
        "Question": f"Which musical of Composer {n} opened in {1900 + n}?",
        "QuestionId": f"tc_{n}",
        "QuestionSource": "http://www.triviacountry.com/",
        "SearchResults": [],
    }


def as_row(item: dict[str, Any]) -> dict[str, Any]:
    """The same record as a row of the hub."""
    n = int(item["QuestionId"][3:])
    answer = item["Answer"]
    return {
        "question": item["Question"],
        "question_id": item["QuestionId"],
        "question_source": item["QuestionSource"],
        "entity_pages": {
            "doc_source": ["TagMe", "TagMe"],
            "filename": [page["Filename"] for page in item["EntityPages"]],
            "title": [page["Title"] for page in item["EntityPages"]],
            "wiki_context": [text.strip() for text in pages(n).values()],
        },
        "search_results": {
            "description": [],
            "filename": [],
            "rank": [],
            "title": [],
            "url": [],
            "search_context": [],
        },
        "answer": {
            "aliases": answer["Aliases"],
            "normalized_aliases": answer["NormalizedAliases"],
            "matched_wiki_entity_name": "",
            "normalized_matched_wiki_entity_name": "",
            "normalized_value": answer["NormalizedValue"],
            "type": answer["Type"],
            "value": answer["Value"],
        },
    }


RECORDS = [record(n) for n in range(14)]


def write(root: Path, rows: Any, zipped: bool = False) -> Path:
    """Upstream's folder: qa/ and evidence/. Returns the file with the questions."""
    path = root / "triviaqa" / "qa" / f"wikipedia-dev.json{'.gz' if zipped else ''}"
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = {"Data": rows, "Domain": "Wikipedia", "VerifiedEval": False, "Version": 1.0}
    data = rows if isinstance(rows, bytes) else json.dumps(whole).encode()
    path.write_bytes(gzip.compress(data) if zipped else data)
    folder = root / "triviaqa" / "evidence" / "wikipedia"
    folder.mkdir(parents=True, exist_ok=True)
    for n in range(len(RECORDS)):
        for name, text in pages(n).items():
            (folder / name).write_text(text, encoding="utf-8")
    return path


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)


def load(root: Path | None, **card: Any) -> PackedTask:
    card.setdefault("name", "triviaqa-10k")
    return TriviaQA().load(TaskCard(source="triviaqa", **card), Settings(data_dir=root))


def everything(task: PackedTask) -> list[Context]:
    return [task.context(ref) for ref in task.refs(task.order)]


def test_both_shapes_give_identical_contexts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("huggingface_hub")
    monkeypatch.delenv("MEMEVAL_DATA", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    write(tmp_path / "plain", RECORDS)
    write(tmp_path / "zipped", RECORDS[::-1], zipped=True)
    rows = list(map(as_row, RECORDS))
    for part, chosen in enumerate((rows[:9], rows[9:])):
        write_parquet(tmp_path / "parquet" / "triviaqa" / f"validation-0000{part}-of-00002.parquet", chosen)
    folder = tmp_path / "hub" / "datasets--mandarjoshi--trivia_qa"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(REVISION)
    write_parquet(folder / "snapshots" / REVISION / "rc.wikipedia" / "validation-00000-of-00001.parquet", rows)
    tasks = [load(tmp_path / name, documents=30) for name in ("plain", "zipped", "parquet")] + [load(None, documents=30)]
    first = everything(tasks[0])
    assert len(first) == 14
    for task in tasks[1:]:
        assert everything(task) == first
        assert task.data["corpus"] == tasks[0].data["corpus"]
    assert [len(task.data["files"]) for task in tasks] == [1, 1, 2, 1]
    assert tasks[3].data["files"][0]["revision"] == REVISION
    facts = tasks[0].data["files"][0]
    assert (facts["records"], facts["pages"], facts["pages_missing"]) == (14, 28, 0)


def test_rows_of_a_datasets_object() -> None:
    datasets = pytest.importorskip("datasets")
    rows = list(map(as_row, RECORDS))
    source = TriviaQA()
    assert [source.parse(row, "here") for row in datasets.Dataset.from_list(rows)] == [
        source.parse(row, "here") for row in rows
    ]
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
    write_parquet(tmp_path / "rows" / "triviaqa" / "validation-00000-of-00001.parquet", list(map(as_row, RECORDS))[::-1])
    tasks = [load(root, documents=10, params={"records": 7}) for root in (tmp_path, tmp_path / "rows")]
    assert 3 <= tasks[0].data["questions"] <= 11
    assert everything(tasks[0]) == everything(tasks[1])
    assert tasks[0].data["files"][0]["pages"] == 2 * tasks[0].data["questions"]  # no other page is read
    for records in (0, 14, 1000):
        assert load(tmp_path, params={"records": records}).data["questions"] == 14
    with pytest.raises(UsageError, match=r"'params.records' is -1, expected a number, 0 for all"):
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


def test_with_no_data_one_line_names_every_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("huggingface_hub")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UsageError, match=r"triviaqa/qa/wikipedia-dev\.json.*mandarjoshi/trivia_qa.*synth-100k") as caught:
        load(tmp_path, name="triviaqa-100k@hard")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("length", "documents"), [("10k", 50), ("30k", 200), ("100k", 800), ("1m", 6400)])
def test_cards_state_what_the_source_reads(length: str, documents: int) -> None:
    card = plugins.find_task(f"triviaqa-{length}")
    assert (card.documents, card.headline, card.chunk_tokens, card.cluster) == (documents, "f1", 2048, "question")
    assert plugins.source(card) is TriviaQA
    layout = TriviaQA.layout
    assert card.params == {
        "files": list(layout.files),
        "corpus": layout.corpus,
        "hub": layout.hub,
        "hub_files": layout.hub_files,
        "records": layout.records,
    }
    assert card.licence
    assert card.citation
