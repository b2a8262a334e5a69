"""`http:` agents: a server that gets each message as a POST request, or as a request of its own API (routes.py)."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from memeval import process, typed
from memeval.agent import Chunk, Query, Recall, Session
from memeval.agents.foreign import messages
from memeval.agents.foreign.agent import TIMEOUT, Foreign
from memeval.agents.foreign.messages import Begun
from memeval.agents.foreign.routes import CONTEXT, ListRoute, Routes, address, at, check_routes, filled
from memeval.errors import ForeignFailed, UsageError
from memeval.models.transport import authorities, proxy_for

CONNECT = 30.0
"""How many seconds connecting may take."""


class Server(Foreign):
    """A server that is running already: `--agent http:URL`.

    url: the server's address; each message goes to URL/METHOD. timeout: seconds for one reply. params: settings that `begin`
    carries, for the server itself; with routes, values for their templates. key: name of the environment variable whose
    value is sent as the bearer token. routes: the requests to a server with an API of its own. version: of the server, part
    of the run's identity; where it is left out, the server is asked.
    """

    def __init__(
        self,
        url: str,
        timeout: float = TIMEOUT,
        params: Mapping[str, Any] | None = None,
        key: str = "",
        routes: Mapping[str, Any] | None = None,
        version: str | int | float = "",
    ) -> None:
        parts = urlsplit(url) if isinstance(url, str) else urlsplit("")
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise UsageError(f"http: {url!r:.100} is not a server URL; write it as in http:http://127.0.0.1:8000")
        if parts.username or parts.password:
            raise UsageError("http: the address has a password in it; put that into a variable, and its name into 'key'")
        self.url = url.rstrip("/")
        super().__init__(timeout, params)
        if key and not os.environ.get(key):
            raise UsageError(f"{self.name}: key: the environment has no variable {key}; set it, or leave 'key' out")
        self.key, self.version = key, str(version)
        self.routes = typed.typed(routes, Routes, self.name, "routes") if routes else None
        if self.routes is not None:
            check_routes(self.routes, self.params, self.name)

    @property
    def name(self) -> str:
        return urlsplit(self.url).netloc.rpartition("@")[2]

    def reported_params(self) -> dict[str, str]:
        """The version that the server reports when it is asked to begin a probe context. Raises UsageError where it does not
        answer."""
        if self.version or self.routes is not None:
            return {}
        try:
            version = str(process.run(self._probe()).version)
        except (ForeignFailed, TimeoutError) as failed:
            reason = str(failed) or f"no reply within {self.timeout:g} s"
            raise UsageError(f"{self.name}: {reason}; is the server running?") from None
        return {"version": version} if version else {}

    async def _probe(self) -> Begun:
        post, context = Posts(self.url, self.key), f"version-{secrets.token_hex(4)}"
        try:
            await post.open("", "")
            async with asyncio.timeout(self.timeout):
                probe = {"id": 1, "method": "begin", "context": context, "probe": True}
                begun = messages.shaped(await post.ask(probe), 1, Begun)
                if "close" in begun.methods:
                    await post.ask({"id": 2, "method": "close", "context": context})
            return begun
        finally:
            await post.end()

    def transport(self, session: Session) -> Posts:
        return Posts(self.url, self.key) if self.routes is None else Mapped(self.url, self.key, self.routes, self.params)

    async def observe(self, chunk: Chunk) -> None:
        await super().observe(chunk)
        self._used()

    async def recall(self, query: Query) -> Recall:
        recalled = await super().recall(query)
        self._used()
        return recalled

    def _used(self) -> None:
        """Record an unknown cost, because a server with an API of its own does not report what it spends."""
        if self.routes is not None:
            self.session.spend()


class Posts:
    """A transport that sends messages as POST requests to URL/METHOD."""

    def __init__(self, url: str, key: str) -> None:
        self._url, self._key = url, key
        self._session: aiohttp.ClientSession | None = None
        self._proxy = proxy_for(url)

    async def open(self, base_url: str, token: str) -> None:
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        if self._key:
            headers["Authorization"] = f"Bearer {os.environ.get(self._key, '')}"
        self._session = aiohttp.ClientSession(
            headers=headers,
            connector=aiohttp.TCPConnector(ssl=authorities(self._url, self._proxy)),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )

    async def ask(self, message: Mapping[str, Any]) -> Any:
        return await self.request("POST", f"/{message['method']}", message)

    async def request(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request and return the JSON value of the reply, None where its body is empty. path: already encoded. Raises
        ForeignFailed."""
        if self._session is None:
            raise ForeignFailed("the connection to it has been closed")
        url = URL(self._url + path, encoded=True)
        sent: dict[str, Any] = {"proxy": self._proxy.url if self._proxy else None, "allow_redirects": False}
        sent |= {} if body is None else {"json": body}
        try:
            async with self._session.request(method, url, **sent) as response:
                raw = bytearray()
                async for block in response.content.iter_chunked(65536):
                    raw += block
                    if len(raw) > messages.LARGEST:
                        raise ForeignFailed(f"sent more than {messages.LARGEST:,} bytes in one reply")
        except (aiohttp.ClientError, OSError) as error:
            reason = "no connection" if isinstance(error, aiohttp.ClientConnectorError) else str(error)
            raise ForeignFailed(f"{method} {url.path}: {reason or type(error).__name__}") from None
        if response.status >= 300:
            raise ForeignFailed(f"{method} {url.path}: HTTP {response.status}: {messages.shown(bytes(raw))}")
        return messages.parse(bytes(raw)) if raw.strip() else None

    def stop(self) -> None:
        """Do nothing: the server has other contexts."""

    async def end(self) -> str:
        session, self._session = self._session, None
        if session is not None:
            await session.close()
        return ""


class Mapped(Posts):
    """A transport that sends requests of a server's own API in place of the messages, and makes its replies those of
    messages.py."""

    def __init__(self, url: str, key: str, routes: Routes, params: Mapping[str, Any]) -> None:
        super().__init__(url, key)
        self._routes, self._values = routes, dict(params)

    async def ask(self, message: Mapping[str, Any]) -> Any:
        method = message["method"]
        route = self._routes.by_method().get(method)
        found: dict[str, Any] = {"id": message["id"]}
        if method == "begin":
            self._values |= {name: message[name] for name in CONTEXT}
            found["methods"] = [name for name in ("finish", "memory", "close") if getattr(self._routes, name)]
        if route is not None:
            chunk, query = message.get("chunk", {}), message.get("query", {})
            values = {**self._values, **chunk, "chunk": chunk.get("id"), **query}
            verb, _, path = route.send.partition(" ")
            reply = await self.request(verb, address(path, values), filled(route.json, values))
            if method == "begin":
                self._values |= {name: at(reply, where) for name, where in route.keep.items()}
            if isinstance(route, ListRoute):
                found["items" if method == "recall" else "entries"] = self._items(route, reply)
        return found

    @staticmethod
    def _items(route: ListRoute, reply: Any) -> list[dict[str, Any]]:
        listed = at(reply, route.items)
        if not isinstance(listed, list):
            raise ForeignFailed(f"its reply has no list at '{route.items}'")
        items = []
        for entry in listed:
            item = {"text": at(entry, route.text)}
            item |= {key: at(entry, path) for key in ("id", "score") if (path := getattr(route, key))}
            if route.chunk:
                item["chunks"] = [at(entry, route.chunk)]
            items.append(item)
        return items
