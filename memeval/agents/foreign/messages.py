"""The replies of a foreign agent: their JSON is limited in size, cleaned and typed here, before anything relies on it."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from memeval.agent import Item
from memeval.errors import ForeignFailed
from memeval.records.clean import clean

LARGEST = 32 * 2**20
"""The most bytes of one reply; a memory of ten million tokens, listed whole, has about as many."""
SHOWN = 300
"""The most characters of output from a program or a server that a failure shows."""

Optional = Literal["finish", "answer", "memory", "fork", "close"]
"""The methods that an agent need not have; the reply to `begin` names those that it has."""
Whole = Annotated[int, Meta(ge=0, le=10**15)]


class Reported(ForeignFailed):
    """The agent itself reported an error; the connection stays open for other messages."""


class Spent(Struct, frozen=True):
    """What the agent spent outside the proxy. usd: None where it is unknown."""

    tokens: Whole = 0
    usd: Annotated[float, Meta(ge=0)] | None = None
    role: Annotated[str, Meta(min_length=1, max_length=40)] = "service"


class Reply(Struct, frozen=True, kw_only=True):
    """The fields that every reply may have."""

    spent: tuple[Spent, ...] = ()


class Begun(Reply, frozen=True, kw_only=True):
    """The reply to `begin`. methods: optional ones that the agent has. version: of the server, part of a run's identity."""

    methods: tuple[Optional, ...] = ()
    version: str | int | float = ""


class Entry(Struct, frozen=True):
    text: str
    chunks: tuple[str, ...] = ()
    id: str | int | None = None
    score: float | None = None
    kind: str | None = None

    def item(self) -> Item:
        return Item(self.text, self.chunks, None if self.id is None else str(self.id), self.score, self.kind)


class Recalled(Reply, frozen=True, kw_only=True):
    items: tuple[Entry, ...]
    order: Literal["rank", "stream"] = "rank"


class Answered(Reply, frozen=True, kw_only=True):
    text: str


class Held(Reply, frozen=True, kw_only=True):
    """The reply to `memory`. tokens: by type; where they are left out, memeval counts those of the entries. entries:
    everything that the memory holds."""

    tokens: dict[str, Whole] | None = None
    entries: tuple[Entry, ...] | None = None


Shape = TypeVar("Shape", bound=Struct)


def parse(raw: bytes) -> Any:
    """The JSON value of a reply, cleaned (records/clean.py). Raises ForeignFailed where it is not JSON."""
    try:
        return clean(json.loads(raw.decode("utf-8", "replace")))
    except (ValueError, RecursionError):
        raise ForeignFailed(f"sent what is not JSON: {shown(raw)}") from None


def shaped(reply: Any, number: int, shape: type[Shape]) -> Shape:
    """Check a reply to the message with this number, and return it as `shape`. Raises ForeignFailed, which names the field
    at fault, and Reported for an error that the agent reports."""
    if not isinstance(reply, dict):
        raise ForeignFailed(f"sent {shown(json.dumps(reply).encode())}, expected a JSON object")
    if reply.get("id") != number:
        raise ForeignFailed(f"replied with id {shown(json.dumps(reply.get('id')).encode())}, expected {number}")
    if reply.get("error") is not None:
        raise Reported(f"reported an error: {shown(str(reply['error']).encode())}")
    try:
        return msgspec.convert(reply, shape)
    except msgspec.ValidationError as error:
        raise ForeignFailed(f"sent a reply that does not fit: {shown(str(error).encode())}") from None


def shown(raw: bytes) -> str:
    """The start of what was sent, on one line, without control characters."""
    return one_line(raw[: 4 * SHOWN])[:SHOWN]


def one_line(raw: bytes) -> str:
    text = raw.decode("utf-8", "replace")
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
