"""A recipe: everything that a training run depends on, as `baselines/train/NAME.yaml` or a file of the user's says it."""

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
    """Supervised steps before reinforcement learning (warm_start.py). steps: at most, of `rows` rows each; 0: none. share:
    of the relations that are named. valid: share of good calls at which they end. folder: of another training run, whose
    warm start is taken in place of these steps."""

    steps: Count = 0
    rows: Positive = 64
    learning_rate: Rate = 3e-3
    share: Share = 0.3
    valid: Share = 0.96
    folder: str = ""


class Reward(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Weights of the parts of a reward (rewards.py). success and compression have the paper's values; validity, for which
    the paper has 0.1, needs a judge. empty_turn: r2 and r4 of a row without calls: 0 as published, 1, or `exclude`: the row
    takes no part in the group's mean and is not trained. zero: every reward is 0: the control of a training run, which must
    learn nothing."""

    success: Weight = 1.0
    compression: Weight = 0.05
    validity: Weight = 0.0
    empty_turn: EmptyTurn = "zero"
    zero: bool = False


class Grpo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """steps: of training; each reads `streams` streams `group` times, at temperature 1. learning_rate is reached after
    `rising` steps. minibatches: optimiser steps per batch. clip: of the ratio of probabilities, on either side. dual_clip:
    the most that a token of negative advantage may weigh, as a multiple of it; 0: off. mean: over all tokens of the batch,
    or over the tokens of each row and then over the rows (what the published code comes to, with one row per micro-batch).
    kl: weight of the distance to the weights before GRPO (0 in the paper, 0.001 in its script). entropy: weight of the
    bonus, which falls to 0 at `entropy_until` of the steps. baseline, scaled: rewards.py. check: steps between two
    validations; the checkpoint with the best of them is kept."""

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
        """The part of the learning rate that the step of this number (from 0) has."""
        return min(1.0, (number + 1) / max(1, self.rising))

    def checked_after(self, done: int) -> bool:
        """Whether a validation follows when so many steps are done: also after the first and the last."""
        return done % self.check == 0 or done in (1, self.steps)


class Lora(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A low-rank adapter (arXiv 2106.09685) on all linear layers but the head is trained, and the weights stay as they are;
    checkpoints hold the sum of both. alpha: the adapter counts alpha / rank."""

    rank: Positive = 16
    alpha: Positive = 32
    dropout: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0


class Trl(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a training run by TRL needs of a machine; it changes speed and memory, and what is trained. window: tokens of
    prompt and reply together. dtype: of the weights. autocast: of float32 weights, whether they are computed with in
    bfloat16. rows: of one forward and backward pass. reading_tokens: of one batch of generation, padding included.
    checkpointing: activations are computed again instead of kept. lora: null trains all weights. report_to: where TRL logs
    as well, such as wandb or tensorboard; log.jsonl is written in any case. validation_streams: the first of them that are
    read at a check; 0: all."""

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
    """model: `tiny` (made on the spot, trained by the plain loop); a folder of weights, a hub id or a GGUF file (trained by
    TRL). agent: whose role `memory` is trained, with params. task: the streams that are read, validation and test: those
    that choose the checkpoint and those that are reported; under TRL task and validation may be several, with commas.
    lengths: of further test streams (the variants `@xN` of the test task), as multiples of the training length. reader: the
    frozen model that answers. judge: the model that judges contents for the reward's `validity`. seed: of everything.
    threads: of torch."""

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
    """The recipes that come with memeval."""
    return sorted(path.stem for path in (bundled("baselines") / "train").glob("*.yaml"))


def load(name: str, settings: Sequence[str] = ()) -> Recipe:
    """The recipe of that name, or in that file, with `key.part=value` settings over it. Raises UsageError with file and
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
    """A copy with `key.part=value` settings over it. Raises UsageError with the setting."""
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
    """The command that runs the agent with a checkpoint as it was trained."""
    settings = [word for key, value in recipe.params.items() for word in ("--set", f"{key}={_plain(value)}")]
    words = ["memeval", "run", "--agent", recipe.agent, *settings, "--task", recipe.test]
    return shlex.join([*words, "--memory", f"hf/{checkpoint}", "--reader", recipe.reader])


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
