"""The loss of GRPO on rows of tokens (DeepSeekMath, arXiv 2402.03300, section 4.1.1; clipping of PPO, arXiv 1707.06347;
dual clip of arXiv 1912.09729, section 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from memeval.models.completion import Row

Mean = Literal["token", "sequence"]


@dataclass(frozen=True, slots=True)
class LossSettings:
    """clip: of the ratio on either side. dual_clip: the most that a token of negative advantage may weigh, as a multiple of
    it; 0 = off. mean: over all tokens of the batch, or over the tokens of each row and then over the rows (what the
    published code comes to, with one row per micro-batch). kl: weight of the distance to the reference model (0 in the
    paper, 0.001 in its script). entropy: weight of the bonus."""

    clip: float = 0.2
    dual_clip: float = 3.0
    mean: Mean = "token"
    kl: float = 0.0
    entropy: float = 0.0


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows padded on both sides: ids and mask of shape (rows, prompt + completion), and of the completions alone, each of
    shape (rows, longest completion): weights (1 for a token, 0 for padding) and the log-probabilities they were sampled
    with. advantages: (rows,). A row of weight 0 leaves the loss as it is."""

    ids: torch.Tensor
    mask: torch.Tensor
    weights: torch.Tensor
    sampled: torch.Tensor
    advantages: torch.Tensor

    @property
    def longest(self) -> int:
        return int(self.weights.shape[1])


def batch(rows: Sequence[Row], advantages: Sequence[float], pad: int, weights: Sequence[float] | None = None) -> Batch:
    """Rows as tensors. weights: of whole rows, 1 each unless given."""
    before, after = max(len(row.prompt_ids) for row in rows), max(len(row.completion_ids) for row in rows)

    def padded(row: Row, left: Any, middle: Sequence[Any], right: Any) -> list[Any]:
        return [left] * (before - len(row.prompt_ids)) + list(middle) + [right] * (after - len(row.completion_ids))

    ids = [padded(row, pad, (*row.prompt_ids, *row.completion_ids), pad) for row in rows]
    mask = [padded(row, 0, [1] * (len(row.prompt_ids) + len(row.completion_ids)), 0) for row in rows]
    whole = torch.tensor(mask)
    sampled = torch.zeros(len(rows), after)
    for number, row in enumerate(rows):
        sampled[number, : len(row.logprobs)] = torch.tensor(row.logprobs)
    share = torch.tensor(weights if weights is not None else [1.0] * len(rows))
    return Batch(torch.tensor(ids), whole, whole[:, before:] * share[:, None], sampled, torch.tensor(advantages))


def log_probabilities(model: Any, given: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """(log-probabilities of the completions' tokens, entropies there), each (rows, longest completion)."""
    position = (given.mask.cumsum(1) - 1).clamp(min=0)
    logits = model(
        input_ids=given.ids, attention_mask=given.mask, position_ids=position, logits_to_keep=given.longest + 1
    ).logits[:, :-1]
    every = logits.float().log_softmax(-1)
    tokens = given.ids[:, -given.longest :, None]
    return every.gather(2, tokens)[..., 0], -(every.exp() * every).sum(-1)


def mean(values: torch.Tensor, weights: torch.Tensor, by: Mean) -> torch.Tensor:
    """The mean over tokens of weight above 0; by sequence: of each row, then over the rows that have any."""
    if by == "token":
        return (values * weights).sum() / weights.sum().clamp(min=1e-9)
    lengths = weights.sum(1)
    rows = (values * weights).sum(1) / lengths.clamp(min=1e-9)
    return rows.sum() / (lengths > 0).sum().clamp(min=1)


def loss(
    logprobs: torch.Tensor,
    entropies: torch.Tensor,
    given: Batch,
    settings: LossSettings,
    reference: torch.Tensor | None = None,
) -> torch.Tensor:
    """What is minimised. reference: log-probabilities of the same tokens under the reference model, where `kl` has a
    weight; the distance is the estimate exp(d) - d - 1 with d = reference - policy (k3 of Schulman's note)."""
    advantages = given.advantages[:, None]
    ratio = (logprobs - given.sampled).exp()
    gain = torch.minimum(ratio * advantages, ratio.clamp(1 - settings.clip, 1 + settings.clip) * advantages)
    if settings.dual_clip:
        gain = torch.where(advantages < 0, torch.maximum(gain, settings.dual_clip * advantages), gain)
    found = gain
    if settings.kl and reference is not None:
        distance = reference - logprobs
        found = found - settings.kl * (distance.exp() - distance - 1)
    if settings.entropy:
        found = found + settings.entropy * entropies
    return -mean(found, given.weights, settings.mean)
