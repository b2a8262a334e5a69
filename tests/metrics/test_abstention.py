"""Does a reply decline to answer, and does it where it should? The table of patterns is tested by its own examples."""

import re

import pytest

from memeval.metrics import AbstentionScores, Reply, abstained, abstention_scores, score
from memeval.metrics.abstention import TABLE
from memeval.task import Question
from memeval.yamlfile import read_yaml

DATA = read_yaml(TABLE)
ROWS = [(kind, row) for kind in ("whole", "inside") for row in DATA[kind]]
EXAMPLES = [example for _, row in ROWS for example in row["like"]]


@pytest.mark.parametrize("text", [*EXAMPLES, "", "  \n ", ".", '""', "***"])
def test_refusals_are_seen(text):
    assert abstained(text) is True
    assert abstained(text.upper() if "boxed" not in text and "final" not in text else text) is True


@pytest.mark.parametrize("text", [text for line in DATA["answers"] for text in line])
def test_answers_are_not_taken_for_refusals(text):
    assert abstained(text) is False


@pytest.mark.parametrize(("kind", "row"), ROWS, ids=[row["like"][0] for _, row in ROWS])
def test_every_row_of_the_table_is_needed(kind, row):
    """Its pattern, and no other, finds one of its examples."""
    others = [other for _, other in ROWS if other is not row]

    def finds(patterns, text):
        for name, words in DATA["words"].items():
            patterns = [(kind, pattern.replace(f"<{name}>", words)) for kind, pattern in patterns]
        text = text.lower().replace("’", "'")
        bare = text.strip(" .*")
        return any(re.fullmatch(says, bare) if kind == "whole" else re.search(says, text) for kind, says in patterns)

    assert finds([(kind, row["says"])], row["like"][0])
    rest = [(kind, other["says"]) for kind, other in ROWS if other in others]
    assert not all(finds(rest, example) for example in row["like"])


@pytest.mark.timeout(20)
def test_a_megabyte_without_a_stop_is_read():
    assert abstained("the memory of the text " * 40_000) is False


def test_the_metric_applies_to_every_question():
    for answerable in (True, False):
        question = Question("q", "?", ("Oslo",), answerable=answerable)
        assert score(["abstention"], Reply("I don't know", question)) == {"abstention": 1.0}
        assert score(["abstention"], Reply("Oslo", question)) == {"abstention": 0.0}


def test_abstaining_as_detection_worked_by_hand():
    # (abstained, answerable): 2 rightly, 1 wrongly abstained, 1 unanswerable question answered, 3 answered
    pairs = [(True, False)] * 2 + [(True, True)] + [(False, False)] + [(False, True)] * 3
    assert abstention_scores(pairs) == AbstentionScores(
        precision=pytest.approx(2 / 3), recall=pytest.approx(2 / 3), f1=pytest.approx(2 / 3)
    )


def test_an_empty_denominator_is_none_not_zero():
    assert abstention_scores([(False, True)]) == AbstentionScores(None, None, None)
    assert abstention_scores([(True, True)]) == AbstentionScores(0.0, None, None)
    assert abstention_scores([(False, False)]) == AbstentionScores(None, 0.0, 0.0)
    assert abstention_scores([]) == AbstentionScores(None, None, None)
