"""Explain why a run starts anew although the agent has run this task before: which file or key has changed."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from memeval import digests
from memeval.config import ROLES
from memeval.records.folder import RunFolder
from memeval.runs.options import Options
from memeval.runs.spec import RunSpec

FILES = "agent_files"
MOST = 4
"""Most names in one line."""


def say_what_changed(specs: Iterable[RunSpec], options: Options) -> None:
    """Print on stderr what has changed since earlier runs, for runs that start anew."""
    typed = {f"agent.params.{key}" for key in options.settings}
    typed |= {f"models.{role}" for role in ROLES if {role, "model"} & {*options.models, *options.tags}}
    named = {"seed": options.seed != 42, "repeats": options.repeats, "answer_repeats": options.answer_repeats != 1}
    typed |= {key for key, value in {**named, "answer_budget": options.answer_budgets}.items() if value}
    for line in dict.fromkeys(_changed_since(spec, typed) for spec in specs):
        if line:
            print(f"memeval: {line}", file=sys.stderr)


def _changed_since(spec: RunSpec, typed: Collection[str]) -> str | None:
    """The line for a run without a folder: what has changed since the most similar run (the newest, if several) of the
    same agent and task. None if there is no such run, or if only what the user typed differs.

    typed: keys of the identity, such as `seed` or `agent.params.k`, that the command line sets.
    """
    if RunFolder(spec.folder).manifest() is not None:
        return None
    now = json.loads(digests.canonical(spec.identity()))
    similar: list[tuple[int, float, str, list[str]]] = []
    for path in spec.folder.parent.glob("*/manifest.json"):
        manifest = RunFolder(path.parent).manifest()
        before = manifest.identity if manifest else {}
        if all(before.get("agent", {}).get(key) == now["agent"][key] for key in ("name", "agent")):
            keys = different({key: before.get(key) for key in now}, now)
            similar.append((len(keys), -path.stat().st_mtime, path.parent.name, keys))
    if not similar:
        return None
    _, _, folder, keys = min(similar)
    asked = tuple(f"{key}." for key in typed)
    names = [key.removeprefix(f"{FILES}.") for key in keys if not f"{key}.".startswith(asked)]
    if not names:
        return None
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    return (
        f"{', '.join(names[:MOST])}{more} changed since {Path(spec.shown).with_name(folder)}; its answers are not used again"
    )


def different(before: Any, now: Any, at: str = "") -> list[str]:
    """Dotted keys of two JSON values at which they differ."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        keys = sorted({*before, *now})
        return [name for key in keys for name in different(before.get(key), now.get(key), f"{at}.{key}" if at else key)]
    return [] if before == now else [at]
