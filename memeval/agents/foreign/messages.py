"""What a foreign agent replies: JSON that is bounded, cleaned and typed here, before anything relies on it."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from memeval.agent import Item
from memeval.errors import ForeignFailed
from memeval.records.clean import clean

LARGEST = 32 * 2**20
"""Bytes of one reply; a memory of ten million tokens, listed whole, has about as many."""
SHOWN = 300
"""Characters of what a program or a server says that are shown in a failure."""

Optional = Literal["finish", "answer", "memory", "fork", "close"]
"""The methods that an agent need not have; `begin` says which of them it has."""
Whole = Annotated[int, Meta(ge=0, le=10**15)]


class Reported(ForeignFailed):
    """The agent says itself that it could not do something; it can be asked for other things."""


class Spent(Struct, frozen=True):
    """What was spent elsewhere than through the proxy. usd: None where it is unknown."""

    tokens: Whole = 0
    usd: Annotated[float, Meta(ge=0)] | None = None
    role: Annotated[str, Meta(min_length=1, max_length=40)] = "service"


class Reply(Struct, frozen=True, kw_only=True):
    """What every reply may hold."""

    spent: tuple[Spent, ...] = ()


class Begun(Reply, frozen=True, kw_only=True):
    """version: of a server, part of a run's identity."""

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
    """tokens: by type. entries: everything that is held. Where tokens are left out, those of the entries are counted."""

    tokens: dict[str, Whole] | None = None
    entries: tuple[Entry, ...] | None = None


Shape = TypeVar("Shape", bound=Struct)


def parse(raw: bytes) -> Any:
    """The JSON value of a reply, cleaned (records/clean.py). Raises ForeignFailed."""
    try:
        return clean(json.loads(raw.decode("utf-8", "replace")))
    except (ValueError, RecursionError):
        raise ForeignFailed(f"sent what is not JSON: {shown(raw)}") from None


def shaped(reply: Any, number: int, shape: type[Shape]) -> Shape:
    """A reply to the message of that number. Raises ForeignFailed, with the field at fault; Reported."""
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
