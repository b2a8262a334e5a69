"""manifest.json: what a number rests on. No key is ever in it."""

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
    """A judge and its rules. own_prompt: by a prompt file of the user's. related: roles whose model is of its family."""

    judge: str
    family: str
    prompt_hash: str
    own_prompt: bool = False
    params: dict[str, Any] = {}
    related: tuple[str, ...] = ()


class AgentFiles(msgspec.Struct, frozen=True):
    """Source files of an agent that are not as its identity has them. changed: while a run went on; missed: imported from
    beside it, and not part of its identity."""

    changed: tuple[str, ...] = ()
    missed: tuple[str, ...] = ()


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """A server that made stored replies of a role, as it was when a run started. url: where it is; since: the day on which
    it was first used. ids: the model's name where the server lists it, else all that it lists; root: where it says the
    weights are from; window: of the model, in tokens."""

    url: str
    since: str = ""
    ids: tuple[str, ...] = ()
    root: str | None = None
    window: int | None = None


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a number rests on.

    identity: all that the run's `hash` covers (RunSpec.identity), for people to read and compare. label: a name that
    people gave it. started, finished: Unix times at which memeval last began to fill the folder, and last wrote its
    summary (earlier: it was killed, or is at work). memory: the folder of the memory that the answers were given from,
    relative to the run's; None for a control. agent: the card's name; track: who answers. source: of the task. judge: the
    family of judge prompts that the task is published by. models: role -> name. questions: asked at most so far.
    shadowed: cards that the run's cards hide. trained_on: what is known of the training data of its models. origins: role
    -> the servers that made its stored replies; served: role -> names under which they said that they answered; adapted:
    what they wanted sent otherwise. agent_files: source files of the agent that are not as the identity has them.
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
    """Whose memory a folder holds.

    identity: all that the `memory_hash` covers (RunSpec.ingest_identity). created: Unix time. models: role -> name.
    replayable: whether the memory follows from the stored replies. origins: role -> the servers that made these.
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
