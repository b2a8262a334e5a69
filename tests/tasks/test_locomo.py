"""LoCoMo: sessions in order, captions, kinds by upstream's names, category 5, evidence ids as they are; damage."""

from __future__ import annotations

import copy
import gzip
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from records import everything

from memeval import plugins, tokens
from memeval.errors import UsageError
from memeval.metrics import METRICS
from memeval.runs.prepare import evidence_rows, prepare
from memeval.task import Unit
from memeval.tasks import Settings
from memeval.tasks.fixed import FixedTask
from memeval.tasks.locomo import LoCoMo, parse

FILE = "locomo/locomo10.json"


def turn(dia_id: str, speaker: str, text: str, **more: Any) -> dict[str, Any]:
    return {"speaker": speaker, "dia_id": dia_id, "text": text, **more}


def conversation(name: str = "conv-1") -> dict[str, Any]:
    """Three sessions, two of them with turns, in the order of no sorting by text: 2, 10, 1."""
    talk = {
        "speaker_a": "Ann",
        "speaker_b": "Bo",
        "session_2_date_time": "1:14 pm on 25 May, 2023",
        "session_2": [turn("D2:1", "Bo", "Look at this!", img_url=["u"], blip_caption="a photo of a bowl", query="bowl")],
        "session_10_date_time": "9:00 am on 1 June, 2023",
        "session_10": [turn("D10:1", "Ann", "I moved to Oslo."), turn("D10:2", "Bo", "In spring?")],
        "session_1_date_time": "1:56 pm on 8 May, 2023",
        "session_1": [turn("D1:1", "Ann", "Hi!"), turn("D1:2", "Bo", " Hello. ")],
        "session_3_date_time": "4:00 pm on 27 May, 2023",
    }
    questions = [
        {"question": "Where does Ann live?", "answer": "Oslo", "evidence": ["D10:1"], "category": 4},
        {"question": "What does Bo like?", "answer": "bowls, spring", "evidence": ["D2:1; D10:2", "D2:1"], "category": 1},
        {"question": "In which year did Ann move?", "answer": 2023, "evidence": ["D10:01", "D9:9", "D"], "category": 2},
        {"question": "Is Bo polite?", "answer": "Yes; he says hello", "evidence": [], "category": 3},
        {"question": "What did Ann cook?", "adversarial_answer": "soup", "evidence": ["D:1:2"], "category": 5},
    ]
    return {"sample_id": name, "conversation": talk, "qa": questions, "event_summary": {}, "observation": {}}


def write(root: Path, rows: Any, name: str = FILE) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    data = json.dumps(rows).encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def load(root: Path | None, name: str = "locomo") -> FixedTask:
    return LoCoMo().load(plugins.find_task(name), Settings(data_dir=root))


def test_a_conversation_is_one_stream_in_the_order_of_its_sessions() -> None:
    context = parse(conversation())
    assert context.units == (
        Unit("Hi!", "1:56 pm on 8 May, 2023", "Ann"),
        Unit("Hello.", "1:56 pm on 8 May, 2023", "Bo"),
        Unit("Look at this! [image: a photo of a bowl]", "1:14 pm on 25 May, 2023", "Bo"),
        Unit("I moved to Oslo.", "9:00 am on 1 June, 2023", "Ann"),
        Unit("In spring?", "9:00 am on 1 June, 2023", "Bo"),
    )
    assert (context.id, context.cluster) == ("conv-1", "conv-1")
    assert dict(context.meta) == {"sessions": 3}


def test_kinds_answers_and_evidence() -> None:
    asked = {question.kind: question for question in parse(conversation(), adversarial=True).questions}
    assert list(asked) == ["single-hop", "multi-hop", "temporal", "open-domain", "adversarial"]
    assert [question.id for question in asked.values()] == [f"conv-1-q{n}" for n in range(1, 6)]
    assert asked["temporal"].answers == ("2023",)
    assert asked["open-domain"].answers == ("Yes; he says hello",)  # what counts of it is the metric's rule
    units = {kind: [piece.units for piece in question.evidence] for kind, question in asked.items()}
    assert units == {
        "single-hop": [(3,)],
        "multi-hop": [(2,), (4,)],  # two ids in one text, one of them twice
        "temporal": [(3,)],  # a leading zero; a turn that does not exist; a bare letter
        "open-domain": [],
        "adversarial": [(1,)],  # a colon too many
    }
    assert asked["single-hop"].evidence[0].text == "[9:00 am on 1 June, 2023] Ann: I moved to Oslo."


def test_category_5_is_off_by_default_and_unanswerable_when_on(tmp_path: Path) -> None:
    write(tmp_path, [conversation(), conversation("conv-2")])
    plain, full = load(tmp_path), load(tmp_path, "locomo@adversarial")
    assert (len(plain.order), len(full.order)) == (8, 10)
    assert {question.kind for question in plain.golds()} == {"single-hop", "multi-hop", "temporal", "open-domain"}
    for question in full.golds():
        assert question.answerable == (question.kind != "adversarial")
        assert (question.answers == ()) == (question.kind == "adversarial")
    assert [name for name in full.order if name in plain.order] == plain.order  # a subset keeps its order and its ids
    assert (plain.data["questions"], full.data["questions"]) == (8, 10)


def test_one_context_for_all_questions_of_a_conversation(tmp_path: Path) -> None:
    write(tmp_path, [conversation(f"conv-{n}") for n in range(4)], f"{FILE}.gz")
    task = load(tmp_path)
    refs = task.refs(task.order)
    assert len(refs) == 4
    assert sorted(len(ref.question_ids) for ref in refs) == [4, 4, 4, 4]
    assert {context.cluster for context in everything(task).values()} == {f"conv-{n}" for n in range(4)}
    prefix = task.refs(task.order[:5])
    assert [ref.context_id for ref in prefix] == [ref.context_id for ref in refs][: len(prefix)]


def test_evidence_lies_in_the_chunks_that_hold_its_turn() -> None:
    talk = conversation()
    talk["conversation"]["session_2"] += [turn(f"D2:{n}", "Bo", f"Bowl number {n} is nice.") for n in range(2, 40)]
    context = parse(talk)
    ref = FixedTask(plugins.find_task("locomo"), Settings(), {context.id: context.questions}, lambda _: context, {}).refs(
        [question.id for question in context.questions]
    )[0]
    point = prepare(context, ref, 64, tokens.counter("o200k_base")).points[0]
    held = {chunk.id: chunk.text for chunk in point.chunks}
    multi = next(question for question in point.questions if question.kind == "multi-hop")
    first, second = (row.chunks for row in evidence_rows(multi, point.chunks, context.units))
    assert all("a photo of a bowl" in held[name] for name in first)
    assert all("In spring?" in held[name] for name in second)
    assert first
    assert second


def change(*path: Any, to: Any = None) -> Callable[[dict[str, Any]], None]:
    """Set (or, without `to`, remove) what stands at the path."""

    def apply(item: Any) -> None:
        for key in path[:-1]:
            item = item[key]
        if to is None:
            del item[path[-1]]
        else:
            item[path[-1]] = to

    return apply


TALK = "conversation"
BROKEN = {
    "no name": (change("sample_id"), "no field 'sample_id'"),
    "no conversation": (change(TALK), "'conversation': expected an object with named fields, found NoneType"),
    "no date": (change(TALK, "session_2_date_time"), "no field 'session_2_date_time'"),
    "session is text": (change(TALK, "session_2", to="hi"), "'session_2' is str, expected a list"),
    "turn is text": (change(TALK, "session_2", 0, to="hi"), "session_2, turn 1: expected an object"),
    "no text": (change(TALK, "session_1", 1, "text"), "session_1, turn 2: no field 'text'"),
    "no speaker": (change(TALK, "session_1", 1, "speaker"), "session_1, turn 2: no field 'speaker'"),
    "no id": (change(TALK, "session_1", 1, "dia_id"), "session_1, turn 2: no field 'dia_id'"),
    "id twice": (change(TALK, "session_1", 1, "dia_id", to="D1:1"), "session_1, turn 2: 'dia_id' is 'D1:1', expected"),
    "another id": (change(TALK, "session_1", 1, "dia_id", to="12"), "session_1, turn 2: 'dia_id' is '12', expected"),
    "an id of 5000 digits": (change(TALK, "session_1", 1, "dia_id", to=f"D1:{'9' * 5000}"), "'dia_id' is 'D1:999"),
    "no session": (change(TALK, to={"session_" + "9" * 5000: []}), "'conversation' has no session with a turn"),
    "caption is a list": (
        change(TALK, "session_2", 0, "blip_caption", to=["a"]),
        "session_2, turn 1: 'blip_caption' is ['a']",
    ),
    "no questions": (change("qa"), "'qa' is missing, expected a list"),
    "a question is text": (change("qa", 1, to="Why?"), "qa 2: expected an object"),
    "no question": (change("qa", 1, "question"), "qa 2: no field 'question'"),
    "no answer": (change("qa", 1, "answer"), "qa 2: no field 'answer'"),
    "nan": (change("qa", 1, "answer", to=float("nan")), "not valid JSON (NaN is not a JSON value)"),
    "category 6": (change("qa", 1, "category", to=6), "qa 2: 'category' is 6, expected 1 to 5"),
    "category is true": (change("qa", 1, "category", to=True), "qa 2: 'category' is True, expected 1 to 5"),
    "category is a list": (change("qa", 1, "category", to=[1]), "qa 2: 'category' is [1], expected 1 to 5"),
    "evidence is text": (change("qa", 1, "evidence", to="D1:1"), "qa 2: 'evidence' is str, expected a list"),
    "evidence is a number": (change("qa", 1, "evidence", to=[1]), "qa 2: 'evidence[0]' is 1, expected text"),
    "same name": (change("sample_id", to="conv-0"), "sample_id 'conv-0' was already used"),
}


def test_evidence_of_5000_digits_names_no_turn() -> None:
    row = conversation()
    row["qa"] = [{**row["qa"][0], "evidence": [f"D1:{'9' * 5000}"]}]
    found = parse(row)
    assert found.questions[0].evidence == ()


def test_rows_of_a_datasets_object() -> None:
    """Columns that a turn or a question lacks come as None."""
    datasets = pytest.importorskip("datasets")
    talk = copy.deepcopy(conversation())
    for question in talk["qa"]:
        if "answer" in question:
            question["answer"] = str(question["answer"])
    talk.pop("event_summary")
    talk.pop("observation")
    (row,) = datasets.Dataset.from_list([talk])
    assert parse(row, adversarial=True) == parse(talk, adversarial=True)


def test_with_no_data_one_line_names_the_remedies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError) as caught:
        load(tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    for part in ("task 'locomo': no data", FILE, str(tmp_path), "com/snap-research/locomo", "synth-10k"):
        assert part in message
    monkeypatch.delenv("MEMEVAL_DATA", raising=False)
    with pytest.raises(UsageError, match=r"--data-dir DIR \(or set MEMEVAL_DATA\)"):
        load(None)


def test_the_card() -> None:
    card = plugins.find_task("locomo")
    assert (card.headline, card.judge, card.cluster, card.reader_prompt) == (
        "locomo_f1",
        "locomo",
        "conversation",
        "reader-dialogue",
    )
    assert set(card.metrics) <= set(METRICS)
    assert "non-commercial" in card.licence
    adversarial = plugins.find_task("locomo@adversarial")
    assert dict(adversarial.params) == {**card.params, "adversarial": True}


def test_params_of_the_card(tmp_path: Path) -> None:

    card = plugins.find_task("locomo")
    write(tmp_path, [conversation()], "mine.json")
    mine = replace(card, params={"files": "mine.json"})
    assert len(LoCoMo().load(mine, Settings(tmp_path)).order) == 4
    wrong = replace(card, params={"files": "mine.json", "adversarial": "yes"})
    with pytest.raises(UsageError, match="'params.adversarial' is 'yes', expected true or false"):
        LoCoMo().load(wrong, Settings(tmp_path))


def test_the_real_slice(slices: Callable[[str], Path]) -> None:
    root = slices("locomo/locomo10.json")
    task = load(root, "locomo@adversarial")
    contexts = list(everything(task).values())
    counts = Counter(question.kind for question in task.golds())
    if (
        task.data["files"][0]["sha256"] == "79fa87e90f04081343b8c8debecb80a9a6842b76a7aa537dc9fdf651ea698ff4"
    ):  # the whole file
        assert (len(contexts), len(task.order)) == (10, 1986)
        assert counts == {"single-hop": 841, "adversarial": 446, "temporal": 321, "multi-hop": 282, "open-domain": 96}
    assert sum(counts.values()) == task.data["questions"]
    assert len(contexts) == task.data["contexts"] <= 10
    for context in contexts:
        for question in context.questions:
            for piece in question.evidence:
                assert piece.text == context.units[piece.units[0]].render()
    assert len(load(root).order) == len(task.order) - counts["adversarial"]
