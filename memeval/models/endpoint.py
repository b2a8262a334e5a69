"""Models behind an OpenAI-compatible `/chat/completions`, over a thin aiohttp client.

An error becomes a `Fault` (the limiter repeats the attempt), a Completion with `error` (this request is bad), or
EndpointRefused (every request would be bad); the tables of rules.py decide. The key is only in the session's headers.
"""

from __future__ import annotations

import io
import json
import socket
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import aiohttp
from yarl import URL

from memeval import __version__
from memeval.errors import UsageError
from memeval.models import streamed, transport
from memeval.models.adaptive import Adaptive
from memeval.models.call_json import wire
from memeval.models.completion import Completion, Request
from memeval.models.faults import EndpointRefused, Fault, error_message, outcome
from memeval.models.limits import Limiter
from memeval.models.reply import one_line, read_reply

LARGEST_REPLY = 64 * 2**20  # bytes; larger than any reply, small enough for memory
HEALTH_SECONDS = 10.0
CONNECT_SECONDS = 20.0
_PIECEWISE = 2**20  # bytes; larger bodies are sent in pieces
_NO_SUCH_HOST = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}


class EndpointModel(Adaptive):
    """The model `name` at `base_url` (checked, without a trailing slash). The endpoint's models share `limiter`.

    Raises UsageError for a proxy or headers in the environment that cannot be used.
    """

    path = "chat/completions"

    def __init__(self, name: str, base_url: str, key: str, limiter: Limiter) -> None:
        super().__init__(name, limiter)
        self.base_url = base_url
        self.identity = f"{base_url} {name}"
        self._key = key
        self._proxy = transport.proxy_for(base_url)
        self._url = URL(f"{base_url}/{self.path}")
        self._headers = transport.headers(base_url)
        self._session: aiohttp.ClientSession | None = None
        self._health = self._healthy

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _read(self, data: Any, request: Request) -> Completion:
        """Turn the decoded body of a reply into a Completion. Raises Fault if it is not a reply."""
        return read_reply(data, request)

    def _encoded(self, body: Mapping[str, Any]) -> bytes:
        """Encode JSON as UTF-8. Lone surrogates, which UTF-8 cannot represent, become `?`."""
        try:
            return wire(body).encode("utf-8", "replace")
        except (TypeError, ValueError) as error:
            raise UsageError(f"model '{self.name}': its parameters cannot be sent as JSON ({error})") from None

    async def _post(self, body: dict[str, Any], request: Request) -> Completion:
        raw_body = self._encoded(body)
        data = raw_body if len(raw_body) < _PIECEWISE else io.BytesIO(raw_body)
        responded = False
        try:
            async with self._request("POST", self._url, data=data) as response:
                responded, status, headers = True, response.status, response.headers
                raw = await _received(response)
        except aiohttp.ClientConnectorCertificateError as error:
            raise EndpointRefused(f"{self.base_url}: {self._line(str(error))}; {transport.UNTRUSTED}") from None
        except (aiohttp.ClientConnectorError, aiohttp.ServerTimeoutError, aiohttp.ClientHttpProxyError) as error:
            said, cause = self._cannot_connect(error), getattr(error, "os_error", None)
            if isinstance(cause, socket.gaierror) and cause.errno in _NO_SUCH_HOST and not self._limiter.responded:
                raise EndpointRefused(f"{self.base_url}: {said}; check the host name in the URL") from None
            raise Fault(said, cost=0, responded=False) from None
        except (aiohttp.ClientError, OSError) as error:
            text = self._line(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__, 120)
            raise Fault(f"the connection was lost ({text})", responded=responded, slower=True) from None
        return self._completion(status, headers, raw, request)

    def _completion(self, status: int, headers: Mapping[str, str], raw: bytes, request: Request) -> Completion:
        """The Completion of a server's response. Raises like `_post`."""
        try:
            data: Any = streamed.joined(raw) if streamed.is_stream(raw) else json.loads(raw)
        except (ValueError, RecursionError):
            data = raw[:2000].decode("utf-8", "replace")
            if 200 <= status < 300:
                raise Fault(f"the reply is not JSON: {self._line(data, 60)!r}") from None
        failed = data.get("error") if isinstance(data, dict) and not data.get("choices") and not data.get("data") else None
        if 200 <= status < 300 and not failed:
            try:
                return self._read(data, request)
            except Fault as fault:
                raise Fault(self._line(str(fault))) from None
        if 200 <= status < 300:  # some gateways send the errors of the servers behind them with status 200
            code = failed.get("code") if isinstance(failed, dict) else None
            status = code if isinstance(code, int) and 400 <= code < 600 else 500
        message, codes = error_message(data)
        said = self._line(message)
        text = f"HTTP {status}: {said}" if said else f"HTTP {status}"
        return outcome(status, headers, f"{codes}: {message}", text, bool(request.tools))

    async def listed(self, seconds: float) -> bytes | None:
        """The endpoint's list of its models, as sent: b"" for an error status; None without a response within
        `seconds`."""
        limits = aiohttp.ClientTimeout(total=seconds)
        try:
            async with self._request("GET", URL(f"{self.base_url}/models"), timeout=limits) as response:
                return await _received(response) if response.status == 200 else b""
        except (aiohttp.ClientError, OSError, TimeoutError, Fault):
            return None

    async def _healthy(self) -> bool:
        """Whether the endpoint responds at all, with any status."""
        return await self.listed(min(HEALTH_SECONDS, self._limiter.policy.look)) is not None

    def _request(self, method: str, url: URL, **options: Any) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        session = self._session or self._open()
        proxy = self._proxy.url if self._proxy else None
        return session.request(method, url, allow_redirects=False, proxy=proxy, **options)

    def _open(self) -> aiohttp.ClientSession:
        headers = {"Content-Type": "application/json", "Accept": "application/json", "Accept-Encoding": "identity"}
        headers["User-Agent"] = f"memeval/{__version__}"
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        trusted = transport.authorities(self.base_url, self._proxy)
        self._session = aiohttp.ClientSession(
            headers={**headers, **self._headers},
            # uvicorn, in front of most model servers, drops idle connections after 5 s: close them before that
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=4.0, ttl_dns_cache=300, ssl=trusted),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self._session

    def _cannot_connect(self, error: Exception) -> str:
        cause = error.os_error.strerror or error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
        place = f" to {self._proxy.named}" if self._proxy else ""
        return f"cannot connect{place}: {self._line(str(cause) or type(error).__name__)}"

    def _line(self, text: str, longest: int = 200) -> str:
        """A message as one line, without the key and without the values of secret headers."""
        for value in self._headers.values():
            text = text.replace(value, "[header]") if len(value) >= 6 else text
        return one_line(text, self._key, longest)


async def _received(response: aiohttp.ClientResponse) -> bytes:
    pieces, size = [], 0
    while piece := await response.content.readany():
        pieces.append(piece)
        size += len(piece)
        if size > LARGEST_REPLY:
            raise Fault(f"the reply is larger than {LARGEST_REPLY} bytes")
    return b"".join(pieces)
