"""The final answer inside a longer reply, and normalisation."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memeval.metrics import Reply, abstained, answer_text, normalise, score
from memeval.metrics.text import boxed_text, published_answer
from memeval.task import Question

METRICS = ["substring", "substring_two_way", "letter", "boxed", "keyword_share", "rouge_l"]


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ("Paris", "Paris"),
        ("  Paris \n", "Paris"),
        ("Let me think. <final_answer> (b)", "(b)"),
        ("<final_answer> (a) </final_answer> no: <final_answer>(c)</final_answer>", "(c)"),
        ("So \\boxed{12} or rather \\boxed{7}", "7"),
        ("\\boxed{a {nested} box}", "a {nested} box"),
        ("\\boxed{never closed", "\\boxed{never closed"),
        ("Therefore, the answer is **Oslo**.", "Oslo"),
        ("the answer is no. Then again the answer is yes", "yes"),
        ("Reasoning first.\nAnswer: Oslo", "Oslo"),
        ("Answer: no\nFinal answer: yes", "yes"),
        ("**Answer:** Oslo", "Oslo"),
        ("At first no. Final answer: yes", "yes"),
        ("Answer:", "Answer:"),  # nothing behind the mark: the reply stays
        ("<final_answer>", "<final_answer>"),
        ("They have no answer: so it goes", "They have no answer: so it goes"),
        ("", ""),
    ],
)
def test_answer_text(reply, answer):
    assert answer_text(reply) == answer


def test_published_answer_knows_two_marks_only():
    assert published_answer("I say the answer is Oslo.") == "Oslo"
    assert published_answer("x \\boxed{Oslo}") == "Oslo"
    assert published_answer("Answer: Oslo") == "Answer: Oslo"
    assert published_answer("<final_answer> Oslo") == "<final_answer> Oslo"


@pytest.mark.parametrize(
    "part",
    ["\\boxed{", "<final_answer>", "Answer: ", "\nAnswer:", "\n", "* ", ". ", "the answer is ", "<answer>", "not ", "a"],
)
def test_hostile_replies_take_linear_time(part, linear):
    def read(text):
        for reply in (text, f"{text}x"):
            abstained(reply)
            score(METRICS, Reply(reply, Question("q", "?", ("no", "12", "(c)"))))

    linear(read, part)


def test_a_box_that_never_closes_is_no_box():
    text = "\\boxed{" * 3
    assert boxed_text(text, text.find("\\boxed{")) is None
    assert answer_text(text) == text


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("The Man,  a Plan; an (A) Canal!", "man plan canal"),
        ("U.S.A.", "usa"),
        ("another theatre", "another theatre"),
        ("“The” café", "“ ” café"),  # only ASCII punctuation goes, as in the official script
        ("a", ""),
        ("\u00a0x\u2003y", "x y"),
    ],
)
def test_normalise(text, plain):
    assert normalise(text) == plain


@settings(deadline=None, max_examples=200, derandomize=True)
@given(st.text(max_size=40))
def test_any_text_is_handled(text):
    assert isinstance(answer_text(text), str)
    assert normalise(text) == " ".join(normalise(text).split())
