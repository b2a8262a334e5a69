"""Batched generation with a causal language model of transformers: each row with its own sampling, stop and seed.

Rows are padded on the left and generated together, and none depends on its neighbours but for rounding: every row draws from
a random number generator of its own. Log-probabilities are those of the model itself (temperature 1, before top_p and all
other cuts), as vLLM reports them and trainers expect them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList

from memeval.models.local.sampling import Sampling

Decode = Callable[[Sequence[int]], str]
_MARGIN = 4  # tokens read before a stop text: the first ones of a window may be halves of a character


@dataclass
class Row:
    """One sequence. prompt: token ids. limit: new tokens at most. ids, logprobs: what was generated, the token that ended it
    included. reason: `stop` (end of sequence, stop text), `length`, or "" while it is not done."""

    prompt: Sequence[int]
    sampling: Sampling
    limit: int
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    reason: str = ""

    def __post_init__(self) -> None:
        self.random = random.Random(self.sampling.seed)
        self.seen = set(self.prompt) if self.sampling.repetition_penalty != 1.0 else set()


def generate(
    model: torch.nn.Module, rows: Sequence[Row], ends: frozenset[int], decode: Decode, unwanted: Callable[[], bool]
) -> None:
    """Fill in `ids`, `logprobs` and `reason` of the rows. ends: tokens that end a sequence. unwanted: asked at every token
    whether to give up; the rows that are not done keep the reason ""."""
    longest = max(len(row.prompt) for row in rows)
    ids = torch.zeros((len(rows), longest), dtype=torch.long)
    mask = torch.zeros((len(rows), longest), dtype=torch.long)
    for number, row in enumerate(rows):
        ids[number, longest - len(row.prompt) :] = torch.tensor(row.prompt)
        mask[number, longest - len(row.prompt) :] = 1
    device = next(model.parameters()).device
    config = GenerationConfig(max_new_tokens=max(row.limit for row in rows), do_sample=False, num_beams=1, pad_token_id=0)
    with torch.inference_mode():
        model.generate(
            ids.to(device),
            attention_mask=mask.to(device),
            generation_config=config,
            logits_processor=LogitsProcessorList([_Choice(rows, ends, decode)]),
            stopping_criteria=StoppingCriteriaList([_Done(rows, unwanted)]),
        )


class _Choice(LogitsProcessor):  # type: ignore[misc]
    """Chooses the next token of each row, takes note of it, and leaves the greedy search nothing else to choose."""

    def __init__(self, rows: Sequence[Row], ends: frozenset[int], decode: Decode) -> None:
        self._rows = rows
        self._ends = ends
        self._decode = decode

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        logits = scores.float()
        open_rows = [number for number, row in enumerate(self._rows) if not row.reason]
        tokens = choose(logits, self._rows, open_rows)
        chosen = torch.tensor(tokens, device=scores.device)
        logprobs = torch.log_softmax(logits, dim=-1).gather(1, chosen[:, None])[:, 0].tolist()
        for number in open_rows:
            self._note(self._rows[number], tokens[number], logprobs[number])
        forced = torch.full_like(scores, -torch.inf)
        return forced.scatter_(1, chosen[:, None], 0.0)

    def _note(self, row: Row, token: int, logprob: float) -> None:
        row.ids.append(token)
        row.logprobs.append(round(logprob, 6))
        if row.sampling.repetition_penalty != 1.0:
            row.seen.add(token)
        if token in self._ends or stops(row.ids, row.sampling.stop, self._decode):
            row.reason = "stop"
        elif len(row.ids) >= row.limit:
            row.reason = "length"


class _Done(StoppingCriteria):  # type: ignore[misc]
    def __init__(self, rows: Sequence[Row], unwanted: Callable[[], bool]) -> None:
        self._rows = rows
        self._unwanted = unwanted

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs: object) -> torch.Tensor:
        over = all(row.reason for row in self._rows) or self._unwanted()
        return torch.full((len(self._rows),), over, dtype=torch.bool, device=input_ids.device)


def choose(logits: torch.Tensor, rows: Sequence[Row], open_rows: Sequence[int]) -> list[int]:
    """The next token of each of `open_rows`; 0 for the others. logits: (rows, vocabulary), float32."""
    scores = logits
    for number in open_rows:
        penalty = rows[number].sampling.repetition_penalty
        if penalty != 1.0:
            scores = scores.clone() if scores is logits else scores
            seen = torch.tensor(sorted(rows[number].seen), device=logits.device)
            known = scores[number, seen]
            scores[number, seen] = torch.where(known > 0, known / penalty, known * penalty)
    tokens = [0] * len(rows)
    greedy = scores.argmax(dim=-1).tolist()
    drawn = []
    for number in open_rows:
        if rows[number].sampling.temperature == 0.0:
            tokens[number] = greedy[number]
        else:
            drawn.append(number)
    if drawn:
        for number, token in zip(drawn, _draw(scores[drawn], [rows[number] for number in drawn]), strict=True):
            tokens[number] = token
    return tokens


def _draw(scores: torch.Tensor, rows: Sequence[Row]) -> list[int]:
    """One token per row by inverse transform sampling: tokens sorted by probability, one uniform number per token."""

    def column(values: list[float]) -> torch.Tensor:
        return torch.tensor(values, dtype=scores.dtype, device=scores.device)[:, None]

    settings = [row.sampling for row in rows]
    values, order = torch.sort(
        scores / column([each.temperature for each in settings]), dim=-1, descending=True, stable=True
    )
    rank = torch.arange(values.shape[-1], device=scores.device)
    kept = rank < column([each.top_k or values.shape[-1] for each in settings])
    probabilities = torch.softmax(values.masked_fill(~kept, -torch.inf), dim=-1)
    before = probabilities.cumsum(dim=-1) - probabilities
    kept &= before < column([each.top_p for each in settings])
    kept &= probabilities >= column([each.min_p for each in settings]) * probabilities[:, :1]
    kept[:, 0] = True  # top_p 0 means the likeliest token
    cumulated = probabilities.masked_fill(~kept, 0.0).double().cumsum(dim=-1)
    target = column([row.random.random() for row in rows]).double() * cumulated[:, -1:]
    place = (cumulated <= target).sum(dim=-1, keepdim=True)
    place = torch.minimum(place, kept.sum(dim=-1, keepdim=True) - 1)
    return [int(token) for token in order.gather(1, place)[:, 0].tolist()]


def stops(ids: Sequence[int], stop: Sequence[str], decode: Decode) -> bool:
    """Whether the reply has just reached a stop text. Only its end is looked at: a token is at least one byte."""
    if not stop:
        return False
    end = decode(ids[-(max(len(text.encode()) for text in stop) + _MARGIN) :])
    return any(text in end for text in stop)
