"""Models behind an OpenAI-compatible `/chat/completions`, over a thin aiohttp client.

One session per model, one pre-serialised body per call, the reply read as raw bytes: 512 calls of 50 ms, 64 at a time, take
little more than their 0.4 s. What goes wrong becomes a `Fault` (repeated by limits.py), a Completion with `error` (this
request is bad) or EndpointRefused (every request would be). The key stands in the session's headers and nowhere else.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from memeval import __version__
from memeval.models.call_json import request_body
from memeval.models.completion import Completion, Request
from memeval.models.faults import EndpointRefused, Fault, retry_after
from memeval.models.limits import PROBE, Limiter
from memeval.models.parameters import timeout
from memeval.models.reply import error_text, one_line, overflows, read_reply

LARGEST_REPLY = 64 * 2**20  # bytes; more than any reply, less than what would hurt
_STREAMED = 2**20  # bytes; larger bodies are sent piece by piece
_REPEAT = frozenset({408, 409, 425, 429})
_UNREACHABLE = (aiohttp.ClientConnectorError, aiohttp.ServerTimeoutError, aiohttp.ClientHttpProxyError)
_SLOW_DOWN = frozenset({429, 503, 529})
TOO_LONG = frozenset({400, 413, 422, 500})  # statuses under which servers say that a prompt exceeds the window
_MODERATED = re.compile(r"moderation|flagged|policy|safety|content", re.IGNORECASE)  # about this prompt, not about the key


class EndpointModel:
    """The model `name` at `base_url` (checked, without a trailing slash). `limiter` is shared by the endpoint's models."""

    def __init__(self, name: str, base_url: str, key: str, limiter: Limiter) -> None:
        self.name = name
        self.base_url = base_url
        self.identity = f"{base_url} {name}"
        self._key = key
        self._limiter = limiter
        self._url = URL(f"{base_url}/chat/completions")
        self._proxy = proxy_for(base_url)
        self._session: aiohttp.ClientSession | None = None

    def __repr__(self) -> str:
        return f"EndpointModel({self.identity!r})"

    async def complete(self, request: Request) -> Completion:
        """One call with its retries. `params["timeout"]` (seconds) bounds it; everything else in `params` is sent, with
        `extra_body` merged into the body. Raises EndpointDown or EndpointRefused when the endpoint itself is the problem."""
        body = request_body(self.name, request)
        return await self._limiter.run(lambda: self._attempt(body, request), timeout(request.params), self._probe)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _probe(self) -> Completion:
        return await self._attempt(request_body(self.name, PROBE), PROBE)

    def _open(self) -> aiohttp.ClientSession:
        headers = {"Content-Type": "application/json", "Accept": "application/json", "Accept-Encoding": "identity"}
        headers["User-Agent"] = f"memeval/{__version__}"
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        self._session = aiohttp.ClientSession(
            headers=headers,
            # uvicorn, in front of most model servers, drops idle connections after 5 s: let go of them before
            connector=aiohttp.TCPConnector(limit=self._limiter.cap, keepalive_timeout=4.0, ttl_dns_cache=300),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=20.0),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self._session

    async def _attempt(self, body: bytes, request: Request) -> Completion:
        session = self._session or self._open()
        data = body if len(body) < _STREAMED else io.BytesIO(body)
        try:
            async with session.post(self._url, data=data, allow_redirects=False, proxy=self._proxy) as response:
                status, headers = response.status, response.headers
                raw = await _read(response)
        except aiohttp.ClientConnectorCertificateError as error:
            raise EndpointRefused(f"{self.base_url}: {one_line(str(error), self._key)}; check the URL") from None
        except (aiohttp.ClientConnectionError, aiohttp.ClientHttpProxyError) as error:
            raise Fault(self._describe(error), unreachable=isinstance(error, _UNREACHABLE)) from None
        except (aiohttp.ClientError, OSError) as error:
            raise Fault(self._describe(error)) from None
        if 200 <= status < 300:
            return self._parsed(raw, request)
        return self._failed(status, headers, raw)

    def _describe(self, error: Exception) -> str:
        if isinstance(error, aiohttp.ClientConnectorError):
            return one_line(f"cannot connect: {error.os_error.strerror or error.os_error}", self._key)
        return one_line(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__, self._key)

    def _parsed(self, raw: bytes, request: Request) -> Completion:
        try:
            data = json.loads(raw)
        except (ValueError, RecursionError):
            start = one_line(raw[:2000].decode("utf-8", "replace"), self._key, 60)
            raise Fault(f"the reply is not JSON: {start!r}") from None
        try:
            return read_reply(data, request)
        except Fault as fault:
            raise Fault(one_line(str(fault), self._key)) from None

    def _failed(self, status: int, headers: Mapping[str, str], raw: bytes) -> Completion:
        """The outcome of a reply that is not 200: returns a Completion, or raises Fault or EndpointRefused."""
        try:
            data = json.loads(raw)
        except (ValueError, RecursionError):
            data = raw[:2000].decode("utf-8", "replace")
        said = error_text(data, self._key)
        text = f"HTTP {status}: {said}" if said else f"HTTP {status}"
        code = data["error"].get("code") if isinstance(data, dict) and isinstance(data.get("error"), dict) else None
        if status in TOO_LONG and (code == "context_length_exceeded" or overflows(said)):
            return Completion(finish_reason="overflow")
        fix = _remedy(status, said, code, self.name)
        if status == 403 and not _MODERATED.search(said):
            fix = "check the key in MEMEVAL_API_KEY or OPENAI_API_KEY, and what it may be used for"
        if fix:
            raise EndpointRefused(f"{self.base_url}: {text}; {fix}")
        if status in _REPEAT or status >= 500:
            wait = retry_after(headers.get("Retry-After"), headers.get("retry-after-ms"))
            counted = status != 429 and not (status == 503 and wait is not None)
            raise Fault(text, throttled=status in _SLOW_DOWN, counted=counted, retry_after=wait)
        return Completion(error=text, finish_reason="error")


def proxy_for(base_url: str) -> str | None:
    """The proxy that HTTP_PROXY, HTTPS_PROXY and NO_PROXY name for a URL; never one for this machine itself."""
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    if host == "localhost" or host == "::1" or host.startswith("127.") or proxy_bypass(host):
        return None
    return getproxies().get(parts.scheme)


def _remedy(status: int, said: str, code: object, name: str) -> str:
    """How to mend a configuration that no repetition will mend; empty for everything else."""
    lower = said.lower()
    if status == 401:
        return "check the key in MEMEVAL_API_KEY or OPENAI_API_KEY"
    if status == 402 or (status == 429 and (code == "insufficient_quota" or "insufficient_quota" in lower)):
        return "the account has no credit left"
    if status == 404 or (status == 400 and "model" in lower and ("does not exist" in lower or "not found" in lower)):
        return f"check the model name '{name}' and the URL (most end in /v1)"
    if status == 405 or 300 <= status < 400:
        return "check the URL (most end in /v1)"
    if status == 400 and "tool-call-parser" in lower:
        return "start the server with tool calling on (vLLM: --enable-auto-tool-choice --tool-call-parser hermes)"
    return ""


async def _read(response: aiohttp.ClientResponse) -> bytes:
    pieces, size = [], 0
    while piece := await response.content.readany():
        pieces.append(piece)
        size += len(piece)
        if size > LARGEST_REPLY:
            raise Fault(f"the reply is larger than {LARGEST_REPLY} bytes")
    return b"".join(pieces)
