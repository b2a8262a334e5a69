"""Requests of a server with an API of its own, from templates in an agent's card.

A template is text with names in braces, `/agents/{agent}/search?query={text}`. It is filled by replacing names with values
and in no other way; in an address values are percent-encoded, and a text that is one name alone takes its value as it is, a
number or a list. `{{` and `}}` are braces. Where something is in a reply is said by a path, `data.0.id`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Protocol
from urllib.parse import quote

from msgspec import Meta, Struct

from memeval.errors import ForeignFailed, UsageError, suggest

CONTEXT = ("context", "seed", "budget")
GIVEN: Mapping[str, tuple[str, ...]] = {
    "begin": CONTEXT,
    "observe": (*CONTEXT, "chunk", "text", "time", "tokens"),
    "finish": CONTEXT,
    "recall": (*CONTEXT, "text", "time"),
    "memory": CONTEXT,
    "close": CONTEXT,
}
"""Method -> names that its templates may have, besides those of `params` and of the `keep` of `begin`."""
_NAME = re.compile(r"\{\{|\}\}|\{(\w+)\}")


class Route(Struct, frozen=True, forbid_unknown_fields=True):
    """send: HTTP method and path, `POST /v1/agents`. json: the body. keep: name -> path in the reply, for templates."""

    send: Annotated[str, Meta(pattern=r"^(GET|POST|PUT|PATCH|DELETE) /\S*$")]
    json: Any = None
    keep: dict[str, str] = {}


class ListRoute(Route, frozen=True, forbid_unknown_fields=True):
    """A route whose reply holds a list. items: path of the list in the reply, "" where it is the reply. text, id, score,
    chunk: paths in one of its items; a path that is "" is not there."""

    items: str = ""
    text: str = "text"
    id: str = ""
    score: str = ""
    chunk: str = ""


class Routes(Struct, frozen=True, forbid_unknown_fields=True):
    observe: Route
    recall: ListRoute
    begin: Route | None = None
    finish: Route | None = None
    memory: ListRoute | None = None
    close: Route | None = None

    def named(self) -> dict[str, Route]:
        routes = {method: getattr(self, method) for method in GIVEN}
        return {method: route for method, route in routes.items() if route is not None}


def check_routes(routes: Routes, params: Mapping[str, Any], name: str) -> None:
    """Raises UsageError for a name in a template that has no value."""
    kept = routes.begin.keep if routes.begin else {}
    for method, route in routes.named().items():
        known = {*GIVEN[method], *params, *(kept if method != "begin" else {})}
        for used in names((route.send, route.json)):
            if used not in known:
                has = f" (known: {', '.join(sorted(known))})"
                raise UsageError(f"{name}: routes.{method}: no value for '{{{used}}}'{suggest(used, known)}{has}")


def names(template: Any) -> Iterator[str]:
    """The names in a template, or in all texts of a body."""
    if isinstance(template, str):
        yield from (found[1] for found in _NAME.finditer(template) if found[1])
    elif isinstance(template, Mapping):
        for part in (*template, *template.values()):
            yield from names(part)
    elif isinstance(template, (list, tuple)):
        for part in template:
            yield from names(part)


def filled(template: Any, values: Mapping[str, Any], encode: Callable[[str], str] = str) -> Any:
    """A template, or a body with templates, with its values."""
    if isinstance(template, Mapping):
        return {filled(key, values): filled(part, values) for key, part in template.items()}
    if isinstance(template, (list, tuple)):
        return [filled(part, values) for part in template]
    if not isinstance(template, str):
        return template
    whole = _NAME.fullmatch(template)
    if whole and whole[1] and encode is str:
        return values[whole[1]]

    def value(found: re.Match[str]) -> str:
        return encode(_text(values[found[1]])) if found[1] else found[0][0]

    return _NAME.sub(value, template)


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def at(value: Any, path: str) -> Any:
    """What is at a path of a JSON value. Raises ForeignFailed."""
    for step in path.split(".") if path else ():
        try:
            value = value[int(step)] if isinstance(value, list) else value[step]
        except (KeyError, IndexError, ValueError, TypeError):
            raise ForeignFailed(f"its reply has nothing at '{path}'") from None
    return value


class Requests(Protocol):
    async def open(self, base_url: str, token: str) -> None: ...

    async def request(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON value of the reply."""

    def stop(self) -> None: ...

    async def end(self) -> str: ...


@dataclass
class Mapped:
    """The wire to such a server: messages become its requests, and its replies become those of messages.py."""

    routes: Routes
    params: Mapping[str, Any]
    posts: Requests
    _values: dict[str, Any] = field(default_factory=dict)

    async def open(self, base_url: str, token: str) -> None:
        await self.posts.open(base_url, token)

    def stop(self) -> None:
        self.posts.stop()

    async def end(self) -> str:
        return await self.posts.end()

    async def ask(self, message: Mapping[str, Any]) -> Any:
        method = message["method"]
        route = self.routes.named().get(method)
        if method == "begin":
            facts = {name: message[name] for name in CONTEXT}
            self._values = {**self.params, **facts}
        reply = None if route is None else await self._sent(route, message)
        if route is not None and method == "begin":
            self._values |= {name: at(reply, path) for name, path in route.keep.items()}
        found: dict[str, Any] = {"id": message["id"]}
        if method == "begin":
            found["methods"] = [name for name in ("finish", "memory", "close") if getattr(self.routes, name)]
        if isinstance(route, ListRoute):
            found["items" if method == "recall" else "entries"] = self._items(route, reply)
        return found

    async def _sent(self, route: Route, message: Mapping[str, Any]) -> Any:
        chunk, query = message.get("chunk", {}), message.get("query", {})
        values = {**self._values, **chunk, "chunk": chunk.get("id"), **query}
        verb, _, path = route.send.partition(" ")
        return await self.posts.request(verb, filled(path, values, _encoded), filled(route.json, values))

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


def _encoded(text: str) -> str:
    return quote(text, safe="")
