"""The options of `memeval run` as typed, on the command line or in Python, before anything is looked up."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from memeval.config import MODELS
from memeval.errors import UsageError, suggest
from memeval.models.limits import Policy

CONCURRENCY = 16
"""Default number of contexts in progress at once, and of calls in flight per endpoint."""


@dataclass(frozen=True, slots=True)
class Options:
    """The options of `memeval run`. models: role (or "model") -> NAME[@URL]. answer_budgets: tokens, one run for each;
    () for the task's own. limit: questions per task, 0 = all, None = the card's number; likewise repeats. policy:
    transport of calls, part of no identity. max_cost (USD), max_calls: limits for all runs together. settings:
    parameter of the agents -> the values to try. prompts: role -> file. tags: role (or "model") -> name of the
    checkpoint. label: a name of the runs, for people. thinking: role (or "model") -> auto, on or off."""

    agents: Sequence[str]
    tasks: Sequence[str]
    models: Mapping[str, str] = field(default_factory=dict)
    base_url: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    label: str = ""
    thinking: Mapping[str, str] = field(default_factory=dict)
    limit: int | None = None
    seed: int = 42
    repeats: int | None = None
    answer_repeats: int = 1
    answer_budgets: Sequence[int] = ()
    concurrency: int = CONCURRENCY
    agent_timeout: float | None = None
    runs_dir: Path = Path("runs")
    data_dir: Path | None = None
    settings: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    prompts: Mapping[str, str] = field(default_factory=dict)
    exact_tokens: int = 0
    use_cache: bool = True
    agents_dir: tuple[str, ...] = ()
    tasks_dir: tuple[str, ...] = ()
    quiet: bool = False
    policy: Policy = field(default_factory=Policy)
    max_cost: float | None = None
    max_calls: int | None = None
    same_model: bool = False


def as_typed(agents: Iterable[str], tasks: Iterable[str], given: Mapping[str, Any]) -> Options:
    """The options of `run`, `estimate` and `doctor`. given: the fields of Options, of `Policy` and of models by name;
    `tags`, `thinking` and `prompts` as texts `NAME=VALUE`, `answer_budgets` as `TOKENS[,TOKENS...]`, `settings` as
    texts `KEY=VALUE[,VALUE...]` or as a mapping.

    Raises UsageError for a text that cannot be read.
    """
    left = dict(given)
    settings = left.pop("settings", {})
    return Options(
        agents=_listed("--agent", agents),
        tasks=_listed("--task", tasks),
        models={role: name for role in MODELS if (name := left.pop(role, None))},
        tags=dict(map(_tag, left.pop("tags", ()))),
        prompts=dict(map(_prompt, left.pop("prompts", ()))),
        answer_budgets=_budgets(left.pop("answer_budgets", None)),
        exact_tokens=left.pop("exact_tokens", None) or 0,
        thinking=dict(map(_thinking, left.pop("thinking", ()))),
        settings=settings if isinstance(settings, Mapping) else parse_settings(settings),
        policy=policy(left),
        **left,
    )


def policy(given: dict[str, Any]) -> Policy:
    """The transport policy; removes its options from `given`."""
    wire = {key: given.pop(key, None) for key in ("timeout", "wait", "rpm", "tpm", "fold_system")}
    wire["wait_at_start"] = wire["wait"]
    return Policy(**{key: value for key, value in wire.items() if value is not None})


def _listed(flag: str, names: Iterable[str]) -> tuple[str, ...]:
    """Split `a,b` into a and b, unless it is a command (`cmd:...`) or the name of a file (`FILE` or `FILE:Class`)."""
    found: list[str] = []
    for name in names:
        if not name.strip(","):
            raise UsageError(f"{flag} {name}: expected NAME[,NAME...]")
        found += [name] if _is_one(name) else filter(None, name.split(","))
    return tuple(found)


def _is_one(name: str) -> bool:
    if name.startswith("cmd:"):
        return True
    file, _, after = name.rpartition(":")
    return os.path.exists(os.path.expanduser(name if not file or "," in after else file))


def _tag(text: str) -> tuple[str, str]:
    """(role or "model", tag) of `[ROLE=]TEXT`."""
    role, equals, tag = text.partition("=")
    if not equals or role not in MODELS:
        near = suggest(role, MODELS) if equals else ""
        if near or not text:
            raise UsageError(f"--tag {text}: expected [ROLE=]TEXT{near} (roles: {', '.join(MODELS)})")
        return "model", text
    if not tag:
        raise UsageError(f"--tag {text}: expected [ROLE=]TEXT")
    return role, tag


def _budgets(text: str | None) -> tuple[int, ...]:
    """Parse `1024,256`; duplicates count once."""
    parts = [] if text is None else [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) for part in parts):
        raise UsageError(f"--answer-budget {text}: expected TOKENS[,TOKENS...], each 1 or more")
    return tuple(dict.fromkeys(map(int, parts)))


def _thinking(text: str) -> tuple[str, str]:
    """(role or "model", mode) of `[ROLE=]MODE`."""
    from memeval.models.parameters import MODES

    role, equals, mode = text.rpartition("=")
    if mode not in MODES or (equals and role not in MODELS):
        near = suggest(role, MODELS) if equals and role not in MODELS else suggest(mode, MODES)
        raise UsageError(f"--thinking {text}: expected [ROLE=]MODE{near} (modes: auto, on, off; roles: {', '.join(MODELS)})")
    return role or "model", mode


def _prompt(text: str) -> tuple[str, str]:
    """(part, file) of `PART=FILE`."""
    part, _, file = text.partition("=")
    if not part or not file:
        raise UsageError(f"--prompt {text}: expected PART=FILE")
    return part, file


def parse_settings(settings: Iterable[str]) -> dict[str, list[Any]]:
    """`key=value[,value...]` -> key -> values, each read as a YAML scalar; `key=[1,2]` is one value, a list."""
    found: dict[str, list[Any]] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key.strip().isidentifier():
            raise UsageError(f"--set {setting}: expected key=value[,value...]")
        if key.strip() in found:
            raise UsageError(f"--set {setting}: '{key.strip()}' is set twice; write all its values in one {key.strip()}=A,B")
        parts = re.findall(r"\[[^\]]*\]|\{[^}]*\}|\"[^\"]*\"|'[^']*'|[^,]+", text) or [""]
        try:
            found[key.strip()] = [yaml.safe_load(part) for part in parts]
        except yaml.YAMLError:
            raise UsageError(f"--set {setting}: '{text}' is not a value; quote it") from None
    return found
