"""Rewards and advantages of Mem-alpha (arXiv 2509.25911, section 3.1.2), by values worked out by hand."""

from __future__ import annotations

import math

import pytest

from memeval.models.completion import Row
from memeval.training.recipe import Grpo, Reward
from memeval.training.rewards import advantages, compression, rewards, training_rows, validity
from memeval.training.rollouts import Rollout, Turn

ROW = Row((1,), (2,), (-0.5,))
PAPER = Reward(validity=0.1)


def rollout(*turns: Turn, accuracy: float = 0.5, memory: int = 30, stream: int = 100) -> Rollout:
    return Rollout("c", 0, turns, accuracy, memory, stream)


def turn(calls: int, succeeded: int, *contents: tuple[str, str]) -> Turn:
    return Turn(ROW, calls, succeeded, contents=contents)


def test_the_parts_of_a_reward() -> None:
    # r1 = 0.5; r2 = 2/4; r3 = 1 - 30/100; 0.5 + 0.5 + 0.05 * 0.7
    assert rewards(rollout(turn(4, 2)), PAPER) == [pytest.approx(1.035)]


def test_validity_counts_deletes_malformed_calls_and_unreadable_verdicts_as_0() -> None:
    # four calls: two insertions with content, one of them valid; a delete; a malformed call
    one = turn(4, 3, ("semantic_memory", "Ann sails"), ("core_memory", "This is core memory"))
    verdicts = {("semantic_memory", "Ann sails"): True}
    assert validity(one, verdicts) == 0.25
    # 0.5 + 3/4 + 0.05 * 0.7 + 0.1 * 0.25
    assert rewards(rollout(one), PAPER, verdicts) == [pytest.approx(1.31)]


@pytest.mark.parametrize(("empty_turn", "expected"), [("zero", 0.5), ("one", 1.5), ("exclude", None)])
def test_a_row_without_calls(empty_turn, expected) -> None:
    found = rewards(rollout(turn(0, 0), turn(1, 1)), Reward(compression=0, empty_turn=empty_turn))
    assert found == [expected, 1.5]


def test_one_for_an_empty_row_holds_for_its_validity_too() -> None:
    found = rewards(rollout(turn(0, 0)), Reward(compression=0, validity=0.1, empty_turn="one"), {})
    assert found == [pytest.approx(0.5 + 1 + 0.1)]


def test_compression_may_be_negative_and_an_empty_stream_has_none() -> None:
    assert compression(rollout(memory=150)) == -0.5
    assert compression(rollout(memory=0, stream=0)) == 0.0


def test_baseline_over_rows_as_published() -> None:
    # rewards 1, 2 and 3: mean 2, standard deviation (n - 1) 1
    found = advantages([[1.0, 2.0], [3.0]])
    assert [value for each in found for value in each] == pytest.approx([-1, 0, 1], abs=1e-5)


def test_baseline_over_rollouts_weighs_a_long_rollout_no_more() -> None:
    # means 1 and 3: mean 2, standard deviation sqrt(2); over rows the mean would be 1.5
    found = advantages([[1.0, 1.0, 1.0], [3.0]], "rollouts")
    assert found[0][0] == pytest.approx(-1 / math.sqrt(2), abs=1e-5)
    assert found[1] == [pytest.approx(1 / math.sqrt(2), abs=1e-5)]
    assert advantages([[1.0, 1.0, 1.0], [3.0]], "rollouts", scaled=False) == [[-1.0] * 3, [1.0]]


def test_flat_groups_and_rows_left_out_teach_nothing() -> None:
    assert advantages([[0.7, 0.7], [0.70005]]) == [[0.0, 0.0], [0.0]]
    assert advantages([[None], [None, None]]) == [[0.0], [0.0, 0.0]]
    # without the row left out: 1 and 3, mean 2, standard deviation sqrt(2)
    found = advantages([[1.0, None], [3.0]])
    assert found[0][1] == 0.0
    assert found[1][0] == pytest.approx(1 / math.sqrt(2), abs=1e-5)


def test_contexts_of_one_name_in_two_tasks_are_two_groups() -> None:
    def readings(*tasks: str) -> list[Rollout]:
        return [Rollout("c", repeat, (turn(1, 1),), float(repeat), 30, 100, task) for repeat, task in enumerate(tasks)]

    assert training_rows(readings("squad", "hotpotqa"), Reward(), Grpo()) == []  # one reading each: nothing to compare with
    taught = training_rows(readings("squad", "squad"), Reward(), Grpo())
    assert [value for _, value in taught] == pytest.approx([-0.7071, 0.7071], abs=1e-4)
