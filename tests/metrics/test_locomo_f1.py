"""LoCoMo's own rules against values of upstream's functions (task_eval/evaluation.py of snap-research/locomo, NLTK 3.10)."""

from __future__ import annotations

import hashlib
import random

import pytest

from memeval.metrics import METRICS, Reply, abstained
from memeval.task import Question
from memeval.tasks.locomo import KINDS

GOLDENS = [  # prediction, gold, category, upstream's value
    ("7 May 2023", "7 May 2023", 2, 1.0),
    ("May 7th, 2023", "7 May 2023", 2, 0.666666666667),
    ("She paints and runs", "painting, running", 4, 0.8),
    ("Painting sunsets", "She painted a sunset", 4, 0.8),
    ("The", "a", 4, 0.0),
    ("", "sunset", 4, 0.0),
    ("researching adoption agencies", "Adoption agencies", 4, 0.8),
    ("swimming, pottery", "pottery, camping, painting, swimming", 1, 0.5),
    ("pottery and swimming", "pottery, swimming", 1, 0.666666666667),
    ("Oslo", "Oslo,", 1, 0.5),
    ("", "a, b", 1, 0.0),
    ("likely no", "Likely no; though she likes reading, she wants to be a counselor", 3, 1.0),
    ("Likely no, she wants to be a counselor", "Likely no; though she likes reading", 3, 0.444444444444),
    ("Yes; it is classical music", "Yes; it's classical music", 4, 0.888888888889),
    ("skies", "sky", 4, 1.0),
    ("dying", "died", 4, 1.0),
    ("Single-parent", "single parent", 4, 0.0),
    ("news", "new", 4, 0.0),
    ("Café visits", "café visit", 4, 1.0),
    ("happily studied libraries", "happy study library", 4, 0.666666666667),
]
SAID = (
    "a an the and The And runs running ran happily happy happiness study studies studied library libraries sky skies dying "
    "die tie ties news Oslo café no yes 7 May 2023 mother's well-known paint painted painting paintings hopeful hoping "
    "hopes generously relational conditional adoption adopt agencies agency ; , . ! camping camped photography photographer "
    "photographs likely counselling counselor National Park parks"
)


def reply(prediction: str, kind: str, *golds: str) -> Reply:
    return Reply(prediction, Question("q", "?", golds, kind=kind, answerable=kind != "adversarial"))


@pytest.mark.parametrize(("prediction", "gold", "category", "value"), GOLDENS)
def test_goldens(prediction: str, gold: str, category: int, value: float) -> None:
    assert METRICS["locomo_f1"](reply(prediction, KINDS[category], gold)) == pytest.approx(value, abs=1e-9)


def test_three_thousand_pairs_agree_with_upstream() -> None:
    draw, words = random.Random(7), SAID.split()
    values = []
    for _ in range(3000):
        pair = [" ".join(draw.choice(words) for _ in range(draw.randint(0, 9))) for _ in range(2)]
        kind = KINDS[draw.choice([1, 2, 3, 4])]
        values.append(f"{METRICS['locomo_f1'](reply(pair[0], kind, pair[1])):.9f}")
    assert sum(value != "0.000000000" for value in values) == 1001
    digest = hashlib.sha256("\n".join(values).encode()).hexdigest()
    assert digest == "4667b57446f2b35249298c79731a130149684f3124fcd20f08c413ac41c84c14"


def test_the_best_of_several_golds_counts() -> None:
    assert METRICS["locomo_f1"](reply("Oslo", "single-hop", "Bergen", "in Oslo")) == pytest.approx(2 / 3)


def test_each_rule_keeps_to_its_kinds() -> None:
    assert METRICS["locomo_f1"](reply("Not mentioned", "adversarial")) is None
    assert METRICS["locomo_adversarial"](reply("Not mentioned", "single-hop", "Oslo")) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Not mentioned in the conversation", 1.0),
        ("There is NO INFORMATION AVAILABLE on this.", 1.0),
        ("It is not  mentioned", 0.0),  # upstream looks for the bare string
        ("I don't know", 0.0),  # a refusal, but not in upstream's words
        ("", 0.0),
        ("A bowl; the cat was not mentioned", 1.0),
    ],
)
def test_adversarial_questions_want_upstreams_words(text: str, value: float) -> None:
    assert METRICS["locomo_adversarial"](reply(text, "adversarial")) == value


def test_what_the_dialogue_reader_is_told_to_say_is_a_refusal_by_both_rules() -> None:
    from memeval.prompts import READER

    said = READER["reader-dialogue"].rpartition("reply: ")[2]
    assert METRICS["locomo_adversarial"](reply(said, "adversarial")) == 1.0
    assert abstained(said)
