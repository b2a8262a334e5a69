"""Common code of all models behind a server: limit and repeat calls, and change requests as the server's refusals
demand."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from memeval.errors import UsageError
from memeval.models import rules
from memeval.models.body import LIMITS, folded, switched
from memeval.models.completion import Completion, Request
from memeval.models.faults import EndpointRefused, Refused
from memeval.models.limits import Health, Limiter
from memeval.models.parameters import timeout
from memeval.models.reply import estimate
from memeval.models.thinking import Thinking

MOST_CHANGES = 8
"""Most consecutive refusals for which one attempt is changed and sent again at once."""


class Adaptive(Thinking):
    """The model `name` behind a server. The models of one endpoint share `limiter`. A subclass sends one body
    (`_post`), declares whether it reads streamed replies (`can_stream`), and checks, if possible, whether the server
    replies at all (`_health`).

    What is learnt from refusals holds for the whole run; `adapted` describes it in words.
    """

    _health: Health | None = None
    can_stream = True

    def __init__(self, name: str, limiter: Limiter) -> None:
        super().__init__(name)
        self._limiter = limiter
        self._streams = False
        self._dropped: set[str] = set()
        self._renamed: dict[str, str] = {}
        self._most: int | None = None

    async def _chat(self, request: Request, params: Mapping[str, Any]) -> Completion:
        """One call with its retries. `timeout` of `params` (seconds) limits each attempt. Raises EndpointDown or
        EndpointRefused if the endpoint itself is the problem, UsageError for parameters that are not JSON."""
        kind = f"{self.name} with tools" if request.tools else self.name
        tokens = estimate(request, "").prompt if self._limiter.policy.tpm else 0
        attempt = partial(self._attempt, replace(request, params=params))
        return await self._limiter.run(attempt, kind, timeout(params), self._health, tokens)

    async def _attempt(self, request: Request) -> Completion:
        """One attempt, which is changed and sent again at once as long as refusals say how."""
        error = ""
        for _ in range(MOST_CHANGES):
            sent = self._changed(self.body(request))
            try:
                return await self._post(dict(sent), request)
            except Refused as refused:
                error = refused.message
                if refused.row.does == "stop":
                    remedy = refused.row.remedy.format(name=self.name, url=self._limiter.label)
                    raise EndpointRefused(f"{self._limiter.label}: {error}; {remedy}") from None
                if not self._learn(refused, sent):
                    break
        return Completion(error=error, finish_reason="error")

    @abstractmethod
    async def _post(self, body: dict[str, Any], request: Request) -> Completion:
        """Send one body, which belongs to the caller. Raises Fault, Refused or EndpointRefused."""

    def body(self, request: Request) -> dict[str, Any]:
        """The JSON object of a call. `extra_body` is merged into it; null parameters are left out. Raises UsageError if
        `extra_body` is not a mapping."""
        params = request.params
        body = switched(self.name, params)
        extra = params.get("extra_body") or {}
        if not isinstance(extra, Mapping):
            raise UsageError(f"model '{self.name}': extra_body: {extra!r} is not a mapping")
        messages = request.messages
        if self._limiter.policy.fold_system and (joined := folded(messages)) is not None:
            self._note("system text is sent in the user message (--fold-system)")
            messages = joined
        tools = {"tools": request.tools} if request.tools else {}
        body = {"messages": messages, "model": self.name, **body, **tools, **extra}
        return {key: value for key, value in body.items() if value is not None}

    def _learn(self, refused: Refused, sent: Mapping[str, Any]) -> bool:
        """Change future requests as a refusal demands. Returns whether this changes the current call, so that it is
        worth sending again."""
        row, found = refused.row, refused.found
        for old, new in row.rename.items():
            self._note(f"{old} is sent as {new}")
            self._renamed[old] = new
        if row.stream and self.can_stream:
            self._note("replies are streamed")
            self._streams = True
        if row.limit and (most := int(next((found[key] for key in ("most", "upto", "above") if key in found), 0))):
            self._note(f"the length limit is lowered to {most} tokens, the model's own")
            self._most = most
        written = found.get("param", "").replace("_", "").lower()
        for name in rules.droppable():
            if written == name.replace("_", ""):
                self._note(f"{name} is left out")
                self._dropped.add(name)
        return self._changed(dict(sent)) != sent

    def _changed(self, body: dict[str, Any]) -> dict[str, Any]:
        """The body with all changes that this server needs."""
        for name in self._dropped:
            body.pop(name, None)
        for old, new in self._renamed.items():
            if old in body:
                value = body.pop(old)
                body.setdefault(new, value)
        if self._most is not None:
            body |= {key: min(body[key], self._most) for key in LIMITS if isinstance(body.get(key), int)}
        if self._streams:
            body["stream"] = True
            if "stream_options" not in self._dropped:
                body["stream_options"] = {"include_usage": True}
        return body

    async def close(self) -> None:
        """Nothing to close."""
