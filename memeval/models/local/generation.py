"""Batched generation with transformers' own `generate`: each row has its own seed, stop texts and limit.

Rows are padded on the left and generated together; none depends on the others except for rounding. The search is greedy
over scores that transformers' warpers have cut and to which every row adds Gumbel noise from its own seed, which
samples tokens with their probabilities (the Gumbel-max trick). Log-probabilities are the model's own (temperature 1,
before top_p and all other cuts), as vLLM reports them and trainers expect them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    StoppingCriteria,
    StoppingCriteriaList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from memeval.models.local.sampling import Sampling

Decode = Callable[[Sequence[int]], str]
_MARGIN = 4  # extra tokens before a stop text: the first ones of the window may be parts of a character


@dataclass
class Row:
    """One sequence. prompt: token ids. limit: most new tokens. ids, logprobs: of the generated tokens, including the
    one that ended the sequence. reason: `stop` (end of sequence, stop text), `length`, or "" while it is unfinished."""

    prompt: Sequence[int]
    sampling: Sampling
    limit: int
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    reason: str = ""


def generate(
    model: torch.nn.Module, rows: Sequence[Row], ends: frozenset[int], decode: Decode, unwanted: Callable[[], bool]
) -> None:
    """Fill in `ids`, `logprobs` and `reason` of rows with equal `Sampling.warpers`. ends: tokens that end a sequence.
    unwanted: asked at every token whether to give up; unfinished rows then keep the reason ""."""
    longest = max(len(row.prompt) for row in rows)
    ids = torch.tensor([[0] * (longest - len(row.prompt)) + list(row.prompt) for row in rows])
    mask = torch.tensor([[0] * (longest - len(row.prompt)) + [1] * len(row.prompt) for row in rows])
    device = next(model.parameters()).device
    choice = Choice([row.sampling for row in rows], mask.bool())
    config = GenerationConfig(max_new_tokens=max(row.limit for row in rows), do_sample=False, num_beams=1, pad_token_id=0)
    with torch.inference_mode():
        model.generate(
            ids.to(device),
            attention_mask=mask.to(device),
            generation_config=config,
            logits_processor=LogitsProcessorList([choice]),
            stopping_criteria=StoppingCriteriaList([_Done(rows, choice, ends, decode, unwanted)]),
        )


class Choice(LogitsProcessor):  # type: ignore[misc]
    """Applies cuts and noise. `logprobs`: per row, of the token that the greedy search takes now. real: (rows, prompt
    length), False for padding."""

    def __init__(self, samplings: Sequence[Sampling], real: torch.Tensor) -> None:
        first = samplings[0]
        self.logprobs: list[float] = []
        self._real = real
        self._warpers = LogitsProcessorList(_warpers(first))
        self._noise = [torch.Generator().manual_seed(each.seed % 2**63) for each in samplings] if first.temperature else []
        self._penalty = RepetitionPenaltyLogitsProcessor(first.repetition_penalty) if first.repetition_penalty != 1 else None

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        logits = scores.float()
        found = logits
        if self._penalty is not None:  # row by row, because padding must not count as a seen token
            width = self._real.shape[1]
            seen = [torch.cat([ids[:width][real], ids[width:]]) for ids, real in zip(input_ids, self._real, strict=True)]
            each = zip(seen, logits.split(1), strict=True)
            found = torch.cat([self._penalty(ids[None], row.clone()) for ids, row in each])
        found = self._warpers(input_ids, found)
        if self._noise:
            noise = [-torch.empty(found.shape[1]).exponential_(generator=each).log() for each in self._noise]
            found = found + torch.stack(noise).to(found.device)
        chosen = found.argmax(dim=-1, keepdim=True)
        self.logprobs = torch.log_softmax(logits, dim=-1).gather(1, chosen)[:, 0].tolist()
        return found


def _warpers(sampling: Sampling) -> list[LogitsProcessor]:
    """The warpers in vLLM's order: temperature, top_k, top_p, min_p."""
    if not sampling.temperature:
        return []
    cuts = [TemperatureLogitsWarper(float(sampling.temperature))]
    if sampling.top_k > 0:
        cuts.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        cuts.append(TopPLogitsWarper(float(sampling.top_p)))
    if sampling.min_p > 0:
        cuts.append(MinPLogitsWarper(float(sampling.min_p)))
    return cuts


class _Done(StoppingCriteria):  # type: ignore[misc]
    """Records the new token of every open row, and which rows are finished. transformers' own StopStringCriteria would
    scan the whole vocabulary for every new stop text, and rows with other stop texts could not share a batch."""

    def __init__(
        self, rows: Sequence[Row], choice: Choice, ends: frozenset[int], decode: Decode, unwanted: Callable[[], bool]
    ) -> None:
        self._rows, self._choice, self._ends, self._decode, self._unwanted = rows, choice, ends, decode, unwanted

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs: object) -> torch.Tensor:
        for row, token, logprob in zip(self._rows, input_ids[:, -1].tolist(), self._choice.logprobs, strict=True):
            if row.reason:
                continue
            row.ids.append(token)
            row.logprobs.append(round(logprob, 6))
            if token in self._ends or stops(row.ids, row.sampling.stop, self._decode):
                row.reason = "stop"
            elif len(row.ids) >= row.limit:
                row.reason = "length"
        over = self._unwanted()
        return torch.tensor([over or bool(row.reason) for row in self._rows], device=input_ids.device)


def stops(ids: Sequence[int], stop: Sequence[str], decode: Decode) -> bool:
    """Whether the reply has just reached a stop text. Only its end is decoded: a token has at least one byte."""
    if not stop:
        return False
    end = decode(ids[-(max(len(text.encode()) for text in stop) + _MARGIN) :])
    return any(text in end for text in stop)
