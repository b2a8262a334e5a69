"""What servers do differently, read from the tables of `_data/servers.yaml`: per table a class and a function that reads it.

refusals        an error -> what to do about it
finish_reasons  how a server spells why a reply ended -> stop, length, content_filter, tool_calls, overflow, broken
tool_calls      how models write tool calls into their text (toolcalls.py reads them)
switches        a model's name -> the parameters that switch its thinking on or off

Each row has an `example`, the shape of a real reply; tests/models/test_rules.py runs them all.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from memeval.yamlfile import read_yaml

LONGEST = 4000
"""Characters of an error's text in which patterns are looked for."""


@dataclass(frozen=True, slots=True)
class Refusal:
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
    rename: Mapping[str, str] = field(default_factory=dict)
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


@dataclass(frozen=True, slots=True)
class Spelling:
    """One way in which models write tool calls. starts, ends: patterns. holds: what is between them, `calls`, `arguments` or
    `pairs`; `json` or `python` where there are no markers; `name` where `starts` is what decorates a function's name."""

    name: str
    starts: re.Pattern[str]
    holds: str
    example: str
    ends: re.Pattern[str] | None = None


@dataclass(frozen=True, slots=True)
class Switch:
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
    word = spelt.rpartition(".")[2].lower()
    return finish_reasons().get(word) or next((gives for gives, match in _finish_patterns() if match.search(word)), spelt)


def switch(name: str, on: bool) -> Mapping[str, Any]:
    """The parameters that switch the thinking of the model `name` on or off."""
    row = next(row for row in switches() if row.match is None or row.match.search(name))
    return row.on if on else row.off


@functools.cache
def refusals() -> tuple[Refusal, ...]:
    """The rows, those with a pattern first."""
    droppable_names = "|".join(name.replace("_", "_?") for name in sorted(droppable()))  # some write camelCase
    rows = []
    for row in _table("refusals"):
        status = row.pop("status", None)
        row = _compiled(row, "match", "unless", param=droppable_names)
        also = tuple((number, text) for number, text in row.pop("also", ()))
        rows.append(Refusal(**row, status=frozenset(status) if status else None, also=also))
    return tuple(sorted(rows, key=lambda row: row.match is None))


@functools.cache
def droppable() -> frozenset[str]:
    """The parameters that may be left out of a call when a server does not take them."""
    return frozenset(_tables()["droppable"])


@functools.cache
def finish_reasons() -> Mapping[str, str]:
    """spelling in lower case -> our word"""
    return {str(spelt): row["gives"] for row in _table("finish_reasons") for spelt in row["spelt"]}


@functools.cache
def _finish_patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    rows = (_compiled(row, "match") for row in _table("finish_reasons"))
    return tuple((row["gives"], row["match"]) for row in rows if "match" in row)


@functools.cache
def spellings() -> tuple[Spelling, ...]:
    """How calls are written, in the order in which they are tried."""
    return tuple(Spelling(**_compiled(row, "starts", "ends")) for row in _table("tool_calls"))


@functools.cache
def switches() -> tuple[Switch, ...]:
    """The families, in the order in which they are tried; the last fits any name."""
    return tuple(Switch(**_compiled(row, "match")) for row in _table("switches"))


def examples(table: str) -> list[dict[str, Any]]:
    """The rows of a table as they are written, for tests."""
    return _table(table)


def _excepts(unless: re.Pattern[str], said: str) -> bool:
    found = unless.search(said)
    if found is None:
        return False
    groups = found.groupdict()
    numbers = groups.get("asked"), groups.get("most")
    return numbers[0] is None or numbers[1] is None or int(numbers[0]) >= int(numbers[1])


def _compiled(row: dict[str, Any], *columns: str, param: str = "") -> dict[str, Any]:
    """The row with its patterns compiled, without case; a list is of alternatives, PARAM any parameter of `param`."""
    for column in columns:
        if (pattern := row.get(column)) is not None:
            text = pattern if isinstance(pattern, str) else "|".join(pattern)
            row[column] = re.compile(text.replace("PARAM", param), re.IGNORECASE)
    return row


def _table(name: str) -> list[dict[str, Any]]:
    return [dict(row) for row in _tables()[name]]


@functools.cache
def _tables() -> Mapping[str, Any]:
    return read_yaml(Path(str(files("memeval"))) / "_data" / "servers.yaml")
