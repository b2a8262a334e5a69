"""Train the tiny writer: GRPO as a plain loop in one process, with only torch and transformers.

Each step reads a few streams several times with the current model (step.py), and makes one or more optimiser steps from
their rows. Everything random follows from the seed and the number of the step.
"""

from __future__ import annotations

import math
import os
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch
from msgspec.structs import replace

from memeval.errors import StopRun, UsageError
from memeval.models.completion import Row
from memeval.training import tiny_model
from memeval.training.evaluation import figures
from memeval.training.folder import TrainingFolder, read_state
from memeval.training.loss import batch, log_probabilities, loss, step
from memeval.training.policy import Policy
from memeval.training.reading import Stream, read, streams
from memeval.training.recipe import Grpo, Recipe
from memeval.training.step import step_rows
from memeval.training.verdicts import ContentJudge
from memeval.training.warm_start import warm_start

State = dict[str, Any]
"""The content of state.pt: phase (`warm`, `grpo`, `done`), step, the weights `model` and `warm`; for an unfinished training
also `optimiser`, `best` and `best_accuracy`."""


class Training:
    """A training run by a recipe: its model, its streams and its judge. out: the folder for the judge's replies. Raises
    UsageError for a recipe that cannot be used."""

    def __init__(self, recipe: Recipe, out: Path) -> None:
        if recipe.model != "tiny":
            raise UsageError(f"model '{recipe.model}': the plain loop trains 'tiny' alone")
        if os.environ.get("WORLD_SIZE", "1") != "1":
            raise UsageError(
                "model 'tiny' is trained by one process: leave out accelerate launch; --jobs trains seeds side by side"
            )
        torch.set_num_threads(recipe.threads)
        torch.use_deterministic_algorithms(True)
        self._recipe, self._grpo = recipe, recipe.grpo
        self._streams = streams(recipe, recipe.task, "task")
        self._checks = streams(recipe, recipe.validation, "validation")
        self._judge = ContentJudge(recipe.judge, out / "judge.sqlite") if recipe.judge else None
        self._policy = writer(recipe.seed)
        self._model = self._policy.model

    def run(self, folder: TrainingFolder) -> State:
        """Train, or resume training, and return the last state. Afterwards the folder holds the checkpoints `warm` and
        `best`. Raises StopRun where the loss is not finite, memory runs out, or a reading or its judge failed, and
        UsageError where the disk is full."""
        state = folder.resume() or self._begin(folder)
        if state["phase"] != "done":
            best = self._train(folder, state)
            self._save(folder, "best", best)
            state = {"phase": "done", "step": self._grpo.steps, "model": best, "warm": state["warm"]}
            folder.save_state(state)
        return state

    def _begin(self, folder: TrainingFolder) -> State:
        """Make the warm start, or copy it from another folder, and return the state after it."""
        warm = self._recipe.warm
        if warm.folder:
            found = read_state(Path(warm.folder))
            if found is None:
                raise UsageError(f"warm.folder: {warm.folder} holds no training run with a warm start (state.pt)")
            self._model.load_state_dict(found["warm"])
        else:
            warm_start(self._model, self._policy.tokenizer, self._recipe.seed, warm, self._valid, folder.log)
        weights = _copy(self._model)
        self._save(folder, "warm", weights)
        state = {"phase": "warm", "step": 0, "model": weights, "warm": weights}
        folder.save_state(state)
        return state

    def _save(self, folder: TrainingFolder, name: str, weights: dict[str, torch.Tensor]) -> None:
        card = self._streams[0].run.task
        half = {key: value.half() for key, value in weights.items()}
        folder.save(name, self._model, self._policy.tokenizer, [{"family": card.family, "splits": [card.split]}], half)

    def _train(self, folder: TrainingFolder, state: State) -> dict[str, torch.Tensor]:
        """Train from a state to the last step. Returns the weights with the best accuracy on the validation streams."""
        grpo, model = self._grpo, self._model
        model.load_state_dict(state["model"])
        optimiser = torch.optim.AdamW(model.parameters(), lr=grpo.learning_rate, weight_decay=0.0)
        if "optimiser" in state:
            optimiser.load_state_dict(state["optimiser"])
        best: dict[str, torch.Tensor] = state.get("best") or state["model"]
        best_accuracy: float = state.get("best_accuracy", -1.0)
        reference = writer(self._recipe.seed, state["warm"]).model if grpo.kl else None
        first, begun, tokens = state["step"], time.monotonic(), 0
        for number in range(first, grpo.steps):
            made = step_rows(self._streams_of_step(number), self._policy, number, self._recipe, self._judge)
            value = self._improve(optimiser, reference, number, made.rows)
            tokens, done = tokens + made.tokens, number + 1
            if not grpo.checked_after(done):
                continue
            found, now = self._validate(), made.facts
            folder.log(phase="grpo", step=done, rows=len(made.rows), loss=value, train=now, validation=found)
            if found["accuracy"] > best_accuracy:
                best, best_accuracy = _copy(model), found["accuracy"]
            folder.save_state(
                {
                    "phase": "grpo",
                    "step": done,
                    "model": model.state_dict(),
                    "warm": state["warm"],
                    "optimiser": optimiser.state_dict(),
                    "best": best,
                    "best_accuracy": best_accuracy,
                }
            )
            seconds = time.monotonic() - begun
            left = seconds / (done - first) * (grpo.steps - done)
            print(
                f"{folder.path.name}: step {done}/{grpo.steps}: accuracy {found['accuracy']:.2f} "
                f"(training {now['accuracy']:.2f}), memory {found['memory']:.2f} of the stream, "
                f"calls {found['success']:.0%} good, {tokens / max(seconds, 1e-9):,.0f} tokens/s, {left:.0f} s left",
                file=sys.stderr,
            )
        return best

    def _streams_of_step(self, number: int) -> list[Stream]:
        """The streams of a step: each step takes the next ones in turn."""
        size = self._grpo.streams
        return [self._streams[(number * size + at) % len(self._streams)] for at in range(size)]

    def _improve(
        self, optimiser: torch.optim.Optimizer, reference: Any, number: int, rows: Sequence[tuple[Row, float]]
    ) -> float | None:
        """Make the optimiser steps for a step's rows, in random order. Returns the mean loss, None without rows. reference:
        the model with the weights of the warm start, where `kl` has a weight."""
        grpo, shuffled = self._grpo, list(rows)
        random.Random(f"rows/{self._recipe.seed}/{number}").shuffle(shuffled)
        for group in optimiser.param_groups:
            group["lr"] = grpo.learning_rate * grpo.rate_share(number)
        until = max(1e-9, grpo.entropy_until * grpo.steps)
        settings = replace(grpo, entropy=grpo.entropy * max(0.0, 1 - number / until))
        values = []
        try:
            for part in range(min(grpo.minibatches, len(rows))):
                value = self._loss(shuffled[part :: grpo.minibatches], settings, reference)
                if not math.isfinite(value.item()):
                    raise StopRun(
                        f"step {number + 1}: the loss is {value.item()}; lower grpo.learning_rate (--set) and run again"
                    )
                step(self._model, optimiser, value)
                values.append(value.item())
        except torch.OutOfMemoryError:
            raise StopRun(
                f"step {number + 1}: out of memory with {len(rows)} rows; use more grpo.minibatches (--set) and run again"
            ) from None
        return round(sum(values) / len(values), 6) if values else None

    def _loss(self, rows: Sequence[tuple[Row, float]], settings: Grpo, reference: Any) -> torch.Tensor:
        """The loss of a minibatch."""
        model = self._model
        made = batch([row for row, _ in rows], [advantage for _, advantage in rows], self._policy.tokenizer.pad_token_id)
        model.train()
        logprobs, entropies = log_probabilities(model, made)
        before = None
        if reference is not None:
            with torch.no_grad():
                before, _ = log_probabilities(reference, made)
        return loss(logprobs, entropies, made, settings, before)

    def _validate(self) -> dict[str, float]:
        """Accuracy and other figures on the validation streams."""
        found = figures(read(self._checks, self._policy, "validation"), self._checks)
        return dict(msgspec.structs.asdict(found))

    def _valid(self, empty: bool) -> float:
        """The share of calls that succeeded. empty: only at the first chunk, which is read with an empty memory."""
        readings = read(self._checks, self._policy, "warm")
        turns = [turn for each in readings for turn in (each.turns[:1] if empty else each.turns)]
        return sum(turn.succeeded for turn in turns) / max(1, sum(turn.calls for turn in turns))


def writer(seed: int, weights: dict[str, torch.Tensor] | None = None) -> Policy:
    """The tiny writer with these weights, or with the seed's initial weights; all noise follows from the seed."""
    model = tiny_model.build(seed)
    if weights is not None:
        model.load_state_dict(weights)
    return Policy(model, tiny_model.tokenizer(), tiny_model.WINDOW, seed)


def _copy(model: Any) -> dict[str, torch.Tensor]:
    return {key: value.detach().clone() for key, value in model.state_dict().items()}
