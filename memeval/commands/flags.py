"""Options that several verbs share."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from memeval.models.calls import CallSettings
    from memeval.models.completion import ModelSpec

Verb = TypeVar("Verb", bound=Callable[..., Any])


class UserPath(click.Path):
    """A path with `~` expanded, which a shell does not do in `--option=~/here`."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return super().convert(os.path.expanduser(value), param, ctx)


def together(*options: Callable[[Verb], Verb]) -> Callable[[Verb], Verb]:
    """One decorator that adds several options in this order."""

    def add(command: Verb) -> Verb:
        for option in reversed(options):
            command = option(command)
        return command

    return add


class Number(click.FloatRange):
    """A number in a range, without `nan` and `inf`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


SECONDS = Number(0, min_open=True)
AMOUNT = Number(0)
FORMAT = click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
FORMS = click.option(
    "--format",
    "form",
    type=click.Choice(["table", "md", "latex", "csv", "json", "html"]),
    default="table",
    show_default=True,
    help="md: Markdown; latex: for the package booktabs.",
)
RUNS = click.argument("runs", nargs=-1, metavar="[RUN]...")
BASE_URL = click.option("--base-url", metavar="URL", help="OpenAI-compatible endpoint of the model.")
DATA_DIR = click.option("--data-dir", type=UserPath(), help="Folder of the data sets. Default: MEMEVAL_DATA.")
TASKS_DIR = click.option("--tasks-dir", multiple=True, help="Further folder of task cards. Repeatable.")
AGENTS_DIR = click.option("--agents-dir", multiple=True, help="Further folder of agent cards. Repeatable.")
FIRST = click.option("--limit", type=click.IntRange(1), metavar="N", help="Only the first N questions of each run.")
RUNS_DIR = click.option("--runs-dir", type=UserPath(), default=Path("runs"), show_default=True, help="Folder of the runs.")


def _affordable(context: click.Context, parameter: click.Parameter, wanted: int) -> int:
    from memeval.process import affordable

    return affordable(wanted)


CONCURRENCY = click.option(
    "--concurrency",
    type=click.IntRange(1),
    default=16,
    show_default=True,
    callback=_affordable,
    help="Contexts in parallel; calls in flight per endpoint.",
)
AGENT_TIMEOUT = click.option(
    "--agent-timeout", type=SECONDS, metavar="SECONDS", help="Time limit of one method of an agent. Default: none."
)
NO_CACHE = click.option("--no-cache", is_flag=True, help="Neither read nor write the user's cache.")
QUIET = click.option("--quiet", is_flag=True, help="Print no progress and no notices.")
SET = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE[,VALUE...]",
    help="Agent parameter; several values: a run for each. Repeatable.",
)
ROLES = {
    "model": "Model of the roles memory and reader. Default: offline.",
    "memory": "Model that builds the memory.",
    "reader": "Model that answers from what was recalled.",
    "judge": "Model that judges the answers after the run.",
    "embedder": "Embedding model, for agents that use one.",
}
MODELS = together(*(click.option(f"--{role}", metavar="NAME[@URL]", help=about) for role, about in ROLES.items()))
TIMEOUT = click.option(
    "--timeout", type=SECONDS, metavar="SECONDS", help="Time limit of one attempt of a call. Default: 600."
)
WIRE = together(
    TIMEOUT,
    click.option(
        "--wait",
        type=SECONDS,
        metavar="SECONDS",
        help="For a server that does not respond. Default: 120 at the start, 600 later.",
    ),
    click.option("--rpm", type=SECONDS, metavar="N", help="Most requests per minute, per endpoint."),
    click.option("--tpm", type=SECONDS, metavar="N", help="Most tokens per minute, per endpoint."),
    click.option("--fold-system", is_flag=True, help="Put the system text into the user message."),
)
LIMITS = together(
    click.option("--max-cost", type=AMOUNT, metavar="USD", help="Stop before more is spent; resumable."),
    click.option("--max-calls", type=click.IntRange(0), metavar="N", help="Stop after so many calls; resumable."),
)
RUN = together(
    click.option(
        "--agent",
        "agents",
        multiple=True,
        required=True,
        metavar="NAME",
        help="Agent, card, file.py:Class, cmd:PROGRAM or http:URL. Repeatable.",
    ),
    click.option(
        "--task",
        "tasks",
        multiple=True,
        required=True,
        metavar="NAME",
        help="Task[@variant], suite, card or file.py:Class. Repeatable.",
    ),
    MODELS,
    BASE_URL,
    click.option(
        "--tag", "tags", multiple=True, metavar="[ROLE=]TEXT", help="Name of the checkpoint; part of the run's identity."
    ),
    click.option(
        "--thinking", multiple=True, metavar="[ROLE=]MODE", help="auto, on or off. Default: auto, the model's own."
    ),
    click.option("--limit", type=click.IntRange(0), help="First N questions per task; 0 = all. Default: the task's (128)."),
    click.option("--seed", type=int, default=42, show_default=True, help="Order of questions, distractors, packing."),
    click.option(
        "--repeats", type=click.IntRange(1), help="Repeats of the whole pipeline, memory included. Default: the task's (1)."
    ),
    click.option("--answer-repeats", type=click.IntRange(1), default=1, show_default=True, help="Answers per memory."),
    click.option(
        "--answer-budget",
        "answer_budgets",
        metavar="TOKENS[,TOKENS...]",
        help="Most tokens of a recall that the reader sees; several values: a run for each.",
    ),
    click.option(
        "--exact-tokens",
        type=click.IntRange(1),
        metavar="TOKENS",
        help="Build streams of so many tokens; same as task@tokens-N.",
    ),
    CONCURRENCY,
    WIRE,
    SET,
    click.option(
        "--prompt",
        "prompts",
        multiple=True,
        metavar="PART=FILE",
        help="Replace a part of the prompts (`prompts list`). Repeatable.",
    ),
    DATA_DIR,
    RUNS_DIR,
    TASKS_DIR,
    AGENTS_DIR,
    FORMAT,
)
JUDGING = together(
    click.option("--judge", "typed", required=True, metavar="NAME[@URL]", help="Judge model."),
    BASE_URL,
    click.option("--family", metavar="NAME", help="Family of judge prompts. Default: the task's."),
    click.option("--prompt", type=UserPath(), help="Prompt file in place of the family's."),
    CONCURRENCY,
    WIRE,
    LIMITS,
    NO_CACHE,
    FORMAT,
    QUIET,
)


def names(context: click.Context, parameter: click.Parameter, text: str) -> tuple[str, ...]:
    """Split a list of names at its commas."""
    return tuple(part for part in (part.strip() for part in text.split(",")) if part)


def call_settings(options: Mapping[str, Any], judge: ModelSpec | None = None) -> tuple[CallSettings, dict[str, Any]]:
    """(the settings for calls of a judge or of `attribute`, the other options). Raises UsageError for a budget in USD where
    the judge's price is unknown."""
    from memeval.models.budget import Budget
    from memeval.models.calls import CallSettings
    from memeval.runs.options import policy

    others = dict(options)
    budget = Budget(others.pop("max_cost"), others.pop("max_calls"))
    if judge is not None:
        budget.require_prices([judge])
    settings = CallSettings(others.pop("concurrency"), not others.pop("no_cache"), policy(others), budget)
    return settings, others


def data_folder(typed: Path | None) -> Path | None:
    """The data folder, set by the flag, MEMEVAL_DATA or memeval.yaml."""
    from memeval.config import data_dir, read_config

    return data_dir(typed, read_config())
