"""The server of the parity suite: each reply is a function of the request alone, and of nothing in it that is wording.

It looks at what stands between a prompt's tags, at which tools are offered and at the model's name. So the words around the
tags may change, and the replies stay. `usage` is made of the same material: a run's sums of tokens say whether every
prompt carried the same text.

Marks in the text of a question make a reply of a special kind (SPECIAL).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

from aiohttp import web
from faulty_server import Faults, FaultyServer

UNSURE = "I don't know"
SPECIAL = {
    "cut off": {"finish_reason": "length"},
    "filtered": {"content": "", "finish_reason": "content_filter"},
    "aloud": {"content": "<think>\nIt may be Borvik.\n</think>\n\nArlen"},
}
"""Mark in a question (`Where, cut off, ...`) -> what is different about its reply."""


class ParityServer(FaultyServer):
    """stop_at: the number of a request (from 1); `action` is called when it arrives, before it is answered. settle: seconds
    that this request and later ones wait before it: what was answered before them is on the disk by then."""

    def __init__(self, faults: Faults | None = None, key: str | None = None) -> None:
        super().__init__(faults or (lambda prompt, attempt: None), key=key)
        self.stop_at = 0
        self.settle = 0.0
        self.action: Callable[[], None] = lambda: None

    async def _respond(self, request: Any) -> Any:
        await request.read()
        number = len(self.seen) + 1
        if self.stop_at and number >= self.stop_at:
            await asyncio.sleep(self.settle)
            if number == self.stop_at:
                self.action()
        return await super()._respond(request)

    async def _fail(self, fault: str, request: Any, asked: dict[str, Any], prompt: str) -> Any:
        if fault == "overflow":
            said = "This model's maximum context length is 10 tokens. Please reduce the length of the messages."
            return web.json_response({"error": {"message": said, "code": "context_length_exceeded"}}, status=400)
        return await super()._fail(fault, request, asked, prompt)

    def _echo(self, asked: dict[str, Any], prompt: str) -> dict[str, Any]:
        return reply(asked)

    @property
    def requests(self) -> dict[str, int]:
        """Requests so far by the role that sent them, attempts that failed included."""
        return dict(sorted(Counter(role(asked) for asked in self.seen).items()))


def between(tag: str, prompt: str) -> str | None:
    found = re.findall(rf"<{tag}>\n(.*?)\n</{tag}>", prompt, re.DOTALL)
    return found[-1] if found else None


def prompt_of(asked: dict[str, Any]) -> str:
    return str(asked["messages"][-1]["content"])


def role(asked: dict[str, Any]) -> str:
    """Who asks: agents of the suite write `<new_chunk>`, as the bundled ones do."""
    prompt = prompt_of(asked)
    tags = {"answer": "judge", "new_chunk": "memory", "question": "reader"}
    return next((who for tag, who in tags.items() if between(tag, prompt) is not None), "other")


def reply(asked: dict[str, Any]) -> dict[str, Any]:
    """The body of a good reply."""
    prompt = prompt_of(asked)
    tags = ("memory", "new_chunk", "question", "options", "gold", "explanation", "answer")
    parts = {tag: text for tag in tags if (text := between(tag, prompt)) is not None}
    message, finish = {"judge": judge, "memory": write, "reader": read, "other": other}[role(asked)](parts, asked)
    material = " ".join(f"{tag}: {text}" for tag, text in sorted(parts.items()))
    return {
        "id": "1",
        "object": "chat.completion",
        "model": asked["model"],
        "choices": [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}],
        "usage": {"prompt_tokens": 200 + len(material) // 4, "completion_tokens": 1 + number(material) % 40},
    }


def number(text: str) -> int:
    """A number that depends on every word of a text."""
    return int(hashlib.sha256(" ".join(text.split()).encode()).hexdigest()[:8], 16)


def words(text: str) -> set[str]:
    return {word.casefold() for word in re.findall(r"\w{4,}", text)}


def sentences(text: str) -> list[str]:
    return [found.strip() for found in re.split(r"(?<=[.!?])\s|\n", text) if found.strip()]


def read(parts: dict[str, str], asked: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The names in the sentence that shares most words with the question; the option that does with the memory."""
    question, memory = parts["question"], parts.get("memory", "")
    known = sentences(memory)
    best = max(known, key=lambda sentence: len(words(sentence) & words(question)), default="")
    if "options" in parts:
        options = sentences(parts["options"])
        chosen = max(options, key=lambda option: len(words(option) & words(best)))
        return {"content": f"It was said. <final_answer> {chosen[:3]}"}, "stop"
    if len(words(best) & words(question)) < 2:
        return {"content": UNSURE}, "stop"
    names = [name for name in re.findall(r"\b[A-Z]\w+", best) if name not in question]
    content = " ".join(names[:3]) or best
    if asked["model"] == "other":
        content = f"{content}, perhaps"
    special = next((extra for mark, extra in SPECIAL.items() if f", {mark}," in question), {})
    finish = special.get("finish_reason", "stop")
    return {"content": special.get("content", content)}, finish


def write(parts: dict[str, str], asked: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Some sentences of the chunk, as calls where tools are offered, in the text format of Qwen where they are in the
    prompt, else as plain text. Every third chunk replaces the newest entry in view, every fifth the core memory."""
    chunk, view = parts["new_chunk"], parts.get("memory", "")
    kept = [sentence for sentence in sentences(chunk) if number(sentence) % 3][:12] or [chunk[:80]]
    calls = [
        ("new_memory_insert", {"memory_type": ("semantic", "episodic")[number(text) % 2], "content": text}) for text in kept
    ]
    entries = re.findall(r"(?m)^\[([\w-]+)\] ", view.partition("Episodic")[0])
    if number(chunk) % 3 == 0 and entries:
        update = {"memory_type": "semantic", "memory_id": entries[-1], "new_content": f"Corrected: {kept[0]}"}
        calls.append(("memory_update", update))
    if number(chunk) % 5 == 0:
        calls.append(("memory_update", {"memory_type": "core", "new_content": f"Above all: {kept[-1]}"}))
    if asked.get("tools"):
        made = [
            {"id": f"c{at}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
            for at, (name, arguments) in enumerate(calls)
        ]
        return {"content": None, "tool_calls": made}, "tool_calls"
    if "stop" in asked:
        texts = [json.dumps({"name": name, "arguments": arguments}) for name, arguments in calls]
        return {"content": "\n".join(f"<tool_call>\n{text}\n</tool_call>" for text in texts)}, "stop"
    return {"content": " ".join(kept)}, "stop"


def judge(parts: dict[str, str], asked: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Right where the gold is in the answer, or an unanswerable question was declined."""
    answer, gold = parts["answer"].casefold(), parts.get("gold", UNSURE).casefold()
    return {"content": f"I compared them.\nVERDICT: {'RIGHT' if gold in answer else 'WRONG'}"}, "stop"


def other(parts: dict[str, str], asked: dict[str, Any]) -> tuple[dict[str, Any], str]:
    return {"content": f"echo {number(prompt_of(asked))}"}, "stop"
