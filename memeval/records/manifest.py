"""manifest.json: what a number rests on. No key is ever in it."""

from __future__ import annotations

from typing import Any

import msgspec


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


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a number rests on.

    identity: all that the run's `hash` covers (RunSpec.identity), for people to read and compare. memory: the folder of the
    memory that the answers were given from, relative to the run's; None for a control. agent: the card's name; track: who
    answers. source: of the task. judge: the family of judge prompts that the task is published by. models: role -> name.
    questions: asked at most so far. shadowed: cards that the run's cards hide. trained_on: what is known of the training
    data of its models.
    """

    format: int
    hash: str
    memory: str | None = None
    typed: Typed
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
    identity: dict[str, Any] = {}


class MemoryManifest(msgspec.Struct, frozen=True, kw_only=True):
    """Whose memory a folder holds.

    identity: all that the `memory_hash` covers (RunSpec.ingest_identity). created: Unix time. models: role -> name.
    replayable: whether the memory follows from the stored replies.
    """

    format: int
    memory_hash: str
    agent: str
    task: str
    created: float
    models: dict[str, str] = {}
    replayable: bool = True
    versions: dict[str, str] = {}
    git: str | None = None
    identity: dict[str, Any] = {}
