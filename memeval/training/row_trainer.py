"""TRL's GRPOTrainer for rows: one rollout gives as many rows as its stream has chunks, each with an advantage of its own.

TRL provides the loss, the optimiser, adapters, several processes, states to resume from, and loggers. Its own prompts,
generation and reward functions are not used: a batch comes from the engine (reading.py), as sampled token ids. Two of TRL's
methods are replaced: `_generate_and_score_completions`, which is private (so TRL is pinned), and `training_step`.
"""

from __future__ import annotations

import contextlib
import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from datasets import Dataset
from safetensors import SafetensorError
from transformers import PrinterCallback, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from memeval.errors import StopRun
from memeval.models.completion import Row
from memeval.records.files import unwritable
from memeval.training.loss import batch
from memeval.training.recipe import Recipe

Batch = Callable[[int], Sequence[tuple[Row, float]]]
"""number of a step, from 0 -> this process's rows with their advantages"""
STATE = "state-"


class RowTrainer(GRPOTrainer):  # type: ignore[misc]
    """rows: makes the rows of a step, by reading streams with the current model. A step of the recipe is one batch, in
    `grpo.minibatches` steps of the optimiser. out: the folder of states, `state-N` after N steps of the optimiser.

    Raises StopRun where the loss is not finite, UsageError where a state cannot be written."""

    def __init__(
        self, model: Any, tokenizer: Any, recipe: Recipe, out: Path, rows: Batch, callback: TrainerCallback
    ) -> None:
        self._rows, self._recipe, self._out = rows, recipe, out
        self.losses: list[float] = []
        arguments = config(recipe, out)
        prompts = Dataset.from_list([{"prompt": ""}] * (recipe.grpo.streams * recipe.grpo.minibatches))
        super().__init__(
            model,
            _no_reward,
            arguments,
            prompts,
            processing_class=tokenizer,
            callbacks=[callback],
            peft_config=_adapter(recipe),
        )
        self.remove_callback(PrinterCallback)

    def _generate_and_score_completions(self, inputs: Any) -> dict[str, torch.Tensor]:
        """The rows of this step. Rows of weight 0 are added, so that all processes and all minibatches have equally many;
        otherwise TRL would drop some."""
        parts = self.args.steps_per_generation
        number = self.state.global_step // parts
        found = list(self._rows(number))
        self.model.train()
        counts = gather_object([(len(found), sum(len(row.completion_ids) for row, _ in found))])
        most = max(1, *(rows for rows, _ in counts))
        lacking = math.ceil(most / parts) * parts - len(found)
        pad, end = self._tokenizer.pad_token_id, self._tokenizer.eos_token_id
        filled = [*found, *[(Row((pad, pad), (end,), (0.0,)), 0.0)] * lacking]
        weights = [1.0] * len(found) + [0.0] * lacking
        made = batch([row for row, _ in filled], [value for _, value in filled], pad, weights)
        prompt = made.ids.shape[1] - made.longest
        torch.manual_seed(self._recipe.seed * 1_000_003 + number)  # TRL shuffles the rows
        given = {
            "prompt_ids": made.ids[:, :prompt],
            "prompt_mask": made.mask[:, :prompt],
            "completion_ids": made.ids[:, prompt:],
            "completion_mask": made.weights.long(),
            "old_per_token_logps": made.sampled,
            "advantages": made.advantages,
            "num_items_in_batch": torch.tensor(float(sum(tokens for _, tokens in counts))),
            "rows_in_batch": torch.tensor(float(sum(rows for rows, _ in counts))),
        }
        given = {key: value.to(self.accelerator.device) for key, value in given.items()}
        if self.beta:
            given["ref_per_token_logps"] = self._reference(given)
        return given

    def _reference(self, given: dict[str, torch.Tensor]) -> torch.Tensor:
        """Log-probabilities under the weights before training: the model without its adapter, or TRL's copy."""
        ids, mask = (torch.cat([given[f"prompt_{kind}"], given[f"completion_{kind}"]], 1) for kind in ("ids", "mask"))
        model = self.ref_model if self.ref_model is not None else self.model
        without = (
            contextlib.nullcontext()
            if self.ref_model is not None
            else self.accelerator.unwrap_model(model).disable_adapter()
        )
        with torch.no_grad(), without:
            found, _, _ = self._get_per_token_logps_and_entropies(
                model, ids, mask, given["completion_ids"].shape[1], batch_size=self._recipe.trl.rows
            )
        return found

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        """Train on one minibatch, a few rows at a time: the number of rows varies with the chunks of the streams, and passes
        of fixed size need the same memory in every step."""
        model.train()
        given = self._prepare_inputs(inputs)
        self._step += 1
        total = torch.zeros((), device=self.accelerator.device)
        passes = list(split(given, self._recipe.trl.rows)) if given["num_items_in_batch"] else []
        for number, part in enumerate(passes):
            last = number + 1 == len(passes)
            with contextlib.nullcontext() if last else self.accelerator.no_sync(model):
                with self.compute_loss_context_manager():
                    value = self.compute_loss(model, part)
                self.accelerator.backward(value)
            total += value.detach()
        self.losses.append(total.item())
        if not math.isfinite(self.losses[-1]):
            raise self.not_a_number(f"the loss is {self.losses[-1]}")
        return total

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """TRL's loss for one pass. With `mean: sequence`, TRL averages over the rows of the pass, including rows of weight
        0; this rescales it to the mean over the rows of the whole minibatch. (The mean over tokens is already one.)"""
        value: torch.Tensor = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        if self.loss_type == "grpo":
            parts = self.args.steps_per_generation * self.accelerator.num_processes
            value = value * len(inputs["advantages"]) * parts / inputs["rows_in_batch"].clamp(min=1)
        return value

    def add_metrics(self, line: dict[str, Any], speed: float) -> None:
        """Add the figures of a log line to those that TRL logs. speed: in tokens/s."""
        self._metrics["train"]["tokens_per_second"].append(speed)
        found = {"rows": line["rows"], "tokens": line["tokens"]}
        for part in ("train", "validation"):
            found |= {f"{part}/{key}": value for key, value in line.get(part, {}).items()}
        for key, value in found.items():
            self._metrics["train"][f"memeval/{key}"].append(float(value))

    def not_a_number(self, what: str) -> StopRun:
        step = self.state.global_step // self.args.steps_per_generation + 1
        return StopRun(f"step {step}: {what}; lower grpo.learning_rate (--set) and run again in another folder")

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """A learning rate that rises over `grpo.rising` steps and then stays, as in the plain loop."""
        if self.lr_scheduler is None:  # type: ignore[has-type]
            parts = self.args.steps_per_generation
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
                optimizer or self.optimizer, lambda step: self._recipe.grpo.rate_share(step // parts)
            )
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def create_model_card(self, *given: Any, **named: Any) -> None:
        """Write no model card: the folder of a run says more."""

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Write a state atomically: under another name, then renamed; the state before it is removed afterwards."""
        beside, step = self._out / ".state", self.state.global_step
        try:
            if self.args.should_save:
                shutil.rmtree(beside, ignore_errors=True)
            self.accelerator.wait_for_everyone()
            super()._save_checkpoint(model, trial)  # into args.output_dir, which is `beside`
            self.accelerator.wait_for_everyone()
            if self.args.should_save:
                (beside / f"checkpoint-{step}").replace(self._out / f"{STATE}{step}")
                shutil.rmtree(beside)
                for old in states(self._out)[:-1]:
                    shutil.rmtree(old)
        except (OSError, RuntimeError, SafetensorError) as error:  # the last two: the disk is full
            shutil.rmtree(beside, ignore_errors=True)
            reason = error if isinstance(error, OSError) else OSError(str(error).splitlines()[0])
            raise unwritable(self._out / f"{STATE}{step}", reason) from None


def states(out: Path) -> list[Path]:
    """The whole states of a folder, oldest first."""
    found = [path for path in out.glob(f"{STATE}*") if path.name.removeprefix(STATE).isdigit()]
    return sorted(found, key=lambda path: int(path.name.removeprefix(STATE)))


def split(given: dict[str, torch.Tensor], rows: int) -> Iterator[dict[str, torch.Tensor]]:
    """Split a minibatch into passes of `rows` rows, without columns that are padding in all rows of the pass."""
    for start in range(0, len(given["advantages"]), rows):
        part = {key: value[start : start + rows] if value.ndim else value for key, value in given.items()}
        first = int(part["prompt_mask"].any(0).long().argmax())
        longest = max(1, int(part["completion_mask"].sum(1).max()))
        for key, value in part.items():
            if key.startswith("prompt_"):
                part[key] = value[:, first:]
            elif value.ndim == 2:
                part[key] = value[:, :longest]
        yield part


def config(recipe: Recipe, out: Path) -> GRPOConfig:
    """The recipe as TRL's configuration. TRL's batch sizes count rollouts, which it does not use here; they only have to be
    consistent."""
    grpo, cuda = recipe.grpo, torch.cuda.is_available()
    return GRPOConfig(
        output_dir=str(out / ".state"),
        use_cpu=not cuda,
        bf16=recipe.trl.autocast,
        per_device_train_batch_size=grpo.group * max(1, grpo.streams // processes()),
        gradient_accumulation_steps=1,
        steps_per_generation=grpo.minibatches,
        num_generations=grpo.group,
        max_steps=grpo.steps * grpo.minibatches,
        learning_rate=grpo.learning_rate,
        optim="adamw_torch",
        max_grad_norm=1.0,
        loss_type="dapo" if grpo.mean == "token" else "grpo",
        epsilon=grpo.clip,
        delta=grpo.dual_clip or None,
        beta=grpo.kl,
        use_bias_correction_kl=False,
        temperature=1.0,
        activation_checkpointing=recipe.trl.checkpointing,
        logging_steps=grpo.minibatches,
        report_to=list(recipe.trl.report_to),
        save_strategy="no",
        seed=recipe.seed,
        disable_tqdm=True,
        ddp_timeout=4 * 3600,
    )


def processes() -> int:
    """The number of processes that `accelerate launch` started."""
    return int(PartialState(cpu=not torch.cuda.is_available()).num_processes)


def _adapter(recipe: Recipe) -> Any:
    lora = recipe.trl.lora
    if lora is None:
        return None
    from peft import LoraConfig

    return LoraConfig(
        r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules="all-linear", task_type="CAUSAL_LM"
    )


def _no_reward(completions: Sequence[str], **given: Any) -> list[float]:
    """A reward function, which TRL requires but does not use here: advantages come with the rows."""
    return [0.0] * len(completions)
