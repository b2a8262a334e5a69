"""Read a server's chat completion into a `Completion`.

A body that is no usable reply (wrong types, no choices) is a `Fault`: servers under load send such bodies, and
repeating the call helps. Thinking is split off, tool calls are read, impossible token counts are replaced by estimates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memeval.models import rules
from memeval.models.completion import Completion, Request, ToolCall, Usage, text_of
from memeval.models.faults import Fault, error_message
from memeval.models.keys import hide
from memeval.models.toolcalls import named_call, offered, parse_text, tidy

CHARACTERS_PER_TOKEN = 4
MOST_TOKENS = 10**9  # of one call
_OPEN, _CLOSE = "<think>", "</think>"
_TOKENS_PER_CHARACTER = 4  # upper bound for text in any script
_TEMPLATE = 2000  # tokens that a chat template may add by itself


def read_reply(data: Any, request: Request) -> Completion:
    """The `Completion` in a decoded `/chat/completions` body. Raises Fault if the body is not one."""
    if not isinstance(data, dict):
        raise Fault("the reply is not a JSON object")
    choices = data.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise Fault("the reply has no choices")
    message = choices[0].get("message")
    if not isinstance(message, dict):
        raise Fault("the reply has no message")
    finish = rules.finish_reason(choices[0].get("finish_reason"))
    if finish == "broken":
        said = error_message(choices[0])[0] if choices[0].get("error") else choices[0].get("finish_reason")
        raise Fault(f"the server broke the reply off: {one_line(str(said))}")
    content, thoughts = _content(message.get("content"))
    for name in ("reasoning_content", "reasoning"):
        if isinstance(message.get(name), str) and message[name]:
            thoughts.append(message[name])
            break
    if not content and isinstance(message.get("refusal"), str):
        content = message["refusal"]
    text, thought, closed = split_thinking(tidy(content))
    thoughts += [thought] if thought else []
    whole = finish in ("stop", "tool_calls")
    names = offered(request.tools)
    listed, single = message.get("tool_calls"), message.get("function_call")  # OpenAI's older field: one call
    if not listed and isinstance(single, dict) and single.get("name"):
        listed = [{"function": single}]
    calls = _native(listed, names, whole)
    if request.tools and not calls and closed and whole:
        text, calls = parse_text(text, request.tools)
    reasoning = tidy("\n".join(thoughts).strip())
    usage, estimated = read_usage(data.get("usage"), request, reasoning, text, calls)
    if calls and whole:
        finish = "tool_calls"
    elif not closed or (finish == "length" and not text and not calls and (reasoning or usage.reasoning)):
        finish = "unclosed_think"
    elif whole:
        finish = "stop" if text.strip() else "empty"
    return Completion(text, reasoning, calls, usage, finish, model=served_name(data), estimated=estimated)


def served_name(data: Mapping[str, Any]) -> str | None:
    """The model name that the server reported."""
    model = data.get("model")
    return tidy(model) if isinstance(model, str) else None


def split_thinking(text: str) -> tuple[str, str, bool]:
    """(answer, thinking, closed). Chat templates that open the block themselves leave only `</think>` in the reply. If
    `<think>` never ends, the answer is "" and closed is False."""
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


def one_line(text: str, secret: str = "", longest: int = 200) -> str:
    """`text` on one line, cut to `longest` characters, with the key `secret` and all other keys masked (keys.py)."""
    text = " ".join(tidy(hide(text, secret)[:10_000]).split())
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def estimate(request: Request, written: str) -> Usage:
    """Estimated token counts: characters / 4."""
    read = _read_characters(request)
    return Usage(prompt=-(-read // CHARACTERS_PER_TOKEN), completion=-(-len(written) // CHARACTERS_PER_TOKEN))


def read_usage(
    data: Any, request: Request, reasoning: str = "", text: str = "", calls: tuple[ToolCall, ...] = ()
) -> tuple[Usage, bool]:
    """(usage, estimated). The server's counts are used if they are possible: a prompt has tokens, but not many times
    more than characters; a written text has some; the total is not less than its parts. Otherwise all counts are
    estimated.

    Completion tokens are the total minus the prompt if that is more, and at least those of thinking: some servers count
    thinking separately. Cached tokens that exceed the prompt's were counted separately too.
    """
    written = f"{reasoning}{text}{''.join(call.name + call.raw for call in calls)}"
    counts = data if isinstance(data, dict) else {}
    prompt, completion = token_count(counts.get("prompt_tokens")), token_count(counts.get("completion_tokens"))
    total = token_count(counts.get("total_tokens")) or None  # litellm writes 0 if the server gives no total
    cached = _detail(counts, "prompt_tokens_details", "cached_tokens")
    if cached is None:
        cached = token_count(counts.get("prompt_cache_hit_tokens"))
    cached = cached or 0
    thought = _detail(counts, "completion_tokens_details", "reasoning_tokens") or 0
    if prompt and cached > prompt:
        prompt += cached
    most = _TOKENS_PER_CHARACTER * _read_characters(request) + _TEMPLATE
    possible = prompt and prompt <= most and completion is not None and (completion or not written)
    if not possible or (total is not None and total < max(prompt or 0, completion or 0)):
        guess = estimate(request, written)
        return Usage(guess.prompt, guess.completion, 0, _share(guess.completion, reasoning, written)), True
    assert prompt is not None
    assert completion is not None
    if total is not None and total - prompt > completion:
        completion = total - prompt
    elif thought > completion:
        completion += thought
    if not thought and reasoning:  # thinking was split off here, so the server did not count it
        thought = _share(completion, reasoning, written)
    return Usage(prompt, completion, cached, min(thought, completion)), False


def _detail(counts: Mapping[str, Any], group: str, key: str) -> int | None:
    details = counts.get(group)
    return token_count(details.get(key)) if isinstance(details, dict) else None


def token_count(value: Any) -> int | None:
    """A token count of a server; None if it is missing or impossible."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_TOKENS else None


def _share(tokens: int, part: str, whole: str) -> int:
    return round(tokens * len(part) / len(whole)) if part else 0


def _read_characters(request: Request) -> int:
    read = sum(len(text_of(message)) for message in request.messages)
    return read + sum(len(str(tool)) for tool in request.tools or ())


def _content(content: Any) -> tuple[str, list[str]]:
    """(text, thoughts) of a message's content: a string, null, or a list of typed parts (whose thinking may be parts)."""
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
            if isinstance(value, list):
                value = "".join(str(inner.get("text") or "") for inner in value if isinstance(inner, dict))
            if isinstance(value, str) and key == "text":
                text += value
            elif isinstance(value, str):
                thoughts.append(value)
    return text, thoughts


def _native(calls: Any, names: Mapping[str, Mapping[str, Any]], whole: bool) -> tuple[ToolCall, ...]:
    """The calls of a message. The last call of a reply that was cut off is not trusted, because it may be incomplete."""
    if calls is None:
        return ()
    if not isinstance(calls, list):
        raise Fault("the reply's tool calls have the wrong type")
    found = []
    for index, call in enumerate(calls):
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict):
            raise Fault("the reply's tool calls have the wrong type")
        cut = not whole and index == len(calls) - 1
        found.append(named_call(function.get("name"), function.get("arguments"), index, call.get("id"), whole, names, cut))
    return tuple(found)
