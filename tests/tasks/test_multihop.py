"""HotpotQA and 2WikiMultihopQA: hygiene of records, how sentences join, the pool, remedies, and the real slices where they
are at hand."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from records import everything, write
from records import multihop as record

from memeval import plugins, tokens
from memeval.cards import TaskCard
from memeval.errors import UsageError
from memeval.tasks import Settings
from memeval.tasks.chunking import pack
from memeval.tasks.multihop import HotpotQA, TwoWiki, parse
from memeval.tasks.paragraphs import ParagraphQA
from memeval.tasks.streams import PackedTask

FILE = "2wikimultihopqa/dev.json"
RECORDS = [record(n) for n in range(12)]


def load(source: type[ParagraphQA], root: Path | None, **card: Any) -> PackedTask:
    card.setdefault("name", "some-10k")
    return source().load(TaskCard(source="x", **card), Settings(data_dir=root))


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
    for context in everything(task).values():
        assert (len(context.units), context.meta["from_wiki_pool"]) == (60, 12)
    short, long_ = (everything(load(TwoWiki, tmp_path, tokens=n))["id0"] for n in (300, 3000))
    assert len(short.units) <= 48 < len(long_.units)
    bare = load(TwoWiki, tmp_path, documents=20)
    assert everything(bare)["id0"].meta["from_wiki_pool"] == 0


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


# -- HotpotQA --------------------------------------------------------------------------------------------------------


def hotpot(n: int, complete: bool = True) -> dict[str, Any]:
    gold = [[f"Gold {n}", [f"Gold {n} met Ada.", " It rained."]]]
    return {
        "_id": f"h{n}",
        "type": "bridge",
        "level": "easy",
        "question": f"Whom did Gold {n} meet?",
        "answer": "Ada",
        "supporting_facts": [[f"Gold {n}", 0]],
        "context": [[f"Other {n}", ["Nothing here."]], *(gold if complete else [])],
    }


def test_the_distractor_setting_comes_before_fullwiki_and_train_is_never_read(tmp_path: Path, hub_cache: Path) -> None:
    write(tmp_path, "hotpotqa/hotpot_train_v1.1.json", [hotpot(0)])
    with pytest.raises(UsageError, match="no data"):
        load(HotpotQA, tmp_path)
    write(tmp_path, "hotpotqa/hotpot_dev_fullwiki_v1.json", [hotpot(1), hotpot(2, complete=False)])
    task = load(HotpotQA, tmp_path)
    assert (task.order, task.data["incomplete"], task.data["pool"]) == (["h1"], 1, 3)
    write(tmp_path, "hotpotqa/hotpot_dev_distractor_v1.json", [hotpot(3)])
    assert load(HotpotQA, tmp_path).order == ["h3"]


def test_sentences_join_without_a_blank_of_ours(tmp_path: Path) -> None:
    write(tmp_path, "hotpotqa/hotpot_dev_distractor_v1.json", [hotpot(1)])
    task = load(HotpotQA, tmp_path)
    context = task.context(task.refs(task.order)[0])
    assert {unit.text for unit in context.units} == {"Gold 1\nGold 1 met Ada. It rained.", "Other 1\nNothing here."}
    assert context.questions[0].evidence[0].text == "Gold 1\nGold 1 met Ada."


def test_the_slice_of_hotpotqa(slices: Callable[[str], Path]) -> None:
    task = load(HotpotQA, slices("hotpotqa/hotpot_dev_fullwiki_v1.json"), documents=50)
    assert (task.data["questions"], task.data["incomplete"], task.data["pool"]) == (169, 688, 8417)
    for ref in task.refs(task.order[:40]):
        context = task.context(ref)
        assert len(context.units) == 50
        gold = {piece.text.split("\n")[0].casefold() for piece in context.questions[0].evidence}
        assert len(gold) == len(context.questions[0].evidence) == 2
        titles = [unit.text.split("\n")[0].casefold() for unit in context.units]
        assert all(titles.count(title) == 1 for title in gold)
        for piece in context.questions[0].evidence:
            first = piece.text.split("\n")[1][:20]
            assert first in context.units[piece.units[0]].text
        chunks = pack(context.units, 2048, tokens.counter())
        assert all(tokens.counter()(chunk.text) == chunk.tokens <= 2048 for chunk in chunks)


# -- 2WikiMultihopQA -------------------------------------------------------------------------------------------------


def test_sentences_are_joined_by_a_blank(tmp_path: Path) -> None:
    item = {
        "_id": "w1",
        "type": "bridge_comparison",
        "question": "Are both from Veldania?",
        "context": [["Ada", ["Ada is old.", "She is from Veldania.", "She sings."]], ["Bo", ["Bo is from Veldania."]]],
        "entity_ids": "Q1_Q2",
        "supporting_facts": [["Ada", 1], ["Bo", 0], ["Ada", 2]],
        "evidences": [["Ada", "country", "Veldania"]],
        "answer": "yes",
    }
    write(tmp_path, "dev.json", [item])
    task = load(TwoWiki, tmp_path)
    context = task.context(task.refs(["w1"])[0])
    (question,) = context.questions
    assert (question.kind, question.answers) == ("bridge_comparison", ("yes",))
    assert {unit.text for unit in context.units} == {
        "Ada\nAda is old. She is from Veldania. She sings.",
        "Bo\nBo is from Veldania.",
    }
    assert [piece.text for piece in question.evidence] == [
        "Ada\nShe is from Veldania. She sings.",
        "Bo\nBo is from Veldania.",
    ]


@pytest.fixture
def twowiki(slices: Callable[[str], Path]) -> Path:
    return slices("2wikimultihopqa/dev.json")


def test_the_slice_of_2wiki_asks_every_question(twowiki: Path) -> None:
    task = load(TwoWiki, twowiki, documents=50)
    # shared/data/README.md counts 8092 distinct passages in dev and corpus
    assert (task.data["questions"], task.data["incomplete"], task.data["pool"]) == (380, 0, 8092)
    assert {question.kind for question in task.golds()} == {"compositional", "comparison", "inference", "bridge_comparison"}


@pytest.mark.slow
def test_variants_on_the_slice_of_2wiki(twowiki: Path) -> None:
    settings = Settings(data_dir=twowiki)
    hard = TwoWiki().load(plugins.find_task("2wiki-10k@hard"), settings)
    plain = TwoWiki().load(plugins.find_task("2wiki-10k"), settings)
    for ref in plain.refs(plain.order[:5]):
        own = set(plain.context(ref).units) & set(hard.context(ref).units)
        assert 10 <= len(own) < 30  # its own ten, and few of the distractors
    filled = TwoWiki().load(plugins.find_task("2wiki-10k@tokens-20000"), settings)
    assert all(19_000 < filled.context(ref).meta["tokens"] <= 20_000 for ref in filled.refs(filled.order[:5]))
    shared = TwoWiki().load(plugins.find_task("2wiki-30k@shared"), settings)
    context = shared.context(shared.refs(shared.order[:1])[0])
    assert (len(context.units), len(context.questions)) == (200, 8)


@pytest.mark.slow
def test_a_context_of_a_million_tokens(twowiki: Path) -> None:
    task = TwoWiki().load(plugins.find_task("2wiki-1m@tokens-1000000"), Settings(data_dir=twowiki))
    context = task.context(task.refs(task.order[:1])[0])
    chunks = pack(context.units, 2048, tokens.counter())
    assert 999_000 < context.meta["tokens"] <= 1_000_000
    assert context.meta["from_wiki_pool"] > 0
    assert sum(chunk.tokens for chunk in chunks) > 1_000_000
