"""NQ-open: three shapes of it, evidence, and the real slice where it is at hand."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hubcache import placed
from records import nq as record
from records import write

from memeval.cards import TaskCard
from memeval.errors import UsageError
from memeval.sources import Settings
from memeval.sources.nq import NQ
from memeval.streams import PackedTask
from memeval.task import Context

RECORDS = [record(n) for n in range(60)]


def load(root: Path | None, **card: Any) -> PackedTask:
    card.setdefault("name", "nq-10k")
    return NQ().load(TaskCard(source="nq", **card), Settings(data_dir=root))


def everything(task: PackedTask) -> list[Context]:
    return [task.context(ref) for ref in task.refs(task.order)]


def test_the_gold_passage_is_the_evidence_and_the_others_fill_the_stream(tmp_path: Path) -> None:
    write(tmp_path, "nq/nq-open-oracle.jsonl.gz", RECORDS)
    task = load(tmp_path, documents=50)
    assert (task.data["questions"], task.data["incomplete"], task.data["pool"]) == (60, 0, 60)
    for context in everything(task):
        (question,) = context.questions
        (piece,) = question.evidence
        n = question.text.split()[-1]
        assert question.answers == (f"{int(n) + 3} km", f"{int(n) + 3} kilometres")
        assert piece.text == f"River {n}\nRiver {n} is {int(n) + 3} km long."
        assert [context.units[at].text for at in piece.units] == [piece.text]
        assert len({unit.text for unit in context.units}) == 50
        assert all(unit.text.startswith("River") for unit in context.units)


def test_ids_are_hashes_of_the_question(tmp_path: Path) -> None:
    write(tmp_path, "nq/nq-open-oracle.jsonl", RECORDS)
    ids = {question.text: question.id for question in load(tmp_path).golds()}
    spaced = [{**item, "question": f" {item['question'].replace(' ', '  ')} "} for item in RECORDS[::-1]]
    write(tmp_path / "other", "nq/nq-open-oracle.jsonl", spaced)
    assert {question.id for question in load(tmp_path / "other").golds()} == set(ids.values())
    # b2sum -l 64 of "how long is river 0", its bytes read from the last to the first
    assert ids["how long is river 0"] == "nq-ec85dea3ea9e61f6"


@pytest.mark.parametrize("documents", [10, 20, 30])
def test_all_passages_of_the_longer_files_belong_to_the_question(documents: int, tmp_path: Path) -> None:
    for place in (0, 4, 9):  # the same set with the gold passage elsewhere
        rows = [record(n, documents - 1, place) for n in range(8)]
        write(tmp_path, f"nq/nq-open-{documents}_total_documents_gold_at_{place}.jsonl.gz", rows)
    task = load(tmp_path, documents=40)
    assert [facts["name"] for facts in task.data["files"]] == [f"nq/nq-open-{documents}_total_documents_gold_at_0.jsonl"]
    assert task.data["pool"] == 8 * documents
    for context in everything(task):
        (question,) = context.questions
        n = question.text.split()[-1]
        texts = [unit.text for unit in context.units]
        assert len(texts) == 40
        assert sum(text.startswith(f"Hill {n}-") for text in texts) == documents - 1
        assert [texts[at].split("\n")[0] for at in question.evidence[0].units] == [f"River {n}"]


def test_where_the_gold_passage_stood_does_not_matter(tmp_path: Path) -> None:
    for place in (0, 9):
        rows = [record(n, 9, place) for n in range(8)]
        write(tmp_path / str(place), f"nq/nq-open-10_total_documents_gold_at_{place}.jsonl", rows)
    assert everything(load(tmp_path / "0", documents=30)) == everything(load(tmp_path / "9", documents=30))


def test_the_oracle_file_comes_first(tmp_path: Path) -> None:
    write(tmp_path, "nq/nq-open-10_total_documents_gold_at_0.jsonl", [record(n, 9) for n in range(8)])
    write(tmp_path, "nq/nq-open-oracle.jsonl", RECORDS)
    assert load(tmp_path, documents=20).data["pool"] == 60
    named = load(tmp_path, documents=20, params={"files": "nq/nq-open-10_total_documents_gold_at_0.jsonl"})
    assert named.data["pool"] == 80


def test_dprs_format_takes_the_first_positive_passage(tmp_path: Path, hub_cache: Path) -> None:
    def passage(name: str) -> dict[str, str]:
        return {"docid": name, "title": f"Title {name}", "text": f"Text of {name}."}

    rows = [
        {
            "query_id": str(n),
            "query": f"what is {n}",
            "answers": [str(n)],
            "positive_passages": [passage(f"p{n}"), passage(f"q{n}")],
            "negative_passages": [passage(f"n{n}-{i}") for i in range(3)],
        }
        for n in range(12)
    ]
    rows[3]["positive_passages"] = []
    write(tmp_path, "nq/nq-dev.jsonl.gz", rows)
    task = load(tmp_path, documents=20, params={"files": "nq/nq-dev.jsonl"})
    assert (task.data["questions"], task.data["incomplete"], task.data["pool"]) == (11, 1, 58)
    context = everything(task)[0]
    n = context.questions[0].answers[0]
    assert context.questions[0].evidence[0].text == f"Title p{n}\nText of p{n}."
    target = placed(hub_cache, "Tevatron/wikipedia-nq", "nq-dev.jsonl.gz")
    target.write_bytes((tmp_path / "nq" / "nq-dev.jsonl.gz").read_bytes())
    hub = load(None, documents=20, params={"hub": "Tevatron/wikipedia-nq", "hub_files": "nq-dev.jsonl.gz"})
    assert everything(hub) == everything(task)


def test_a_record_without_gold_is_not_asked_and_stays_in_the_pool(tmp_path: Path) -> None:
    rows = [record(n, 3) for n in range(6)]
    rows[2]["ctxs"][0]["isgold"] = False
    write(tmp_path, "nq/nq-open-oracle.jsonl", rows)
    task = load(tmp_path, documents=10)
    assert (task.data["questions"], task.data["incomplete"], task.data["pool"]) == (5, 1, 24)


def change(key: str, value: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda item: item.update({key: value})


BROKEN = {
    "no question": (lambda item: item.pop("question"), "no field 'question'"),
    "nan": (change("answers", float("nan")), "not valid JSON (NaN is no JSON value)"),
    "answers are text": (change("answers", "4 km"), "'answers' is '4 km', expected a list of texts"),
    "no answers": (lambda item: item.pop("answers"), "'answers' is missing"),
    "answers are blank": (change("answers", [" "]), "'answers' is empty"),
    "ctxs is text": (change("ctxs", "x"), "'ctxs' is str, expected a list"),
    "a passage is text": (change("ctxs", ["x"]), "'ctxs' holds 'x', expected passages with 'title' and 'text'"),
    "no text": (lambda item: item["ctxs"][0].pop("text"), "a passage of 'ctxs': no field 'text'"),
    "gold is a number": (lambda item: item["ctxs"][0].update(isgold=1), "'isgold' 1, expected true or false"),
    "two gold": (lambda item: item["ctxs"].append(copy.deepcopy(item["ctxs"][0])), "2 passages of 'ctxs' are gold"),
    "no passages": (lambda item: item.pop("ctxs"), "no passages: no field 'ctxs'"),
    "same question": (change("question", "how long is river 3"), "was already used by"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_damaged_record_is_one_line_with_file_and_number(name: str, tmp_path: Path) -> None:
    spoil, message = BROKEN[name]
    rows = copy.deepcopy(RECORDS[:8])
    spoil(rows[5])
    path = write(tmp_path, "nq/nq-open-oracle.jsonl", rows)
    with pytest.raises(UsageError) as caught:
        load(tmp_path, documents=5)
    assert str(caught.value).startswith(f"{path}: line 6: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "nq/nq-open-oracle.jsonl.gz", RECORDS)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UsageError, match=r"nq-open-oracle\.jsonl\.gz: damaged or cut gzip"):
        load(tmp_path)


@pytest.fixture
def real(slices: Callable[[str], Path]) -> Path:
    return slices("nq/nq-open-oracle.jsonl")


def test_the_real_slice_asks_every_question(real: Path) -> None:
    task = load(real, documents=50)
    # 2455 distinct gold passages ten of which differ from another in blanks alone
    assert (task.data["questions"], task.data["incomplete"], task.data["pool"]) == (2505, 0, 2445)
    assert len({question.id for question in task.golds()}) == 2505
    for context in (task.context(ref) for ref in task.refs(task.order[:200])):
        (question,) = context.questions
        (piece,) = question.evidence
        assert [context.units[at].text for at in piece.units] == [piece.text]
        assert any(answer.lower() in piece.text.lower() for answer in question.answers)
