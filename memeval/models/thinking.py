"""A larger limit for the replies of a model that thinks, once a reply shows that it does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from memeval.models.body import THINKING_TOKENS, limit, mode
from memeval.models.completion import Completion, Request

Chat = Callable[[Request, bool], Awaitable[Completion]]
"""(request, whether its limit is the one of a model that thinks) -> its reply"""


class Thinking:
    """What the replies of one model have shown so far. note: told, in words, when one shows that the model thinks."""

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note
        self._seen = False

    async def complete(self, request: Request, chat: Chat) -> Completion:
        """The reply to one call. Where the role's `thinking` is `auto`, the first reply with thinking in it raises the limit
        of the replies, and one that was cut inside its thinking is asked for once more under it."""
        thinking = mode(request.params)
        raised = thinking == "on" or (thinking == "auto" and self._seen)
        completion = await chat(request, raised)
        if thinking != "auto" or not (completion.reasoning or completion.usage.reasoning):
            return completion
        most = request.params.get("thinking_tokens") or THINKING_TOKENS
        given = limit(request.params)
        self._seen = True
        self._note(f"the model thinks: its replies may have {most} tokens")
        if raised or completion.finish_reason != "unclosed_think" or given is None or given >= most:
            return completion
        again = await chat(request, True)
        return replace(again, usage=completion.usage + again.usage, estimated=completion.estimated or again.estimated)
