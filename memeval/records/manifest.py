"""manifest.json: everything that a number depends on. It never contains a key."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

UnixTime = Annotated[float, msgspec.Meta(ge=0, lt=253_402_300_800)]
"""Seconds since 1970, up to the year 9999."""


class Typed(msgspec.Struct, frozen=True, kw_only=True):
    """Agent and task as typed on the command line."""

    agent: str = ""
    task: str = ""


class JudgeFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A judge and its rules. own_prompt: from a prompt file of the user. related: roles whose model is of the judge's
    family."""

    judge: str
    family: str
    prompt_hash: str
    own_prompt: bool = False
    params: dict[str, Any] = {}
    related: tuple[str, ...] = ()


class AgentFiles(msgspec.Struct, frozen=True):
    """Source files of an agent that differ from its identity. changed: during a run; missed: imported from beside it,
    but not part of its identity."""

    changed: tuple[str, ...] = ()
    missed: tuple[str, ...] = ()


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """A server that made stored replies of a role, as it was when a run started. url: its URL; since: the day of its
    first use. ids: the model's name if the server lists it, else all listed names; root: the origin of the weights as
    the server reports it; window: of the model, in tokens."""

    url: str
    since: str = ""
    ids: tuple[str, ...] = ()
    root: str | None = None
    window: int | None = None


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a number depends on.

    identity: everything that the run's `hash` covers (RunSpec.identity), for people to read and compare. label: a name
    for people. started, finished: Unix times at which memeval last started to fill the folder, and last wrote its
    summary (if that is earlier, memeval was killed or is still running). memory: the folder of the memory, relative to
    the run's; None for a control. agent: the card's name; track: reader or native. source: of the task. judge: the
    family of judge prompts that the task was published with. models: role -> name. questions: most questions asked so
    far. shadowed: cards that the run's cards hide. trained_on: known training data of its models. origins: role -> the
    servers that made its stored replies; served: role -> model names that they reported; adapted: what was changed in
    requests because a server refused them. agent_files: source files of the agent that differ from the identity.
    """

    format: int
    hash: str
    memory: str | None = None
    typed: Typed
    label: str = ""
    started: UnixTime = 0.0
    finished: UnixTime = 0.0
    agent: str
    track: str = "reader"
    source: str = ""
    judge: str = ""
    protocol: str = ""
    deviations: tuple[str, ...] = ()
    headline: str = ""
    seed: int = 0
    models: dict[str, str] = {}
    questions: int = 0
    base_urls: dict[str, str] = {}
    concurrency: int = 0
    shadowed: tuple[str, ...] = ()
    versions: dict[str, str] = {}
    git: str | None = None
    judges: dict[str, JudgeFacts] = {}
    trained_on: dict[str, Any] = {}
    origins: dict[str, tuple[Origin, ...]] = {}
    served: dict[str, tuple[str, ...]] = {}
    adapted: tuple[str, ...] = ()
    agent_files: AgentFiles = AgentFiles()
    identity: dict[str, Any] = {}


class MemoryManifest(msgspec.Struct, frozen=True, kw_only=True):
    """The manifest of a memory folder.

    identity: everything that the `memory_hash` covers (RunSpec.ingest_identity). created: Unix time. models: role ->
    name. replayable: whether the memory follows from the stored replies. origins: role -> the servers that made them.
    """

    format: int
    memory_hash: str
    agent: str
    task: str
    created: float
    models: dict[str, str] = {}
    replayable: bool = True
    origins: dict[str, tuple[Origin, ...]] = {}
    versions: dict[str, str] = {}
    git: str | None = None
    identity: dict[str, Any] = {}
