"""A chat completion as servers send it, read into a `Completion`.

Whatever is not a usable reply (wrong types, no choices) is a `Fault`: servers under load send such things, and asking again
helps. Thinking is split off, tool calls are read, missing token counts are estimated at four characters a token.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from memeval.models.completion import Completion, Request, ToolCall, Usage
from memeval.models.faults import Fault
from memeval.models.keys import hide
from memeval.models.toolcalls import named_call, parse_text, tidy

CHARACTERS_PER_TOKEN = 4
MOST_TOKENS = 10**9  # of one call
_OPEN, _CLOSE = "<think>", "</think>"
_OVERFLOW = re.compile(
    r"context[ _-]?(length|size|window|limit)|exceed_context|(maximum|max) (model|input|sequence|prompt) length"
    r"|max_model_len|(prompt|input|request) (is|was) too long|too many (input |prompt )?tokens|reduce the length of the"
    r"|longer than the (maximum )?model|token count.{0,40}exceeds|max_new_tokens.{0,10} must be"
    r"|inputs.{0,5} must have less than|(input|prompt) (length|tokens).{0,40} exceed|exceed max_(num_tokens|seq_len)"
    r"|input.{0,20} is too large to process|max_(completion_)?tokens must be at least 1, got -|mMaxNewTokens > 0"
    r"|range of input length|exceeded model token limit|current length is \d+ while limit|\.content'?: string too long",
    re.IGNORECASE,
)
_RATE = re.compile(r"rate[ _-]?limit|throttl|quota|per[ -](min|hour|day)", re.IGNORECASE)
_REPLY = re.compile(r"max_(?:completion_)?tokens.{0,30} too large: (\d+).{0,40}context length is (\d+)")
_BROKEN_OFF = frozenset({"error", "abort"})  # OpenRouter's, SGLang's and vLLM's: the engine failed in the middle


def read_reply(data: Any, request: Request) -> Completion:
    """The `Completion` in a decoded `/chat/completions` body. Raises Fault where the body is not one."""
    if not isinstance(data, dict):
        raise Fault("the reply is not a JSON object")
    choices = data.get("choices")
    if not choices and data.get("error"):  # gateways send the errors of the servers behind them as 200
        said = error_text(data)
        if overflows(said):
            return Completion(finish_reason="overflow")
        raise Fault(f"the server reported: {said}")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise Fault("the reply has no choices")
    message = choices[0].get("message")
    if not isinstance(message, dict):
        raise Fault("the reply has no message")
    finish = choices[0].get("finish_reason")
    finish = finish if isinstance(finish, str) and finish else "stop"
    if finish in _BROKEN_OFF:
        raise Fault(f"the server broke the reply off: {error_text(choices[0]) if choices[0].get('error') else finish}")
    content, thoughts = _content(message.get("content"))
    for name in ("reasoning_content", "reasoning"):
        if isinstance(message.get(name), str) and message[name]:
            thoughts.append(message[name])
            break
    if not content and isinstance(message.get("refusal"), str):
        content = message["refusal"]
    text, thought, closed = split_thinking(tidy(content))
    thoughts += [thought] if thought else []
    calls = _native(message.get("tool_calls"), complete=finish != "length")
    if request.tools and not calls and closed:
        text, calls = parse_text(text, request.tools)
    if calls:
        finish = "length" if finish == "length" else "tool_calls"
    elif not closed or (finish == "length" and thoughts and not text):
        finish = "unclosed_think"
    reasoning = tidy("\n".join(thoughts).strip())
    usage = _usage(data.get("usage"), request, text, reasoning, calls)
    return Completion(text, reasoning, calls, usage, finish)


def split_thinking(text: str) -> tuple[str, str, bool]:
    """(answer, thinking, closed). Chat templates that open the block themselves leave only `</think>` in the reply. Where
    `<think>` never ends there is no answer: it is "" and closed is False."""
    if _OPEN not in text and _CLOSE not in text:
        return text, "", True
    thoughts, rest, at = [], "", 0
    while (start := text.find(_OPEN, at)) >= 0 and (end := text.find(_CLOSE, start)) >= 0:
        thoughts.append(text[start + len(_OPEN) : end])
        rest += text[at:start]
        at = end + len(_CLOSE)
    before, orphan, after = f"{rest}{text[at:]}".rpartition(_CLOSE)
    if orphan:
        thoughts.append(before)
    rest, opened, unfinished = after.partition(_OPEN)
    if opened:
        thoughts.append(f"{rest}{unfinished}")
        rest = ""
    return rest.strip(), "\n".join(part.strip() for part in thoughts).strip(), not opened


def overflows(message: str) -> bool:
    """Whether an error message says that the prompt does not fit the model's window, in the words of the servers that
    tests/models/test_reply.py lists. Limits of the rate do not count, nor a limit of the reply that no prompt could keep."""
    reply = _REPLY.search(message)
    settings = _RATE.search(message) or (reply and int(reply[1]) >= int(reply[2]))
    return not settings and _OVERFLOW.search(message) is not None


def error_text(data: Any, secret: str = "") -> str:
    """The message of an error body in any of the usual shapes, as `one_line`; of OpenRouter's with the provider's own."""
    metadata = data["error"].get("metadata") if isinstance(data, dict) and isinstance(data.get("error"), dict) else None
    raw = metadata.get("raw") if isinstance(metadata, dict) else None
    place: Any = None  # FastAPI says of what by itself
    for key in ("error", "message", "detail", "msg"):
        while isinstance(data, dict) and data.get(key):
            place = data["loc"] if isinstance(data.get("loc"), list) else place
            data = data[key]
        if isinstance(data, list) and data:
            data = data[0]
    text = data if isinstance(data, str) else repr(data)
    text = f"{text} ({'.'.join(map(str, place))})" if place else text
    return one_line(f"{text}: {raw}" if isinstance(raw, str) else text, secret)


def one_line(text: str, secret: str = "", longest: int = 200) -> str:
    """`text` on one line, cut to `longest` characters, with the key `secret` and all others blotted out (keys.py)."""
    text = " ".join(tidy(hide(text, secret)[:10_000]).split())
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def estimate(request: Request, written: str) -> Usage:
    """Token counts where none are reported: characters / 4."""
    read = sum(_length(message.get("content")) for message in request.messages)
    read += sum(len(str(tool)) for tool in request.tools or ())
    return Usage(prompt=-(-read // CHARACTERS_PER_TOKEN), completion=-(-len(written) // CHARACTERS_PER_TOKEN))


def _length(content: Any) -> int:
    if isinstance(content, str):
        return len(content)
    return sum(len(part.get("text") or "") for part in content or () if isinstance(part, Mapping))


def _content(content: Any) -> tuple[str, list[str]]:
    """(text, thoughts) of a message's content: a string, null, or a list of typed parts."""
    if content is None or isinstance(content, str):
        return content or "", []
    if not isinstance(content, list):
        raise Fault("the reply's content has the wrong type")
    text, thoughts = "", []
    for part in content:
        if not isinstance(part, dict):
            raise Fault("the reply's content has the wrong type")
        for key in ("text", "thinking", "reasoning"):
            value = part.get(key)
            if isinstance(value, str) and key == "text":
                text += value
            elif isinstance(value, str):
                thoughts.append(value)
    return text, thoughts


def _native(calls: Any, complete: bool) -> tuple[ToolCall, ...]:
    if calls is None:
        return ()
    if not isinstance(calls, list):
        raise Fault("the reply's tool calls have the wrong type")
    found = []
    for index, call in enumerate(calls):
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict):
            raise Fault("the reply's tool calls have the wrong type")
        found.append(named_call(function.get("name"), function.get("arguments"), index, call.get("id"), complete))
    return tuple(found)


def _usage(data: Any, request: Request, text: str, reasoning: str, calls: tuple[ToolCall, ...]) -> Usage:
    written = f"{reasoning}{text}{''.join(call.name + call.raw for call in calls)}"
    counts = data if isinstance(data, dict) else {}
    prompt, completion = token_count(counts.get("prompt_tokens")), token_count(counts.get("completion_tokens"))
    if prompt is None or completion is None:
        guess = estimate(request, written)
        prompt = guess.prompt if prompt is None else prompt
        completion = guess.completion if completion is None else completion
    cached = _detail(counts, "prompt_tokens_details", "cached_tokens")
    if cached is None:
        cached = token_count(counts.get("prompt_cache_hit_tokens"))
    thought = _detail(counts, "completion_tokens_details", "reasoning_tokens")
    if not thought and reasoning:  # split off here, so the server could not count it: the share of its characters
        thought = round(completion * len(reasoning) / len(written))
    return Usage(prompt, completion, min(cached or 0, prompt), min(thought or 0, completion))  # parts of them


def _detail(counts: Mapping[str, Any], group: str, key: str) -> int | None:
    details = counts.get(group)
    return token_count(details.get(key)) if isinstance(details, dict) else None


def token_count(value: Any) -> int | None:
    """A number of tokens that a server reports; None where it is none, or none that can be true."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_TOKENS else None
