"""The sampling parameters of one call to a model in this process, read from the parameters that agents send to servers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from memeval.errors import BadParameter, UsageError, suggest
from memeval.models.body import switched
from memeval.typed import Positive, fields, typed

_IGNORED = frozenset({"timeout", "parallel_tool_calls", "user", "extra_body"})
"""Parameters that only concern a connection to a server; `extra_body` is unpacked."""
_NOTHING = {
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "logit_bias": {},
    "response_format": {"type": "text"},
    "tool_choice": "auto",
}
"""Values that clients send although they have no effect."""
Share = Annotated[float, Meta(ge=0, le=1)]


class Sampling(msgspec.Struct, frozen=True):
    """temperature 0: the likeliest token. top_p, top_k (0 or -1 = all), min_p: limit the tokens to sample from, as in
    vLLM. repetition_penalty: for tokens that occur in the prompt or the reply (CTRL, arXiv 1909.05858). max_tokens and
    max_completion_tokens: the smaller one counts; None = up to the window. stop: texts that end the reply. seed: for
    sampling in this call. chat_template_kwargs: arguments of the chat template."""

    temperature: Annotated[float, Meta(ge=0, le=100)] = 1.0
    top_p: Share = 1.0
    top_k: Annotated[int, Meta(ge=-1)] = 0
    min_p: Share = 0.0
    repetition_penalty: Annotated[float, Meta(ge=0.01, le=100)] = 1.0
    max_tokens: Positive | None = None
    max_completion_tokens: Positive | None = None
    stop: tuple[str, ...] = ()
    seed: int = 0
    chat_template_kwargs: dict[str, Any] = {}

    @property
    def warpers(self) -> tuple[float, ...]:
        """The parameters that all rows of one batch share."""
        return self.temperature, self.top_p, self.top_k, self.min_p, self.repetition_penalty

    def limit(self, room: int) -> int:
        """Most new tokens, if the window has room for `room` tokens."""
        return min(limit for limit in (room, self.max_tokens, self.max_completion_tokens) if limit is not None)


def read(params: Mapping[str, Any], defaults: Mapping[str, Any], seed: int, name: str) -> Sampling:
    """The sampling of a call. defaults: the checkpoint's generation_config.json, which provides missing parameters, as
    in vLLM. seed: of the call; it is derived from the parameters, including a `seed`. Raises BadParameter for an
    unknown parameter or a bad value."""
    known = fields(Sampling)
    filled = known if defaults.get("do_sample") else ("repetition_penalty",)
    given = {key: defaults[key] for key in filled if defaults.get(key) is not None}
    sent = {**switched(name, params), **(params.get("extra_body") or {})}
    for key, value in sent.items():
        if value is None or key in _IGNORED or (key in _NOTHING and value == _NOTHING[key]):
            continue
        if key not in known:
            forms = f"{suggest(key, known)} (known: {', '.join(known)})"
            raise BadParameter(key, f"model 'hf/{name}': no parameter '{key}'{forms}")
        given[key] = value
    asked: dict[str, Any] = {}
    for key, value in given.items():
        try:
            asked[key] = typed(value, known[key].type, f"model 'hf/{name}'", key)
        except UsageError as error:
            raise BadParameter(key, str(error)) from None
    return Sampling(**{**asked, "seed": seed})
