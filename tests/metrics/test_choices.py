"""Letters, boxed labels, keywords: upstream's rules, case by case."""

import pytest

from memeval.metrics import Reply, score
from memeval.metrics.choices import keywords
from memeval.task import Question


def rate(metric, prediction, *golds, answerable=True):
    return score([metric], Reply(prediction, Question("q", "?", golds, answerable=answerable)))[metric]


@pytest.mark.parametrize(
    ("prediction", "expected"),
    [
        ("(c)", 1),
        ("c", 1),
        ("C.", 1),
        ("(C) You said you liked hiking", 1),
        ("<final_answer> (c)", 1),
        ("<final_answer>c</final_answer>", 1),
        ("(c)</final_answer>", 1),
        ("Not (a) and not (b). <final_answer> (c)", 1),
        ("<final_answer> (a) wait <final_answer> (c)", 1),
        ("Either (a) or (c)", 0),  # two letters
        ("<final_answer> (a) or (c)", 0),
        ("(d)", 0),
        ("", 0),
        ("<final_answer>", 0),
        ("I choose c because a hike suits you", 0),  # "a" stands alone and counts
        ("(c) because a hike suits you", 1),  # letters in brackets go before letters alone
        ("I would pick c <final_answer> the third one", 1),  # the whole reply is read second
        ("(e)", 0),
        ("(cc)", 0),
        ("abcd", 0),
    ],
)
def test_letter_follows_personamem(prediction, expected):
    assert rate("letter", prediction, "(c)") == expected
    assert rate("letter", prediction, "C") == expected


def test_letter_applies_to_answerable_questions_only():
    assert rate("letter", "(a)", "(a)", answerable=False) is None


@pytest.mark.parametrize(
    ("prediction", "expected"),
    [
        ("\\boxed{12}", 1),
        ("The label is \\boxed{ 12 }.", 1),
        ("\\boxed{12} not \\boxed{7}", 1),  # the first box
        ("\\boxed{7} not \\boxed{12}", 0),
        ("\\box{12}", 1),
        ("\\box{7} \\boxed{12}", 1),  # boxed goes before box
        ("<answer>12</answer> \\boxed{7}", 1),
        ("<ANSWER> 12 </ANSWER>", 1),
        ("<answer>7</answer> <answer>12</answer>", 0),
        ("<answer>7 \\boxed{12}", 1),  # never closed
        ("12", 1),
        ('"12"', 1),
        ("label 12", 0),
        ("\\boxed{label 12}", 0),
        ("\\boxed{012}", 0),
        ("\\boxed{112}", 0),
        ("\\boxed{12.0}", 0),
        ("\\boxed{12", 0),
        ("\\boxed{{12}}", 0),
        ("\\boxed{'12'}", 1),
        ("\\boxed{}", 0),
        ("", 0),
    ],
)
def test_boxed_follows_mem_alpha(prediction, expected):
    assert rate("boxed", prediction, "12") == expected


def test_boxed_needs_digits_on_both_sides():
    assert rate("boxed", "\\boxed{weather}", "weather") == 0.0
    assert rate("boxed", "\\boxed{3}", "7", "3") == 1.0


def test_keyword_share_worked_by_hand():
    assert rate("keyword_share", "Ada met Bob in PARIS", "ada;Paris;1984") == pytest.approx(2 / 3)
    assert rate("keyword_share", "Ada met Bob", "Ada, Bob, war, love") == 0.5
    assert rate("keyword_share", "Ada met Bob", "Ada", "Bob", "war, love") == pytest.approx(2 / 3)
    assert rate("keyword_share", "cannot", "no") == 1.0  # bare strings, no token edges: upstream's rule
    assert rate("keyword_share", "", "Ada") == 0.0
    assert rate("keyword_share", "anything", " ; ") is None
    assert rate("keyword_share", "anything") is None
    assert rate("keyword_share", "Ada", "Ada", answerable=False) is None


def test_keywords_are_cut_at_semicolons_else_commas_never_inside_a_number():
    assert keywords(("Paris, France; 1984",)) == ["Paris, France", "1984"]
    assert keywords(("a,b , 1,200,c",)) == ["a", "b", "1,200", "c"]
    assert keywords(("in 1984, 1985",)) == ["in 1984", "1985"]
    assert keywords(("one, two", "three")) == ["one, two", "three"]
    assert keywords(("a;;b;",)) == ["a", "b"]
