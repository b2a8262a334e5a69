"""A recipe: everything that a training run depends on, read from `baselines/train/NAME.yaml` or a file of the user's."""

from __future__ import annotations

import copy
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import yaml

from memeval.cards import bundled
from memeval.errors import UsageError, suggest
from memeval.typed import Count, Positive, typed
from memeval.yamlfile import at_key, read_yaml

EmptyTurn = Literal["zero", "one", "exclude"]
Baseline = Literal["rows", "rollouts"]
Mean = Literal["token", "sequence"]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Weight = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
Rate = Annotated[float, msgspec.Meta(gt=0, le=1)]


class Warm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Supervised steps before reinforcement learning (warm_start.py). steps: the most steps, of `rows` rows each; 0: none.
    share: the part of a chunk's relations that a row names. valid: the share of successful calls at which the warm start
    ends. folder: of another training run, whose warm start is used in place of these steps."""

    steps: Count = 0
    rows: Positive = 64
    learning_rate: Rate = 3e-3
    share: Share = 0.3
    valid: Share = 0.96
    folder: str = ""


class Reward(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Weights of the parts of a reward (rewards.py). success and compression have the paper's values; validity, for which
    the paper has 0.1, needs a judge. empty_turn: r2 and r4 of a row without calls: `zero` as published, `one`, or `exclude`,
    which leaves the row out of the group's mean and of training. zero: every reward is 0, as a control that must learn
    nothing."""

    success: Weight = 1.0
    compression: Weight = 0.05
    validity: Weight = 0.0
    empty_turn: EmptyTurn = "zero"
    zero: bool = False


class Grpo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """steps: of training; each reads `streams` streams `group` times, at temperature 1. learning_rate: reached after
    `rising` steps. minibatches: optimiser steps per batch. clip: of the ratio of probabilities, on both sides. dual_clip:
    the most that a token of negative advantage may weigh, as a multiple of it; 0: off. mean: over all tokens of the batch,
    or over the tokens of each row and then over the rows (as the published code does, with one row per micro-batch). kl:
    weight of the distance to the weights before GRPO (0 in the paper, 0.001 in its script). entropy: weight of the bonus,
    which falls to 0 at `entropy_until` of the steps. baseline, scaled: see rewards.py. check: steps between two validations;
    the checkpoint with the best validation is kept."""

    steps: Positive = 80
    streams: Positive = 8
    group: Positive = 8
    learning_rate: Rate = 1e-3
    rising: Count = 5
    minibatches: Positive = 1
    clip: Share = 0.2
    dual_clip: Weight = 3.0
    mean: Mean = "token"
    kl: Weight = 0.0
    entropy: Weight = 0.0
    entropy_until: Share = 0.6
    baseline: Baseline = "rows"
    scaled: bool = True
    check: Positive = 5

    def rate_share(self, number: int) -> float:
        """The part of the learning rate that applies in step `number` (from 0)."""
        return min(1.0, (number + 1) / max(1, self.rising))

    def checked_after(self, done: int) -> bool:
        """Whether a validation follows after `done` steps: every `check` steps, and after the first and the last."""
        return done % self.check == 0 or done in (1, self.steps)


class Lora(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A low-rank adapter (arXiv 2106.09685) on all linear layers but the head, which is trained in place of the weights;
    checkpoints hold the sum of both. alpha: the adapter is scaled by alpha / rank."""

    rank: Positive = 16
    alpha: Positive = 32
    dropout: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0


class Trl(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of a training run by TRL, for speed, memory, and which weights are trained. window: tokens of prompt and
    reply together. dtype: of the weights. autocast: compute in bfloat16 with float32 weights. rows: rows of one forward and
    backward pass. reading_tokens: the most tokens of one batch of generation, padding included. checkpointing: compute
    activations again instead of keeping them. lora: null trains all weights. report_to: where TRL logs as well, such as
    wandb or tensorboard; log.jsonl is written in any case. validation_streams: how many streams a check reads, from the
    first on; 0: all."""

    window: Positive = 8192
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    autocast: bool = False
    rows: Positive = 4
    reading_tokens: Positive = 131_072
    checkpointing: bool = True
    lora: Lora | None = None
    report_to: tuple[str, ...] = ()
    validation_streams: Count = 0


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """model: `tiny` (created from the seed, trained by the plain loop), or a folder of weights, a hub id or a GGUF file
    (trained by TRL). agent: the agent whose role `memory` is trained, with params. task: the streams of training;
    validation: those that select the checkpoint; test: those that are reported. With TRL, task and validation may name
    several tasks, with commas. lengths: of further test streams (the variants `@xN` of the test task), as multiples of the
    training length. reader: the frozen model that answers. judge: the model that judges contents for the reward's
    `validity`. seed: of everything. threads: of torch."""

    model: str
    task: str
    validation: str
    test: str
    reader: str
    judge: str = ""
    lengths: tuple[Positive, ...] = ()
    agent: str = "memalpha"
    params: dict[str, Any] = {}
    seed: Count = 0
    threads: Count = 1
    warm: Warm = Warm()
    reward: Reward = Reward()
    grpo: Grpo = Grpo()
    trl: Trl = Trl()
    description: str = ""


def names() -> list[str]:
    """The names of the recipes that come with memeval."""
    return sorted(path.stem for path in (bundled("baselines") / "train").glob("*.yaml"))


def load(name: str, settings: Sequence[str] = ()) -> Recipe:
    """The recipe with this name, or in this file, changed by `key.part=value` settings. Raises UsageError with file and
    line, or with the setting."""
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        if name not in names():
            raise UsageError(f"no recipe '{name}'{suggest(name, names())} (known: {', '.join(names())}, or a file.yaml)")
        path = bundled("baselines") / "train" / f"{name}.yaml"
    given = changed(read_yaml(path), settings)
    typed_by = {setting.partition("=")[0].strip(): f"--set {setting}" for setting in settings}
    recipe: Recipe = typed(given, Recipe, lambda *keys: typed_by.get(".".join(keys)) or at_key(path, *keys))
    _check(recipe, path)
    return recipe


def changed(values: dict[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """A copy of `values`, changed by `key.part=value` settings. Raises UsageError with the setting."""
    given = copy.deepcopy(values)
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise UsageError(f"--set {setting}: expected key=value")
        *parents, last = key.strip().split(".")
        at: Any = given
        for parent in parents:
            at = at.setdefault(parent, {}) if isinstance(at, dict) else None
        if not isinstance(at, dict):
            raise UsageError(f"--set {setting}: '{'.'.join(parents)}' has no parts")
        try:
            at[last] = yaml.safe_load(text)
        except yaml.YAMLError:
            raise UsageError(f"--set {setting}: '{text}' is not a value; quote it") from None
    return given


def _check(recipe: Recipe, path: Path) -> None:
    grpo = recipe.grpo
    if grpo.group < 2:
        raise UsageError(
            f"{path}: grpo.group is {grpo.group}: a group of one rollout has nothing to be compared with; 2 or more"
        )
    if (grpo.streams * grpo.group) % grpo.minibatches:
        raise UsageError(
            f"{path}: {grpo.streams} streams of {grpo.group} rollouts cannot be divided into {grpo.minibatches} minibatches"
        )
    if recipe.reward.validity and recipe.judge in ("", "offline"):
        raise UsageError(f"{path}: reward.validity has a weight, and needs a model that judges contents: judge: NAME[@URL]")
    if recipe.judge and not recipe.reward.validity:
        raise UsageError(f"{path}: judge is '{recipe.judge}', but reward.validity is 0; the paper's weight is 0.1")


def evaluation(recipe: Recipe, checkpoint: Path) -> str:
    """The command that evaluates the agent with a checkpoint, under the settings of its training."""
    settings = [word for key, value in recipe.params.items() for word in ("--set", f"{key}={_plain(value)}")]
    words = ["memeval", "run", "--agent", recipe.agent, *settings, "--task", recipe.test]
    return shlex.join([*words, "--memory", f"hf/{checkpoint}", "--reader", recipe.reader])


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
