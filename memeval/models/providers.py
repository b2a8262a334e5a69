"""The table of providers: how each kind of model is named, opened, priced and cached.

A new provider is one row: registry.py finds it by its `prefix`. Nothing heavy is imported before a model is opened.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memeval.errors import UsageError
from memeval.models.completion import Model, ModelSpec
from memeval.models.keys import OPENAI_URL, endpoint_key

if TYPE_CHECKING:
    from memeval.models.limits import Limiter


@dataclass(frozen=True, slots=True)
class Route:
    """The resolved name of a spec. `name`: as the provider knows it. `endpoint`: the base URL, else the name under
    which models share one limiter."""

    provider: Provider
    name: str
    endpoint: str

    @property
    def kind(self) -> str:
        return self.provider.kind


Opener = Callable[[Route, ModelSpec, "Limiter"], Model]


@dataclass(frozen=True, slots=True)
class Provider:
    """One row of the table.

    kind: of its models. form, about: notation of a name and its description, for `memeval list models`. names:
    memeval's own models, whose identity contains their version. prefix: of other names. opens: (route, spec, limiter)
    -> the model; embeds: the same for the role `embedder`, None without embedding models. url: of its API. runs_here:
    on this machine, so that no provider charges for it. fills_cache: replies are stored in the user's cache.
    has_weights: a digest of the weights is its identity, and it takes `backend` settings. needs_url: its models are
    identified by URL and name in the user's cache, and by name alone in a run. installed: checks that everything it
    needs on this machine is installed, and raises UsageError otherwise.
    """

    kind: str
    form: str
    about: str
    opens: Opener
    names: tuple[str, ...] = ()
    prefix: str = ""
    embeds: Opener | None = None
    url: str = ""
    runs_here: bool = False
    fills_cache: bool = True
    has_weights: bool = False
    needs_url: bool = False
    installed: Callable[[], str] = lambda: "nothing more is needed"

    def route(self, name: str) -> Route | None:
        """The route of a name that matches `names` or `prefix` of this row; None for others."""
        if name in self.names:
            return Route(self, name, name)
        if self.prefix and name.startswith(self.prefix) and name != self.prefix:
            return Route(self, name.removeprefix(self.prefix), self.url or name)
        return None


def _load(place: str) -> Any:
    """`module:Name` of this package, imported when a model is opened."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(f"memeval.models.{module}"), name)


def _plugin(at: Route, spec: ModelSpec, limiter: Limiter) -> Model:
    from memeval import plugins

    factory = plugins.entry_point("models", at.name)
    if factory is None:
        raise UsageError(f"model '{at.name}': its package is no longer installed")
    registered: Model = factory(spec)
    return registered


def _endpoint(at: Route, spec: ModelSpec, limiter: Limiter) -> Model:
    model: Model = _load("endpoint:EndpointModel")(at.name, at.endpoint, endpoint_key(spec), limiter)
    return model


def _endpoint_embedder(at: Route, spec: ModelSpec, limiter: Limiter) -> Model:
    model: Model = _load("embeddings:EmbeddingEndpoint")(at.name, at.endpoint, endpoint_key(spec), limiter)
    return model


AT_URL = Provider(
    "endpoint", "NAME@URL",
    "NAME at an OpenAI-compatible endpoint (also --base-url URL); the key is read from MEMEVAL_API_KEY",
    opens=_endpoint, embeds=_endpoint_embedder, needs_url=True,
)  # fmt: skip
"""Any name with a URL."""
LITELLM = Provider(
    "litellm", "PROVIDER/NAME",
    "any provider of litellm (anthropic/..., gemini/..., openrouter/...); keys from litellm's environment variables",
    opens=lambda at, spec, limiter: _load("litellm_model:LitellmModel")(at.name, limiter), needs_url=True,
)  # fmt: skip
"""Any name with a slash that no other row claims."""
PLUGIN = Provider("plugin", "", "registered by an installed package", opens=_plugin)
"""The names of the entry-point group `memeval.models`."""
PROVIDERS = (
    Provider(
        "offline", "offline", "the rule-based model: no key, GPU or network; not comparable with published results",
        opens=lambda at, spec, limiter: _load("offline:OfflineModel")(),
        embeds=lambda at, spec, limiter: _load("embeddings:OfflineEmbedder")(),
        names=("offline",), runs_here=True, fills_cache=False,
    ),
    Provider(
        "scripted", "scripted:FILE", "replies from a JSONL file of rules, for tests",
        opens=lambda at, spec, limiter: _load("scripted:ScriptedModel")(Path(at.name)),
        prefix="scripted:", runs_here=True, fills_cache=False,
    ),
    Provider(
        "endpoint", "openai/NAME", "OpenAI's API; the key is read from OPENAI_API_KEY",
        opens=_endpoint, embeds=_endpoint_embedder, prefix="openai/", url=OPENAI_URL, needs_url=True,
    ),
    LITELLM,
    AT_URL,
    Provider(
        "vllm", "vllm/WEIGHTS",
        "a folder or hub id behind a `vllm serve` that memeval starts and stops (extra vllm)",
        opens=lambda at, spec, limiter: _load("local.vllm_model:VllmModel")(at.name, spec, limiter),
        prefix="vllm/", runs_here=True, has_weights=True,
        installed=lambda: f"vllm is {_load('local.vllm_model:executable')()}",
    ),
    Provider(
        "hf", "hf/WEIGHTS",
        "a folder or hub id in this process, on CPU or GPU (extra hf); also as embedder",
        opens=lambda at, spec, limiter: _load("local.hf:HfModel")(at.name, spec),
        embeds=lambda at, spec, limiter: _load("local.hf_embedder:HfEmbedder")(at.name, spec),
        prefix="hf/", runs_here=True, has_weights=True, installed=lambda: str(_load("local.hf_loading:installed")()),
    ),
    Provider(
        "lookup", "lookup", "a strict reader: the first line of the memory with every word of the question",
        opens=lambda at, spec, limiter: _load("tiny:LookupModel")(),
        names=("lookup",), runs_here=True, fills_cache=False,
    ),
    Provider(
        "tiny", "tiny[/warm-start]",
        "the writer of `memeval train tiny`, trained or before training, for synth-tiny only, with reader lookup (extra hf)",
        opens=lambda at, spec, limiter: _load("tiny:TinyModel")(at.name),
        names=("tiny", "tiny/warm-start"), runs_here=True, fills_cache=False,
        installed=lambda: _load("local.hf_loading:installed")(),
    ),
    PLUGIN,
)  # fmt: skip
OWN = tuple(name for row in PROVIDERS for name in row.names)
"""memeval's own models."""
LOCAL = tuple(row.kind for row in PROVIDERS if row.has_weights)
"""Kinds with weights on this machine."""
