"""The reader that HotpotQA and 2WikiMultihopQA share: two shapes, one result; hygiene of records; the pool; remedies."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from records import multihop as record
from records import write

from memeval.cards import TaskCard
from memeval.errors import UsageError
from memeval.tasks import Settings
from memeval.tasks.multihop import TwoWiki, parse
from memeval.tasks.streams import PackedTask

FILE = "2wikimultihopqa/dev.json"
RECORDS = [record(n) for n in range(12)]


def load(source: type[TwoWiki], root: Path | None, **card: Any) -> PackedTask:
    card.setdefault("name", "some-10k")
    return source().load(TaskCard(source="x", **card), Settings(data_dir=root))


def everything(task: PackedTask) -> list[Any]:
    return [task.context(ref) for ref in task.refs(task.order)]


def test_the_pool_is_every_paragraph_and_the_corpus_in_title_order(tmp_path: Path) -> None:
    rows = copy.deepcopy(RECORDS)
    rows[0]["context"] = [["Elsewhere", ["Not gold."]]]  # its gold is gone: not asked, still in the pool
    write(tmp_path, FILE, rows)
    corpus = [
        {"title": "Place 1-1", "text": "Place 1-1  is a town. It has 2 mills. It is old."},
        {"title": "New", "text": "New text."},
        {"title": "Blank", "text": " "},
    ]
    write(tmp_path, "2wikimultihopqa/some_corpus.json.gz", corpus)
    task = load(TwoWiki, tmp_path, documents=20)
    titles = [item.title for item in task.pool.passages]
    assert titles == sorted(["New", "Elsewhere", *(f"Place {n}-{i}" for n in range(1, 12) for i in range(4))])
    assert (task.data["questions"], task.data["incomplete"], task.data["pool"], task.data["wiki_pool"]) == (11, 1, 46, 0)
    assert [facts["name"] for facts in task.data["files"]] == [
        "2wikimultihopqa/dev.json",
        "2wikimultihopqa/some_corpus.json",
    ]
    assert "id0" not in task.order


def test_a_short_pool_is_filled_from_wiki_pool(tmp_path: Path) -> None:
    write(tmp_path, FILE, RECORDS)
    long = " ".join(["word"] * 19)
    lines = [{"_id": str(n), "title": f"Wiki {n}", "text": f"{long} {n}", "metadata": {}} for n in range(100)]
    lines += [
        {"_id": "x", "title": "Stub", "text": " ".join(["word"] * 19)},
        {"_id": "y", "title": "place 3-1", "text": f"{long} other"},
    ]
    write(tmp_path, "wiki_pool/corpus-00068.jsonl.gz", "\n".join(map(json.dumps, lines)).encode())
    task = load(TwoWiki, tmp_path, documents=60)
    assert (task.data["pool"], task.data["wiki_pool"]) == (48, 100)
    assert [facts["name"] for facts in task.data["files"]][-1] == "wiki_pool/corpus-00068.jsonl"
    for context in everything(task):
        assert (len(context.units), context.meta["from_wiki_pool"]) == (60, 12)
    assert [len(everything(load(TwoWiki, tmp_path, tokens=n))[0].units) > 48 for n in (300, 3000)] == [False, True]
    bare = load(TwoWiki, tmp_path, documents=20)
    assert everything(bare)[0].meta["from_wiki_pool"] == 0


def test_a_pool_that_suffices_leaves_wiki_pool_alone(tmp_path: Path) -> None:
    write(tmp_path, FILE, RECORDS)
    write(tmp_path, "wiki_pool/corpus-1.jsonl", b"not read")
    task = load(TwoWiki, tmp_path, documents=20)
    assert task.data["wiki_pool"] == 0
    with pytest.raises(UsageError, match=r"corpus-1\.jsonl:1: not valid JSON"):
        load(TwoWiki, tmp_path, documents=40)


def test_evidence_is_one_piece_per_title_with_its_sentences() -> None:
    _, example = parse(RECORDS[0], "")
    assert example.evidence == (
        (2, "Place 0-2\nIt has 2 mills. It is old."),
        (0, "Place 0-0\nPlace 0-0 is a town."),
    )
    assert example.own[0].text == "Place 0-0 is a town. It has 0 mills. It is old."
    assert (example.question.id, example.question.kind, example.question.answers) == ("id0", "comparison", ("2 mills",))


def test_sentences_that_do_not_exist_are_left_out() -> None:
    item = record(0)
    item["supporting_facts"] = [["Place 0-2", 7], ["Place 0-2", 0], ["Place 0-0", 9]]
    _, example = parse(item, "")
    assert example.evidence == (
        (2, "Place 0-2\nPlace 0-2 is a town."),
        (0, "Place 0-0\nPlace 0-0 is a town. It has 0 mills. It is old."),
    )


def test_repeated_and_empty_paragraphs() -> None:
    item = record(0)
    item["context"] += [
        copy.deepcopy(item["context"][2]),
        ["Nothing", []],
        ["Blank", [" ", ""]],
        ["Place 0-1", ["Another town."]],
    ]
    own, example = parse(item, "")
    assert [passage.title for passage in own] == ["Place 0-0", "Place 0-1", "Place 0-2", "Place 0-3", "Place 0-1"]
    assert example.evidence[0][0] == 2


def test_a_question_whose_gold_paragraph_is_empty_or_missing_is_not_asked() -> None:
    empty, missing, none = record(0), record(0), record(0)
    empty["context"][2][1] = [" "]
    del missing["context"][2]
    none["supporting_facts"] = []
    for item in (empty, missing, none):
        assert parse(item, "")[1].evidence == ()


def test_damaged_corpus_and_useless_files(tmp_path: Path) -> None:
    write(tmp_path, FILE, RECORDS)
    write(tmp_path, "2wikimultihopqa/a_corpus.json", [{"title": "a", "text": "b"}, {"title": "a", "body": "b"}])
    with pytest.raises(UsageError, match=r"a_corpus\.json: record 2: not as published \(no field 'text'\)"):
        load(TwoWiki, tmp_path, documents=20)
    write(tmp_path / "none", FILE, [{**RECORDS[0], "context": []}])
    with pytest.raises(UsageError, match="no record of 2wikimultihopqa/dev.json has its evidence"):
        load(TwoWiki, tmp_path / "none")


def test_a_pool_without_filler_that_is_too_short(tmp_path: Path) -> None:
    write(tmp_path, FILE, RECORDS)
    task = load(TwoWiki, tmp_path, documents=49)
    with pytest.raises(UsageError, match="needs 49 documents, but the pool gives only 48"):
        everything(task)


def test_params_of_the_card(tmp_path: Path) -> None:
    write(tmp_path, "mine/questions.json", RECORDS)
    assert load(TwoWiki, tmp_path, params={"files": ["mine/questions.json"]}).data["questions"] == 12
    assert load(TwoWiki, tmp_path, params={"files": "mine/questions.json"}).data["questions"] == 12
    with pytest.raises(UsageError, match=r"some-10k: unknown key 'params.file'; did you mean 'files'\?"):
        load(TwoWiki, tmp_path, params={"file": "x"})
    with pytest.raises(UsageError, match=r"'params.hub' is 3, expected a list"):
        load(TwoWiki, tmp_path, params={"hub": 3})
