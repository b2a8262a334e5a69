"""`scripted:FILE`: replies for tests, from rules in a JSONL file.

Each line is one rule: `{"contains": "text", "reply": "..."}`. The first rule whose `contains` occurs in the messages
answers; a rule without it always does. A reply is a string or `{"text", "tool_calls": [{"name", "arguments"}]}`.
"""

from __future__ import annotations

import hashlib
import json
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
    """A model that follows the rules of a file; its identity includes the file's digest. Raises UsageError with file
    and line."""

    def __init__(self, path: Path) -> None:
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise UsageError(f"scripted:{path}: cannot read the rules ({error})") from None
        places = [(line, f"{path}:{number}") for number, line in enumerate(raw.splitlines(), start=1) if line.strip()]
        self._rules = [typed(parse_line(line, place), _Rule, place) for line, place in places]
        self._file = path.name
        self.identity = f"scripted {hashlib.sha256(raw).hexdigest()[:16]}"

    async def complete(self, request: Request) -> Completion:
        asked = "\n".join(_text(message.get("content")) for message in request.messages)
        for rule in self._rules:
            if rule.contains in asked:
                return replied(rule.reply if isinstance(rule.reply, str) else _completion(rule.reply), request)
        return Completion(error=f"no rule of {self._file} matches the request", finish_reason="error")

    async def close(self) -> None:
        """Nothing to close."""


def replied(reply: str | Completion, request: Request) -> Completion:
    """Turn a scripted reply into a model's: calls in a text are read if the request offers tools, and missing usage is
    estimated (characters / 4)."""
    if isinstance(reply, str):
        text, calls = parse_text(reply, request.tools)
        finish = "tool_calls" if calls else "stop" if text.strip() else "empty"
        reply = Completion(text, tool_calls=calls, finish_reason=finish)
    if reply.usage == Usage() and reply.error is None:
        written = f"{reply.reasoning}{reply.text}{''.join(call.name + call.raw for call in reply.tool_calls)}"
        reply = replace(reply, usage=estimate(request, written))
    return reply


def _completion(reply: _Reply) -> Completion:
    calls = [
        ToolCall(call.name, call.arguments, json.dumps(call.arguments, ensure_ascii=False), id=f"call_{number}")
        for number, call in enumerate(reply.tool_calls)
    ]
    return Completion(reply.text, tool_calls=tuple(calls), finish_reason="tool_calls" if calls else "stop")


def _text(content: Any) -> str:
    return content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, default=str)
