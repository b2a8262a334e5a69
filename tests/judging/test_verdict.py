"""Verdicts out of nasty replies. A verdict that is missed costs one call; one that is misread costs the number."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from memeval.judging.verdict import LONGEST, parse_verdict

RIGHT = """VERDICT: RIGHT
verdict: right
Verdict: RIGHT.
**VERDICT: RIGHT**
**Verdict:** *Right*
__VERDICT__: `RIGHT`
### Final verdict: right
> VERDICT: RIGHT
- VERDICT: RIGHT
1. VERDICT: RIGHT
VERDICT : RIGHT
VERDICT = RIGHT
VERDICT RIGHT
VERDICT - RIGHT
VERDICT: [RIGHT]
VERDICT: <RIGHT>
VERDICT: "RIGHT"
Verdict: “right”
VERDICT：ＲＩＧＨＴ
VERDICT: RIGHT<|im_end|>
VERDICT: RIGHT</s>
VERDICT: RIGHT (the dates agree)
VERDICT: RIGHT - the dates agree
VERDICT: RIGHT because the dates agree
VERDICT: CORRECT
VERDICT: YES
The verdict is: right
My final verdict is RIGHT.
Label: CORRECT
Judgement: yes
{"label": "CORRECT"}
{'label': 'CORRECT'}
{"reason": "no part is missing", "verdict": "Right"}
{"is_correct": true}
{"correct": "yes"}
Correct: yes
right
CORRECT
Correct!
Yes
Yes.
yes, it names the same town
Yes. It holds the gold answer.
\\boxed{RIGHT}
The answer is correct.
The generated answer is CORRECT""".splitlines()

WRONG = """VERDICT: WRONG
Verdict: wrong!
VERDICT: INCORRECT
VERDICT: incorrect.
VERDICT: NO
VERDICT: NOT RIGHT
VERDICT: not correct
VERDICT: WRONG. The correct answer is Oslo.
VERDICT: WRONG, the right one is Oslo
INCORRECT
Incorrect.
*incorrect*
wrong
No
no, it names another town
No. It names another town.
Not correct.
{"label": "WRONG"}
{"label": "INCORRECT"}
{"correct": false}
{"is_correct": "no"}
Correct: no
The response is incorrect.
The response isn't correct.
The response is not correct
This is wrong.""".splitlines()

NOTHING = """I know
I do not know.
know
knowledge
unknown
nothing
Nowhere is it said.
another
yesterday
eyes
bright
righteous
copyright
incorrectly
CORRECTION
VERDICT: RIGHTLY
VERDICT: CORRECTED
VERDICT: KNOWN
VERDICT: NORMAL
VERDICT: right-ish
VERDICT: NOT WRONG
VERDICT: N/A
VERDICT: unclear
VERDICT: RIGHT or WRONG
VERDICT: RIGHT / WRONG
VERDICT: RIGHT/WRONG
VERDICT: RIGHT, or WRONG
VERDICT: RIGHT (or WRONG)
VERDICT: [RIGHT|WRONG]
VERDICT: RIGHT? WRONG?
VERDICT: RIGHT VERDICT: WRONG
VERDICT: CORRECT: NO
VERDICT: NO VERDICT
VERDICT: no answer was given
RIGHT?
yes/no
yes or no
CORRECT and INCORRECT
Both correct and wrong in parts.
It is neither right nor wrong.
It is not wrong.
No, the correct answer is Oslo.
Yes, but the date is wrong.
The correct answer is Oslo.
The right answer would have been Oslo
There is no difference between the two.
I cannot tell whether it is correct.
It does not seem right
It is only partly correct.
It might be right.
The answer claims to be correct
The answer says: VERDICT: RIGHT
The system wants me to write VERDICT: RIGHT
Answer: no
Gold answer: yes
The grade is no pass
{"verdict": null}
{"verdict": 1}
{"label": "CORRECT or WRONG"}
{"answer": "yes"}
{"incorrect": true}
Incorrect: true
<answer>""".splitlines()


@pytest.mark.parametrize("reply", RIGHT)
def test_right(reply: str) -> None:
    assert parse_verdict(reply) == "right"


@pytest.mark.parametrize("reply", WRONG)
def test_wrong(reply: str) -> None:
    assert parse_verdict(reply) == "wrong"


@pytest.mark.parametrize("reply", ["", " ", "\n\n", "...", "**", '""', "\u200b", *NOTHING])
def test_nothing(reply: str) -> None:
    assert parse_verdict(reply) is None


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ("VERDICT: WRONG\nOn reflection both name the town.\nVERDICT: RIGHT", "right"),
        ("VERDICT: RIGHT\nNo: the year differs.\nVERDICT: WRONG\n\n", "wrong"),
        ("The answer asks me for\nVERDICT: RIGHT\nwhich I pass over.\nVERDICT: WRONG", "wrong"),
        ("VERDICT: RIGHT\nVERDICT: who knows", None),
        ("It is incorrect to say so.\nVERDICT: RIGHT", "right"),
        ("Yes, at first sight.\nVERDICT: WRONG", "wrong"),
        ("VERDICT:\nRIGHT", "right"),
        ("VERDICT:\n\n**WRONG**\n", "wrong"),
        ("The gold answer is the 14th; the answer says the 15th.\n\nwrong", "wrong"),
        ("Yes\nNo", "wrong"),
        ("The two agree.\nYes.", "right"),
        ("yes\nbecause the two agree", "right"),
        ("Correct.\nIt names the town and the year.", "right"),
        ("Correct.\nAll in all the answer is wrong.", None),
        ("The answer is wrong. The gold is Oslo, so the response is correct.", None),
        ('```json\n{\n "reason": "the town is wrong",\n "label": "CORRECT"\n}\n```', "right"),
        ('{"label": "CORRECT"}\n{"label": "WRONG"}', "wrong"),
        ('{"label": "CORRECT"}\nVERDICT: WRONG', "wrong"),
        ('VERDICT: WRONG\n{"label": "CORRECT"}', "right"),
        ('{"label": "CORRECT"', "right"),
    ],
)
def test_the_last_verdict_counts(reply: str, verdict: str | None) -> None:
    assert parse_verdict(reply) == verdict


def test_a_long_reply_is_not_cut_inside_a_word() -> None:
    tail = ". It differs in the year." + "x" * (LONGEST - 32)
    assert parse_verdict(f"IN{'CORRECT'}{tail}") in ("wrong", None)
    assert parse_verdict("well, " * 9 + f"INCORRECT{tail}") is None
    assert parse_verdict("word " * 9000 + "\nVERDICT: WRONG") == "wrong"


@settings(deadline=None, max_examples=300, derandomize=True)
@given(st.text() | st.text("verdict: rightwongcy \n*{}\"'.,/"))
@example("\ud800")
@example("{" * 5000)
def test_never_raises(reply: str) -> None:
    assert parse_verdict(reply) in ("right", "wrong", None)


@settings(deadline=None, max_examples=200, derandomize=True)
@given(st.text(st.characters(exclude_categories=["Cs"])), st.sampled_from(["right", "wrong"]))
def test_a_last_line_in_due_form_always_counts(before: str, verdict: str) -> None:
    assert parse_verdict(f"{before}\nVERDICT: {verdict.upper()}") == verdict


@settings(deadline=None, max_examples=200, derandomize=True)
@given(st.text("abdefjklmpquvxz "), st.sampled_from(["correct", "right", "wrong", "yes", "no"]), st.booleans())
def test_no_verdict_inside_a_longer_word(letters: str, word: str, front: bool) -> None:
    stuck = f"q{word}" if front else f"{word}q"
    assert parse_verdict(f"{letters}{stuck}") is None


@pytest.mark.parametrize("piece", ["correct:", "not ", "{", "\u3000", "verdict", "right ", "n't ", "((", "not quite "])
def test_long_replies_take_linear_time(piece: str, linear: Any) -> None:
    linear(lambda text: parse_verdict(text + "right"), piece)
