"""A training run by TRL: any causal model of transformers, all of its weights or an adapter, in one process or in several of
`accelerate launch`. (Tested on a CPU, in one process and in two; untested on a GPU.)

    OUT/recipe.yaml  log.jsonl  state-N/  best/

log.jsonl has a line per step, without times. The same command resumes from `state-N`. `best` is the checkpoint with the best
accuracy on the validation streams, in the format of transformers, with a record of what it was trained on.
"""

from __future__ import annotations

import contextlib
import os
import random
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from transformers import TrainerCallback
from transformers.integrations import get_available_reporting_integrations
from transformers.utils import logging

from memeval.errors import StopRun, UsageError
from memeval.models.completion import Row
from memeval.trained import content_hash
from memeval.training import rewards, weights
from memeval.training.folder import TrainingFolder
from memeval.training.policy import Policy
from memeval.training.reading import Stream, by_run, read, streams
from memeval.training.recipe import Recipe
from memeval.training.rollouts import Rollout
from memeval.training.row_trainer import RowTrainer, processes, states
from memeval.training.step import StepRows, step_rows
from memeval.training.verdicts import ContentJudge

DIVIDING = {
    "ACCELERATE_USE_FSDP": "FSDP",
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "a parallelism config",
}
"""Variable of `accelerate launch` -> the way of dividing one model among processes that it turns on"""


@dataclass
class TrlRun(TrainerCallback):  # type: ignore[misc]
    """The work around the steps of the optimiser: reads streams, logs figures, selects checkpoints. folder: None except in
    the first process; the others write nothing. done: what this process did in the step: rows, tokens and figures. tokens:
    of all processes since the time `begun`, when `first` steps of the optimiser were done."""

    recipe: Recipe
    streams: list[Stream]
    checks: list[Stream]
    folder: TrainingFolder | None
    tokenizer: Any
    generation: Any
    trained_on: list[dict[str, Any]]
    judge: ContentJudge | None
    trainer: Any = None
    policy: Policy = field(init=False)
    done: dict[str, Any] = field(default_factory=dict)
    tokens: int = 0
    begun: float = 0.0
    first: int = 0

    def rows(self, number: int) -> list[tuple[Row, float]]:
        """The rows of this process's share of a step. It reads whole streams, so that no group is divided."""
        chosen = self._mine(streams_of_step(self.streams, number, self.recipe.grpo.streams, self.recipe.seed))
        made = step_rows(chosen, self.policy, number, self.recipe, self.judge)
        train = made.facts | {"reward": self._mean_reward(made)}
        self.done = {"rows": len(made.rows), "tokens": made.tokens, "train": train}
        return made.rows

    def _mean_reward(self, made: StepRows) -> float:
        """The mean reward of the rows that have one."""
        each = (rewards.rewards(reading, self.recipe.reward, made.verdicts) for reading in made.readings)
        found = [value for values in each for value in values if value is not None]
        return round(sum(found) / max(1, len(found)), 4)

    def _mine(self, streams: Sequence[Stream]) -> Sequence[Stream]:
        return streams[self.trainer.accelerator.process_index :: self.trainer.accelerator.num_processes]

    def validate(self) -> dict[str, float]:
        """The mean figures over the validation streams of all processes, with greedy replies as in evaluations."""
        readings = read(self._mine(self.checks), self.policy, "validation", temperature=0.0)
        self.trainer.model.train()
        return _mean(gather_object([_figures(reading) for reading in readings]))

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        model, trl = self.trainer.accelerator.unwrap_model(self.trainer.model_wrapped), self.recipe.trl
        self.policy = Policy(model, self.tokenizer, trl.window, self.recipe.seed, trl.reading_tokens)
        self.begun, self.tokens, self.first = time.monotonic(), 0, state.global_step

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Check a gradient after clipping: if the norm is not finite, no gradient is."""
        gradient = next((value.grad for value in self.trainer.model.parameters() if value.grad is not None), None)
        if gradient is not None and not bool(torch.isfinite(gradient).all()):
            raise self.trainer.not_a_number("the gradient is not finite")

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        grpo = self.recipe.grpo
        number, rest = divmod(state.global_step, grpo.minibatches)
        if rest:
            return
        line = {"phase": "grpo", "step": number, **self._over_processes()}
        self.tokens += int(line["tokens"])
        if grpo.checked_after(number):
            line["validation"] = self.validate()
            self._keep_if_best(state, line["validation"]["accuracy"])
            control.should_save = True
        if self.folder is not None:
            self.folder.log(**line)
            print(self._progress(number, line, state.best_metric), file=sys.stderr)
        self.trainer.add_metrics(line, self._speed())

    def _over_processes(self) -> dict[str, Any]:
        losses = self.trainer.losses[-self.recipe.grpo.minibatches :]
        every = gather_object([{**self.done, "loss": sum(losses) / len(losses)}])
        return {
            "rows": sum(done["rows"] for done in every),
            "tokens": sum(done["tokens"] for done in every),
            "loss": round(sum(done["loss"] for done in every) / len(every), 6) + 0.0,
            "train": _mean([done["train"] for done in every]),
        }

    def _keep_if_best(self, state: Any, accuracy: float) -> None:
        if state.best_metric is not None and accuracy <= state.best_metric:
            return
        state.best_metric = accuracy
        if self.folder is not None:
            half = self.recipe.trl.autocast or self.recipe.trl.dtype == "bfloat16"
            model = self.policy.model
            found = weights.whole(model, torch.bfloat16 if half else torch.float32)
            base = model.get_base_model() if self.recipe.trl.lora else model
            self.folder.save("best", base, self.tokenizer, self.trained_on, found, self.generation)

    def _speed(self) -> float:
        return self.tokens / max(time.monotonic() - self.begun, 1e-9)

    def _progress(self, number: int, line: dict[str, Any], best: float | None) -> str:
        grpo, train = self.recipe.grpo, line["train"]
        done = number - self.first // grpo.minibatches
        left = (time.monotonic() - self.begun) / done * (grpo.steps - number)
        checked = f", validation {line['validation']['accuracy']:.2f} (best {best:.2f})" if "validation" in line else ""
        return (
            f"step {number}/{grpo.steps}: reward {train['reward']:.2f} (accuracy {train['accuracy']:.2f}, "
            f"calls {train['success']:.0%} good), memory {1 - train['compression']:.2f} of the stream{checked}, "
            f"{self._speed():,.0f} tokens/s, {f'{left / 60:.0f} min' if left > 120 else f'{left:.0f} s'} left"
        )


def run(recipe: Recipe, out: Path) -> list[dict[str, Any]] | None:
    """Train, or resume training. Returns the lines of the log, None in all processes but the first. Raises UsageError for a
    recipe that cannot be used and a folder that cannot be written, StopRun where training cannot continue."""
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    check(recipe)
    if not torch.cuda.is_available():
        torch.set_num_threads(recipe.threads)
    learned = streams(recipe, recipe.task, "task")
    checks = streams(recipe, recipe.validation, "validation")[: recipe.trl.validation_streams or None]
    if len(learned) < recipe.grpo.streams:
        raise UsageError(f"grpo.streams is {recipe.grpo.streams}, and '{recipe.task}' has {len(learned)}; use fewer (--set)")
    model, tokenizer, claims = weights.load(recipe.model, recipe.trl)
    generation = model.generation_config
    model.generation_config = type(generation)(eos_token_id=generation.eos_token_id)  # its other defaults are meant for chat
    rank = int(PartialState().process_index)
    judge = ContentJudge(recipe.judge, out / f"judge-{rank}.sqlite") if recipe.judge else None
    on = [*claims, *trained_on(learned)]
    with contextlib.nullcontext() if rank else TrainingFolder(out, recipe) as folder:
        made = TrlRun(recipe, learned, checks, folder, tokenizer, generation, on, judge)
        made.trainer = RowTrainer(model, tokenizer, recipe, out, made.rows, made)
        _train(made, out)
        return folder.lines() if folder is not None else None


def _train(made: TrlRun, out: Path) -> None:
    """Train from the last whole state, if there is one, else from the start."""
    parts = made.recipe.grpo.minibatches
    found = states(out)
    step = int(found[-1].name.partition("-")[2]) // parts if found else 0
    if made.folder is not None:
        made.folder.cut_log(step)
    if step >= made.recipe.grpo.steps:
        return
    try:
        made.trainer.train(resume_from_checkpoint=str(found[-1]) if found else None)
    except (torch.OutOfMemoryError, RuntimeError) as error:
        if not isinstance(error, torch.OutOfMemoryError) and "t allocate memory" not in str(error):
            raise
        step = made.trainer.state.global_step // parts + 1
        raise StopRun(f"step {step}: out of memory; use fewer trl.rows or trl.reading_tokens (--set)") from None


def check(recipe: Recipe) -> None:
    """Check that TRL can train by the recipe. Raises UsageError for settings that only the plain loop supports, for those of
    `accelerate launch` that divide a model, and for batches that processes cannot share evenly."""
    if recipe.grpo.entropy:
        raise UsageError("grpo.entropy: training by TRL has no bonus that falls; set it to 0")
    if recipe.warm.steps:
        raise UsageError("warm.steps: a model of one's own has no warm start; set it to 0")
    if recipe.grpo.kl and recipe.model.endswith(weights.GGUF) and recipe.trl.lora is None:
        raise UsageError(
            "grpo.kl: needs the first weights beside those in training, and a GGUF file is loaded once; set kl to 0"
        )
    known = get_available_reporting_integrations()
    for name in recipe.trl.report_to:
        if name not in known:
            raise UsageError(f"trl.report_to: '{name}' is not installed here (there are {', '.join(known) or 'none'})")
    for variable, what in DIVIDING.items():
        if os.environ.get(variable, "false").lower() in ("true", "1"):
            raise UsageError(
                f"accelerate launch uses {what} ({variable}), which divides a model among processes; here each holds all of "
                "it: launch without it"
            )
    if recipe.grpo.streams % processes():
        raise UsageError(
            f"grpo.streams is {recipe.grpo.streams}, which {processes()} processes cannot share evenly; use a multiple"
        )


def streams_of_step(every: Sequence[Stream], number: int, size: int, seed: int) -> list[Stream]:
    """The streams of step `number` (from 0). Every epoch has an order of its own, and no stream is twice in a step: streams
    left over at the end of an epoch are skipped."""
    epoch, place = divmod(number, len(every) // size)
    order = random.Random(f"streams/{seed}/{epoch}").sample(range(len(every)), len(every))
    return [every[at] for at in order[place * size : (place + 1) * size]]


def trained_on(learned: Sequence[Stream]) -> list[dict[str, Any]]:
    """The record of the streams on which a checkpoint was trained (trained.py)."""
    return [
        {
            "family": run.task.family,
            "splits": [run.task.split],
            "hashes": sorted({content_hash(question.text) for each in some for question in each.context.questions}),
        }
        for run, some in by_run(learned)
    ]


def _figures(reading: Rollout) -> dict[str, float]:
    return rewards.facts([reading]) | {"memory": reading.memory / max(1, reading.stream)}


def _mean(found: Sequence[dict[str, float]]) -> dict[str, float]:
    return {key: round(sum(each[key] for each in found) / len(found), 4) for key in found[0]}
