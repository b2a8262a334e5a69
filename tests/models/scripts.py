"""A model for tests that says what the test wrote."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from memeval.models.completion import Completion, Request
from memeval.models.scripted import replied

Reply = str | Completion


class ScriptedModel:
    """script: replies in the order of the calls, or a function of the request; calls are read from a string. requests: all
    that it was asked, in order. An error when the script is used up."""

    def __init__(self, script: Sequence[Reply] | Callable[[Request], Reply], identity: str = "scripted") -> None:
        self.identity = identity
        self.requests: list[Request] = []
        self._script = script

    async def complete(self, request: Request) -> Completion:
        self.requests.append(request)
        if callable(self._script):
            return replied(self._script(request), request)
        if len(self.requests) <= len(self._script):
            return replied(self._script[len(self.requests) - 1], request)
        return Completion(error=f"the script holds {len(self._script)} replies and no more", finish_reason="error")

    async def close(self) -> None:
        """Nothing is held."""
