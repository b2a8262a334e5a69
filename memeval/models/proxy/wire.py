"""OpenAI's HTTP shapes, from the server's side: requests read and checked, replies, streams and errors written.

Fields as in OpenAI's API reference (chat completions, embeddings, models, errors). Requests come from foreign programs:
whatever does not fit is a `Refused` with a message that names the field.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from memeval.errors import UsageError
from memeval.models.completion import Completion, ToolCall, Usage
from memeval.models.parameters import check

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DEEPEST = 100  # levels of nesting; more is damage, and would exhaust the stack of whoever walks it
_READ_HERE = frozenset({"model", "messages", "tools", "stream", "stream_options", "n"})
# only fields that are known pass on to the model: among the rest are ways to send its key, or the bill, somewhere else
_PASSED = frozenset(
    {
        *("temperature", "top_p", "top_k", "min_p", "typical_p", "seed", "stop", "stop_token_ids"),
        *("max_tokens", "max_completion_tokens", "min_tokens", "ignore_eos", "bad_words"),
        *("presence_penalty", "frequency_penalty", "repetition_penalty", "length_penalty", "logit_bias"),
        *("tool_choice", "parallel_tool_calls", "response_format", "verbosity"),
        *("reasoning_effort", "reasoning", "thinking", "thinking_budget", "enable_thinking", "chat_template_kwargs"),
        *("structured_outputs", "guided_json", "guided_regex", "guided_choice", "guided_grammar", "grammar", "json_schema"),
        *("skip_special_tokens", "include_stop_str_in_output"),
    }
)
# what says who asks, and changes no reply, would only keep equal calls from being equal
_LABELS = frozenset(
    {"user", "metadata", "store", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "service_tier"}
)
_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_FINISH = {"unclosed_think": "length"}  # reasons that the API does not know
Data = dict[str, Any]


class Refused(Exception):
    """A request that gets an error: HTTP status, message, and the API's `code` and `param` (the field at fault)."""

    def __init__(self, status: int, message: str, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param

    def body(self) -> Data:
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}


@dataclass(frozen=True, slots=True)
class Chat:
    """A chat request. params: sampling parameters and whatever else is for the model. streamed, with_usage: how the client
    wants the reply."""

    model: str
    messages: list[Data]
    tools: list[Data] | None
    params: Data
    streamed: bool
    with_usage: bool


@dataclass(frozen=True, slots=True)
class Texts:
    """A request for embeddings. dimensions: of the vectors, None for the model's own. encoded: wanted as base64."""

    model: str
    texts: list[str]
    dimensions: int | None
    encoded: bool


def read_json(raw: bytes) -> Data:
    """The object in a request's body. Raises Refused."""
    try:
        data = json.loads(raw, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise Refused(400, "the body is not JSON") from None
    if not isinstance(data, dict):
        raise Refused(400, "the body is not a JSON object")
    level: list[Any] = [data]
    for _ in range(DEEPEST):
        level = [part for value in level for part in _parts(value)]
        if not level:
            return data
    raise Refused(400, f"the body is nested more than {DEEPEST} levels deep")


def read_chat(data: Data) -> Chat:
    """A request to /chat/completions. A field that is null is a field that is not there. Raises Refused."""
    data = {key: value for key, value in data.items() if value is not None}
    if data.get("n", 1) != 1:
        raise Refused(400, "n must be 1; send a request for each reply", "unsupported_value", "n")
    unknown = [key[:100] for key, value in data.items() if key not in _READ_HERE | _PASSED | _LABELS and value is not False]
    if unknown:
        raise Refused(400, f"'{unknown[0]}' is not supported here", "unsupported_parameter", unknown[0])
    params = {key: value for key, value in data.items() if key in _PASSED}
    try:
        check(params)
    except UsageError as error:
        raise Refused(400, str(error), "invalid_value", str(error).partition(":")[0]) from None
    streamed, options = data.get("stream", False), data.get("stream_options", {})
    if not isinstance(streamed, bool):
        raise _wrong("stream", "true or false")
    if not isinstance(options, dict):
        raise _wrong("stream_options", "an object")
    return Chat(
        model=_model(data),
        messages=_messages(data.get("messages")),
        tools=_tools(data.get("tools")) or None,
        params=params,
        streamed=streamed,
        with_usage=options.get("include_usage") is True,
    )


def read_embeddings(data: Data) -> Texts:
    """A request to /embeddings. Raises Refused."""
    texts = data.get("input")
    texts = [texts] if isinstance(texts, str) else texts
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise _wrong("input", "a string or a list of strings, not of token ids")
    dimensions = data.get("dimensions")
    if dimensions is not None and (type(dimensions) is not int or dimensions < 1):
        raise _wrong("dimensions", "a whole number, 1 or more")
    form = data.get("encoding_format") or "float"
    if form not in ("float", "base64"):
        raise _wrong("encoding_format", "float or base64")
    return Texts(_model(data), texts, dimensions, form == "base64")


def chat_reply(completion: Completion, name: str, number: str) -> Data:
    """The body of a `chat.completion`. name: the model that answered. number: the reply's id."""
    message: Data = {"role": "assistant", "content": completion.text, "refusal": None}
    if completion.reasoning:
        message["reasoning_content"] = completion.reasoning
    if completion.tool_calls:
        message["content"] = completion.text or None
        message["tool_calls"] = [_tool_call(call) for call in completion.tool_calls]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(completion)}
    return {**_head("chat.completion", name, number), "choices": [choice], "usage": _usage(completion.usage)}


def chat_stream(completion: Completion, name: str, number: str, with_usage: bool) -> Iterator[bytes]:
    """The same as server-sent events: role, thinking, text, tool calls (name first, then arguments), finish, usage."""
    head = _head("chat.completion.chunk", name, number)
    deltas: list[Data] = [{"role": "assistant", "content": None if completion.tool_calls else "", "refusal": None}]
    if completion.reasoning:
        deltas.append({"reasoning_content": completion.reasoning})
    if completion.text:
        deltas.append({"content": completion.text})
    for index, call in enumerate(map(_tool_call, completion.tool_calls)):
        arguments = call["function"]["arguments"]
        begun = {**call, "index": index, "function": {**call["function"], "arguments": ""}}
        deltas.append({"tool_calls": [begun]})
        deltas.append({"tool_calls": [{"index": index, "function": {"arguments": arguments}}]})
    ends: list[str | None] = [None] * len(deltas)
    for delta, finish in zip([*deltas, {}], [*ends, _finish(completion)], strict=True):
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        yield _event({**head, "choices": [choice], **({"usage": None} if with_usage else {})})
    if with_usage:
        yield _event({**head, "choices": [], "usage": _usage(completion.usage)})
    yield b"data: [DONE]\n\n"


def embeddings_reply(vectors: NDArray[np.float32], tokens: int, name: str, encoded: bool) -> Data:
    """The body of an /embeddings reply. vectors: one row a text. encoded: as base64 of little-endian 32-bit floats."""
    packed = vectors.astype("<f4")
    rows: list[Data] = [
        {
            "object": "embedding",
            "index": index,
            "embedding": base64.b64encode(row.tobytes()).decode("ascii") if encoded else row.tolist(),
        }
        for index, row in enumerate(packed)
    ]
    return {"object": "list", "data": rows, "model": name, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}


def model_reply(name: str) -> Data:
    return {"id": name, "object": "model", "created": 0, "owned_by": "memeval"}


def _head(kind: str, name: str, number: str) -> Data:
    return {"id": number, "object": kind, "created": int(time.time()), "model": name}


def _finish(completion: Completion) -> str:
    return _FINISH.get(completion.finish_reason, completion.finish_reason)


def _tool_call(call: ToolCall) -> Data:
    """Arguments that could be read are written as clean JSON; those that could not, as the model wrote them."""
    written = call.raw if call.arguments is None else json.dumps(call.arguments, ensure_ascii=False)
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": written}}


def _usage(usage: Usage) -> Data:
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }


def _event(data: Data) -> bytes:
    return f"data: {json.dumps(data)}\n\n".encode()


def _model(data: Data) -> str:
    model = data.get("model")
    if not isinstance(model, str) or not model:
        raise _wrong("model", "the name of a role or a model")
    return model


def _messages(messages: Any) -> list[Data]:
    if not isinstance(messages, list) or not messages:
        raise _wrong("messages", "a list of messages")
    for number, message in enumerate(messages):
        if not isinstance(message, dict) or message.get("role") not in _ROLES:
            raise _wrong(f"messages[{number}]", f"an object whose role is one of {', '.join(_ROLES)}")
        calls = message.get("tool_calls") or []
        if not isinstance(calls, list) or not all(map(_is_call, calls)):
            raise _wrong(f"messages[{number}].tool_calls", "a list of calls, each with its function's name and arguments")
        content = message.get("content")
        parts = content if isinstance(content, list) else []
        if not isinstance(content, (str, list, type(None))) or not all(isinstance(part, dict) for part in parts):
            raise _wrong(f"messages[{number}].content", "a string, a list of parts, or null")
        if any("text" in part and not isinstance(part["text"], str) for part in parts):
            raise _wrong(f"messages[{number}].content", "parts whose text is a string")
    return messages


def _is_call(call: Any) -> bool:
    function = call.get("function") if isinstance(call, dict) else None
    return isinstance(function, dict) and all(isinstance(function.get(key), str) for key in ("name", "arguments"))


def _tools(tools: Any) -> list[Data]:
    if not isinstance(tools, (list, type(None))):
        raise _wrong("tools", "a list of tools")
    for number, tool in enumerate(tools or []):
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str) or tool.get("type") != "function":
            raise _wrong(f"tools[{number}]", "an object of type function, with its name")
        if not isinstance(function.get("parameters") or {}, dict):
            raise _wrong(f"tools[{number}].function.parameters", "a JSON schema")
    return tools or []


def _parts(value: Any) -> Sequence[Any] | Mapping[Any, Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else ()


def _wrong(param: str, wanted: str) -> Refused:
    return Refused(400, f"'{param}' is missing or has the wrong type; expected {wanted}", "invalid_type", param)


def _no_number(name: str) -> None:
    raise ValueError(name)
