"""Requests to a server with an API of its own, from templates in an agent's card.

A template is a text with names in braces, `/agents/{agent}/search?query={text}`. Each name is replaced by its value; nothing
else is evaluated. In an address, values are percent-encoded. A text that is only one name becomes the value itself, which
may be a number or a list. `{{` and `}}` are braces. A path such as `data.0.id` names a place in a reply.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any
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
"""Method -> names that its templates may use, besides those of `params` and of `keep` in the route of `begin`."""
_NAME = re.compile(r"\{\{|\}\}|\{(\w+)\}")


class Route(Struct, frozen=True, forbid_unknown_fields=True):
    """A request. send: HTTP method and path, `POST /v1/agents`. json: the body. keep: name -> path in the reply of a value
    that later templates may use."""

    send: Annotated[str, Meta(pattern=r"^(GET|POST|PUT|PATCH|DELETE) /\S*$")]
    json: Any = None
    keep: dict[str, str] = {}


class ListRoute(Route, frozen=True, forbid_unknown_fields=True):
    """A request whose reply holds a list. items: path of the list in the reply, "" if the reply is the list. text, id,
    score, chunk: paths in each item; "" if items do not have it."""

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

    def by_method(self) -> dict[str, Route]:
        routes = {method: getattr(self, method) for method in GIVEN}
        return {method: route for method, route in routes.items() if route is not None}


def check_routes(routes: Routes, params: Mapping[str, Any], name: str) -> None:
    """Check that all names in templates have values. Raises UsageError for one that has none."""
    kept = routes.begin.keep if routes.begin else {}
    for method, route in routes.by_method().items():
        known = {*GIVEN[method], *params, *(kept if method != "begin" else {})}
        for used in names((route.send, route.json)):
            if used not in known:
                has = f" (known: {', '.join(sorted(known))})"
                raise UsageError(f"{name}: routes.{method}: no value for '{{{used}}}'{suggest(used, known)}{has}")


def names(template: Any) -> Iterator[str]:
    """The names in a template, or in all templates of a body."""
    if isinstance(template, str):
        yield from (found[1] for found in _NAME.finditer(template) if found[1])
    elif isinstance(template, Mapping):
        for part in (*template, *template.values()):
            yield from names(part)
    elif isinstance(template, (list, tuple)):
        for part in template:
            yield from names(part)


def filled(template: Any, values: Mapping[str, Any]) -> Any:
    """Fill a template, or all templates of a body, with values."""
    if isinstance(template, Mapping):
        return {filled(key, values): filled(part, values) for key, part in template.items()}
    if isinstance(template, (list, tuple)):
        return [filled(part, values) for part in template]
    if not isinstance(template, str):
        return template
    whole = _NAME.fullmatch(template)
    if whole and whole[1]:
        return values[whole[1]]
    return _NAME.sub(lambda found: _text(values[found[1]]) if found[1] else found[0][0], template)


def address(template: str, values: Mapping[str, Any]) -> str:
    """The path of a request, with percent-encoded values."""
    return str(filled(template, {name: quote(_text(value), safe="") for name, value in values.items()}))


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def at(value: Any, path: str) -> Any:
    """The value at a path in a JSON value. Raises ForeignFailed where there is none."""
    for step in path.split(".") if path else ():
        try:
            value = value[int(step)] if isinstance(value, list) else value[step]
        except (KeyError, IndexError, ValueError, TypeError):
            raise ForeignFailed(f"its reply has nothing at '{path}'") from None
    return value
