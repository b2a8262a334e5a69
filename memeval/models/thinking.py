"""Raise the reply limit of a model that thinks, after a reply has shown that it does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from memeval.models.body import THINKING_TOKENS, limit, mode, raised
from memeval.models.completion import Completion, Request


class Thinking(ABC):
    """A model that may think. A subclass makes one call (`_chat`).

    name: for messages. adapted: changes of requests for this model, in words, for the manifest.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.adapted: list[str] = []
        self._thinks = False

    async def complete(self, request: Request) -> Completion:
        """The reply to one call. If the role's `thinking` is `auto`, the first reply with thinking raises the limit of
        later replies, and a reply that was cut inside its thinking is requested once more under it."""
        thinking = mode(request.params)
        params = request.params
        if thinking == "on" or (thinking == "auto" and self._thinks):
            params = raised(params)
        completion = await self._chat(request, params)
        if thinking != "auto" or not (completion.reasoning or completion.usage.reasoning):
            return completion
        most = request.params.get("thinking_tokens") or THINKING_TOKENS
        given = limit(request.params)
        self._thinks = True
        self._note(f"the model thinks: its replies may have {most} tokens")
        if params is not request.params or completion.finish_reason != "unclosed_think" or given is None or given >= most:
            return completion
        again = await self._chat(request, raised(params))
        return replace(again, usage=completion.usage + again.usage, estimated=completion.estimated or again.estimated)

    @abstractmethod
    async def _chat(self, request: Request, params: Mapping[str, Any]) -> Completion:
        """The reply to one call. params: those of the request, possibly with the limits of a model that thinks."""

    def _note(self, text: str) -> None:
        """Record a change of requests, once."""
        if text not in self.adapted:
            self.adapted.append(text)
