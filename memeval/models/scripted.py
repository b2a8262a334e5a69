"""Replies for tests: a list, a function, or rules in a JSONL file. It records what it was asked.

A file holds one rule per line: `{"contains": "text", "reply": "..."}`. The first rule whose `contains` stands anywhere in
the messages answers; a rule without it always does. A reply is a string or `{"text", "tool_calls": [{"name",
"arguments"}]}`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from memeval.errors import UsageError, suggest
from memeval.models.completion import Completion, Request, ToolCall, Usage
from memeval.models.reply import estimate
from memeval.models.toolcalls import parse_text

Reply = str | Completion
Script = Sequence[Reply] | Callable[[Request], Reply]


class ScriptedModel:
    """`script`: replies in the order of the calls, or a function of the request. A string becomes a Completion whose tool
    calls, if the request offers tools, are read from the text. `requests`: everything it was asked, in order."""

    def __init__(self, script: Script, identity: str = "scripted") -> None:
        self.identity = identity
        self.requests: list[Request] = []
        self._script = script

    @classmethod
    def from_file(cls, path: Path) -> ScriptedModel:
        """Rules of a JSONL file; the identity holds a digest of it. Raises UsageError with file and line."""
        try:
            raw = path.read_bytes()
            lines = raw.decode("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"scripted:{path}: cannot read the rules ({error})") from None
        rules = [_rule(line, f"{path}:{number}") for number, line in enumerate(lines, start=1) if line.strip()]

        def answer(request: Request) -> Reply:
            asked = "\n".join(_text(message.get("content")) for message in request.messages)
            for contains, reply in rules:
                if contains in asked:
                    return reply
            return Completion(error=f"no rule of {path.name} matches the request", finish_reason="error")

        return cls(answer, f"scripted {hashlib.sha256(raw).hexdigest()[:16]}")

    async def complete(self, request: Request) -> Completion:
        """The reply, with estimated usage (characters / 4) where the script gives none; an error when it is used up."""
        self.requests.append(request)
        if callable(self._script):
            reply = self._script(request)
        elif len(self.requests) <= len(self._script):
            reply = self._script[len(self.requests) - 1]
        else:
            reply = Completion(error=f"the script holds {len(self._script)} replies and no more", finish_reason="error")
        if isinstance(reply, str):
            text, calls = parse_text(reply, request.tools)
            reply = Completion(text, tool_calls=calls, finish_reason="tool_calls" if calls else "stop")
        if reply.usage == Usage() and reply.error is None:
            written = f"{reply.reasoning}{reply.text}{''.join(call.name + call.raw for call in reply.tool_calls)}"
            reply = replace(reply, usage=estimate(request, written))
        return reply

    async def close(self) -> None:
        """Nothing is held."""


def _rule(line: str, where: str) -> tuple[str, Reply]:
    try:
        rule = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where}: not a JSON object ({error})") from None
    _keys(rule, ("contains", "reply"), where)
    contains, reply = rule.get("contains", ""), rule.get("reply")
    if not isinstance(contains, str):
        raise UsageError(f"{where}: 'contains' must be a string")
    if isinstance(reply, str):
        return contains, reply
    _keys(reply, ("text", "tool_calls"), f"{where}: reply")
    text, calls = reply.get("text", ""), reply.get("tool_calls", [])
    if not isinstance(text, str) or not isinstance(calls, list):
        raise UsageError(f"{where}: reply: 'text' must be a string and 'tool_calls' a list")
    found = tuple(_call(call, index, where) for index, call in enumerate(calls))
    return contains, Completion(text, tool_calls=found, finish_reason="tool_calls" if found else "stop")


def _call(call: Any, index: int, where: str) -> ToolCall:
    _keys(call, ("name", "arguments"), f"{where}: tool call {index + 1}")
    name, arguments = call.get("name"), call.get("arguments", {})
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise UsageError(f"{where}: tool call {index + 1}: 'name' must be a string and 'arguments' an object")
    return ToolCall(name, arguments, json.dumps(arguments, ensure_ascii=False), id=f"call_{index}")


def _keys(value: Any, allowed: tuple[str, ...], where: str) -> None:
    if not isinstance(value, Mapping):
        raise UsageError(f"{where}: expected an object with {' and '.join(allowed)}")
    for key in value:
        if key not in allowed:
            raise UsageError(f"{where}: unknown key '{key}'{suggest(key, allowed)} (known: {', '.join(allowed)})")


def _text(content: Any) -> str:
    return content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, default=str)
