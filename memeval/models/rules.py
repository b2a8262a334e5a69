"""Differences between servers, from the tables of `_data/servers.yaml`: per table a class and a function that reads it.

refusals        an error -> what to do about it
finish_reasons  a server's spelling of a finish reason -> stop, length, content_filter, tool_calls, overflow, broken
tool_calls      how models write tool calls in their text (toolcalls.py reads them)
decorations     what they write around a function's name
switches        a model's name -> the parameters that switch its thinking on or off

Each row has an `example`, in the form of a real reply; tests/models/test_rules.py runs them all.
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
"""Most characters of an error's text in which patterns are searched."""


class Refusal(Struct, frozen=True, forbid_unknown_fields=True):
    """One kind of refusal.

    match, unless: patterns; the row applies if `match` is found and `unless` is not (an `unless` with the groups
    `asked` and `most` counts only if asked >= most). status: HTTP statuses; None = any. tools: applies only to calls
    with tools. does: `stop` the run with `remedy` ({name} and {url} are filled in), `adapt` the request, `finish` as a
    reply with `finish`, `wait` as long as the server asks, `retry`. slower: make fewer calls at once. `adapt` changes:
    `rename` (parameter -> parameter), `stream`, `limit` (lower the length limit to the number found), or else drops the
    parameter in the group `param`. also: further wordings of real servers, (status, text).
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
        """The named groups that `match` found in an error's text; None if the row does not apply."""
        if (self.status is not None and status not in self.status) or (self.tools and not tools):
            return None
        found = self.match.search(said) if self.match else None
        if (self.match and not found) or (self.unless and _excepts(self.unless, said)):
            return None
        return {key: value for key, value in found.groupdict().items() if value} if found else {}


class FinishReason(Struct, frozen=True, forbid_unknown_fields=True):
    """Spellings of one finish reason, in lower case; match: a pattern for spellings that no row lists."""

    gives: str
    spelt: frozenset[str]
    example: str
    match: re.Pattern[str] | None = None


class Spelling(Struct, frozen=True, forbid_unknown_fields=True):
    """One notation of tool calls. starts, ends: patterns of the markers. holds: the content between them, `calls`,
    `arguments` or `pairs`; `json` or `python` without markers."""

    name: str
    starts: re.Pattern[str]
    holds: str
    example: str
    ends: re.Pattern[str] | None = None


class Decoration(Struct, frozen=True, forbid_unknown_fields=True):
    """Text before or after a function's name that is not part of it."""

    name: str
    match: re.Pattern[str]
    example: str


class Switch(Struct, frozen=True, forbid_unknown_fields=True):
    """The parameters that switch one family's thinking on and off."""

    name: str
    on: Mapping[str, Any]
    off: Mapping[str, Any]
    example: str
    match: re.Pattern[str] | None = None


def refusal(status: int, said: str, tools: bool = False) -> tuple[Refusal, Mapping[str, str]] | None:
    """The row for an error with HTTP status `status` and the text `said` ("code type param: message"), and the groups
    of its pattern; None if no row matches. tools: the call offered tools."""
    text = said if len(said) <= LONGEST else said[: LONGEST // 2] + said[-LONGEST // 2 :]
    for row in refusals():
        found = row.groups(status, text, tools)
        if found is not None:
            return row, found
    return None


def finish_reason(spelt: object) -> str:
    """The finish reason in memeval's words; an unknown spelling stays unchanged, a missing one means `stop`."""
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
    """The parameters that may be dropped if a server does not accept them."""
    return frozenset(_tables()["droppable"])


@functools.cache
def finish_reasons() -> tuple[FinishReason, ...]:
    return _rows("finish_reasons", FinishReason)


@functools.cache
def spellings() -> tuple[Spelling, ...]:
    """The notations of calls, in the order in which they are tried."""
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
    """A case-insensitive pattern: a list means alternatives, PARAM any parameter that may be dropped."""
    text = given if isinstance(given, str) else "|".join(given)
    parameters = "|".join(name.replace("_", "_?") for name in sorted(droppable()))  # some write camelCase
    return re.compile(text.replace("PARAM", parameters), re.IGNORECASE)


@functools.cache
def _tables() -> Mapping[str, Any]:
    return read_yaml(Path(str(files("memeval"))) / "_data" / "servers.yaml")
