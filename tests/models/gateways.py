"""Gateways for tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from memeval.models import registry
from memeval.models.calls import CallSettings
from memeval.models.gateway import MEMORY, Gateway
from memeval.models.store import Store
from memeval.records.rows import CallRow


def gateway(
    store: Path | Mapping[str, Path] | None = None,
    model: Any = None,
    *,
    cache: bool = False,
    on_call: Callable[[CallRow], None] | None = None,
    **settings: Any,
) -> Gateway:
    """store: file of the replies of all phases, or of each. model: that answers every call. cache: use the user's."""
    stores = dict.fromkeys((*MEMORY, "answer", ""), store) if isinstance(store, Path) else store or {}
    opener = registry.open_model if model is None else lambda spec, limiter: model
    return Gateway(CallSettings(use_cache=cache, **settings), stores, on_call, opener)


def stored(path: Path) -> int:
    """The replies in a file."""
    store = Store(path)
    try:
        return len(store)
    finally:
        store.close()
