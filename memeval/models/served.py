"""What a server says that it serves: `GET /models` of an OpenAI-compatible endpoint, read at every start where it exists.

It is how a new checkpoint behind the same URL and name is told from the old one.
"""

from __future__ import annotations

import json
import ssl as tls
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

LARGEST = 2**24
"""Bytes of a list of models that are read at most."""

WINDOWS = ("max_model_len", "context_length", "context_window", "max_context_length")
"""What vLLM, OpenRouter and others call a model's window; llama.cpp has it in `meta.n_ctx`."""


@dataclass(frozen=True, slots=True)
class Served:
    """ids: names of all models of a server, in its order. roots: name -> where its weights are from (vLLM's `root`), where
    the server says so. windows: name -> tokens, where the server says so."""

    ids: tuple[str, ...]
    roots: Mapping[str, str] = field(default_factory=dict)
    windows: Mapping[str, int] = field(default_factory=dict)

    def window(self, name: str) -> int | None:
        """Of a model, in tokens. A server of one model answers to any name."""
        return self.windows.get(name) or (self.windows.get(self.ids[0]) if len(self.ids) == 1 else None)


async def read_served(
    base_url: str,
    *,
    headers: Mapping[str, str] | None = None,
    proxy: str | None = None,
    ssl: tls.SSLContext | bool = True,
    patience: float = 5.0,
) -> Served | None:
    """What the server lists; None where it has no such list, does not answer within `patience` seconds or cannot be reached:
    the calls that follow say what is wrong. headers: with the key, where there is one."""
    try:
        async with (
            aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=patience)) as session,
            session.get(f"{base_url}/models", allow_redirects=False, proxy=proxy, ssl=ssl) as response,
        ):
            raw = b""
            while len(raw) < LARGEST and (piece := await response.content.readany()):
                raw += piece
            return parse_served(raw) if response.status == 200 else None
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
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


def same_models(stored: Served | None, served: Served | None, name: str) -> str | None:
    """How the model `name` differs from the one that made the stored replies, as a phrase; None where it is the same, or
    where there is nothing to compare.

    Compared are its id and root. The other models of a server come and go, and count only where the server answers to a name
    that it does not list.
    """
    if stored is None or served is None:
        return None
    if (name in stored.ids) != (name in served.ids) or name not in served.ids:
        if set(stored.ids) == set(served.ids):
            return _root(stored, served, served.ids[0]) if len(served.ids) == 1 else None
        return f"the server lists {_listed(served)}, not {_listed(stored)}"
    return _root(stored, served, name)


def _root(stored: Served, served: Served, name: str) -> str | None:
    before, now = stored.roots.get(name), served.roots.get(name)
    if before is None or now is None or before == now:
        return None
    return f"the server has '{now}' as '{name}', not '{before}'"


def _listed(served: Served) -> str:
    return ", ".join(f"'{name}'" for name in served.ids[:3]) + (", ..." if len(served.ids) > 3 else "")
