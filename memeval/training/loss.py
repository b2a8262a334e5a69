"""The loss of GRPO on rows of tokens (DeepSeekMath, arXiv 2402.03300, section 4.1.1; clipping of PPO, arXiv 1707.06347;
dual clip of arXiv 1912.09729, section 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from memeval.models.completion import Row
from memeval.training.recipe import Grpo, Mean


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows, with prompts padded on the left and completions on the right. ids, mask: shape (rows, prompt + completion).
    weights: 1 for a token of a completion, 0 for padding; sampled: the log-probabilities with which the tokens were sampled;
    both of shape (rows, longest completion). advantages: (rows,). A row of weight 0 does not change the loss."""

    ids: torch.Tensor
    mask: torch.Tensor
    weights: torch.Tensor
    sampled: torch.Tensor
    advantages: torch.Tensor

    @property
    def longest(self) -> int:
        return int(self.weights.shape[1])


def batch(rows: Sequence[Row], advantages: Sequence[float], pad: int, weights: Sequence[float] | None = None) -> Batch:
    """Make tensors of rows. weights: one per row, 1 by default."""
    prompts, completions = [row.prompt_ids for row in rows], [row.completion_ids for row in rows]
    ids = torch.cat([_padded(prompts, pad, "left"), _padded(completions, pad, "right")], 1)
    tokens = _padded([[1] * len(part) for part in completions], 0, "right")
    mask = torch.cat([_padded([[1] * len(part) for part in prompts], 0, "left"), tokens], 1)
    sampled = _padded([row.logprobs or [0.0] * len(row.completion_ids) for row in rows], 0, "right")
    share = torch.tensor(weights if weights is not None else [1.0] * len(rows))
    return Batch(ids, mask, tokens * share[:, None], sampled, torch.tensor(advantages))


def _padded(parts: Sequence[Sequence[float]], value: int, side: str) -> torch.Tensor:
    return pad_sequence([torch.tensor(part) for part in parts], batch_first=True, padding_value=value, padding_side=side)


def log_probabilities(model: Any, given: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """(log-probabilities of the completions' tokens, entropies at those tokens), each of shape (rows, longest completion)"""
    position = (given.mask.cumsum(1) - 1).clamp(min=0)
    logits = model(
        input_ids=given.ids, attention_mask=given.mask, position_ids=position, logits_to_keep=given.longest + 1
    ).logits[:, :-1]
    every = logits.float().log_softmax(-1)
    tokens = given.ids[:, -given.longest :, None]
    return every.gather(2, tokens)[..., 0], -(every.exp() * every).sum(-1)


def mean(values: torch.Tensor, weights: torch.Tensor, by: Mean) -> torch.Tensor:
    """The weighted mean over all tokens; by `sequence`, over the tokens of each row and then over rows that have tokens."""
    if by == "token":
        return (values * weights).sum() / weights.sum().clamp(min=1e-9)
    lengths = weights.sum(1)
    rows = (values * weights).sum(1) / lengths.clamp(min=1e-9)
    return rows.sum() / (lengths > 0).sum().clamp(min=1)


def loss(
    logprobs: torch.Tensor,
    entropies: torch.Tensor,
    given: Batch,
    settings: Grpo,
    reference: torch.Tensor | None = None,
) -> torch.Tensor:
    """The loss to minimise. settings: with the current weight of the entropy bonus. reference: log-probabilities of the same
    tokens under the reference model, where `kl` has a weight; the distance is estimated as exp(d) - d - 1 with
    d = reference - policy (k3 of Schulman's note)."""
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


def step(model: Any, optimiser: torch.optim.Optimizer, value: torch.Tensor) -> None:
    """Make one step of the optimiser, with gradients clipped to norm 1."""
    optimiser.zero_grad()
    value.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
