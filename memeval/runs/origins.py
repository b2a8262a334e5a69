"""Find out which servers made the stored replies of a run, and whether they still serve the same models.

This is checked before a run starts, from the run's folder and the servers' model lists (`GET /models`). A server that
does not reply does not stop the run: a finished run is read back without it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import time
from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from memeval import process
from memeval.errors import UsageError
from memeval.models import registry
from memeval.models.completion import ModelSpec
from memeval.models.served import Served, read_of
from memeval.records.folder import RunFolder
from memeval.records.manifest import Origin
from memeval.records.memory import MemoryFolder
from memeval.records.rows import OperationRow, SampleRow
from memeval.records.summary import ReadBack
from memeval.runs.manifest import memory_manifest
from memeval.runs.plan import Planned
from memeval.runs.run import finished, wanted
from memeval.runs.spec import RunSpec

PATIENCE = 2.0
"""Seconds within which a server must return its list of models."""

Origins = dict[str, tuple[Origin, ...]]


def with_origins(plans: Sequence[Planned], same_model: bool = False) -> list[Planned]:
    """The runs with the models that their servers report. same_model: accept the listed models as those that made the
    stored replies, and record that.

    Raises UsageError, before anything is paid for, if a model differs from the one that made the stored replies of a
    run, or if a model of a run with open questions cannot be opened (a missing key or extra).
    """
    for planned in plans:
        _check_models(planned)
    servers = {place(model): model for planned in plans for model in planned.spec.models.values() if place(model)}
    listed = process.run(_listed(servers)) if servers else {}
    return [_with_origins(planned, listed, same_model) for planned in plans]


def place(model: ModelSpec) -> str:
    """The place of a model: the URL of its server, the name of its provider, or "" on this machine."""
    where = registry.route(model)
    return where.endpoint if where.provider.needs_url else ""


def _check_models(planned: Planned) -> None:
    models = {**planned.spec.models, **({"judge": planned.judge} if planned.judge else {})}
    models = {role: model for role, model in models.items() if registry.fills_cache(model)}  # the others run in this process
    if not models or wanted(planned) <= finished(planned):
        return
    for role, model in models.items():
        try:
            registry.check(model, embeds=role == "embedder")
        except UsageError as error:
            raise UsageError(f"{role}: {error}") from None


async def _listed(servers: Mapping[str, ModelSpec]) -> dict[str, Served | None]:
    found = await asyncio.gather(*(read_of(model, PATIENCE) for model in servers.values()))
    return dict(zip(servers, found, strict=True))


def _with_origins(planned: Planned, listed: Mapping[str, Served | None], same_model: bool) -> Planned:
    spec = planned.spec
    now = {role: _origin(model, listed[place(model)]) for role, model in spec.models.items() if place(model)}
    if not now:
        return planned
    folder = RunFolder(spec.folder)
    manifest = folder.manifest()
    used = _used(spec)
    stored = {role: used.get(role, ()) for role in now}
    different = {
        role: phrase for role, origin in now.items() if (phrase := _different(stored[role], origin, spec.models[role]))
    }
    if different and not same_model:
        raise UsageError(_message(spec.shown, different))
    origins = {role: _added(stored[role], origin) for role, origin in now.items()}
    if different and manifest and folder.writable:
        folder.write_manifest(replace(manifest, origins=origins))
    if different and spec.memory and os.access(spec.memory, os.W_OK):
        MemoryFolder(spec.memory).add_origins(memory_manifest(dataclasses.replace(planned, origins=origins)))
    makers = {role: maker for role, origin in now.items() if (maker := _unproven(stored[role], origin))}
    back = tuple(ReadBack(role, maker.url, maker.since, now[role].url) for role, maker in makers.items())
    models = dict(spec.models)
    for role, origin in now.items():
        window = origin.window or next((one.window for one in reversed(stored[role]) if one.window), None)
        models[role] = dataclasses.replace(models[role], checkpoint=_checkpoint(origin), window=window)
    return dataclasses.replace(planned, spec=dataclasses.replace(spec, models=models), origins=origins, read_back=back)


def _origin(model: ModelSpec, served: Served | None) -> Origin:
    """What a server reports about a model now."""
    where = registry.route(model)
    today = time.strftime("%Y-%m-%d")
    if served is None:
        return Origin(url=where.endpoint, since=today)
    listed = served.id_of(where.name)
    return Origin(
        url=where.endpoint,
        since=today,
        ids=served.ids if listed is None else (listed,),
        root=served.root(where.name),
        window=served.window(where.name),
    )


def _checkpoint(origin: Origin) -> str:
    """What distinguishes the weights of a model from others of the same name, as far as its server reports it."""
    return origin.root or (origin.ids[0] if len(origin.ids) == 1 else "")


def _used(spec: RunSpec) -> Origins:
    """The servers that made the stored replies of a run and of its memory, by role."""
    folder = RunFolder(spec.folder)
    manifest = folder.manifest()
    answering = _answered(folder.samples()) if manifest and manifest.origins else set()
    found = {role: manifest.origins[role] for role in answering & manifest.origins.keys()} if manifest else {}
    memory = MemoryFolder(spec.memory) if spec.memory else None
    built = memory.manifest() if memory else None
    if memory and built and built.origins:
        for role in sorted(_answered(memory.operations()) & built.origins.keys()):
            found[role] = tuple(dict.fromkeys((*built.origins[role], *found.get(role, ()))))
    return found


def _answered(rows: Iterable[SampleRow | OperationRow]) -> set[str]:
    """The roles with a stored reply: a failed call has no tokens."""
    return {role for row in rows for role, used in row.tokens.items() if used.prompt or used.completion}


def _different(before: Sequence[Origin], now: Origin, model: ModelSpec) -> str | None:
    """How a model differs from all models that made the stored replies; None if no difference is known."""
    phrases = [difference(one, now, registry.route(model).name) for one in before if one.ids]
    return phrases[-1] if phrases and all(phrases) else None


def difference(before: Origin, now: Origin, name: str) -> str | None:
    """How the model `name` differs from the one that made stored replies, as a phrase; None if it is the same or cannot
    be compared.

    The id in the model list and its root are compared. Other models of a server come and go; a server that never listed
    the name counts as changed if it lists none of the models that it listed before.
    """
    if not before.ids or not now.ids:
        return None
    listed = len(before.ids) == 1 or len(now.ids) == 1
    if before.ids != now.ids if listed else set(before.ids).isdisjoint(now.ids):
        return f"the server lists {_names(now.ids)}, not {_names(before.ids)}"
    if before.root is None or now.root is None or before.root == now.root:
        return None
    return f"the server has '{now.root}' as '{name}', not '{before.root}'"


def _names(ids: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in ids[:3]) + (", ..." if len(ids) > 3 else "")


def _unproven(before: Sequence[Origin], now: Origin) -> Origin | None:
    """The first server that made stored replies at another URL, or whose model list cannot be compared with the current
    one."""
    compared = bool(now.ids) and any(one.ids for one in before)
    return next((one for one in before if one.url != now.url or not compared), None)


def _added(before: tuple[Origin, ...], now: Origin) -> tuple[Origin, ...]:
    """`before`, with the current state of the server if it is new."""
    known = {(one.url, one.ids, one.root) for one in before}
    silent = not now.ids and any(one.url == now.url for one in before)
    return before if silent or (now.url, now.ids, now.root) in known else (*before, now)


def _message(shown: str, different: Mapping[str, str]) -> str:
    said = "; ".join(f"{role}: {phrase}" for role, phrase in different.items())
    fresh = "--fresh-memory" if {"memory", "embedder"} & different.keys() else "--fresh"
    return (
        f"{shown}: its stored replies are of another model ({said}); name the new one with --tag NAME to keep both, start "
        f"anew with {fresh}, or say --same-model if it is the same model"
    )
