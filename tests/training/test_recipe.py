"""What a recipe says of the steps, by numbers worked out by hand."""

from __future__ import annotations

from memeval.training.recipe import Grpo


def test_the_learning_rate_rises_and_stays() -> None:
    assert [Grpo(rising=4).rate_share(number) for number in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]
    assert [Grpo(rising=0).rate_share(number) for number in range(2)] == [1, 1]


def test_validations_are_after_the_first_step_every_few_and_the_last() -> None:
    grpo = Grpo(steps=11, check=4)
    assert [done for done in range(1, 12) if grpo.checked_after(done)] == [1, 4, 8, 11]
