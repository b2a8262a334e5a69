"""The manifest of a run: cards, hashes, models, seed, versions, git revision. It never contains a key."""

from __future__ import annotations

import functools
import platform
import subprocess
import time
from pathlib import Path

from msgspec.structs import replace

import memeval
from memeval import cards, digests
from memeval.records.folder import RunFolder
from memeval.records.manifest import Manifest, MemoryManifest, Typed
from memeval.runs.plan import Planned
from memeval.runs.prompts import deviations
from memeval.runs.spec import FORMAT

KEPT = ("judges", "trained_on", "served", "adapted", "agent_files")
"""Fields of the manifest that are set at the end of a run."""


def manifest(planned: Planned) -> Manifest:
    """The manifest of a run that starts or resumes. Facts that the folder already has (judges, questions asked) are
    kept."""
    spec = planned.spec
    identity = spec.identity()
    made = Manifest(
        format=FORMAT,
        hash=digests.digest(identity),
        memory=spec.memory_link,
        typed=Typed(agent=spec.agent.typed, task=spec.task_typed),
        label=spec.label,
        started=time.time(),
        agent=spec.agent.card.name,
        track=spec.agent.card.track,
        source=spec.task.source,
        judge=spec.task.judge,
        protocol=spec.task.protocol,
        deviations=deviations(spec.task, spec.agent.card, identity["prompts"]),
        headline=spec.task.headline,
        seed=spec.settings.seed,
        models={role: model.name for role, model in spec.models.items()},
        questions=len(planned.question_ids),
        base_urls={role: model.base_url for role, model in spec.models.items() if model.base_url},
        concurrency=spec.concurrency,
        shadowed=(*cards.shadowed(spec.task), *cards.shadowed(spec.agent.card)),
        versions=_versions(),
        git=_git_revision(),
        origins=dict(planned.origins),
        identity=identity,
    )
    before = RunFolder(spec.folder).manifest()
    if before is None:
        return made
    return replace(
        made,
        label=made.label or before.label,
        questions=max(made.questions, before.questions),
        **{name: getattr(before, name) for name in KEPT},
    )


def memory_manifest(planned: Planned) -> MemoryManifest:
    """The manifest of a memory that is started or continued."""
    spec = planned.spec
    identity = spec.ingest_identity()
    return MemoryManifest(
        format=FORMAT,
        memory_hash=digests.digest(identity),
        agent=spec.agent.card.name,
        task=digests.read_as(spec.task),
        created=time.time(),
        models={role: model.name for role, model in spec.models.items() if role in identity["models"]},
        replayable=spec.agent.replayable,
        origins={role: origins for role, origins in planned.origins.items() if role in identity["models"]},
        versions=_versions(),
        git=_git_revision(),
        identity=identity,
    )


def _versions() -> dict[str, str]:
    return {"memeval": memeval.__version__, "python": platform.python_version()}


@functools.cache
def _git_revision() -> str | None:
    """The git revision of the checkout that memeval runs from, with `+` if it has changes; None for an installed
    package."""
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
