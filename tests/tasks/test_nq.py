"""NQ-open: three shapes of it, evidence, and the real slice where it is at hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from records import everything, write
from records import nq as record

from memeval.cards import TaskCard
from memeval.errors import UsageError
from memeval.tasks import Settings
from memeval.tasks.nq import NQ
from memeval.tasks.streams import PackedTask

RECORDS = [record(n) for n in range(60)]


def load(root: Path | None, **card: Any) -> PackedTask:
    card.setdefault("name", "nq-10k")
    return NQ().load(TaskCard(source="nq", **card), Settings(data_dir=root))


def test_the_gold_passage_is_the_evidence_and_the_others_fill_the_stream(tmp_path: Path) -> None:
    write(tmp_path, "nq/nq-open-oracle.jsonl.gz", RECORDS)
    task = load(tmp_path, documents=50)
    assert (task.data["questions"], task.data["incomplete"], task.data["pool"]) == (60, 0, 60)
    for context in everything(task).values():
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
    name = f"nq/nq-open-{documents}_total_documents_gold_at_4.jsonl"
    write(tmp_path, f"{name}.gz", [record(n, documents - 1, 4) for n in range(8)])
    task = load(tmp_path, documents=40, params={"files": name})
    assert task.data["pool"] == 8 * documents
    for context in everything(task).values():
        (question,) = context.questions
        n = question.text.split()[-1]
        texts = [unit.text for unit in context.units]
        assert len(texts) == 40
        assert sum(text.startswith(f"Hill {n}-") for text in texts) == documents - 1
        assert [texts[at].split("\n")[0] for at in question.evidence[0].units] == [f"River {n}"]


def test_where_the_gold_passage_stood_does_not_matter(tmp_path: Path) -> None:
    for place in (0, 9):
        rows = [record(n, 9, place) for n in range(8)]
        write(tmp_path / str(place), "nq/nq-open-oracle.jsonl", rows)
    assert everything(load(tmp_path / "0", documents=30)) == everything(load(tmp_path / "9", documents=30))


def test_another_file_by_the_cards_params(tmp_path: Path) -> None:
    write(tmp_path, "nq/nq-open-10_total_documents_gold_at_0.jsonl", [record(n, 9) for n in range(8)])
    write(tmp_path, "nq/nq-open-oracle.jsonl", RECORDS)
    assert load(tmp_path, documents=20).data["pool"] == 60
    named = load(tmp_path, documents=20, params={"files": "nq/nq-open-10_total_documents_gold_at_0.jsonl"})
    assert named.data["pool"] == 80


def test_a_record_without_gold_is_not_asked_and_stays_in_the_pool(tmp_path: Path) -> None:
    rows = [record(n, 3) for n in range(6)]
    rows[2]["ctxs"][0]["isgold"] = False
    write(tmp_path, "nq/nq-open-oracle.jsonl", rows)
    task = load(tmp_path, documents=10)
    assert (task.data["questions"], task.data["incomplete"], task.data["pool"]) == (5, 1, 24)


def test_two_gold_passages(tmp_path: Path) -> None:
    rows = [record(n) for n in range(3)]
    rows[1]["ctxs"] *= 2
    path = write(tmp_path, "nq/nq-open-oracle.jsonl", rows)
    with pytest.raises(UsageError, match=rf"{path}:2: not as published \(2 passages are gold, expected one\)"):
        load(tmp_path)


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
