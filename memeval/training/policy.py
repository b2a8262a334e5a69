"""The model under training, as the engine's model in the role `memory`.

It waits until every open context has sent a request or ended, and then generates for all of them in order of context and
repeat. So a batch depends on the step of training and not on timing, and the noise of a row depends only on its place.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

from msgspec.structs import replace

from memeval.errors import UsageError
from memeval.models import usage
from memeval.models.completion import Completion, Request
from memeval.models.local.hf import Checkpoint
from memeval.models.local.sampling import Sampling, read

_Reading = tuple[str, int]
"""(context, repeat)"""
_Place = tuple[str, int, str]
"""(context, repeat, chunk)"""


class Policy:
    """model, tokenizer: of transformers; the tokenizer has a chat template. window: in tokens. seed: of all noise.
    batch_tokens: the most tokens of one batch of generation, padding included."""

    def __init__(self, model: Any, tokenizer: Any, window: int, seed: int = 0, batch_tokens: int = 10**9) -> None:
        self.model, self.tokenizer = model, tokenizer
        self._seed = seed
        self._checkpoint = Checkpoint.of("policy", model, tokenizer, window, batch_tokens)
        self._noise, self._temperature = "", 1.0
        self._open: set[_Reading] = set()
        self._waiting: list[tuple[_Place, Request, asyncio.Future[Completion]]] = []

    def begin(self, noise: str, contexts: set[_Reading], temperature: float) -> None:
        """Start a round of readings. noise: the name of the round (a step of training); each name draws other noise.
        contexts: what will be read. temperature: of all replies, whatever the agent asks for."""
        self._noise, self._temperature = noise, temperature
        self._open, self._waiting = contexts, []

    def ended(self, context: str, repeat: int) -> None:
        """Record that a context has been read to its end, or has failed."""
        self._open.discard((context, repeat))
        self._generate_if_complete()

    async def complete(self, request: Request) -> Completion:
        """The reply, with its row, as soon as all open contexts have sent a request. Raises UsageError for a request for
        vectors."""
        if request.embeds:
            raise UsageError("role 'memory': nothing here embeds texts; choose a model with --embedder")
        place = usage.current.get().place
        assert place is not None, "the model under training is called while streams are read"
        answered: asyncio.Future[Completion] = asyncio.get_running_loop().create_future()
        self._waiting.append((place, request, answered))
        self._generate_if_complete()
        return await answered

    def _generate_if_complete(self) -> None:
        if not self._waiting or len({place[:2] for place, _, _ in self._waiting}) < len(self._open):
            return
        batch = sorted(self._waiting, key=lambda item: (item[0], item[1].sample))
        self._waiting = []
        self.model.eval()
        try:
            found = self._checkpoint.answer([(request, self._sampling(place, request)) for place, request, _ in batch])
        except Exception as error:
            for _, _, answered in batch:
                answered.set_exception(error)
            return
        for (_, _, answered), completion in zip(batch, found, strict=True):
            if not answered.done():
                answered.set_result(completion)

    def _sampling(self, place: _Place, request: Request) -> Sampling:
        name = f"{self._seed} {self._noise} {' '.join(map(str, place))} {request.sample}"
        seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
        return replace(read(request.params, {}, seed, "policy"), temperature=self._temperature)
