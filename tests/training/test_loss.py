"""The loss on rows of different lengths, by values worked out by hand and against a direct sum over tokens."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from memeval.models.completion import Row  # noqa: E402
from memeval.training import tiny_model  # noqa: E402
from memeval.training.loss import batch, log_probabilities, loss  # noqa: E402
from memeval.training.recipe import Grpo  # noqa: E402

ROWS = [Row((3, 4, 5), (9, 10, 1), (-1.0, -2.0, -0.5)), Row((3,), (11, 1), (-1.5, -0.1))]
PAD = 0


def found(ratios: list[list[float]], advantages: list[float], settings: Grpo, weights=None) -> float:
    """The loss where the policy's log-probabilities are the sampled ones plus log(ratio)."""
    given = batch(ROWS, advantages, PAD, weights)
    logprobs = given.sampled.clone()
    for number, row in enumerate(ratios):
        logprobs[number, : len(row)] += torch.tensor([math.log(ratio) for ratio in row])
    return loss(logprobs, torch.zeros_like(logprobs), given, settings).item()


def test_mean_over_tokens_and_over_rows() -> None:
    same = [[1.0, 1.0, 1.0], [1.0, 1.0]]
    # five tokens: three of advantage 1, two of advantage -2
    assert found(same, [1.0, -2.0], Grpo()) == pytest.approx(-(3 - 4) / 5)
    assert found(same, [1.0, -2.0], Grpo(mean="sequence")) == pytest.approx(-(1 - 2) / 2)


def test_clipping_on_either_side() -> None:
    # ratio 2 with advantage 1 is cut to 1.2; ratio 0.5 with advantage -2 weighs 0.8; ratio 4 weighs 3 times (dual clip)
    assert found([[2.0, 1.0, 1.0], [0.5, 4.0]], [1.0, -2.0], Grpo()) == pytest.approx(-(1.2 + 2 - 1.6 - 6) / 5, abs=1e-5)
    assert found([[1.0] * 3, [1.0, 4.0]], [0.0, -1.0], Grpo(dual_clip=0)) == pytest.approx(5 / 5, abs=1e-5)


def test_a_row_of_weight_0_leaves_the_loss_and_the_gradient_as_they_are() -> None:
    model = tiny_model.build(0)

    def gradient(rows, advantages, weights):
        model.zero_grad()
        given = batch(rows, advantages, PAD, weights)
        logprobs, entropies = log_probabilities(model, given)
        value = loss(logprobs, entropies, given, Grpo(entropy=0.01))
        value.backward()
        return value.item(), model.model.layers[0].mlp.up_proj.weight.grad.clone()

    alone, with_padding = (
        gradient(ROWS, [1.0, -1.0], None),
        gradient([*ROWS, Row((7, 8), (9,) * 9)], [1.0, -1.0, 0.0], [1.0, 1.0, 0.0]),
    )
    assert alone[0] == pytest.approx(with_padding[0], abs=1e-6)
    assert torch.allclose(alone[1], with_padding[1], atol=1e-6)


def test_log_probabilities_do_not_depend_on_padding() -> None:
    model = tiny_model.build(1)
    together, _ = log_probabilities(model, batch(ROWS, [0.0, 0.0], PAD))
    for number, row in enumerate(ROWS):
        alone, _ = log_probabilities(model, batch([row], [0.0], PAD))
        assert torch.allclose(together[number, : len(row.completion_ids)], alone[0], atol=1e-5)


def test_distance_to_the_reference_and_entropy() -> None:
    given = batch(ROWS, [0.0, 0.0], PAD)
    entropies = torch.full_like(given.sampled, 0.5)
    assert loss(given.sampled, entropies, given, Grpo(entropy=0.1)).item() == pytest.approx(-0.05)
    # d = log 2 at every token: exp(d) - d - 1
    reference = given.sampled + math.log(2)
    assert loss(given.sampled, entropies, given, Grpo(kl=0.1), reference).item() == pytest.approx(
        0.1 * (2 - math.log(2) - 1), abs=1e-6
    )
