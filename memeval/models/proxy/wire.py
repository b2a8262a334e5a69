"""OpenAI's HTTP formats, from the server's side: requests are read and checked; replies, streams and errors are
written.

Replies are built with the types of the openai package, which is imported for the first one. Requests come from foreign
programs: everything wrong is a `Refused` with a message that names the field.
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from memeval.errors import UsageError
from memeval.models.completion import Completion, Request, ToolCall, Usage
from memeval.models.parameters import check
from memeval.yamlfile import read_yaml

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_READ_HERE = frozenset({"model", "messages", "tools", "stream", "stream_options", "n"})
_FIELDS = read_yaml(Path(__file__).parents[2] / "_data" / "proxy.yaml")
_PASSED = frozenset(_FIELDS["passed_on"].split())
_LABELS = frozenset(_FIELDS["labels"].split())
_FINISH = {"unclosed_think": "length", "empty": "stop"}  # reasons that the API does not have
Data = dict[str, Any]


class Refused(Exception):
    """A request that is answered with an error: HTTP status, message, and the API's `code` and `param` (the field at
    fault)."""

    def __init__(self, status: int, message: str, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param

    def body(self) -> Data:
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}


class _Function(Struct):
    name: str
    arguments: str = ""
    parameters: Data | None = None


class _Call(Struct):
    function: _Function


class _Tool(_Call):
    type: Literal["function"]


class _Part(Struct):
    text: str = ""


class _Message(Struct):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[_Part] | None = None
    tool_calls: list[_Call] | None = None


class _Options(Struct, frozen=True):
    include_usage: bool = False


class Chat(Struct):
    """The fields of a chat request that are checked here."""

    model: Annotated[str, Meta(min_length=1)]
    messages: Annotated[list[_Message], Meta(min_length=1)]
    tools: list[_Tool] = []
    stream: bool = False
    stream_options: _Options = _Options()


class Texts(Struct):
    """A request for embeddings. dimensions: of the vectors, None for the model's own."""

    model: Annotated[str, Meta(min_length=1)]
    input: str | Annotated[list[str], Meta(min_length=1)]
    dimensions: Annotated[int, Meta(ge=1)] | None = None
    encoding_format: Literal["float", "base64"] = "float"

    @property
    def texts(self) -> list[str]:
        return [self.input] if isinstance(self.input, str) else self.input


def read_json(raw: bytes) -> Data:
    """The object in a request's body, without null fields, which count as missing. Raises Refused."""
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError):
        raise Refused(400, "the body is not JSON") from None
    if not isinstance(data, dict):
        raise Refused(400, "the body is not a JSON object")
    return {key: value for key, value in data.items() if value is not None}


def read_chat(data: Data) -> tuple[Chat, Request]:
    """A request to /chat/completions, and the call that it asks for: messages and tools unchanged, and all parameters
    for the model. Raises Refused."""
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
    return shaped(data, Chat), Request(data["messages"], data.get("tools") or None, params)


Shape = TypeVar("Shape")


def shaped(data: Data, shape: type[Shape]) -> Shape:
    """Convert a body to a shape. Raises Refused with the name of a field that is missing or has the wrong type."""
    try:
        return msgspec.convert(data, shape)
    except msgspec.ValidationError as error:
        said, _, place = str(error).partition(" - at `$.")
        missing = re.search(r"required field `(\w+)`$", said)
        place = place.rstrip("`") or (missing[1] if missing else "")
        raise Refused(400, f"'{place}' is missing or has the wrong type: {said}", "invalid_type", place) from None


def chat_reply(completion: Completion, name: str, number: str) -> Data:
    """The body of a `chat.completion`. name: the model that answered. number: the reply's id."""
    from openai.types.chat import ChatCompletion

    calls = [_tool_call(call) for call in completion.tool_calls]
    message = {"role": "assistant", "content": completion.text or (None if calls else ""), "tool_calls": calls or None}
    message |= {"reasoning_content": completion.reasoning} if completion.reasoning else {}
    choices = [{"index": 0, "message": message, "finish_reason": _finish(completion), "logprobs": None}]
    head = _head("chat.completion", name, number)
    reply = ChatCompletion.model_construct(**head, choices=choices, usage=_usage(completion.usage))
    return reply.model_dump(warnings=False)


def chat_stream(completion: Completion, name: str, number: str, with_usage: bool) -> Iterator[bytes]:
    """The same as server-sent events: role, thinking, text, tool calls (name first, then arguments), finish, usage."""
    from openai.types.chat import ChatCompletionChunk

    deltas: list[Data] = [{"role": "assistant", "content": None if completion.tool_calls else ""}]
    deltas += [{"reasoning_content": completion.reasoning}] if completion.reasoning else []
    deltas += [{"content": completion.text}] if completion.text else []
    for index, call in enumerate(map(_tool_call, completion.tool_calls)):
        begun = {**call, "index": index, "function": {**call["function"], "arguments": ""}}
        rest = {"index": index, "function": {"arguments": call["function"]["arguments"]}}
        deltas += [{"tool_calls": [begun]}, {"tool_calls": [rest]}]
    choices: list[Data] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": _finish(completion)})
    parts: list[Data] = [{"choices": [choice]} for choice in choices]
    parts += [{"choices": [], "usage": _usage(completion.usage)}] if with_usage else []
    for part in parts:
        chunk = ChatCompletionChunk.model_construct(**_head("chat.completion.chunk", name, number), **part)
        yield f"data: {chunk.model_dump_json(exclude_unset=True, warnings=False)}\n\n".encode()
    yield b"data: [DONE]\n\n"


def embeddings_reply(vectors: NDArray[np.float32], tokens: int, name: str, encoded: bool) -> Data:
    """The body of an /embeddings reply. vectors: one row a text. encoded: as base64 of little-endian 32-bit floats."""
    from openai.types import CreateEmbeddingResponse

    rows = [base64.b64encode(row.tobytes()).decode() if encoded else row.tolist() for row in vectors.astype("<f4")]
    data = [{"embedding": row, "index": index, "object": "embedding"} for index, row in enumerate(rows)]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    reply = CreateEmbeddingResponse.model_construct(data=data, model=name, object="list", usage=usage)
    return reply.model_dump(warnings=False)


def model_reply(name: str) -> Data:
    from openai.types import Model

    return Model(id=name, object="model", created=0, owned_by="memeval").model_dump()


def _head(kind: str, name: str, number: str) -> Data:
    return {"id": number, "object": kind, "created": int(time.time()), "model": name}


def _finish(completion: Completion) -> str:
    return _FINISH.get(completion.finish_reason, completion.finish_reason)


def _tool_call(call: ToolCall) -> Data:
    """One tool call: readable arguments as clean JSON, others as the model wrote them."""
    written = call.raw if call.arguments is None else json.dumps(call.arguments, ensure_ascii=False)
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": written}}


def _usage(usage: Usage) -> Data:
    return {
        "completion_tokens": usage.completion,
        "prompt_tokens": usage.prompt,
        "total_tokens": usage.prompt + usage.completion,
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
        "prompt_tokens_details": {"cached_tokens": usage.cached},
    }
