"""Why a run starts anew although its agent has been on this task before: which file or key is another one now."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from memeval import cards
from memeval.runs.spec import RunSpec

FILES = "agent_files"
_MOST = 4  # names in a line


def changed_since(spec: RunSpec, typed: Collection[str]) -> str | None:
    """A line for a run whose folder is not there yet: what changed since the run of the same agent and task that is nearest
    to it (of several the newest). None where there is no such run, and where only what the user typed is another.

    typed: keys of the identity, such as `seed` or `agent.params.k`, that the command line names."""
    if (spec.folder / "manifest.json").exists():
        return None
    now = json.loads(cards.canonical(spec.identity()))
    nearest: tuple[int, float, str, list[str]] | None = None
    for path in spec.folder.parent.glob("*/manifest.json"):
        before = _identity(path)
        if before is None or any(before.get("agent", {}).get(key) != now["agent"][key] for key in ("name", "agent")):
            continue
        names = different({key: before.get(key) for key in now}, now)
        found = (len(names), -path.stat().st_mtime, path.parent.name, names)
        nearest = min(nearest or found, found)
    if nearest is None:
        return None
    _, _, folder, names = nearest
    told = [
        name.removeprefix(f"{FILES}.")
        for name in names
        if not any(name == key or name.startswith(f"{key}.") for key in typed)
    ]
    if not told:
        return None
    more = f" and {len(told) - _MOST} more" if len(told) > _MOST else ""
    shown = Path(spec.shown).with_name(folder)
    return f"{', '.join(told[:_MOST])}{more} changed since {shown}; its answers are not used again"


def different(before: Any, now: Any, at: str = "") -> list[str]:
    """Dotted keys of two JSON values at which they differ."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        keys = sorted({*before, *now})
        return [name for key in keys for name in different(before.get(key), now.get(key), f"{at}.{key}" if at else key)]
    return [] if before == now else [at]


def _identity(path: Path) -> dict[str, Any] | None:
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return data.get("identity", data) if isinstance(data, dict) else None
