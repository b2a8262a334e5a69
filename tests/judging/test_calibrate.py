"""The judge against human labels, and the starter set."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from handmade import rules

from memeval.errors import UsageError
from memeval.judging.calibrate import STARTER, calibrate, calibration_file, read_items, save, saved
from memeval.judging.prompts import RULES, prompt_hash
from memeval.judging.rates import corrected
from memeval.judging.scorer import judge_spec, scorer_name
from memeval.models.completion import ModelSpec


def lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def row(number: int, human: str, judge: str, **fields: Any) -> dict[str, Any]:
    """Return an answer whose text contains the verdict that the scripted judge will give."""
    return {"question": f"Q{number}?", "gold": "gold", "answer": f"call me {judge} {number}", "human": human, **fields}


@pytest.fixture
def judge(tmp_path: Path) -> ModelSpec:
    pairs = (("call me right", "VERDICT: RIGHT"), ("call me wrong", "VERDICT: WRONG"), ("call me nothing", "Hm."))
    return judge_spec(rules(tmp_path / "judge.jsonl", *pairs))


def test_a_report_worked_by_hand(tmp_path: Path, judge: ModelSpec) -> None:
    """25 right answers, of which 5 are rejected; 25 wrong ones, of which 10 are accepted: the table of kappa 0.4 in
    test_judge_rates.py."""
    table = (("right", "right", 20), ("right", "wrong", 5), ("wrong", "right", 10), ("wrong", "wrong", 15))
    kinds = [(human, verdict) for human, verdict, count in table for _ in range(count)]
    path = lines(tmp_path / "set.jsonl", *(row(number, *kind) for number, kind in enumerate(kinds)))
    report = calibrate(path, judge)
    found = report.errors
    assert (found.agreement.value, found.agreement.n) == (0.7, 50)
    assert (found.false_accepts.value, found.false_accepts.n) == (0.4, 25)
    assert (found.false_rejects.value, found.false_rejects.n) == (0.2, 25)
    assert found.kappa.value == pytest.approx(0.4)
    assert found.kappa.low < 0.2 < 0.5 < found.kappa.high
    for rate in (found.agreement, found.false_accepts, found.false_rejects, found.kappa):
        assert rate.low < rate.value < rate.high
    assert (report.items, report.failed, report.calls) == (50, 0, 50)
    assert len(report.disagreements) == 15
    # a raw score on this very set, corrected, is the share of right answers in it
    observed = found.agreement.__class__(0.6, 0.6, 0.6, 50)
    back = corrected(observed, found.false_accepts, found.false_rejects)
    assert not isinstance(back, str)
    assert back.value == pytest.approx(0.5)


def test_a_judge_that_gives_up_is_counted_apart(tmp_path: Path, judge: ModelSpec) -> None:
    path = lines(tmp_path / "set.jsonl", row(1, "right", "right"), row(2, "wrong", "nothing"), row(3, "wrong", "wrong"))
    report = calibrate(path, judge)
    assert (report.items, report.failed, report.errors.n) == (3, 1, 2)
    assert report.disagreements == ((2, "wrong", "failed", "Hm."),)


def test_answers_to_one_question_belong_together(tmp_path: Path, judge: ModelSpec) -> None:
    """Twenty answers to ten questions, two by two: as wide as ten."""
    kinds = [("wrong", "right" if number < 10 else "wrong") for number in range(20)]
    apart = lines(tmp_path / "apart.jsonl", *(row(number, *kind) for number, kind in enumerate(kinds)))
    paired = [{**row(number, *kind), "question": f"Q{number // 2}?"} for number, kind in enumerate(kinds)]
    together = lines(tmp_path / "together.jsonl", *paired)
    narrow, wide = (calibrate(path, judge).errors.false_accepts for path in (apart, together))
    assert wide.high - wide.low > 1.2 * (narrow.high - narrow.low)


def test_one_label_alone(tmp_path: Path, judge: ModelSpec) -> None:
    report = calibrate(lines(tmp_path / "set.jsonl", row(1, "right", "right"), row(2, "right", "wrong")), judge)
    assert report.errors.false_accepts is None
    assert report.errors.kappa is None
    assert report.errors.false_rejects is not None


def test_unanswerable_questions_are_no_part_of_the_correction(tmp_path: Path, judge: ModelSpec) -> None:
    unanswerable = {"question": "Q9?", "answer": "call me right 9", "human": "wrong", "kind": "abstention"}
    path = lines(tmp_path / "set.jsonl", row(1, "right", "right"), row(2, "wrong", "wrong", case="long"), unanswerable)
    report = calibrate(path, judge)
    assert (report.errors.false_accepts.value, report.answerable.false_accepts.value) == (0.5, 0.0)
    assert report.cases == {"all": (2, 1, 0), "long": (1, 0, 0)}


def test_what_is_kept_is_found(tmp_path: Path, judge: ModelSpec) -> None:
    report = calibrate(lines(tmp_path / "set.jsonl", row(1, "right", "right"), row(2, "wrong", "wrong")), judge, "locomo")
    assert report.scorer == scorer_name(judge, "locomo")
    assert report.prompt_hash == prompt_hash("locomo")
    assert saved(report.scorer) is None
    assert save(report) == calibration_file(report.scorer)
    kept = saved(report.scorer)
    assert kept is not None
    assert (kept.source, kept.items) == ("set.jsonl", 2)
    assert kept.answerable.false_accepts.value == 0.0
    assert saved(scorer_name(judge, "generic")) is None


GOOD = {"question": "Q?", "gold": "g", "answer": "a", "human": "right"}


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ("{", ":2: not valid JSON"),
        ("[]", "is [], expected a mapping"),
        ({**GOOD, "humn": "right"}, ":2: unknown key 'humn'; did you mean 'human'"),
        ({**GOOD, "human": "yes"}, ":2: 'human' is 'yes'"),
        ({**GOOD, "human": True}, ":2: 'human' is True"),
        ({**GOOD, "answer": " "}, ":2: 'answer' is ' ', expected a text"),
        ({**GOOD, "question": None}, ":2: 'question' is None, expected a text"),
        ({**GOOD, "gold": 7}, ":2: 'gold' is 7, expected a text"),
        ({**GOOD, "gold": []}, ":2: 'gold' is empty"),
        ({"question": "Q?", "answer": "a", "human": "right"}, ":2: 'gold' is empty"),
        ({**GOOD, "kind": 3}, ":2: 'kind' is 3"),
        (GOOD, ":2: the same question and answer as line 1"),
        ('{"question": NaN}', ":2: not valid JSON"),
        ('{"question": "\\ud800"}', ":2: holds half of a surrogate pair"),
    ],
)
def test_bad_files_are_one_line(tmp_path: Path, bad: Any, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_items(lines(tmp_path / "set.jsonl", GOOD, bad))
    assert says in str(caught.value)
    assert str(tmp_path / "set.jsonl") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_items(tmp_path / "none.jsonl")
    with pytest.raises(UsageError, match="holds no answers"):
        read_items(lines(tmp_path / "empty.jsonl", ""))
    (tmp_path / "latin.jsonl").write_bytes('{"question": "Où"}'.encode("latin-1"))
    with pytest.raises(UsageError, match=":1: not UTF-8"):
        read_items(tmp_path / "latin.jsonl")


# -- the starter set --------------------------------------------------------------------------------------------------


def test_the_starter_set_tempts_a_judge() -> None:
    items = list(read_items(STARTER)[0].values())
    assert 60 <= len(items) <= 100
    humans = Counter(item.human for item in items)
    assert humans["right"] >= 30
    assert humans["wrong"] >= 50
    wrong = Counter(item.case for item in items if item.human == "wrong")
    assert {"long", "hedged", "both", "refusal", "near miss", "injection", "old value"} <= set(wrong)
    assert min(wrong[case] for case in ("hedged", "both", "refusal", "near miss", "injection")) >= 4
    assert len({item.question for item in items}) >= 15
    kinds = {item.kind for item in items} - {"all", "abstention"}
    assert kinds <= set(RULES["longmemeval"]) | {"single-session-user", "single-session-assistant", "multi-session"}
    assert any(item.kind == "abstention" for item in items)


def test_string_rules_fail_on_the_starter_set() -> None:
    """The purpose of the set: the offline judge's rule errs both ways, on double answers, hedges and paraphrases."""
    report = calibrate(None, ModelSpec("offline"))
    assert report.source == "starter"
    assert report.failed == 0
    assert report.errors.false_accepts.value > 0.1
    assert report.errors.false_rejects.value > 0.1
    assert report.cases["both"][1] >= 5
    assert report.cases["format"][2] >= 3


@pytest.mark.parametrize("verdict", ["RIGHT", "WRONG"])
def test_a_judge_that_never_looks_is_found_out(tmp_path: Path, verdict: str) -> None:
    report = calibrate(None, judge_spec(rules(tmp_path / "blind.jsonl", ("", f"VERDICT: {verdict}"))))
    assert report.errors.kappa.value == pytest.approx(0.0)
    assert {report.errors.false_accepts.value, report.errors.false_rejects.value} == {0.0, 1.0}
