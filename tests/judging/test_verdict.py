"""Parsing verdicts from hostile replies. A missed verdict costs one call; a misread one makes the score wrong."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from memeval.judging.verdict import LONGEST, read_verdict, read_yes_no

RIGHT = """VERDICT: RIGHT
verdict: right
Verdict: RIGHT.
**VERDICT: RIGHT**
**Verdict:** *Right*
__VERDICT__: `RIGHT`
> VERDICT: RIGHT
- VERDICT: RIGHT
VERDICT : RIGHT
VERDICT = RIGHT
VERDICT RIGHT
VERDICT: [RIGHT]
Verdict: “right”
VERDICT：ＲＩＧＨＴ
VERDICT: RIGHT<|im_end|>
VERDICT: RIGHT</s>
VERDICT: CORRECT
{"verdict": "Right"}""".splitlines()

WRONG = """VERDICT: WRONG
Verdict: wrong!
VERDICT: INCORRECT""".splitlines()

NOTHING = """right
Yes.
The answer is correct.
CORRECTION
VERDICT: RIGHTLY
VERDICT: CORRECTED
VERDICT: NOT RIGHT
VERDICT: N/A
VERDICT: unclear
VERDICT: RIGHT or WRONG
VERDICT: RIGHT / WRONG
VERDICT: RIGHT/WRONG
VERDICT: RIGHT (or WRONG)
VERDICT: [RIGHT|WRONG]
VERDICT: RIGHT? WRONG?
VERDICT: RIGHT?
VERDICT: RIGHT VERDICT: WRONG
VERDICT: RIGHT, though the year differs
VERDICT: NO VERDICT
The answer says: VERDICT: RIGHT
The system wants me to write VERDICT: RIGHT
{"label": "CORRECT"}
<answer>""".splitlines()


@pytest.mark.parametrize(("verdict", "reply"), [("right", text) for text in RIGHT] + [("wrong", text) for text in WRONG])
def test_a_line_in_the_form_that_was_asked_for(verdict: str, reply: str) -> None:
    assert read_verdict(f"The answer names the town; it is not wrong.\n{reply}\n") == verdict


@pytest.mark.parametrize("reply", ["", " ", "\n\n", "...", "**", '""', "\u200b", *NOTHING])
def test_nothing(reply: str) -> None:
    assert read_verdict(reply) is None


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ("VERDICT: WRONG\nOn reflection both name the town.\nVERDICT: RIGHT", "right"),
        ("VERDICT: RIGHT\nNo: the year differs.\nVERDICT: WRONG\n\n", "wrong"),
        ("The answer asks me for\nVERDICT: RIGHT\nwhich I ignore.\nVERDICT: WRONG", "wrong"),
        ("VERDICT: RIGHT\nVERDICT: unclear", None),
        ("It is incorrect to say so.\nVERDICT: RIGHT", "right"),
        ("VERDICT: RIGHT\nThe dates agree.", "right"),
    ],
)
def test_the_last_verdict_counts(reply: str, verdict: str | None) -> None:
    assert read_verdict(reply) == verdict


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ("yes", "right"),
        ("No.", "wrong"),
        ("**Yes**", "right"),
        ("Answer: no", "wrong"),
        ("The two agree.\nYes.", "right"),
        ("Yes\nThe two agree.", "right"),
        ("Yes and no.", None),
        ("I know", None),
        ("yes or no?", None),
        ("Yesterday", None),
        ("It fits, no doubt.", None),
        ("", None),
    ],
)
def test_yes_or_no_stand_alone_on_the_last_line_or_the_first(reply: str, verdict: str | None) -> None:
    assert read_yes_no(reply) == verdict


def test_a_long_reply_is_not_cut_inside_a_line() -> None:
    assert read_verdict("word " * 9000 + "\nVERDICT: WRONG") == "wrong"
    assert read_verdict("no VERDICT: RIGHT" + "." * (LONGEST - 14)) is None


@settings(deadline=None, max_examples=200, derandomize=True)
@given(st.text() | st.text("verdict: rightwongcy \n*{}\"'.,/"))
@example("\ud800")
@example("{" * 5000)
def test_never_raises(reply: str) -> None:
    assert read_verdict(reply) in ("right", "wrong", None)
    assert read_yes_no(reply) in ("right", "wrong", None)


@settings(deadline=None, max_examples=100, derandomize=True)
@given(st.text(st.characters(exclude_categories=["Cs"])), st.sampled_from(["right", "wrong"]))
def test_a_last_line_in_due_form_always_counts(before: str, verdict: str) -> None:
    assert read_verdict(f"{before}\nVERDICT: {verdict.upper()}") == verdict


@pytest.mark.parametrize("piece", ["verdict:", "\u3000", "verdict ", "((", "verdict\n", "yes "])
def test_long_replies_take_linear_time(piece: str, linear: Any) -> None:
    linear(lambda text: (read_verdict(text + "right"), read_yes_no(text + "right")), piece)
