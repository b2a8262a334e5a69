"""GRPO as a plain loop, for models that one process trains: torch and transformers, nothing else.

Each step reads a few streams several times with the model as it is, rewards the rows, and takes one or more optimiser
steps. Everything random follows from the seed and the number of the step.
"""

from __future__ import annotations

import math
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from memeval.models.completion import Row
from memeval.runs.prepare import PackedContext
from memeval.training import rewards
from memeval.training.checkpoint import TrainingFolder
from memeval.training.loss import LossSettings, batch, log_probabilities, loss
from memeval.training.recipe import Grpo, Reward
from memeval.training.rollouts import Rollout
from memeval.training.rows import TrainingFailed, weighed
from memeval.training.warm_start import step as optimise

Read = Callable[[Sequence[PackedContext], str, int], list[Rollout]]
"""(streams, name of the round, repeats) -> their readings by the model under training"""
Judge = Callable[[Sequence[Rollout]], rewards.Verdicts]
"""readings -> whether the contents that they put into memory are valid, for r4"""


@dataclass(frozen=True)
class Training:
    """What a loop works with. read, validate: readings of training streams, and the accuracy and other figures of the
    validation streams. warm: the weights that GRPO began with, which every state keeps. reference: the model with these
    weights, where `kl` has a weight. judge: where the reward's `validity` has one."""

    model: Any
    pad: int
    seed: int
    grpo: Grpo
    reward: Reward
    streams: Sequence[PackedContext]
    read: Read
    validate: Callable[[], dict[str, float]]
    folder: TrainingFolder
    warm: dict[str, torch.Tensor]
    reference: Any = None
    judge: Judge | None = None


def train(given: Training, state: dict[str, Any] | None = None) -> dict[str, torch.Tensor]:
    """The weights with the best accuracy on the validation streams. state: where to go on (TrainingFolder.resume). Raises
    TrainingFailed where the loss is no number or memory runs out, StopRun where a reading or its judge failed."""
    grpo, model = given.grpo, given.model
    optimiser = torch.optim.AdamW(model.parameters(), lr=grpo.learning_rate, weight_decay=0.0)
    best, best_accuracy, first = _copy(model), -1.0, 0
    if state is not None and "optimiser" in state:
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        best, best_accuracy, first = state["best"], state["best_accuracy"], state["step"]
    begun, tokens = time.monotonic(), 0
    for number in range(first, grpo.steps):
        chosen = [given.streams[(number * grpo.streams + at) % len(given.streams)] for at in range(grpo.streams)]
        readings = given.read(chosen, f"step {number}", grpo.group)
        verdicts = given.judge(readings) if given.judge is not None else None
        rows = weighed(readings, given.reward, grpo, verdicts)
        random.Random(f"rows/{given.seed}/{number}").shuffle(rows)
        try:
            value = _improve(given, optimiser, number, rows)
        except torch.OutOfMemoryError:
            raise TrainingFailed(
                f"step {number + 1}: out of memory with {len(rows)} rows; use more grpo.minibatches (--set) and run again"
            ) from None
        tokens += sum(len(row.prompt_ids) + len(row.completion_ids) for row, _ in rows)
        last = number + 1 == grpo.steps
        if (number + 1) % grpo.check == 0 or number == 0 or last:
            found = given.validate()
            now = facts(readings, verdicts)
            given.folder.log(phase="grpo", step=number + 1, rows=len(rows), loss=value, train=now, validation=found)
            if found["accuracy"] > best_accuracy:
                best, best_accuracy = _copy(model), found["accuracy"]
            given.folder.keep(
                {
                    **{"phase": "grpo", "step": number + 1, "model": model.state_dict(), "warm": given.warm},
                    **{"optimiser": optimiser.state_dict(), "best": best, "best_accuracy": best_accuracy},
                }
            )
            seconds = time.monotonic() - begun
            left = seconds / (number + 1 - first) * (grpo.steps - number - 1)
            print(
                f"{given.folder.path.name}: step {number + 1}/{grpo.steps}: accuracy {found['accuracy']:.2f} "
                f"(training {now['accuracy']:.2f}), memory {found['memory']:.2f} of the stream, "
                f"calls {found['success']:.0%} good, {tokens / max(seconds, 1e-9):,.0f} tokens/s, {left:.0f} s left",
                file=sys.stderr,
            )
    return best


def _improve(
    given: Training, optimiser: torch.optim.Optimizer, number: int, rows: Sequence[tuple[Row, float]]
) -> float | None:
    """The optimiser steps of a batch; the mean of their losses, None where no row taught anything."""
    grpo, model = given.grpo, given.model
    for group in optimiser.param_groups:
        group["lr"] = grpo.learning_rate * min(1.0, (number + 1) / max(1, grpo.rising))
    until = max(1e-9, grpo.entropy_until * grpo.steps)
    entropy = grpo.entropy * max(0.0, 1 - number / until)
    settings = LossSettings(grpo.clip, grpo.dual_clip, grpo.mean, grpo.kl, entropy)
    values = []
    for part in range(grpo.minibatches):
        some = rows[part :: grpo.minibatches]
        if not some:
            continue
        made = batch([row for row, _ in some], [advantage for _, advantage in some], given.pad)
        model.train()
        logprobs, entropies = log_probabilities(model, made)
        reference = None
        if given.reference is not None:
            with torch.no_grad():
                reference, _ = log_probabilities(given.reference, made)
        value = loss(logprobs, entropies, made, settings, reference)
        if not math.isfinite(value.item()):
            raise TrainingFailed(
                f"step {number + 1}: the loss is {value.item()}; lower grpo.learning_rate (--set) and run again"
            )
        optimise(model, optimiser, value)
        values.append(value.item())
    return round(sum(values) / len(values), 6) if values else None


def facts(readings: Sequence[Rollout], verdicts: rewards.Verdicts | None = None) -> dict[str, float]:
    """The parts of the reward for the log, and the share of replies that were cut off."""
    turns = [turn for reading in readings for turn in reading.turns]
    calls = sum(turn.calls for turn in turns)
    number = max(1, len(readings))
    found = {
        "accuracy": sum(reading.accuracy for reading in readings) / number,
        "success": sum(turn.succeeded for turn in turns) / max(1, calls),
        "compression": sum(rewards.compression(reading) for reading in readings) / number,
        "cut": sum(turn.cut for turn in turns) / max(1, len(turns)),
    }
    if verdicts is not None:
        found["validity"] = sum(rewards.validity(turn, verdicts) for turn in turns) / max(1, len(turns))
    return {key: round(value, 4) for key, value in found.items()}


def _copy(model: Any) -> dict[str, torch.Tensor]:
    return {key: value.detach().clone() for key, value in model.state_dict().items()}
