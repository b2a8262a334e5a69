"""An OpenAI-compatible endpoint on 127.0.0.1 that misbehaves on demand, for tests.

    async with FaultyServer(faults=mixed(0.2)) as server:
        server.url          # http://127.0.0.1:PORT/v1
        server.served       # Counter: prompt -> complete good replies
        server.attempts     # Counter: prompt -> requests seen

`faults(prompt, attempt)` names the fault of an attempt (from 0) or None. The reply echoes the prompt's last message, as a
tool call when tools are offered.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from typing import Any

from aiohttp import web

FAULTS = (
    "429",
    "429-seconds",
    "429-date",
    "500",
    "503",
    "hang",
    "cut",
    "html",
    "not-json",
    "empty-choices",
    "wrong-types",
    "error-200",
    "drip",
    "reset",
    "damaged-arguments",
)
Faults = Callable[[str, int], str | None]


def always(fault: str) -> Faults:
    return lambda prompt, attempt: fault


def first(count: int, fault: str) -> Faults:
    """The first `count` attempts of every prompt fail."""
    return lambda prompt, attempt: fault if attempt < count else None


def mixed(share: float, faults: tuple[str, ...] = FAULTS, most: int = 4) -> Faults:
    """A fixed `share` of all attempts fails, each in one of `faults`, but never more than `most` of one prompt."""

    def choose(prompt: str, attempt: int) -> str | None:
        number = int.from_bytes(hashlib.sha256(f"{prompt} {attempt}".encode()).digest()[:8], "big")
        if attempt >= most or number % 10_000 >= share * 10_000:
            return None
        return faults[number // 10_000 % len(faults)]

    return choose


def answer(prompt: str) -> str:
    """What the server says to a prompt."""
    return f"echo: {prompt}"


class FaultyServer:
    """`latency`: seconds before a good reply. `key`: when given, other keys get 401. `body`: makes the good reply's body
    from the request's JSON, instead of the echo. `models`: when given, what `GET /models` has as its `data`."""

    def __init__(
        self,
        faults: Faults = lambda prompt, attempt: None,
        latency: float = 0.0,
        key: str | None = None,
        body: Callable[[dict[str, Any]], Any] | None = None,
        port: int = 0,
        drip_seconds: float = 0.5,
        models: Any = None,
    ) -> None:
        self.faults = faults
        self.latency = latency
        self.key = key
        self.embedder = "embedder"  # the name under which embeddings are answered
        self.body = body
        self.port = port
        self.drip_seconds = drip_seconds
        self.models = models
        self.attempts: Counter[str] = Counter()
        self.served: Counter[str] = Counter()
        self.seen: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.flying = 0
        self.widest = 0
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def start(self) -> None:
        app = web.Application(client_max_size=2**28)
        app.router.add_post("/v1/chat/completions", self._handle)
        app.router.add_post("/v1/embeddings", self._embed)
        if self.models is not None:
            app.router.add_get("/v1/models", self._list)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, backlog=1024, reuse_address=True)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> FaultyServer:
        await self.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.stop()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.flying += 1
        self.widest = max(self.widest, self.flying)
        try:
            return await self._respond(request)
        finally:
            self.flying -= 1

    async def _respond(self, request: web.Request) -> web.StreamResponse:
        asked = json.loads(await request.read())
        self.seen.append(asked)
        self.headers.append(dict(request.headers))
        if (refused := self._refused(request)) is not None:
            return refused
        prompt = str(asked["messages"][-1]["content"])
        attempt = self.attempts[prompt]
        self.attempts[prompt] += 1
        fault = self.faults(prompt, attempt)
        if fault is not None and fault != "damaged-arguments":
            return await self._fail(fault, request, asked, prompt)
        if self.latency:
            await asyncio.sleep(self.latency)
        body = self.body(asked) if self.body else self._echo(asked, prompt)
        if fault is not None:
            _damage(body)
        self.served[prompt] += 1
        return web.Response(body=json.dumps(body).encode(), content_type="application/json")

    def _refused(self, request: web.Request) -> web.Response | None:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.key is None or given == self.key:
            return None
        return web.json_response({"error": {"message": f"Incorrect API key provided: {given}"}}, status=401)

    async def _embed(self, request: web.Request) -> web.Response:
        asked = json.loads(await request.read())
        rows = [{"index": number, "embedding": [1.0, len(text)]} for number, text in enumerate(asked["input"])]
        return web.json_response({"data": rows, "model": self.embedder, "usage": {"prompt_tokens": len(rows)}})

    async def _list(self, request: web.Request) -> web.Response:
        return self._refused(request) or web.json_response({"object": "list", "data": self.models})

    def _echo(self, asked: dict[str, Any], prompt: str) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": answer(prompt)}
        finish = "stop"
        if asked.get("tools"):
            function = {"name": asked["tools"][0]["function"]["name"], "arguments": json.dumps({"content": answer(prompt)})}
            call = {"id": "call-1", "type": "function", "function": function}
            message |= {"content": None, "tool_calls": [call]}
            finish = "tool_calls"
        return {
            "id": "1",
            "object": "chat.completion",
            "choices": [{"index": 0, "message": message, "finish_reason": finish}],
            "usage": {"prompt_tokens": len(prompt), "completion_tokens": 7},
        }

    async def _fail(self, fault: str, request: web.Request, asked: dict[str, Any], prompt: str) -> web.StreamResponse:
        good = json.dumps(self._echo(asked, prompt)).encode()
        if fault.startswith("429"):
            wait = {"429": None, "429-seconds": "0.05", "429-date": formatdate(time.time() + 0.5, usegmt=True)}[fault]
            headers = {} if wait is None else {"Retry-After": wait}
            return web.json_response({"error": {"message": "slow down"}}, status=429, headers=headers)
        if fault.isdigit():
            return web.json_response({"error": {"message": f"trouble {fault}"}}, status=int(fault))
        if fault == "hang":
            await asyncio.sleep(3600)
        if fault == "html":
            return web.Response(text="<html><body>Bad gateway</body></html>", content_type="text/html")
        if fault == "not-json":
            return web.Response(body=good[: len(good) // 2], content_type="application/json")
        if fault == "empty-choices":
            return web.json_response({"choices": [], "usage": None})
        if fault == "wrong-types":
            return web.json_response({"choices": [{"message": {"content": 17, "tool_calls": "no"}}], "usage": []})
        if fault == "error-200":
            return web.json_response({"error": {"message": "upstream went away", "code": 502}})
        if fault == "reset":
            return self._reset(request)
        assert fault in ("cut", "drip"), fault
        response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(good))})
        await response.prepare(request)
        if fault == "cut":
            await response.write(good[: len(good) // 2])
            return self._reset(request)
        for byte in good[:-1]:  # one byte at a time, for longer than anyone waits
            await response.write(bytes([byte]))
            await asyncio.sleep(self.drip_seconds)
        return response

    def _reset(self, request: web.Request) -> web.StreamResponse:
        """Close the connection with RST, as a crashed server or a dropped tunnel does."""
        assert request.transport is not None
        connection = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
        raise asyncio.CancelledError


def _damage(body: dict[str, Any]) -> None:
    """A reply's calls, in three ways at once: a code fence, a trailing comma, one closing bracket too many."""
    for call in body["choices"][0]["message"].get("tool_calls") or ():
        call["function"]["arguments"] = f"```json\n{call['function']['arguments'][:-1]},}}}}\n```"


def saying(status: int, message: str, **fields: Any) -> FaultyServer:
    """A server whose every reply is this error."""

    class Saying(FaultyServer):
        async def _fail(self, fault: str, request: web.Request, asked: dict[str, Any], prompt: str) -> web.StreamResponse:
            return web.json_response({"error": {"message": message, **fields}}, status=status)

    return Saying(always("said"))


@contextmanager
def in_thread(endpoint: FaultyServer) -> Iterator[FaultyServer]:
    """The endpoint on a loop of its own, for code that runs its own loop."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def end() -> None:
        await endpoint.stop()
        left = asyncio.all_tasks() - {asyncio.current_task()}  # those that hang on purpose
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    asyncio.run_coroutine_threadsafe(endpoint.start(), loop).result()
    try:
        yield endpoint
    finally:
        asyncio.run_coroutine_threadsafe(end(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
