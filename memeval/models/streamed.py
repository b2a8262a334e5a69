"""Join a streamed reply (server-sent events) into the body that the same call returns without streaming."""

from __future__ import annotations

import json
from typing import Any

from memeval.models.faults import Fault


def is_stream(raw: bytes) -> bool:
    """Whether a body is a stream of events; a server may send plain JSON although a stream was requested."""
    start = raw[:200].lstrip()
    return start.startswith((b"data:", b"event:", b"id:", b":"))


def joined(raw: bytes) -> dict[str, Any]:
    """The `chat.completion` of a stream of `chat.completion.chunk`s; only the first of several choices. An error event
    gives its body. Raises Fault if the stream ends before its finish reason, or an event is not a JSON object."""
    whole: dict[str, Any] = {}
    written: dict[str, list[str]] = {}
    calls: dict[int, dict[str, Any]] = {}
    finish: Any = None
    done = False
    for event in _events(raw):
        if event == "[DONE]":
            done = True
            break
        try:
            chunk = json.loads(event)
        except (ValueError, RecursionError):
            chunk = None
        if not isinstance(chunk, dict):
            raise Fault("an event of the streamed reply is not a JSON object")
        if chunk.get("error"):
            return chunk
        whole.update({key: chunk[key] for key in ("id", "model", "usage") if chunk.get(key)})
        for choice in chunk["choices"] if isinstance(chunk.get("choices"), list) else ():
            if not isinstance(choice, dict) or choice.get("index") not in (0, None):
                continue
            finish = choice.get("finish_reason") or finish
            delta = choice.get("delta") or choice.get("message")
            if isinstance(delta, dict):
                _add(written, calls, delta)
    if finish is None and not done:
        raise Fault("the streamed reply broke off")
    message: dict[str, Any] = {"role": "assistant", **{key: "".join(pieces) for key, pieces in written.items()}}
    if calls:
        message["tool_calls"] = [calls[index] for index in sorted(calls)]
    return {**whole, "choices": [{"index": 0, "message": message, "finish_reason": finish}]}


def _events(raw: bytes) -> list[str]:
    """The data of each event; multi-line data are joined by line breaks."""
    events: list[list[str]] = [[]]
    for line in raw.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        if not line and events[-1]:
            events.append([])
        elif line.startswith("data:"):
            events[-1].append(line[5:].removeprefix(" "))
    return ["\n".join(lines).strip() for lines in events if lines]


def _add(written: dict[str, list[str]], calls: dict[int, dict[str, Any]], delta: dict[str, Any]) -> None:
    for key in ("content", "reasoning_content", "reasoning", "refusal"):
        piece = delta.get(key)
        if isinstance(piece, str):
            written.setdefault(key, []).append(piece)
    for number, piece in enumerate(delta["tool_calls"] if isinstance(delta.get("tool_calls"), list) else ()):
        if not isinstance(piece, dict):
            raise Fault("the streamed reply's tool calls have the wrong type")
        index = piece.get("index")
        place = index if isinstance(index, int) else number
        call = calls.setdefault(place, {"type": "function", "function": {"name": "", "arguments": ""}})
        if piece.get("id"):
            call["id"] = piece["id"]
        function = piece.get("function")
        if isinstance(function, dict):
            for key in ("name", "arguments"):
                if isinstance(function.get(key), str):
                    call["function"][key] += function[key]
