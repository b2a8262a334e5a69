"""The sampling parameters of one call to a model in this process, read from what agents send to servers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from memeval.errors import BadParameter, suggest
from memeval.models.body import raised_limits, switched

_IGNORED = frozenset({"timeout", "parallel_tool_calls", "user"})
"""Parameters that concern a connection to a server, which there is none of here."""
_KNOWN = (
    *("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "max_tokens", "max_completion_tokens", "stop", "seed"),
    *("chat_template_kwargs", "tool_choice", "extra_body"),
)
_NOTHING = {"presence_penalty": 0, "frequency_penalty": 0, "logit_bias": {}, "response_format": {"type": "text"}}
"""Values that clients send to ask for nothing."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """temperature 0: the likeliest token. top_p, top_k (0 = all), min_p: which tokens may be drawn, as in vLLM.
    repetition_penalty: of tokens that are in the prompt or the reply (CTRL, arXiv 1909.05858). max_tokens: None = up to the
    window. stop: texts that end the reply. seed: of this call's draws. template: arguments of the chat template."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int = 0
    template: tuple[tuple[str, Any], ...] = ()

    @property
    def warpers(self) -> tuple[float, ...]:
        """What rows of one batch must have in common."""
        return self.temperature, self.top_p, self.top_k, self.min_p, self.repetition_penalty


def read(params: Mapping[str, Any], defaults: Mapping[str, Any], seed: int, name: str, raised: bool = False) -> Sampling:
    """What a call asks for. defaults: the checkpoint's generation_config.json, which fills in what the call leaves open, as
    vLLM does. seed: of the call; a `seed` among the parameters is part of what it was made from. raised: with the limit of a
    model that thinks. Raises BadParameter for an unknown parameter or a bad value."""
    sent = {**switched(name, params), **(params.get("extra_body") or {})}
    if raised:
        sent |= raised_limits(params, sent)
    given = {key: value for key, value in sent.items() if value is not None}
    for key in given:
        if key not in _KNOWN and key not in _IGNORED and not (key in _NOTHING and given[key] == _NOTHING[key]):
            known = f"{suggest(key, _KNOWN)} (known: {', '.join(_KNOWN)})"
            raise BadParameter(key, f"model 'hf/{name}': no parameter '{key}'{known}")
    if given.get("tool_choice", "auto") != "auto":
        said = f"model 'hf/{name}': tool_choice is {given['tool_choice']!r}; only 'auto' works here"
        raise BadParameter("tool_choice", said)

    def number(key: str, standard: float, least: float, most: float) -> float:
        value = given.get(key)
        if value is None and (defaults.get("do_sample") or key == "repetition_penalty"):
            value = defaults.get(key)
        value = standard if value is None else value
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
            span = f"from {least:g} to {most:g}" if most < 2**31 else f"of at least {least:g}"
            raise BadParameter(key, f"model 'hf/{name}': {key} is {value!r}, expected a number {span}")
        return value

    number("seed", 0, -(2**63), 2**64)
    top_k = number("top_k", 0, -1, 2**31)
    limits = [number(key, 0, 1, 2**31) for key in ("max_tokens", "max_completion_tokens") if key in given]
    for key, value in (("top_k", top_k), ("max_tokens", limits[0] if limits else 0)):
        if int(value) != value:
            raise BadParameter(key, f"model 'hf/{name}': {key} is {value!r}, expected a whole number")
    return Sampling(
        temperature=number("temperature", 1.0, 0.0, 100.0),
        top_p=number("top_p", 1.0, 0.0, 1.0),
        top_k=max(0, int(top_k)),
        min_p=number("min_p", 0.0, 0.0, 1.0),
        repetition_penalty=number("repetition_penalty", 1.0, 0.01, 100.0),
        max_tokens=int(min(limits)) if limits else None,
        stop=_stop(given.get("stop"), name),
        seed=seed,
        template=_template(given.get("chat_template_kwargs"), name),
    )


def _stop(value: Any, name: str) -> tuple[str, ...]:
    texts = [value] if isinstance(value, str) else value or []
    if not isinstance(texts, (list, tuple)) or not all(isinstance(text, str) for text in texts):
        raise BadParameter("stop", f"model 'hf/{name}': stop is {value!r}, expected a text or a list of texts")
    return tuple(text for text in texts if text)


def _template(value: Any, name: str) -> tuple[tuple[str, Any], ...]:
    if value is not None and not isinstance(value, Mapping):
        raise BadParameter(
            "chat_template_kwargs", f"model 'hf/{name}': chat_template_kwargs is {value!r}, expected a mapping"
        )
    return tuple(sorted((value or {}).items()))
