"""Every family against every kind of damage to its files: refused in one line that names the file and the record."""

from __future__ import annotations

import copy
import csv
import gzip
import io
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from records import parquet

from memeval.cards import TaskCard
from memeval.errors import UsageError
from memeval.tasks import Settings
from memeval.tasks import verify as data

Row = dict[str, Any]


def multihop(n: int, joint: str) -> Row:
    return {
        "_id": f"id{n}",
        "type": "bridge",
        "question": f"How many mills has Grünau {n}?",
        "answer": f"{n}",
        "supporting_facts": [[f"Grünau {n}", 0]],
        "context": [[f"Grünau {n}", [f"Grünau {n} has {n} mills.", f"{joint}It is old."]], [f"Other {n}", ["A town."]]],
    }


def jsonl(n: int) -> Row:
    return {"id": f"day {n}", "units": ["Es grünt."], "questions": [{"text": "What?", "answers": ["it"]}], "cluster": "a"}


def nq(n: int) -> Row:
    passage = {"title": f"Grünau {n}", "text": f"Grünau {n} has {n} mills.", "hasanswer": True, "isgold": True}
    return {"question": f"how many mills has grünau {n}", "answers": [f"{n}"], "ctxs": [passage]}


def triviaqa(n: int) -> Row:
    pages = {"title": [f"Grünau {n}"], "wiki_context": [f"Grünau {n} is a town. It has {n} mills."]}
    answer = {"value": f"{n} mills", "aliases": [], "normalized_aliases": []}
    return {"question_id": f"t{n}", "question": f"How many mills has Grünau {n}?", "answer": answer, "entity_pages": pages}


def longmemeval(n: int) -> Row:
    turns = [{"role": "user", "content": "Ich übe Klavier.", "has_answer": True}, {"role": "assistant", "content": "Good."}]
    return {
        "question_id": f"l{n}",
        "question_type": "multi-session",
        "question": "What do I practise?",
        "question_date": "2023/05/30 (Tue) 23:40",
        "answer": "piano",
        "answer_session_ids": ["s1"],
        "haystack_dates": ["2023/05/20 (Sat) 02:21"],
        "haystack_session_ids": ["s1"],
        "haystack_sessions": [turns],
    }


def locomo(n: int) -> Row:
    turn = {"speaker": "Zoë", "dia_id": "D1:1", "text": "I moved to Köln."}
    talk = {"speaker_a": "Zoë", "speaker_b": "Bo", "session_1_date_time": "1:56 pm on 8 May, 2023", "session_1": [turn]}
    asked = {"question": "Where does Zoë live?", "answer": "Köln", "evidence": ["D1:1"], "category": 4}
    return {"sample_id": f"conv-{n}", "conversation": talk, "qa": [asked]}


def beam(n: int) -> Row:
    asked = {"question": "Where do I live?", "answer": "Köln", "rubric": ["LLM response should state: Köln"]}
    turn = {"id": 0, "role": "user", "content": "I moved to Köln. ->-> 1,1", "time_anchor": "March-15-2024"}
    return {
        "conversation_id": f"c{n}",
        "chat": [[turn]],
        "probing_questions": repr({"information_extraction": [{**asked, "source_chat_ids": [0]}]}),
    }


HISTORY = [{"role": "system", "content": "Name: Zoë"}, {"role": "user", "content": "I like tea."}]


def personamem(n: int) -> Row:
    return {
        "persona_id": n,
        "question_id": f"p{n}",
        "question_type": "suggest_new_ideas",
        "user_question_or_message": "Was nun, Zoë?",
        "correct_answer": "(a)",
        "all_options": repr([f"({letter}) tea" for letter in "abcd"]),
        "shared_context_id": f"ctx{n}",
        "end_index_in_shared_context": 2,
    }


def history(n: int) -> Row:
    return {f"ctx{n}": HISTORY}


def memalpha(n: int) -> Row:
    return {
        "instance_id": n,
        "chunks": json.dumps(["Grünau has two mills."]),
        "questions_and_answers": json.dumps([{"question": "How many mills?", "answer": "two"}]),
        "data_source": "squad",
        "metadata": "{}",
        "num_chunks": 1,
        "num_questions": 1,
    }


@dataclass(frozen=True)
class Family:
    """card: the task. name: the file that is damaged, rows: what it holds. key: of the id; field: one that every record
    must have. others: further files that the task reads."""

    card: TaskCard
    name: str
    rows: list[Row]
    key: str
    field: str
    others: tuple[tuple[str, list[Row]], ...] = ()


def three(make: Callable[[int], Row]) -> list[Row]:
    return [make(n) for n in (1, 2, 3)]


PERSONAMEM = TaskCard("personamem-32k", "personamem", params={"size": "32k"})
QUESTIONS, HISTORIES = "personamem/questions_32k.csv", "personamem/shared_contexts_32k.jsonl"
FAMILIES = {
    "2wiki": Family(
        TaskCard("2wiki", "2wiki"), "2wikimultihopqa/dev.json", three(lambda n: multihop(n, "")), "_id", "question"
    ),
    "hotpotqa": Family(
        TaskCard("hotpotqa", "hotpotqa"),
        "hotpotqa/hotpot_dev_distractor_v1.json",
        three(lambda n: multihop(n, " ")),
        "_id",
        "answer",
    ),
    "jsonl": Family(TaskCard("notes", "jsonl", params={"file": "notes.jsonl"}), "notes.jsonl", three(jsonl), "id", "units"),
    "nq": Family(TaskCard("nq", "nq"), "nq/nq-open-oracle.jsonl", three(nq), "question", "answers"),
    "triviaqa": Family(
        TaskCard("triviaqa", "triviaqa"), "triviaqa/validation-0.parquet", three(triviaqa), "question_id", "question"
    ),
    "longmemeval": Family(
        TaskCard("lme", "longmemeval", params={"files": ["longmemeval/longmemeval_s.json"]}),
        "longmemeval/longmemeval_s.json",
        three(longmemeval),
        "question_id",
        "question",
    ),
    "locomo": Family(TaskCard("locomo", "locomo"), "locomo/locomo10.json", three(locomo), "sample_id", "conversation"),
    "beam": Family(
        TaskCard("beam", "beam", params={"size": "100K"}), "beam/data/100K-0.parquet", three(beam), "conversation_id", "chat"
    ),
    "personamem questions": Family(
        PERSONAMEM, QUESTIONS, three(personamem), "question_id", "all_options", ((HISTORIES, three(history)),)
    ),
    "personamem histories": Family(PERSONAMEM, HISTORIES, three(history), "ctx2", "ctx2", ((QUESTIONS, three(personamem)),)),
    "memalpha": Family(
        TaskCard("memalpha-squad", "memalpha", params={"data_source": "squad", "files": ["memalpha/test.parquet"]}),
        "memalpha/test.parquet",
        three(memalpha),
        "instance_id",
        "chunks",
    ),
}


def content(name: str, rows: list[Row], encoding: str = "utf-8") -> bytes:
    if name.endswith(".csv"):
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue().encode(encoding)
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    return ("\n".join(lines) + "\n" if name.endswith(".jsonl") else f"[{', '.join(lines)}]").encode(encoding)


def put(root: Path, name: str, rows: list[Row]) -> Path:
    if name.endswith(".parquet"):
        parquet(root / name, rows)
        return root / name
    return write(root, name, content(name, rows))


def write(root: Path, name: str, raw: bytes) -> Path:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(raw)
    return root / name


def others(family: Family, root: Path) -> None:
    for name, rows in family.others:
        put(root, name, rows)


def refused(family: Family, root: Path, path: Path) -> str:
    others(family, root)
    with pytest.raises(UsageError) as caught:
        data.verify(family.card, Settings(root))
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message.removeprefix(str(path))


def place(name: str, number: int) -> str:
    """Return the pattern of what follows the file's name in a message."""
    return rf"(: (record|line|row) |:){number}\b"


def of_kind(*suffixes: str) -> list[str]:
    return [name for name, family in FAMILIES.items() if family.name.endswith(suffixes)]


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.mark.parametrize("name", FAMILIES)
def test_sound_files_are_taken(name: str, tmp_path: Path) -> None:
    family = FAMILIES[name]
    put(tmp_path, family.name, family.rows)
    others(family, tmp_path)
    found = data.verify(family.card, Settings(tmp_path), contexts=0)
    assert (found.questions, found.contexts, found.built) == (3, 3, 3)
    assert family.name in [facts["name"] for facts in found.files]


@pytest.mark.parametrize("name", of_kind(".json", ".jsonl", ".csv"))
def test_a_cut_gzip(name: str, tmp_path: Path) -> None:
    family = FAMILIES[name]
    raw = gzip.compress(content(family.name, family.rows))
    path = write(tmp_path, f"{family.name}.gz", raw[:-12])
    assert "cut" in refused(family, tmp_path, path)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_wrong_column(name: str, tmp_path: Path) -> None:
    family = FAMILIES[name]
    rows = copy.deepcopy(family.rows)
    for row in rows if family.name.endswith((".csv", ".parquet")) else rows[1:2]:
        if family.field in row:
            row["renamed"] = row.pop(family.field)
    path = put(tmp_path, family.name, rows)
    if name == "personamem histories":  # its only column is the id, so a question misses it
        assert "lacks the history 'ctx2' of" in refused(family, tmp_path, path)
        return
    first = 1 if family.name.endswith((".csv", ".parquet")) else 2
    message = refused(family, tmp_path, path)
    assert re.match(place(name, first), message)
    assert family.field in message or "renamed" in message


@pytest.mark.parametrize("name", of_kind(".json", ".jsonl"))
def test_no_line_is_flooded_by_what_is_in_a_file(name: str, tmp_path: Path) -> None:
    family = FAMILIES[name]
    rows = copy.deepcopy(family.rows)
    rows[1]["x" * 5000] = rows[1].pop(family.field)
    others(family, tmp_path)
    put(tmp_path, family.name, rows)
    with pytest.raises(UsageError) as caught:
        data.verify(family.card, Settings(tmp_path))
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("name", FAMILIES)
def test_a_duplicate_id(name: str, tmp_path: Path) -> None:
    family = FAMILIES[name]
    spoilt = copy.deepcopy(family.rows[0])
    if name in ("triviaqa", "nq"):  # there the same question with other words is a contradiction, the same one is not
        spoilt["question" if name == "triviaqa" else "answers"] = "Why?" if name == "triviaqa" else ["none"]
    path = put(tmp_path, family.name, [*family.rows, spoilt])
    if name == "personamem questions":  # its ids are compared once the histories are read
        path = tmp_path / HISTORIES
        assert "question id 'p1' was already used" in refused(family, tmp_path, path)
        return
    message = refused(family, tmp_path, path)
    assert re.match(place(name, 4), message)
    assert "already" in message


@pytest.mark.parametrize("name", of_kind(".json", ".jsonl"))
@pytest.mark.parametrize("where", ["a field", "a column that nobody reads"])
def test_nan(name: str, where: str, tmp_path: Path) -> None:
    family = FAMILIES[name]
    rows = copy.deepcopy(family.rows)
    rows[1][family.field if where == "a field" else "unread"] = float("nan")
    message = refused(family, tmp_path, put(tmp_path, family.name, rows))
    assert re.match(place(name, 2), message)
    assert "not valid JSON (" in message


@pytest.mark.parametrize("name", of_kind(".parquet"))
def test_a_missing_value_in_a_table(name: str, tmp_path: Path) -> None:
    family = FAMILIES[name]
    rows = copy.deepcopy(family.rows)
    rows[1][family.field] = None
    message = refused(family, tmp_path, put(tmp_path, family.name, rows))
    assert re.match(place(name, 2), message)
    assert "not as published" in message


@pytest.mark.parametrize("name", of_kind(".json", ".jsonl", ".csv"))
def test_another_encoding(name: str, tmp_path: Path) -> None:
    family = FAMILIES[name]
    path = write(tmp_path, family.name, content(family.name, family.rows, "iso-8859-1"))
    message = refused(family, tmp_path, path)
    assert re.match(place(name, 1), message)
    assert re.search("not UTF-8|invalid bytes in UTF8", message)
    assert "fix it, or fetch the file again" in message


@pytest.mark.parametrize("name", of_kind(".json", ".jsonl", ".csv"))
def test_the_end_is_missing(name: str, tmp_path: Path) -> None:
    family = FAMILIES[name]
    raw = content(family.name, family.rows)
    lost = content(family.name, family.rows[-1:])
    path = write(tmp_path, family.name, raw[: -len(lost) // 2] if not family.name.endswith(".csv") else raw[:-20])
    message = refused(family, tmp_path, path)
    assert re.match(place(name, 3), message)
    assert re.search("not valid (JSON|CSV)|not UTF-8", message), message
    assert "fetch" in message


@pytest.mark.parametrize("name", of_kind(".parquet"))
def test_a_cut_table(name: str, tmp_path: Path) -> None:
    family = FAMILIES[name]
    path = put(tmp_path, family.name, family.rows)
    path.write_bytes(path.read_bytes()[:-30])
    assert "not valid parquet (" in refused(family, tmp_path, path)


@pytest.mark.parametrize("name", FAMILIES)
def test_no_records(name: str, tmp_path: Path) -> None:
    family = FAMILIES[name]
    path = put(tmp_path, family.name, family.rows)
    if family.name.endswith(".parquet"):
        pyarrow.parquet.write_table(pyarrow.parquet.read_table(path)[:0], path)
    else:
        path.write_bytes({".csv": content(family.name, family.rows).split(b"\r\n")[0], ".json": b"[]"}.get(path.suffix, b""))
    others(family, tmp_path)
    with pytest.raises(UsageError, match=r"no (record|question)|lacks the history") as caught:
        data.verify(family.card, Settings(tmp_path))
    assert family.name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("raw", [b"", b"<!DOCTYPE html><title>Not Found</title>", b"null"], ids=["empty", "page", "null"])
def test_something_else_altogether(name: str, raw: bytes, tmp_path: Path) -> None:
    family = FAMILIES[name]
    write(tmp_path, family.name, raw)
    others(family, tmp_path)
    with pytest.raises(UsageError) as caught:
        data.verify(family.card, Settings(tmp_path))
    assert family.name in str(caught.value)
    assert "\n" not in str(caught.value)
