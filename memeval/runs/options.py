"""`memeval run` as typed, before anything of it was looked up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from memeval.models.limits import Policy


@dataclass(frozen=True, slots=True)
class Options:
    """`memeval run` as typed. models: role (or "model") -> NAME[@URL]. answer_budgets: tokens, a run for each; () for
    the task's own. limit: questions per task, 0 = all, None = the
    card's, and so are repeats. policy: how calls go over the wire, in no identity. max_cost (USD), max_calls: what all runs
    together may send. settings: `--set key=value[,value...]` in order. prompts: role -> file. tags: role (or "model") ->
    which checkpoint it is. label: a name of the runs, for people. thinking: role (or "model") -> auto, on or off."""

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
    concurrency: int = 16
    agent_timeout: float | None = None
    runs_dir: Path = Path("runs")
    data_dir: Path | None = None
    settings: Sequence[str] = ()
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
