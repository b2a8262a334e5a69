"""Does a reply decline to answer, and does it where it should?"""

import pytest

from memeval.metrics import AbstentionScores, Reply, abstained, abstention_scores, score
from memeval.task import Question

DECLINES = """
I don't know|I do not know the answer.|I don’t know|I dont know|I really don't know who directed it.
I don't know. The memory only covers 1990 to 1999.|I don't know how old he was.|I don't remember.
Unknown|unknown.|**Unknown**|The answer is unknown.|N/A|n/a.|No answer|noanswer|Unanswerable|I'm not sure.|I am not sure
Not mentioned.|not mentioned in the memory|It is not mentioned in the memory.|Her age isn't mentioned.
The birth date is not stated.|Based on the memory, it is not specified where he lives.
The director was not explicitly mentioned in the text.|The information is not available in the memory.
The memory does not mention her birthplace.|The provided memory doesn't specify the year.
The context does not contain the answer.|No information available
There is no information available about this.|No information about the director is given in the memory.
I have no information about that.|I don't have enough information to answer.|I don't have any record of this.
Not enough information|Insufficient information to answer the question.
Cannot be determined|It cannot be determined from the memory.|Cannot determine from the given context.
Unable to determine.|I cannot answer this question.|The question cannot be answered from the memory.
Answer: I don't know|\\boxed{unknown}|<final_answer> unknown
"""

ANSWERS = """
Paris|42|No|Yes|no.|None|Sure|Nobody knows|I know: Paris|The Knowledge|Know Your Enemy|Unknown Pleasures
The Unknown Soldier|The Man Who Knew Too Much|I Don't Know How to Love Him|What We Do Not Know by A. Smith
You don't know me|They don't know about us|He did not know her|Ludwig van Beethoven, who knew no Italian
Not guilty|He was not found guilty|Not Fade Away|She could not find work|No evidence of life|No Country for Old Men
No Information Society|Information Society|The Department of Information|Insufficient funds|I don't have a car
In the memory of her father|the notes|The answer is Oslo
I don't know for sure, but it is probably Paris.|It is not stated directly; however the answer is Paris
Paris. The memory does not mention the year.|The memory does not mention it. <final_answer> (a)
"""


def phrases(text):
    return [phrase for line in text.strip().splitlines() for phrase in line.split("|")]


@pytest.mark.parametrize("text", [*phrases(DECLINES), "", "  \n ", ".", '""', "***"])
def test_refusals_are_seen(text):
    assert abstained(text) is True
    assert abstained(text.upper() if "boxed" not in text and "final" not in text else text) is True


@pytest.mark.parametrize("text", phrases(ANSWERS))
def test_answers_are_not_taken_for_refusals(text):
    assert abstained(text) is False


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
