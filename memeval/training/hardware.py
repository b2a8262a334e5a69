"""`trl:` of a recipe: what a training run by TRL needs of a machine. It changes speed and memory, and what is trained."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from memeval.typed import Count, Positive


class Lora(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A low-rank adapter (arXiv 2106.09685) on all linear layers but the head is trained, and the weights stay as they are;
    checkpoints hold the sum of both. alpha: the adapter counts alpha / rank."""

    rank: Positive = 16
    alpha: Positive = 32
    dropout: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0


class Trl(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """window: tokens of prompt and reply together. dtype: of the weights. autocast: of float32 weights, whether they are
    computed with in bfloat16. rows: of one forward and backward pass. reading_tokens: of one batch of generation, padding
    included. checkpointing: activations are computed again instead of kept. lora: null trains all weights. report_to: where
    TRL logs as well, such as wandb or tensorboard; log.jsonl is written in any case. validation_streams: the first of them
    that are read at a check; 0: all."""

    window: Positive = 8192
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    autocast: bool = False
    rows: Positive = 4
    reading_tokens: Positive = 131_072
    checkpointing: bool = True
    lora: Lora | None = None
    report_to: tuple[str, ...] = ()
    validation_streams: Count = 0
