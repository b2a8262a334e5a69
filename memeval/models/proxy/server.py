"""An OpenAI-compatible server on 127.0.0.1 in front of the bound models of one context, for a foreign agent.

    async with Proxy(session.models) as proxy:
        proxy.base_url, proxy.token      # the agent's endpoint and key
        with proxy.step(): ...           # one step of the agent: its calls are counted with the step

Every call goes through `BoundModel`, so the run's cache, limits, retries and prices apply, and no provider's key leaves
this process. The `model` of a request is a role (`memory`, `reader`, `embedder`) or the bound model's own name.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import threading
from collections import Counter
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import copy_context
from dataclasses import replace
from typing import Any, Self, TypeVar

from aiohttp import web

from memeval.errors import BadParameter, StopRun, UsageError
from memeval.models import usage
from memeval.models.bound import BoundModel, EmbeddingFailed
from memeval.models.call_json import call_key
from memeval.models.completion import Completion, Request
from memeval.models.proxy import wire
from memeval.models.proxy.wire import Refused
from memeval.models.usage import Ledger
from memeval.records.rows import CallFacts

LARGEST_REQUEST = 64 * 2**20  # bytes; larger than any prompt, small enough for memory
_NO_RETRY = {"x-should-retry": "false"}  # for the openai package: the gateway has already retried
_REJECTED = re.compile(r"HTTP (400|403|413|422)\b")
Result = TypeVar("Result")


class Proxy:
    """The proxy of one agent and its forks, on the running event loop; an async context manager. models: role -> model
    that may be called. `base_url` ends in /v1; `token` is the key that it accepts."""

    def __init__(self, models: Mapping[str, BoundModel]) -> None:
        self.base_url = ""
        self.token = f"sk-{secrets.token_urlsafe(32)}"  # some clients insist on the prefix
        self._models, self._steps = models, _Steps()
        self._asked: Counter[bytes] = Counter()  # number of times each call was made
        self._tasks: set[asyncio.Task[Any]] = set()  # its calls in flight
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application(middlewares=[_in_shape, self._with_token], client_max_size=LARGEST_REQUEST)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/embeddings", self._embeddings)
        app.router.add_get("/v1/models", self._list)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, backlog=1024).start()
        self.base_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"
        return self

    async def __aexit__(self, *error: object) -> None:
        """Cancel its calls in flight, and shut the server down."""
        for task in self._tasks:
            task.cancel()
        if self._runner is not None:
            await self._runner.cleanup()

    def step(self) -> AbstractContextManager[None]:
        """Count the calls of a block in the ledger that `usage.current` holds now. One step at a time.

        At the end of the block, whatever the agent did about it, raises the error of a call that must stop the run
        (StopRun, UsageError, or a bug of memeval's): the agent saw only an HTTP status.
        """
        return self._steps.step()

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        chat, asked = wire.read_chat(wire.read_json(await request.read()))
        model = self._model(chat.model, embedding=False)
        params = dict(asked.params)
        for one, other in (("max_tokens", "max_completion_tokens"), ("max_completion_tokens", "max_tokens")):
            if one in model.params:  # the user's limit takes precedence, under either of its two names
                params.pop(other, None)
        sample = self._sample(model, asked, _repeated(request))
        completion: Completion = await self._serve(model, model.generate(asked.messages, asked.tools, sample, **params))
        if completion.error is not None:
            rejected = _REJECTED.match(completion.error)
            raise Refused(int(rejected[1]) if rejected else 502, completion.error, "upstream_error")
        if completion.finish_reason == "overflow":
            message = "the prompt exceeds the model's maximum context length; shorten the messages"
            raise Refused(400, message, "context_length_exceeded", "messages")
        made = replace(asked, params=params, repeat=model.repeat, sample=sample)
        number = f"chatcmpl-{call_key(model.role, made).hex()[:24]}"  # the same in a resumed run
        headers = {"x-request-id": number}
        if not chat.stream:
            return web.json_response(wire.chat_reply(completion, model.name, number), headers=headers)
        response = web.StreamResponse(headers={**headers, "Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
        await response.prepare(request)
        await response.write(b"".join(wire.chat_stream(completion, model.name, number, chat.stream_options.include_usage)))
        await response.write_eof()
        return response

    async def _embeddings(self, request: web.Request) -> web.StreamResponse:
        asked = wire.shaped(wire.read_json(await request.read()), wire.Texts)
        model = self._model(asked.model, embedding=True)
        params = {} if asked.dimensions is None else {"dimensions": asked.dimensions}
        try:
            vectors, spent = await self._serve(model, model.embed_counted(asked.texts, **params))
        except EmbeddingFailed as failed:
            raise Refused(502, str(failed), "upstream_error") from None
        if asked.dimensions not in (None, vectors.shape[1]):
            message = f"'dimensions' is not supported by this model: its vectors have {vectors.shape[1]}"
            raise Refused(400, message, "unsupported_parameter", "dimensions")
        return web.json_response(wire.embeddings_reply(vectors, spent.prompt, model.name, asked.encoding_format == "base64"))

    async def _list(self, request: web.Request) -> web.StreamResponse:
        names = dict.fromkeys([*self._models, *(model.name for model in self._models.values())])
        return web.json_response({"object": "list", "data": [wire.model_reply(name) for name in names]})

    @web.middleware
    async def _with_token(self, request: web.Request, handler: Any) -> web.StreamResponse:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        given = token.strip().encode("utf-8", "surrogateescape")
        if scheme.lower() != "bearer" or not secrets.compare_digest(given, self.token.encode()):
            raise Refused(401, "the API key is not the token of an open context", "invalid_api_key")
        response: web.StreamResponse = await handler(request)
        return response

    def _model(self, name: str, embedding: bool) -> BoundModel:
        """The model of a role, or the first with that name. Raises Refused (404)."""
        fitting = {role: model for role, model in self._models.items() if (role == "embedder") is embedding}
        for model in (fitting.get(name), *fitting.values()):
            if model is not None and name in (model.role, model.name):
                return model
        kind = "embedding model" if embedding else "model"
        known = ", ".join(fitting) or "none"
        raise Refused(404, f"no {kind} '{name[:100]}' here; use a role as its name: {known}", "model_not_found", "model")

    def _sample(self, model: BoundModel, asked: Request, again: bool) -> int:
        """Number equal requests of one agent, so that it can ask for a second opinion; greedy or seeded requests are
        not numbered. again: the client repeats a request without having waited for the reply."""
        params = {**asked.params, **model.params}
        if params.get("temperature") == 0 or "seed" in params:
            return 0
        key = call_key(model.role, asked)
        number = self._asked[key] - again
        self._asked[key] += not again
        return max(0, number)

    async def _serve(self, model: BoundModel, call: Coroutine[Any, Any, Result]) -> Result:
        """Await a call of a bound model, counted in the agent's step. The call continues and is counted if the client
        disconnects.

        Raises Refused for errors that must stop the run; the error itself is raised at the end of the step.
        """
        context = copy_context()
        context.run(usage.current.set, self._steps)
        task = asyncio.create_task(call, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            return await task
        except asyncio.CancelledError:
            this = asyncio.current_task()
            if this is not None and this.cancelling():
                raise  # the server is stopping
            raise Refused(503, "the context ended while the call was in flight") from None
        except EmbeddingFailed:
            raise  # counted; the run goes on
        except RecursionError:
            raise Refused(400, "the body is nested too deeply") from None
        except (StopRun, UsageError) as error:
            if isinstance(error, BadParameter) and error.name not in model.params:  # set by the user, who must fix it
                raise Refused(400, str(error), "unsupported_parameter", error.name) from None
            self._steps.stop(error)
            raise Refused(503, str(error), "upstream_error") from None
        except Exception as error:
            self._steps.stop(error)
            message = f"the call failed with a bug ({type(error).__name__}); the run stops"
            raise Refused(500, message, "internal_error") from None


class _Steps(Ledger):
    """The ledger of calls over HTTP, where no context variable tells which step made them: it forwards them to the
    ledger of the current step. Thread-safe.

    waiting: (role, completion, facts) of calls that ended between two steps (an agent that works in the background):
    they are counted in the next step; those left when the agent is closed belong to no step.
    """

    def __init__(self) -> None:
        super().__init__("proxy")
        self.waiting: list[tuple[str, Completion, CallFacts]] = []
        self._current: Ledger | None = None
        self._stop: Exception | None = None
        self._lock = threading.Lock()

    @contextmanager
    def step(self) -> Iterator[None]:
        ledger = usage.current.get()
        with self._lock:
            if self._current is not None:
                raise RuntimeError("another step of this agent has not ended")
            self._current, self.phase = ledger, ledger.phase  # calls after the step still belong to its phase
            for call in self.waiting:
                ledger.book(*call)
            self.waiting.clear()
        try:
            yield
        finally:
            with self._lock:
                self._current = None
            if self._stop is not None:
                raise self._stop

    def book(self, role: str, completion: Completion, facts: CallFacts) -> None:
        with self._lock:
            if self._current is None:
                self.waiting.append((role, completion, facts))
            else:
                self._current.book(role, completion, facts)

    def stop(self, error: Exception) -> None:
        """Remember the first error that must stop the run."""
        self._stop = self._stop or error


def _repeated(request: web.Request) -> bool:
    """Whether the openai package sends this request again after a time-out or a lost connection of its own."""
    return request.headers.get("x-stainless-retry-count", "0") != "0"


@web.middleware
async def _in_shape(request: web.Request, handler: Any) -> web.StreamResponse:
    """Send every error in OpenAI's format."""
    try:
        response: web.StreamResponse = await handler(request)
        return response
    except Refused as raised:
        refused = raised
    except web.HTTPException as error:
        paths = "/v1/chat/completions, /v1/embeddings, /v1/models"
        refused = Refused(error.status, f"{error.reason}: {request.method} {request.path[:100]} (there are {paths})")
    return web.json_response(refused.body(), status=refused.status, headers=_NO_RETRY)
