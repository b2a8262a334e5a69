"""The warm start of the tiny writer: it learns to make valid calls, and nothing about what is asked.

Each row names a few random relations of the chunk, at least one. Lines are drawn evenly, so that frequencies do not reveal
what questions are about. The memory in view is empty at first, and random once 85 % of the calls succeed: it would mislead a
model that has not yet learned to look at the chunk.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import torch

from memeval.agents import quote_wire
from memeval.models.completion import Row
from memeval.synth import tiny
from memeval.training.loss import batch, log_probabilities, mean, step
from memeval.training.recipe import Warm

VALID_FIRST = 0.85
CHECK = 50
"""How many steps are between two checks."""


def warm_start(
    model: Any, tokenizer: Any, seed: int, given: Warm, check: Callable[[bool], float], log: Callable[..., None]
) -> None:
    """Train the model in place. check: (whether the memory in view is empty) -> share of calls that succeed. log: called
    with the facts of each check."""
    rng = random.Random(f"warm/{seed}")
    optimiser = torch.optim.AdamW(model.parameters(), lr=given.learning_rate)
    empty = True
    for number in range(given.steps):
        scale = min(1.0, (number + 1) / 20) * (1 - 0.95 * number / given.steps)
        for group in optimiser.param_groups:
            group["lr"] = given.learning_rate * scale
        rows = [_row(tokenizer, rng, given.share, empty) for _ in range(given.rows)]
        made = batch(rows, [0.0] * len(rows), tokenizer.pad_token_id)
        model.train()
        logprobs, _ = log_probabilities(model, made)
        value = -mean(logprobs, made.weights, "token")
        step(model, optimiser, value)
        if (number + 1) % CHECK == 0:
            valid = check(empty)
            log(phase="warm", step=number + 1, loss=round(value.item(), 4), empty_memory=empty, success=round(valid, 4))
            if not empty and valid >= given.valid:
                return
            empty = empty and valid < VALID_FIRST


def _row(tokenizer: Any, rng: random.Random, share: float, empty: bool) -> Row:
    before, chunk = tiny.stream(rng, "train", 2, even=True).chunks
    keep = 0.0 if empty else rng.choice((0.0, 0.3, 0.9))
    shown = [line.text for line in before if rng.random() < keep][-5:]
    present = list(dict.fromkeys(line.relation for line in chunk))
    words = [word for word in present if rng.random() < share] or [rng.choice(present)]
    messages = quote_wire.messages(shown, "\n".join(line.text for line in chunk))
    prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    ids = tokenizer.convert_tokens_to_ids(words)
    return Row(tuple(tokenizer(prompt, add_special_tokens=False)["input_ids"]), (*ids, tokenizer.eos_token_id))
