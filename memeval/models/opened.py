"""The models that a run has opened, each at its first use, and the limiter of each endpoint."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

from memeval.models import registry
from memeval.models.completion import Embedder, Model, ModelSpec
from memeval.models.limits import Limiter, Policy

Opener = Callable[[ModelSpec, Limiter], Model]


class Opened:
    """concurrency: the cap per endpoint. Models behind one endpoint share its limiter."""

    def __init__(self, concurrency: int, policy: Policy | None = None, opener: Opener = registry.open_model) -> None:
        self._concurrency = concurrency
        self._policy = policy
        self._opener = opener
        self._models: dict[tuple[str, ...], Model] = {}
        self._embedders: dict[tuple[str, ...], Embedder] = {}
        self._limiters: dict[str, Limiter] = {}

    def model(self, spec: ModelSpec) -> Model:
        name = _name(spec)
        if name not in self._models:
            self._models[name] = self._opener(spec, self._limiter(spec))
        return self._models[name]

    def embedder(self, spec: ModelSpec) -> Embedder:
        name = _name(spec)
        if name not in self._embedders:
            self._embedders[name] = registry.open_embedder(spec, self._limiter(spec))
        return self._embedders[name]

    async def close(self) -> None:
        """Close every one, whatever befalls the others: a server that is left behind holds its GPU."""
        opened: list[Model | Embedder] = [*self._models.values(), *self._embedders.values()]
        self._models.clear()
        self._embedders.clear()
        closings = [model.close() for model in opened]
        for error in await asyncio.gather(*closings, return_exceptions=True):
            if error is not None:
                raise error

    def _limiter(self, spec: ModelSpec) -> Limiter:
        endpoint = registry.route(spec).endpoint
        if endpoint not in self._limiters:
            self._limiters[endpoint] = Limiter(endpoint, self._concurrency, self._policy)
        return self._limiters[endpoint]


def _name(spec: ModelSpec) -> tuple[str, ...]:
    """Specs with the same name mean the same open model."""
    return spec.name, spec.base_url or "", json.dumps(dict(spec.backend), sort_keys=True) if spec.backend else ""
