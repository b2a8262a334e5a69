"""The models that a server lists: `GET /models` of an OpenAI-compatible endpoint, read at every start if it exists.

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
"""Names of a model's window at vLLM, OpenRouter and others; llama.cpp has it in `meta.n_ctx`."""


@dataclass(frozen=True, slots=True)
class Served:
    """ids: names of all models of a server, in its order. roots: name -> source of the weights (vLLM's `root`), if
    reported. windows: name -> tokens, if reported."""

    ids: tuple[str, ...]
    roots: Mapping[str, str] = field(default_factory=dict)
    windows: Mapping[str, int] = field(default_factory=dict)

    def id_of(self, name: str) -> str | None:
        """The listed model for a name: the name itself, its `latest` (Ollama), or the only model of the server."""
        return next((found for found in (name, f"{name}:latest") if found in self.ids), None) or (
            self.ids[0] if len(self.ids) == 1 else None
        )

    def window(self, name: str) -> int | None:
        """The window of the model for a name, in tokens."""
        return self.windows.get(self.id_of(name) or "")

    def root(self, name: str) -> str | None:
        """The source of the weights of the model for a name."""
        return self.roots.get(self.id_of(name) or "")


async def read_of(spec: ModelSpec, seconds: float) -> Served | None:
    """The model list of a model's endpoint. None for a model without an endpoint, and if there is no list, or the
    server does not reply within `seconds` or cannot be reached: later calls will report the reason."""
    from memeval.models.endpoint import EndpointModel

    where = registry.route(spec)
    if where.kind != "endpoint":
        return None
    try:
        model = EndpointModel(where.name, where.endpoint, endpoint_key(spec), Limiter(where.endpoint))
        try:
            return parse_served(await model.listed(seconds) or b"")
        finally:
            await model.close()
    except UsageError:  # a finished run makes no calls and needs no key
        return None


def parse_served(raw: bytes) -> Served | None:
    """Parse the body of a `/models` reply; None if it is not a list of models."""
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
