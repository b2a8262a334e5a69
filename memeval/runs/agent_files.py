"""The source files of an agent: part of its identity when a run is planned, and listed again when the run has ended."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from memeval import prompts, source_files
from memeval.cards import AgentCard
from memeval.errors import UsageError
from memeval.loading import sources
from memeval.plugins import CONTROLS, agent_class, is_foreign
from memeval.records.folder import RunFolder
from memeval.records.manifest import AgentFiles
from memeval.runs.prompts import own_prompts
from memeval.runs.spec import AgentSpec


def agent_files(card: AgentCard, params: Mapping[str, Any]) -> dict[str, Path]:
    """Label -> file for the agent's whole source: the modules of its class, the local modules that they import
    (source_files.py), its shipped prompts, the files that a foreign agent with these `params` names, and those under
    `source:` of the card. Empty for controls. Raises UsageError."""
    if card.agent in CONTROLS:
        return {}
    made, base = agent_class(card), Path(card.path) if card.path else None
    kinds = made.__mro__ if isinstance(made, type) else (made,)
    modules = {name: sys.modules[name] for kind in kinds if (name := getattr(kind, "__module__", "")) in sys.modules}
    start = {name: Path(file) for name, module in modules.items() if (file := getattr(module, "__file__", None))}
    files = source_files.labels(sources(card.agent, base, start))
    own = own_prompts(card)
    shipped = prompts.files(own) if isinstance(own, str) else {}
    foreign = made(**params).files() if is_foreign(made) else {}
    return {**files, **shipped, **foreign, **_named(card)}


def _named(card: AgentCard) -> dict[str, Path]:
    """The files under `source:` of a card, relative to the card."""
    folder = Path(card.path).parent if card.path else Path()
    found: dict[str, Path] = {}
    for pattern in card.source:
        paths = glob.glob(os.path.expanduser(pattern), root_dir=folder, recursive=True)
        files = {path: (folder / path).resolve() for path in sorted(paths) if (folder / path).is_file()}
        if not files:
            raise UsageError(f"{card.path or card.name}: source: no file is named by '{pattern}'")
        found |= files
    return found


def not_as_planned(agent: AgentSpec, loaded: frozenset[str]) -> AgentFiles:
    """The agent's files that have changed since the run was planned, and imported files that are not part of its
    identity. loaded: the names in `sys.modules` before the run."""
    if not agent.files:
        return AgentFiles()
    files = agent_files(agent.card, agent.params)
    changed = source_files.differences(agent.files, source_files.digests(files))
    missed = source_files.imported_since(loaded, list(files.values()))
    return AgentFiles(tuple(changed), tuple(path.name for path in missed))


def keep_changes(folder: RunFolder, found: AgentFiles) -> None:
    """Add the result of `not_as_planned` to the run's manifest."""
    written = folder.manifest()
    if written and (found.changed or found.missed):
        before = written.agent_files
        changed, missed = {*before.changed, *found.changed}, {*before.missed, *found.missed}
        together = AgentFiles(tuple(sorted(changed)), tuple(sorted(missed)))
        folder.write_manifest(replace(written, agent_files=together))
