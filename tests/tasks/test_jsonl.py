"""source: jsonl: one's own streams and questions."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from memeval import cards, plugins
from memeval.cards import TaskCard
from memeval.errors import UsageError
from memeval.task import Context, Evidence, Question, Unit
from memeval.tasks import Settings
from memeval.tasks.fixed import FixedTask
from memeval.tasks.jsonl import Jsonl

CARD = """\
description: Notes of a week, and what I asked about them
source: jsonl
params:
  file: notes.jsonl
headline: substring
cluster: context
chunk_tokens: 512
questions: 0
licence: mine
"""
MONDAY: dict[str, Any] = {
    "id": "monday",
    "units": ["The mill burnt.", {"text": "I sold it to Bo.", "time": "2024-05-01", "speaker": "Ada"}, "Rain."],
    "questions": [
        {
            "id": "who",
            "text": "Who bought the mill?",
            "answers": ["Bo", "Bo Lund"],
            "kind": "sale",
            "position": 2,
            "time": "2024-05-02",
            "evidence": [{"text": "sold it to Bo", "units": [1]}, {"text": "mill burnt"}],
        },
        {"question": "What is Bo's age?", "answerable": False},
    ],
    "cluster": "diary",
}
TUESDAY: dict[str, Any] = {
    "units": ["Snow."],
    "questions": [{"text": "Pick.", "answer": "(a)", "options": ["(a) snow", "(b) sun"]}],
}


def load(folder: Path, lines: list[Any] | str, name: str = "notes.jsonl", **card: Any) -> FixedTask:
    text = lines if isinstance(lines, str) else "\n".join(map(json.dumps, lines)) + "\n"
    (folder / name).write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    card.setdefault("params", {"file": "notes.jsonl"})
    return Jsonl().load(TaskCard(name="my-notes", source="jsonl", path=str(folder / "my-notes.yaml"), **card), Settings())


def test_a_card_of_ten_lines_is_enough(tmp_path: Path) -> None:
    assert len(CARD.splitlines()) <= 10
    (tmp_path / "my-notes.yaml").write_text(CARD)
    (tmp_path / "notes.jsonl").write_text("\n".join(map(json.dumps, [MONDAY, TUESDAY])))
    card = plugins.find_task(str(tmp_path / "my-notes.yaml"))
    task = plugins.source(card)().load(card, Settings())
    assert sorted(task.order) == ["line-2-q1", "monday-q2", "who"]
    assert task.card.headline == "substring"


def test_a_line_becomes_a_context(tmp_path: Path) -> None:
    task = load(tmp_path, [MONDAY, TUESDAY])
    monday, tuesday = (task.context(ref) for ref in task.refs(["who", "line-2-q1"]))
    assert monday == Context(
        "monday",
        (Unit("The mill burnt."), Unit("I sold it to Bo.", "2024-05-01", "Ada"), Unit("Rain.")),
        (
            Question(
                "who",
                "Who bought the mill?",
                ("Bo", "Bo Lund"),
                "sale",
                "2024-05-02",
                position=2,
                evidence=(Evidence("sold it to Bo", (1,)), Evidence("mill burnt", (0,))),
            ),
            Question("monday-q2", "What is Bo's age?", (), answerable=False),
        ),
        "diary",
        {"documents": 3},
    )
    assert tuesday.cluster == tuesday.id == "line-2"
    assert tuesday.questions == (Question("line-2-q1", "Pick.", ("(a)",), options=("(a) snow", "(b) sun")),)


def test_order_refs_and_golds(tmp_path: Path) -> None:
    lines = [{"units": ["u"], "questions": [{"text": f"{n}-{i}?", "answer": "a"} for i in range(3)]} for n in range(10)]
    task = load(tmp_path, lines)
    assert len(task.order) == 30
    assert task.order == load(tmp_path, lines).order != sorted(task.order)
    assert [question.id for question in task.golds()] == task.order
    whole = task.refs(task.order)
    assert len(whole) == 10
    part = task.refs(task.order[:7])
    assert [ref.context_id for ref in part] == [ref.context_id for ref in whole][: len(part)]
    visible = load(tmp_path, lines, query_visible=True)
    assert [(ref.question_ids, ref.visible_question) for ref in visible.refs(task.order[:2])] != []
    assert all(ref.question_ids == (ref.visible_question,) for ref in visible.refs(task.order))


def test_gz_and_plain_are_the_same_data(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    plain = load(tmp_path / "a", [MONDAY, TUESDAY])
    zipped = load(tmp_path / "b", [MONDAY, TUESDAY], "notes.jsonl.gz")
    assert plain.data == zipped.data
    assert [plain.context(ref) for ref in plain.refs(plain.order)] == [
        zipped.context(ref) for ref in zipped.refs(plain.order)
    ]
    assert (plain.data["questions"], plain.data["contexts"]) == (3, 2)


def test_blank_lines_byte_order_marks_and_windows_line_ends(tmp_path: Path) -> None:
    text = "\ufeff" + json.dumps(MONDAY) + "\r\n\r\n" + json.dumps(TUESDAY) + "\r\n"
    for name in ("notes.jsonl", "notes.jsonl.gz"):
        task = load(tmp_path, text, name)
        assert [len(task.context(ref).units) for ref in task.refs(["who", "line-3-q1"])] == [3, 1]
        (tmp_path / name).unlink()


def test_the_data_folder_is_searched_too(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "notes.jsonl").write_text(json.dumps(TUESDAY))
    card = TaskCard(name="n", source="jsonl", params={"file": "notes.jsonl"}, path=str(tmp_path / "n.yaml"))
    assert len(Jsonl().load(card, Settings(data_dir=tmp_path / "data")).order) == 1
    with pytest.raises(UsageError, match=r"n\.yaml: 'params.file': no file .*notes\.jsonl"):
        Jsonl().load(card, Settings(data_dir=tmp_path))


def with_question(**changes: Any) -> list[Any]:
    question = {"text": "Who?", "answers": ["Bo"], **changes}
    return [TUESDAY, {"units": ["a", "b"], "questions": [{key: value for key, value in question.items() if value != "-"}]}]


BROKEN: dict[str, tuple[list[Any] | str, str]] = {
    "no json": ('{"units": ["a"], "questions": []}\n{"units": ', ":2: not valid JSON"),
    "nan": ('{"units": ["a"], "questions": []}\n{"units": NaN}', ":2: not valid JSON"),
    "not an object": ([TUESDAY, [1]], ":2: it is [1], expected a mapping"),
    "unknown key": ([{**TUESDAY, "unit": []}], ":1: unknown key 'unit'; did you mean 'units'?"),
    "unknown key of a unit": (
        [{**TUESDAY, "units": [{"txt": "a"}]}],
        ":1: unknown key 'units[0].txt'; did you mean 'text'?",
    ),
    "unknown key of a question": (
        with_question(anwsers=["x"]),
        "unknown key 'questions[0].anwsers'; did you mean 'answers'?",
    ),
    "no units": ([{"questions": []}], ":1: 'units' is missing"),
    "empty units": ([{"units": [], "questions": []}], ":1: 'units' is [], expected a list of length >= 1"),
    "blank unit": ([{"units": ["a", " "], "questions": []}], ":1: 'units[1]' is ' ', expected a text that is not blank"),
    "no questions key": ([{"units": ["a"]}], ":1: 'questions' is missing"),
    "no question at all": ([{"units": ["a"], "questions": []}], "no question in"),
    "no text": (with_question(text="-"), ":2: questions[0]: a question needs 'text'"),
    "two texts": (with_question(question="Who?"), "has both 'text' and 'question'"),
    "two answers": (with_question(answer="Bo"), "has both 'answers' and 'answer'"),
    "no answers": (with_question(answers="-"), "a question needs 'answers'"),
    "blank answer": (with_question(answers=[" "]), "'questions[0].answers[0]' is ' ', expected a text that is not blank"),
    "number as answer": (with_question(answers=[5]), "'questions[0].answers[0]' is 5, expected a text"),
    "position": (with_question(position=3), "its position is 3, expected a number of units from 0 to 2"),
    "position true": (with_question(position=True), "'questions[0].position' is True, expected a whole number"),
    "answerable": (with_question(answerable="no"), "'questions[0].answerable' is 'no', expected true or false"),
    "options": (with_question(options="abc"), "'questions[0].options' is 'abc', expected a list"),
    "kind": (with_question(kind=7), "'questions[0].kind' is 7, expected a text"),
    "evidence": (with_question(evidence=["x"]), "'questions[0].evidence[0]' is 'x', expected a mapping"),
    "evidence units": (
        with_question(evidence=[{"text": "x", "units": [2]}]),
        ":2: questions[0]: its evidence lies outside its 2 units",
    ),
    "evidence text": (with_question(evidence=[{"units": [1]}]), "'questions[0].evidence[0].text' is missing"),
    "evidence elsewhere": (
        with_question(evidence=[{"text": "b", "units": [0]}]),
        ":2: questions[0]: its evidence 'b' is not in unit 0",
    ),
    "evidence nowhere": (with_question(evidence=[{"text": "c"}]), "its evidence 'c' is not in any unit"),
    "answer not among the options": (
        with_question(options=["Ann", "Cy"]),
        ":2: questions[0]: its options (Ann; Cy) lack the answer 'Bo'",
    ),
    "letter beyond the options": (with_question(options=["x", "y"], answers=["(c)"]), "lack the answer '(c)'"),
    "same context id": ([{**TUESDAY, "id": "x"}, {**TUESDAY, "id": "x"}], ":2: id 'x' was already used by"),
    "same question id": ([MONDAY, *with_question(id="who")], ":3: question id 'who' was already used by"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_wrong_is_one_line_with_file_and_line(name: str, tmp_path: Path) -> None:
    lines, message = BROKEN[name]
    with pytest.raises(UsageError) as caught:
        load(tmp_path, lines)
    assert message in str(caught.value)
    assert "notes.jsonl" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_keys_of_the_card_that_cannot_apply(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown key 'params.path'; did you mean|unknown key 'params.path'"):
        load(tmp_path, [TUESDAY], params={"path": "notes.jsonl"})
    with pytest.raises(UsageError, match="'params' lacks the key 'file' of source 'jsonl'"):
        load(tmp_path, [TUESDAY], params={})
    for changes in ({"documents": 5}, {"tokens": 5}, {"hard": True}, {"shared": 2}):
        with pytest.raises(UsageError, match=f"'{next(iter(changes))}' has no effect"):
            load(tmp_path, [TUESDAY], **changes)
    card = cards.with_variant(
        TaskCard(name="n", source="jsonl", params={"file": "notes.jsonl"}, path=str(tmp_path / "n.yaml")), "tokens-50"
    )
    with pytest.raises(UsageError, match="'tokens' has no effect"):
        Jsonl().load(card, Settings())


@pytest.mark.parametrize(("options", "answer"), [(["Ann", "Bo"], "bo."), (["(a) x", "(b) y"], "(b)"), (["x", "y"], "B")])
def test_answers_that_are_among_the_options(options: list[str], answer: str, tmp_path: Path) -> None:
    assert load(tmp_path, with_question(options=options, answers=[answer])).golds()


def test_evidence_may_span_units(tmp_path: Path) -> None:
    line = {"units": ["Ann left.", "Bo stayed."], "questions": [{"text": "Who?", "answer": "Bo"}]}
    line["questions"][0]["evidence"] = [{"text": "Ann left. Bo stayed.", "units": [0, 1]}]  # type: ignore[index]
    assert load(tmp_path, [line]).golds()


def test_the_cards_cluster_must_be_in_the_lines(tmp_path: Path) -> None:
    other = {**TUESDAY, "cluster": "diary"}
    assert len(load(tmp_path, [other], cluster="persona").order) == 1
    with pytest.raises(UsageError, match=r"notes\.jsonl:2: no 'cluster', but the card says 'cluster: persona'"):
        load(tmp_path, [other, TUESDAY], cluster="persona")


def test_a_cut_gzip_and_a_file_changed_while_in_use(tmp_path: Path) -> None:
    (tmp_path / "notes.jsonl.gz").write_bytes(gzip.compress(json.dumps(MONDAY).encode())[:40])
    card = TaskCard(name="n", source="jsonl", params={"file": "notes.jsonl"}, path=str(tmp_path / "n.yaml"))
    with pytest.raises(UsageError, match="damaged or cut gzip"):
        Jsonl().load(card, Settings())
    task = load(tmp_path, [MONDAY, TUESDAY])
    ref = task.refs(["who"])[0]
    (tmp_path / "notes.jsonl").write_text(json.dumps({**MONDAY, "id": "sunday"}) + "\n")
    assert task.context(ref).id == MONDAY["id"]  # as it was when the task was loaded
