"""Replies for tests: a list, a function, or rules in a JSONL file. The model keeps the requests that it got.

A file holds one rule per line: `{"contains": "text", "reply": "..."}`. The first rule whose `contains` is anywhere in the
messages answers; a rule without it always does. A reply is a string or `{"text", "tool_calls": [{"name", "arguments"}]}`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from memeval.data.records import parse_line
from memeval.errors import UsageError
from memeval.models.completion import Completion, Request, ToolCall, Usage
from memeval.models.reply import estimate
from memeval.models.toolcalls import parse_text
from memeval.typed import typed
from memeval.wording import counted

Reply = str | Completion
Script = Sequence[Reply] | Callable[[Request], Reply]


class _Call(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    arguments: dict[str, Any] = {}


class _Reply(msgspec.Struct, forbid_unknown_fields=True):
    text: str = ""
    tool_calls: tuple[_Call, ...] = ()


class _Rule(msgspec.Struct, forbid_unknown_fields=True):
    """One line of a file of rules."""

    reply: str | _Reply
    contains: str = ""


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
        except OSError as error:
            raise UsageError(f"scripted:{path}: cannot read the rules ({error})") from None
        places = [(line, f"{path}:{number}") for number, line in enumerate(raw.splitlines(), start=1) if line.strip()]
        rules = [typed(parse_line(line, place), _Rule, place) for line, place in places]

        def answer(request: Request) -> Reply:
            asked = "\n".join(_text(message.get("content")) for message in request.messages)
            for rule in rules:
                if rule.contains in asked:
                    return rule.reply if isinstance(rule.reply, str) else _completion(rule.reply)
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
            reply = Completion(
                error=f"the script holds {counted(len(self._script), 'reply')} and no more", finish_reason="error"
            )
        if isinstance(reply, str):
            text, calls = parse_text(reply, request.tools)
            finish = "tool_calls" if calls else "stop" if text.strip() else "empty"
            reply = Completion(text, tool_calls=calls, finish_reason=finish)
        if reply.usage == Usage() and reply.error is None:
            written = f"{reply.reasoning}{reply.text}{''.join(call.name + call.raw for call in reply.tool_calls)}"
            reply = replace(reply, usage=estimate(request, written))
        return reply

    async def close(self) -> None:
        """Nothing is held."""


def _completion(reply: _Reply) -> Completion:
    calls = [
        ToolCall(call.name, call.arguments, json.dumps(call.arguments, ensure_ascii=False), id=f"call_{number}")
        for number, call in enumerate(reply.tool_calls)
    ]
    return Completion(reply.text, tool_calls=tuple(calls), finish_reason="tool_calls" if calls else "stop")


def _text(content: Any) -> str:
    return content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, default=str)
