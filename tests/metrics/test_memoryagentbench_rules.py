"""MemoryAgentBench's own rules. Golden values are worked by hand from utils/eval_other_utils.py."""

from __future__ import annotations

import pytest

from memeval.metrics import METRICS, Reply
from memeval.metrics.memoryagentbench import parsed, recommended
from memeval.task import Question


def value(name: str, prediction: str, *golds: str, answerable: bool = True) -> float | None:
    return METRICS[name](Reply(prediction, Question("q", "?", golds, answerable=answerable)))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Answer: Paris\nbecause", "Paris"),
        ("I think.\nANSWER:  Answer: Paris", "Paris"),
        ("Paris\nFrance", "Paris"),
        ("", ""),
        ("\nParis", ""),
        ("the answer:\nParis", ""),
    ],
)
def test_the_parsed_line(text: str, line: str) -> None:
    assert parsed(text) == line


@pytest.mark.parametrize(
    ("prediction", "golds", "expected"),
    [
        ("It is in Stuttgart, I think.", ["art"], 1.0),  # characters, not tokens
        ("France", ["Normandy", "france!"], 1.0),
        ("Paris", ["Paris, France"], 0.0),  # one way only
        ("Answer: the U.S.A.", ["USA"], 1.0),
        ("", ["Paris"], 0.0),
    ],
)
def test_substring(prediction: str, golds: list[str], expected: float) -> None:
    assert value("mab_substring", prediction, *golds) == expected


@pytest.mark.parametrize(
    ("prediction", "expected"),
    [
        ("C. The Brandt couple", 1.0),
        ("Answer: C. The Brandt couple\nThey did.", 1.0),
        ('{"answer":"C. The Brandt couple", "reasoning":"Blackmail."}', 1.0),
        ('```json\n{"Answer" : "c. the brandt couple"}\n```', 1.0),
        ('{"answer":"B. The butler", "reasoning":"not C. The Brandt couple"}', 0.0),
        ("It was C. The Brandt couple", 0.0),
        ("C", 0.0),
    ],
)
def test_exact_match_reads_the_json_it_asks_for(prediction: str, expected: float) -> None:
    assert value("detective_exact_match", prediction, "C. The Brandt couple") == expected


def test_event_recall_wants_all_golds_with_their_punctuation() -> None:
    assert value("eventqa_recall", "ANN LEFT, AT LAST. BOB STAYED.", "Ann left, at last.", "Bob stayed.") == 1.0
    assert value("eventqa_recall", "Ann left, at last.", "Ann left, at last.", "Bob stayed.") == 0.0
    assert value("eventqa_recall", "Ann left at last", "Ann left, at last") == 0.0


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("The recommendations are: \n1.This Is Spinal Tap\n2.Panic Room (2002)\n\n3) 12 Years a Slave", 3),
        ("Heat, Up, Jaws", 3),
        ("1. Heat", 1),
        ("", 0),
    ],
)
def test_recommended_items(text: str, items: int) -> None:
    assert len(recommended(text)) == items


def test_recall_at_5() -> None:
    listed = "Sure!\n1. Heat (1995)\n2. Spider-Man\n3. The Room\n4. 12 Years a Slave\n5. 2001: A Space Odyssey\n6. Up"
    assert recommended(listed) == ["heat", "spiderman", "room", "12 years slave", "2001 space odyssey", "up"]
    assert value("recall_at_5", listed, "Heat (1995 film)") == 1.0
    assert (
        value("recall_at_5", listed, "Spider-Man (2002 film)", "12 Years a Slave (film)", "Up (2009 film)", "Alien") == 0.5
    )
    assert value("recall_at_5", listed, "Up") == 0.0
    assert value("recall_at_5", "", "Up") == 0.0


@pytest.mark.parametrize("name", [name for name in METRICS if name.startswith("mab_")] + ["eventqa_recall", "recall_at_5"])
def test_they_do_not_apply_where_there_is_no_answer(name: str) -> None:
    assert value(name, "Paris", "Paris", answerable=False) is None
    assert value(name, "Paris") is None
