"""All other providers (`anthropic/...`, `gemini/...`, `bedrock/...`), through litellm.

litellm knows the wire formats and reads each provider's key from its own variable. Retries, concurrency, refusals and
reading the reply are memeval's, as for any endpoint. Importing this module imports litellm, which takes seconds.
"""

from __future__ import annotations

import os
import re
from typing import Any

from memeval.errors import UsageError, suggest
from memeval.models.adaptive import Adaptive
from memeval.models.completion import Completion, Request
from memeval.models.faults import Fault, outcome
from memeval.models.limits import Limiter
from memeval.models.reply import one_line, read_reply

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # otherwise the import downloads a price table
import litellm

litellm.suppress_debug_info = True
litellm.telemetry = False


class LitellmModel(Adaptive):
    """`name` is `provider/model`. Raises UsageError for a provider that litellm does not know, or for a missing key (by
    its name)."""

    can_stream = False  # litellm treats a broken stream as complete

    def __init__(self, name: str, limiter: Limiter) -> None:
        super().__init__(name, limiter)
        provider = name.partition("/")[0]
        self.identity = f"litellm {name}{server(provider)}"
        names = [str(getattr(known, "value", known)) for known in litellm.provider_list]
        if provider not in names:
            advice = "for a model of your own server use --base-url URL"
            raise UsageError(f"model '{name}': litellm knows no provider '{provider}'{suggest(provider, names)} ({advice})")
        missing = litellm.validate_environment(name)["missing_keys"]
        if missing:
            raise UsageError(f"model '{name}' needs {' and '.join(missing)} in the environment")

    async def _post(self, body: dict[str, Any], request: Request) -> Completion:
        body.pop("stream", None)  # from the user's extra_body
        if request.tools:
            body["tools"] = [dict(tool) for tool in request.tools]
            body["_skip_mcp_handler"] = True  # otherwise litellm searches for MCP tools with a missing package
        body["messages"] = [dict(message) for message in body["messages"]]
        try:
            reply = await litellm.acompletion(**body, num_retries=0, max_retries=0)
        except Exception as error:  # litellm lets the errors of every client library through
            return self._failed(error, request)
        return read_reply(reply.model_dump(), request)

    def _failed(self, error: Exception, request: Request) -> Completion:
        """Classify an error (faults.py); an error that is a bug is raised unchanged."""
        status = getattr(error, "status_code", None)
        text = one_line(f"{type(error).__name__}: {error}")
        if isinstance(error, litellm.ContextWindowExceededError):
            return Completion(finish_reason="overflow")
        if not isinstance(status, int):
            raise error
        if isinstance(error, litellm.APIConnectionError):
            raise Fault(text, responded=False, slower=True) from None
        headers: Any = getattr(getattr(error, "response", None), "headers", None) or {}
        return outcome(status, headers, str(error), text, bool(request.tools))


def server(provider: str) -> str:
    """` at HOST[:PORT]/PATH` if the environment names the user's own server (OLLAMA_API_BASE, ANTHROPIC_BASE_URL, ...):
    the same name may be another model there."""
    named = re.compile(rf"{re.escape(provider)}_(API_BASE|BASE_URL|API_URL|ENDPOINT)", re.IGNORECASE)
    found = sorted((name.upper(), value) for name, value in os.environ.items() if value and named.fullmatch(name))
    places = (value.rpartition("://")[2].partition("?")[0].rpartition("@")[2].rstrip("/") for _, value in found)
    return "".join(f" at {place}" for place in places)
