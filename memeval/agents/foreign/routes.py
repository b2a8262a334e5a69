"""Requests of a server with an API of its own, from templates in an agent's card.

A template is text with names in braces, `/agents/{agent}/search?query={text}`. It is filled by replacing names with values
and in no other way; in an address values are percent-encoded, and a text that is one name alone takes its value as it is, a
number or a list. `{{` and `}}` are braces. Where something is in a reply is said by a path, `data.0.id`.
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


def filled(template: Any, values: Mapping[str, Any]) -> Any:
    """A template, or a body with templates, with its values."""
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
    """The path of a request, its values percent-encoded."""
    return str(filled(template, {name: quote(_text(value), safe="") for name, value in values.items()}))


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
