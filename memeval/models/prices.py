"""Prices of models: `prices:` in memeval.yaml, else litellm's price table, which is read as a file.

An unknown price is None, never 0: it stays blank wherever money is shown. Zeros in the table count as unknown too,
because they mean "unknown" as often as "free"; a free model can have a price of 0 in memeval.yaml.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memeval.errors import UsageError, suggest
from memeval.models.completion import Usage
from memeval.models.keys import OPENAI_URL
from memeval.models.providers import LOCAL
from memeval.yamlfile import read_yaml

CONFIG = Path("memeval.yaml")
MILLION = 1_000_000
_KEYS = ("prompt", "completion", "cached")
_ALSO = {"input": "prompt", "output": "completion"}
"""Providers' names for prices, which memeval.yaml may use as well."""
_ABOVE = re.compile(r"input_cost_per_token_above_(\d+)k_tokens")


@dataclass(frozen=True, slots=True)
class Price:
    """USD per token. cached: for prompt tokens that the server read from its prefix cache. source: `memeval.yaml` or
    `litellm`. above: (tokens, price) of calls whose prompt is longer than that many tokens, rising."""

    prompt: float
    completion: float
    cached: float
    source: str
    above: tuple[tuple[int, Price], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The price in USD per million tokens, as in price lists."""
        return {**{key: round(getattr(self, key) * MILLION, 6) for key in _KEYS}, "source": self.source}


def price(name: str, base_url: str | None = None) -> Price | None:
    """The price of a model as a role names it (`ModelSpec.name`, `ModelSpec.base_url`); None if it is unknown.

    An entry of memeval.yaml is found by the name alone. The table applies only to providers' models: the price of a
    model with the same name at another URL is unknown. Raises UsageError if memeval.yaml is wrong.
    """
    own = configured().get(name)
    return own if own is not None else _listed(_entry(name, base_url))


def cost(usage: Usage, price: Price | None, calls: int = 1) -> float | None:
    """USD for the tokens of `calls` calls; None if the price is unknown.

    Prompt tokens from the server's cache cost `cached`, the others `prompt`; thinking is part of the completion. If
    long prompts cost more, the mean prompt of the calls decides.
    """
    if price is None:
        return None
    longest = usage.prompt / max(1, calls)
    for tokens, dearer in price.above:
        if longest > tokens:
            price = dearer
    cached = min(usage.cached, usage.prompt)
    return (usage.prompt - cached) * price.prompt + cached * price.cached + usage.completion * price.completion


def context_window(name: str, base_url: str | None = None) -> int | None:
    """Most tokens of a prompt, from the table; None if unknown."""
    entry = _entry(name, base_url) or {}
    window = entry.get("max_input_tokens")
    if window is None and "max_output_tokens" not in entry:  # then the old key `max_tokens` means the input
        window = entry.get("max_tokens")
    return window if isinstance(window, int) and window > 0 else None


def remedy(name: str) -> str:
    """How to set the price of a model, as the end of a sentence."""
    example = f"prices: {{{name}: {{input: 0.1, output: 0.4}}}}"
    return f"add it under 'prices:' in memeval.yaml, like {example} (USD per million tokens)"


# -- memeval.yaml -----------------------------------------------------------------------------------------------------


def configured(path: Path = CONFIG) -> dict[str, Price]:
    """name -> price under `prices:` of the working directory's memeval.yaml, in USD per million tokens: `prices: {NAME:
    {prompt: 0.15, completion: 0.6, cached: 0.075}}`, or `input` and `output` for the first two; `cached` is optional
    (default: `prompt`)."""
    given = read_yaml(path).get("prices") if path.is_file() else None
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise UsageError(
            f"{path}: 'prices' is {given!r}, expected {{NAME: {{prompt: USD, completion: USD}}}} per million tokens"
        )
    return {str(name): _read(entry, f"{path}: prices.{name}") for name, entry in given.items()}


def _read(entry: Any, where: str) -> Price:
    if not isinstance(entry, Mapping):
        raise UsageError(f"{where} is {entry!r}, expected {{prompt: USD, completion: USD}} per million tokens")
    if twice := next((key for key, name in _ALSO.items() if key in entry and name in entry), None):
        raise UsageError(f"{where}: '{twice}' and '{_ALSO[twice]}' are the same; give one of them")
    for key, value in entry.items():
        if key not in (known := (*_KEYS, *_ALSO)):
            raise UsageError(f"{where}: unknown key '{key}'{suggest(str(key), known)} (known: {', '.join(known)})")
        if _number(value) is None:
            raise UsageError(f"{where}.{key} is {value!r}, expected USD per million tokens, 0 or more")
    entry = {_ALSO.get(key, key): value for key, value in entry.items()}
    for key in ("prompt", "completion"):
        if key not in entry:
            also = next(other for other, name in _ALSO.items() if name == key)
            raise UsageError(f"{where}: '{key}' (or '{also}') is missing (USD per million tokens)")
    prompt, completion = entry["prompt"] / MILLION, entry["completion"] / MILLION
    return Price(prompt, completion, entry.get("cached", entry["prompt"]) / MILLION, CONFIG.name)


# -- the table --------------------------------------------------------------------------------------------------------


def table_path() -> Path | None:
    """The price table in litellm's wheel, found without importing litellm (which takes seconds)."""
    spec = importlib.util.find_spec("litellm")
    if spec is None or not spec.submodule_search_locations:
        return None
    return next(iter(sorted(Path(spec.submodule_search_locations[0]).glob("model_prices_and_context_window*.json"))), None)


@functools.lru_cache(maxsize=1)
def table() -> Mapping[str, Any]:
    """litellm's entries by model; empty if the file is missing. Raises UsageError if it cannot be read."""
    path = table_path()
    if path is None:
        return {}
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot read litellm's price table ({error}); install litellm again") from None
    return data if isinstance(data, dict) else {}


@functools.lru_cache(maxsize=1)
def providers() -> frozenset[str]:
    """The providers that litellm knows, as names start with them: those of the table, and of the list beside it (if
    litellm's wheel has one)."""
    priced = {_provider(entry) for entry in table().values() if isinstance(entry, Mapping)}
    path = table_path()
    beside = path.with_name("provider_endpoints_support_backup.json") if path else None
    listed = json.loads(beside.read_bytes()).get("providers", {}) if beside and beside.is_file() else {}
    return frozenset({name.partition("-")[0] for name in priced} | set(listed))


def _entry(name: str, base_url: str | None) -> Mapping[str, Any] | None:
    """The table's entry: for the whole name, or for the model's name alone if that entry is of the same provider."""
    if base_url is not None:
        if base_url.rstrip("/") != OPENAI_URL:
            return None
        name = f"openai/{name}"
    provider, slash, model = name.partition("/")
    if not slash or provider in LOCAL:
        return None
    for key in (name, model):
        entry = table().get(key)
        if isinstance(entry, Mapping) and re.match(rf"{re.escape(provider)}\b|{re.escape(provider)}_", _provider(entry)):
            return entry
    return None


def _provider(entry: Mapping[str, Any]) -> str:
    """`bedrock_converse`, `vertex_ai-language-models` and the like are parts of the provider that a name starts with."""
    return str(entry.get("litellm_provider", ""))


def _listed(entry: Mapping[str, Any] | None) -> Price | None:
    found = _costs(entry or {}, "")
    if entry is None or found is None:
        return None
    steps = sorted({int(match[1]) for key in entry if (match := _ABOVE.fullmatch(key))})
    dearer = [(thousands * 1000, _costs(entry, f"_above_{thousands}k_tokens")) for thousands in steps]
    return Price(*found, "litellm", tuple((tokens, Price(*costs, "litellm")) for tokens, costs in dearer if costs))


def _costs(entry: Mapping[str, Any], suffix: str) -> tuple[float, float, float] | None:
    """USD per (prompt, completion, cached) token. Embeddings have no completion."""
    prompt = _number(entry.get(f"input_cost_per_token{suffix}"))
    completion = _number(entry.get(f"output_cost_per_token{suffix}"))
    if entry.get("mode") == "embedding":
        completion = completion or 0.0
    elif not completion:
        return None
    if not prompt or completion is None:
        return None
    cached = _number(entry.get(f"cache_read_input_token_cost{suffix}"))
    return prompt, completion, prompt if cached is None else cached


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value < 0:
        return None
    return float(value)
