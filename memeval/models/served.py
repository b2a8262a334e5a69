"""What a server says that it serves: `GET /models` of an OpenAI-compatible endpoint, read at every start where it exists.

It shows when a new checkpoint is behind the same URL and name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from memeval.errors import UsageError
from memeval.models import registry
from memeval.models.completion import ModelSpec
from memeval.models.keys import endpoint_key
from memeval.models.limits import Limiter

WINDOWS = ("max_model_len", "context_length", "context_window", "max_context_length")
"""What vLLM, OpenRouter and others call a model's window; llama.cpp has it in `meta.n_ctx`."""


@dataclass(frozen=True, slots=True)
class Served:
    """ids: names of all models of a server, in its order. roots: name -> where its weights are from (vLLM's `root`), where
    the server says so. windows: name -> tokens, where the server says so."""

    ids: tuple[str, ...]
    roots: Mapping[str, str] = field(default_factory=dict)
    windows: Mapping[str, int] = field(default_factory=dict)

    def id_of(self, name: str) -> str | None:
        """The listed model that answers to a name: itself, its `latest` (Ollama), or the only one of the server."""
        return next((found for found in (name, f"{name}:latest") if found in self.ids), None) or (
            self.ids[0] if len(self.ids) == 1 else None
        )

    def window(self, name: str) -> int | None:
        """Of the model that answers to a name, in tokens."""
        return self.windows.get(self.id_of(name) or "")

    def root(self, name: str) -> str | None:
        """Where the weights of the model that answers to a name are from."""
        return self.roots.get(self.id_of(name) or "")


async def read_of(spec: ModelSpec, patience: float) -> Served | None:
    """What the endpoint of a model lists; None for a model that has none, and where it has no such list, does not answer
    within `patience` seconds or cannot be reached: the calls that follow say what is wrong."""
    from memeval.models.endpoint import EndpointModel

    where = registry.route(spec)
    if where.kind != "endpoint":
        return None
    try:
        model = EndpointModel(where.name, where.endpoint, endpoint_key(spec), Limiter(where.endpoint))
        try:
            return parse_served(await model.listed(patience) or b"")
        finally:
            await model.close()
    except UsageError:  # a finished run makes no calls, and needs no key
        return None


def parse_served(raw: bytes) -> Served | None:
    """The body of a reply of `/models`; None where it is no list of models."""
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    entries = data.get("data") if isinstance(data, dict) else None
    if not isinstance(entries, list):
        return None
    models = {entry["id"]: entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get("id"), str)}
    roots = {name: root for name, entry in models.items() if isinstance(root := entry.get("root"), str)}
    windows = {name: window for name, entry in models.items() if (window := _window(entry)) is not None}
    return Served(tuple(models), roots, windows) if models else None


def _window(entry: Mapping[str, Any]) -> int | None:
    meta = entry.get("meta")
    sizes = [entry.get(name) for name in WINDOWS] + [meta.get("n_ctx") if isinstance(meta, Mapping) else None]
    return next((size for size in sizes if type(size) is int and size > 0), None)
