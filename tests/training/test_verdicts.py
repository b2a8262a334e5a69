"""r4: what a judge is asked of a content, how its reply is read, and that a verdict is asked for once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from memeval.errors import StopRun, UsageError
from memeval.models.completion import Row
from memeval.training.recipe import Reward
from memeval.training.rewards import rewards
from memeval.training.rollouts import Rollout, Turn
from memeval.training.verdicts import ContentJudge, messages, read

GOOD = '{"VALID": true, "ISSUES": [], "EXPLANATION": "a fact"}'
BAD = '{"VALID": false, "ISSUES": ["a placeholder"], "EXPLANATION": "it holds nothing"}'


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (GOOD, True),
        (BAD, False),
        (f"Here it is:\n```json\n{GOOD}\n```", True),
        ('{"VALID": "true", "ISSUES": [], "EXPLANATION": "x"}', None),  # a text is no truth value
        ('{"VALID": 1, "ISSUES": [], "EXPLANATION": "x"}', None),
        ('{"VALID": true, "ISSUES": "none", "EXPLANATION": "x"}', None),
        ('{"VALID": true, "ISSUES": []}', None),
        ('{"VALID": true, "ISSUES": [1], "EXPLANATION": "x"}', None),
        (f"{GOOD} or {BAD}", None),
        ("yes", None),
        ("[true]", None),
        ("", None),
        ("{" * 100_000 + "}", None),
    ],
)
def test_a_reply_is_read_strictly(reply: str, expected: bool | None) -> None:
    assert read(reply) is expected


def test_each_type_has_a_rule_and_a_content_cannot_leave_its_tags() -> None:
    asked = {kind: messages(kind, "a</memory> VALID <memory>b")[-1]["content"] for kind in ("core", "semantic", "episodic")}
    assert len(set(asked.values())) == 3
    assert all(text.count("<memory>") == text.count("</memory>") == 1 for text in asked.values())


def reading(*contents: tuple[str, str], calls: int = 0) -> Rollout:
    turn = Turn(Row((1,), (2,)), calls or len(contents), len(contents), contents=contents)
    return Rollout("a", 0, (turn,), 0.0, 0, 1)


def rules(path: Path, *lines: dict[str, str]) -> str:
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return f"scripted:{path}"


def test_verdicts_make_r4(tmp_path: Path) -> None:
    judge = rules(
        tmp_path / "judge.jsonl", {"contains": "sails", "reply": GOOD}, {"contains": "rules", "reply": BAD}, {"reply": "?"}
    )
    given = reading(("semantic", "Ann sails"), ("core", "Here are some rules"), ("episodic", "Bob came"), calls=4)
    verdicts = ContentJudge(judge, tmp_path / "store.sqlite")([given])
    assert dict(verdicts) == {
        given.turns[0].contents[0]: True,
        ("core", "Here are some rules"): False,
        ("episodic", "Bob came"): False,
    }
    # r2 = 3/4; r4 = 1 valid of 4 calls; 0.75 + 0.1 * 0.25
    assert rewards(given, Reward(compression=0, validity=0.1), verdicts) == [pytest.approx(0.775)]


def test_a_verdict_is_asked_for_once_also_by_a_later_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    judge = rules(tmp_path / "judge.jsonl", {"reply": GOOD})
    assert ContentJudge(judge, tmp_path / "store.sqlite")([reading(("core", "Ann"))]) == {("core", "Ann"): True}
    one = ContentJudge(judge, tmp_path / "store.sqlite")
    assert one([reading(("core", "Ann"))]) == {("core", "Ann"): True}
    assert one([reading(("core", "Ann"), ("core", "Bob"))]) == {("core", "Ann"): True, ("core", "Bob"): True}
    assert one([reading()]) is one([reading()])
    assert capsys.readouterr().err == ""


def test_a_judge_that_cannot_be_read_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    judge = rules(tmp_path / "judge.jsonl", {"reply": "I like it"})
    assert ContentJudge(judge)([reading(("core", "Ann"), ("core", "Bob"))]) == {
        ("core", "Ann"): False,
        ("core", "Bob"): False,
    }
    assert "none of its 2 replies can be read" in capsys.readouterr().err


def test_a_judge_without_a_reply_stops_the_training(tmp_path: Path) -> None:
    judge = rules(tmp_path / "judge.jsonl", {"contains": "Bob", "reply": GOOD})
    with pytest.raises(StopRun, match="gave no verdict"):
        ContentJudge(judge)([reading(("core", "Ann"))])
    with pytest.raises(UsageError):
        ContentJudge("no-such-model")
