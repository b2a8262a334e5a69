"""Repeats, and what a sample can show."""

import pytest

from memeval.errors import UsageError
from memeval.stats import average_repeats, detectable_effect, half_width

ROWS = [("q1", 1.0), ("q2", 0.0), ("q1", 0.0), ("q2", 0.0), ("q1", 1.0), ("q2", 1.0), ("q3", None)]


def test_repeats_become_one_number_per_question():
    assert average_repeats(ROWS) == pytest.approx({"q1": 2 / 3, "q2": 1 / 3})
    assert list(average_repeats(ROWS)) == ["q1", "q2"]
    assert average_repeats([]) == {}


def test_a_question_with_fewer_repeats_is_averaged_over_those_it_has():
    assert average_repeats([("q1", 1.0), ("q1", 0.5), ("q2", 0.25)]) == {"q1": 0.75, "q2": 0.25}


def test_detectable_effect_has_the_published_values():
    # (1.959964 + 0.841621) * sqrt(.2 / n)
    assert [round(100 * detectable_effect(n), 1) for n in (32, 128, 512)] == [22.1, 11.1, 5.5]
    assert detectable_effect(128, power=0.9) > detectable_effect(128)
    assert detectable_effect(128, discordant=0.4) == pytest.approx(2**0.5 * detectable_effect(128))


def test_half_width_worked_by_hand():
    assert half_width(128) == pytest.approx(1.959964 * 0.5 / 128**0.5, rel=1e-6)  # 8.66 points
    assert half_width(400, rate=0.1) == pytest.approx(1.959964 * 0.3 / 20, rel=1e-6)
    assert half_width(100, confidence=0.9) == pytest.approx(1.644854 * 0.05, rel=1e-6)


def test_planning_refuses_impossible_numbers():
    with pytest.raises(UsageError, match="n is 0"):
        detectable_effect(0)
    with pytest.raises(UsageError, match="rate is 1"):
        half_width(10, rate=1)
    with pytest.raises(UsageError, match="power is 0"):
        detectable_effect(10, power=0)
