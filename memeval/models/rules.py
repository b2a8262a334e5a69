"""What servers do differently, read from the tables of `_data/servers.yaml`: per table a class and a function that reads it.

refusals        an error -> what to do about it
finish_reasons  how a server spells why a reply ended -> stop, length, content_filter, tool_calls, overflow, broken
tool_calls      how models write tool calls into their text (toolcalls.py reads them)
decorations     what they write around a function's name
switches        a model's name -> the parameters that switch its thinking on or off

Each row has an `example`, the shape of a real reply; tests/models/test_rules.py runs them all.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from memeval.yamlfile import read_yaml

Row = TypeVar("Row")

LONGEST = 4000
"""Characters of an error's text in which patterns are looked for."""


class Refusal(Struct, frozen=True, forbid_unknown_fields=True):
    """One way in which servers refuse a call.

    match, unless: patterns; the row applies where `match` is found and `unless` is not (an `unless` with the groups `asked`
    and `most` counts only where asked >= most). status: HTTP statuses; None = any. tools: applies only to calls with tools.
    does: `stop` the run with `remedy` ({name} and {url} are filled in), `adapt` the request, `finish` as a reply with
    `finish`, `wait` for as long as the server says, `retry`. slower: fewer calls at once. What `adapt` changes: `rename`
    (parameter -> parameter), `stream`, `limit` (lower the length limit to the number found), else the parameter that the
    group `param` names is left out. also: further wordings of real servers, (status, text).
    """

    name: str
    does: str
    example: Mapping[str, Any]
    match: re.Pattern[str] | None = None
    unless: re.Pattern[str] | None = None
    status: frozenset[int] | None = None
    tools: bool = False
    remedy: str = ""
    rename: Mapping[str, str] = {}
    stream: bool = False
    limit: bool = False
    finish: str = ""
    slower: bool = False
    also: tuple[tuple[int, str], ...] = ()

    def groups(self, status: int, said: str, tools: bool) -> Mapping[str, str] | None:
        """The named groups that `match` found in an error's text; None where the row does not apply."""
        if (self.status is not None and status not in self.status) or (self.tools and not tools):
            return None
        found = self.match.search(said) if self.match else None
        if (self.match and not found) or (self.unless and _excepts(self.unless, said)):
            return None
        return {key: value for key, value in found.groupdict().items() if value} if found else {}


class FinishReason(Struct, frozen=True, forbid_unknown_fields=True):
    """Spellings of one of our words, in lower case; match: of those that no row lists."""

    gives: str
    spelt: frozenset[str]
    example: str
    match: re.Pattern[str] | None = None


class Spelling(Struct, frozen=True, forbid_unknown_fields=True):
    """One way in which models write tool calls. starts, ends: patterns. holds: what is between them, `calls`, `arguments` or
    `pairs`; `json` or `python` where there are no markers."""

    name: str
    starts: re.Pattern[str]
    holds: str
    example: str
    ends: re.Pattern[str] | None = None


class Decoration(Struct, frozen=True, forbid_unknown_fields=True):
    """What stands before or behind a function's name and is no part of it."""

    name: str
    match: re.Pattern[str]
    example: str


class Switch(Struct, frozen=True, forbid_unknown_fields=True):
    """How one family's thinking is switched on and off: parameters of the body."""

    name: str
    on: Mapping[str, Any]
    off: Mapping[str, Any]
    example: str
    match: re.Pattern[str] | None = None


def refusal(status: int, said: str, tools: bool = False) -> tuple[Refusal, Mapping[str, str]] | None:
    """The row for an error of HTTP status `status` with the text `said` ("code type param: message"), and what its pattern
    found; None where no row knows it. tools: the call offered tools."""
    text = said if len(said) <= LONGEST else said[: LONGEST // 2] + said[-LONGEST // 2 :]
    for row in refusals():
        found = row.groups(status, text, tools)
        if found is not None:
            return row, found
    return None


def finish_reason(spelt: object) -> str:
    """Why a reply ended, in our words; an unknown spelling stays as it is, nothing at all means `stop`."""
    if not isinstance(spelt, str) or not spelt:
        return "stop"
    word, rows = spelt.rpartition(".")[2].lower(), finish_reasons()
    listed = (row.gives for row in rows if word in row.spelt)
    alike = (row.gives for row in rows if row.match and row.match.search(word))
    return next(itertools.chain(listed, alike), spelt)


def switch(name: str, on: bool) -> Mapping[str, Any]:
    """The parameters that switch the thinking of the model `name` on or off."""
    row = next(row for row in switches() if row.match is None or row.match.search(name))
    return row.on if on else row.off


@functools.cache
def refusals() -> tuple[Refusal, ...]:
    """The rows, those with a pattern first."""
    return tuple(sorted(_rows("refusals", Refusal), key=lambda row: row.match is None))


@functools.cache
def droppable() -> frozenset[str]:
    """The parameters that may be left out of a call when a server does not take them."""
    return frozenset(_tables()["droppable"])


@functools.cache
def finish_reasons() -> tuple[FinishReason, ...]:
    return _rows("finish_reasons", FinishReason)


@functools.cache
def spellings() -> tuple[Spelling, ...]:
    """How calls are written, in the order in which they are tried."""
    return _rows("tool_calls", Spelling)


@functools.cache
def decorations() -> tuple[Decoration, ...]:
    return _rows("decorations", Decoration)


@functools.cache
def switches() -> tuple[Switch, ...]:
    """The families, in the order in which they are tried; the last fits any name."""
    return _rows("switches", Switch)


def _excepts(unless: re.Pattern[str], said: str) -> bool:
    found = unless.search(said)
    if found is None:
        return False
    groups = found.groupdict()
    numbers = groups.get("asked"), groups.get("most")
    return numbers[0] is None or numbers[1] is None or int(numbers[0]) >= int(numbers[1])


def _rows(table: str, kind: type[Row]) -> tuple[Row, ...]:
    return tuple(msgspec.convert(row, kind, dec_hook=_compiled) for row in _tables()[table])


def _compiled(kind: type, given: Any) -> re.Pattern[str]:
    """A pattern, without case: a list is of alternatives, PARAM any parameter that may be left out."""
    text = given if isinstance(given, str) else "|".join(given)
    parameters = "|".join(name.replace("_", "_?") for name in sorted(droppable()))  # some write camelCase
    return re.compile(text.replace("PARAM", parameters), re.IGNORECASE)


@functools.cache
def _tables() -> Mapping[str, Any]:
    return read_yaml(Path(str(files("memeval"))) / "_data" / "servers.yaml")
