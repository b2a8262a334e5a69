"""What a number rests on, in one file: cards, hashes, models, seed, versions, git revision. No key is ever in it."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path
from typing import Any

import memeval
from memeval import cards
from memeval.cards import AgentCard, TaskCard
from memeval.runs.plan import Planned
from memeval.runs.store import read_json


def manifest(planned: Planned) -> dict[str, Any]:
    """What a number rests on: cards, hashes, models, seed, versions, git revision. No key is ever in it."""
    spec = planned.spec
    return {
        **spec.identity(),
        "hash": cards.digest(spec.identity()),
        "ingest_hash": cards.digest(spec.ingest_identity()),
        "typed": {"agent": spec.agent.typed, "task": spec.task_typed},
        "protocol": spec.task.protocol,
        "deviations": list(spec.task.deviations),
        "judge": spec.task.judge,
        "headline": spec.task.headline,
        "questions": len(planned.question_ids),
        "base_urls": {role: model.base_url for role, model in spec.models.items() if model.base_url},
        "concurrency": spec.concurrency,
        "shadowed": [
            *cards.shadowed(TaskCard, spec.task.name.partition("@")[0]),
            *cards.shadowed(AgentCard, spec.agent.card.name),
        ],
        "versions": {"memeval": memeval.__version__, "python": platform.python_version()},
        "git": _git_revision(),
        "judges": (read_json(spec.folder / "manifest.json") or {}).get("judges", {}),
    }


def _git_revision() -> str | None:
    """The revision of the checkout memeval runs from, with `+` when it has changes; None for an installed package."""
    root = Path(memeval.__file__).parent.parent
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty=+"],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
