"""What every model behind a server has in common: its calls are limited and repeated, changed where the server asks for it,
and given a larger limit once a reply shows that the model thinks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from memeval.models.body import Adapted
from memeval.models.completion import Completion, Request
from memeval.models.faults import EndpointRefused, Refused
from memeval.models.limits import Health, Limiter
from memeval.models.parameters import timeout
from memeval.models.reply import estimate
from memeval.models.thinking import Thinking

MOST_CHANGES = 8
"""Refusals in a row after which one attempt is changed and sent again at once."""

Body = Callable[[], dict[str, Any]]
Post = Callable[[dict[str, Any]], Awaitable[Completion]]


class Adaptive:
    """The model `name` behind a server. `limiter` is shared by the models of one endpoint. A subclass sends one body
    (`_post`), and says whether the server answers at all (`_health`), where that can be found out.

    adapted: what is sent otherwise to this server, in words, for the manifest."""

    _health: Health | None = None

    def __init__(self, name: str, limiter: Limiter) -> None:
        self.name = name
        self._limiter = limiter
        self._adapted = Adapted(name, limiter.policy.fold_system)
        self._thinking = Thinking(self._adapted.note)

    @property
    def adapted(self) -> list[str]:
        return self._adapted.notes

    async def complete(self, request: Request) -> Completion:
        """One call with its retries, under the larger limit once the model is seen to think. `params["timeout"]` (seconds)
        bounds each attempt; `extra_body` goes into the body. Raises EndpointDown or EndpointRefused when the endpoint itself
        is the problem, UsageError for parameters that are not JSON."""
        return await self._thinking.complete(request, self._chat)

    async def _chat(self, request: Request, raised: bool) -> Completion:
        size = estimate(request, "").prompt if self._limiter.policy.tpm else 0
        seconds, tools = timeout(request.params), bool(request.tools)
        return await self._limited(
            lambda: self._adapted.body(request, raised), lambda body: self._post(body, request), tools, seconds, size
        )

    async def _post(self, body: dict[str, Any], request: Request) -> Completion:
        """Send one body. Raises Fault, Refused or EndpointRefused."""
        raise TypeError(f"{type(self).__name__} sends no chats")

    async def _limited(
        self, body: Body, post: Post, tools: bool = False, seconds: float | None = None, tokens: int = 0
    ) -> Completion:
        """One logical call within the limiter. body: makes what is sent, anew for each attempt."""
        kind = f"{self.name} with tools" if tools else self.name
        return await self._limiter.run(lambda: self._attempt(body, post), kind, seconds, self._health, tokens)

    async def _attempt(self, body: Body, post: Post) -> Completion:
        """One attempt, changed and sent again at once for as long as the server's refusals say how."""
        error = ""
        for _ in range(MOST_CHANGES):
            sent = body()
            try:
                return await post(dict(sent))
            except Refused as refused:
                error = str(refused)
                if refused.row.does == "stop":
                    remedy = refused.row.remedy.format(name=self.name, url=self._limiter.label)
                    raise EndpointRefused(f"{self._limiter.label}: {error}; {remedy}") from None
                if not self._adapted.learn(refused, sent):
                    break
        return Completion(error=error, finish_reason="error")

    async def close(self) -> None:
        """Nothing is held."""
