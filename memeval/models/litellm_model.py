"""Every other provider (`anthropic/...`, `gemini/...`, `bedrock/...`), through litellm.

litellm knows the wire formats and reads each provider's key from its own variable. Repetition, concurrency and the reading
of the reply are ours, as for any endpoint. Importing this module imports litellm, which takes seconds.
"""

from __future__ import annotations

import os
import re
from typing import Any

from memeval.errors import UsageError
from memeval.models.completion import Completion, Request
from memeval.models.endpoint import TOO_LONG
from memeval.models.faults import EndpointRefused, Fault, retry_after
from memeval.models.limits import PROBE, Limiter
from memeval.models.parameters import timeout
from memeval.models.reply import one_line, overflows, read_reply

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # otherwise the import downloads a price table
import litellm

litellm.suppress_debug_info = True
litellm.telemetry = False
_SLOW_DOWN = frozenset({429, 503, 529})


class LitellmModel:
    """`name` is `provider/model`. Raises UsageError for a provider litellm does not know, or a missing key (by its name)."""

    def __init__(self, name: str, limiter: Limiter) -> None:
        self.name = name
        self._limiter = limiter
        provider = name.partition("/")[0]
        self.identity = f"litellm {name}{server(provider)}"
        if provider not in {str(getattr(known, "value", known)) for known in litellm.provider_list}:
            from memeval.errors import suggest

            names = [str(getattr(known, "value", known)) for known in litellm.provider_list]
            advice = "for a model of your own server use --base-url URL"
            raise UsageError(f"model '{name}': litellm knows no provider '{provider}'{suggest(provider, names)} ({advice})")
        missing = litellm.validate_environment(name)["missing_keys"]
        if missing:
            raise UsageError(f"model '{name}' needs {' and '.join(missing)} in the environment")

    async def complete(self, request: Request) -> Completion:
        """One call with its retries; as `EndpointModel.complete`."""
        return await self._limiter.run(lambda: self._attempt(request), timeout(request.params), lambda: self._attempt(PROBE))

    async def close(self) -> None:
        """litellm keeps its own connections."""

    async def _attempt(self, request: Request) -> Completion:
        params = {key: value for key, value in request.params.items() if key != "timeout"}
        if request.tools:
            params["tools"] = [dict(tool) for tool in request.tools]
            params["_skip_mcp_handler"] = True  # litellm otherwise looks for MCP tools, with a package it does not install
        messages = [dict(message) for message in request.messages]
        try:
            reply = await litellm.acompletion(model=self.name, messages=messages, num_retries=0, max_retries=0, **params)
        except Exception as error:  # litellm lets the errors of every client library through
            return self._failed(error)
        return read_reply(reply.model_dump(), request)

    def _failed(self, error: Exception) -> Completion:
        """Returns a Completion for a bad request; raises Fault, EndpointRefused, or the error itself if it is a bug."""
        status = getattr(error, "status_code", None)
        text = one_line(f"{type(error).__name__}: {error}")
        if isinstance(error, litellm.ContextWindowExceededError) or (status in TOO_LONG and overflows(str(error))):
            return Completion(finish_reason="overflow")
        refused = isinstance(error, litellm.PermissionDeniedError) and not self._limiter.answered
        if refused or isinstance(error, (litellm.AuthenticationError, litellm.NotFoundError)):
            raise EndpointRefused(f"{self.name}: {text}; check the key and the model name") from None
        if not isinstance(status, int):
            raise error
        if isinstance(error, litellm.APIConnectionError) or status in (408, 409, 425, 429) or status >= 500:
            headers: Any = getattr(getattr(error, "response", None), "headers", None) or {}
            wait = retry_after(headers.get("retry-after"), headers.get("retry-after-ms"))
            raise Fault(text, throttled=status in _SLOW_DOWN, counted=status != 429, retry_after=wait) from None
        return Completion(error=text, finish_reason="error")


def server(provider: str) -> str:
    """` at HOST[:PORT]/PATH` where the environment names a server of one's own (OLLAMA_API_BASE, ANTHROPIC_BASE_URL, ...):
    the same name may be another model there."""
    named = re.compile(rf"{re.escape(provider)}_(API_BASE|BASE_URL|API_URL|ENDPOINT)", re.IGNORECASE)
    found = sorted((name.upper(), value) for name, value in os.environ.items() if value and named.fullmatch(name))
    places = (value.rpartition("://")[2].partition("?")[0].rpartition("@")[2].rstrip("/") for _, value in found)
    return "".join(f" at {place}" for place in places)
