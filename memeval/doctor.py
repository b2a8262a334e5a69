"""Check whether a run would work here: packages, memeval.yaml, the models of the roles, data and tokenizers of tasks,
folders.

Each finding names the remedy if something is missing. Nothing is written, and no key is shown.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import memeval
from memeval import plugins, process, tokens
from memeval.cards import AgentCard, TaskCard
from memeval.config import ROLES, cache_folder, data_dir, read_config
from memeval.errors import UsageError, install_hint
from memeval.models import prices
from memeval.models.completion import ModelSpec
from memeval.models.probe import FAIL, OK, TIMEOUT, WARN, Finding, probe
from memeval.runs.options import Options
from memeval.runs.plan import checked_task
from memeval.runs.roles import chosen, role_model
from memeval.tasks import Settings

REPLY = 2048
"""Tokens of a reply (of the reader, or of the writer of a memory) that must fit in the window besides the prompt."""
AROUND = 1000
"""Tokens of instructions and question around the text that the reader reads."""
VIEW = 4096
"""Tokens of instructions, tools and memory around the chunk that a writer reads."""
FREE = 200_000_000
"""Bytes that should be free where runs and the cache are written."""


def findings(options: Options, timeout: float | None = None) -> Iterator[Finding]:
    """Check `models`, `base_url`, `tasks`, `answer_budgets`, `data_dir`, `runs_dir` and `tasks_dir` of the options.
    timeout: seconds for one call to a model."""
    yield from _packages()
    config: dict[str, Any] = {}
    try:
        config = read_config()
        prices.configured()
        if Path("memeval.yaml").is_file():
            yield Finding(OK, "memeval.yaml", f"sets {', '.join(config) or 'nothing'}")
    except UsageError as error:
        yield Finding(FAIL, "memeval.yaml", str(error))
    cards: list[TaskCard] = []
    yield from _tasks(options, config, cards)
    yield from _models(options, config, cards, timeout or TIMEOUT)
    for subject, folder, level, remedy in (
        ("cache", cache_folder(), WARN, "set MEMEVAL_CACHE to a folder of yours, or use --no-cache"),
        ("runs", options.runs_dir, FAIL, "use --runs-dir"),
    ):
        if fault := unwritable(folder):
            yield Finding(level, subject, f"{fault}; {remedy}")
        else:
            yield Finding(OK, subject, f"{folder}{'' if folder.exists() else ' (will be made)'}")


def _packages() -> Iterator[Finding]:
    system = f"Python {platform.python_version()}, {platform.platform(terse=True)}"
    yield Finding(OK, "memeval", f"{memeval.__version__} on {system}")
    try:
        required = metadata.requires("memeval") or []
    except metadata.PackageNotFoundError:
        yield Finding(WARN, "packages", "memeval is not installed, only found; pip install -e . in its folder")
        return
    there = {_normal(distribution.name) for distribution in metadata.distributions()}
    lacking: dict[str, list[str]] = {}
    for line in required:
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)['\"]", line)
        name = re.split(r"[^A-Za-z0-9._-]", line)[0]
        lacking.setdefault(extra[1] if extra else "", []).extend([] if _normal(name) in there else [name])
    if missing := lacking.pop("", []):
        yield Finding(FAIL, "packages", f"{', '.join(missing)} missing; pip install {' '.join(missing)}")
    for part, names in lacking.items():
        says = f"not installed ({', '.join(names)}); where it is needed: {install_hint(part)}"
        if part != "dev":
            yield Finding(OK, f"extra [{part}]", says if names else "installed")
    if prices.table_path() is None:
        yield Finding(WARN, "prices", "litellm's price table is not where it was: prices and context lengths are not known")


def _normal(name: str) -> str:
    """The name of a package, normalised as in PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _tasks(options: Options, config: Mapping[str, Any], cards: list[TaskCard]) -> Iterator[Finding]:
    """Check the named tasks, their data and tokenizers. Appends the cards that were found to `cards`."""
    from memeval.tasks.verify import missing, remedy

    settings = Settings()
    try:
        settings = Settings(data_dir(options.data_dir, config))
    except UsageError as error:
        yield Finding(FAIL, "data folder", str(error))
    names = [name for typed in options.tasks for name in plugins.find_suite(typed, options.tasks_dir) or [typed]]
    for name in dict.fromkeys(names):
        try:
            card = checked_task(name, options)
            cards.append(card)
            lacking = missing(card, settings)
            for found in lacking:
                yield Finding(FAIL, f"task {name}", f"no {found}; {remedy(card, found, settings)}")
            if not lacking:
                yield Finding(OK, f"task {name}", "its data are at hand")
        except UsageError as error:
            yield Finding(FAIL, f"task {name}", str(error))
    for name in sorted({card.tokenizer for card in cards} or {tokens.DEFAULT}):
        try:
            counter = tokens.counter(name)
        except UsageError as error:
            yield Finding(FAIL, f"tokenizer {name}", str(error))
            continue
        says = f"not on this machine: counts are those of {counter.name}" if counter.approximate else "found"
        yield Finding(WARN if counter.approximate else OK, f"tokenizer {name}", says)


def _models(options: Options, config: Mapping[str, Any], cards: Sequence[TaskCard], timeout: float) -> Iterator[Finding]:
    """Check each model once, with all its roles."""
    wanted: list[tuple[list[str], ModelSpec]] = []
    for role in ROLES:
        if role in ("judge", "embedder") and not chosen(role, options, config):
            continue
        try:
            spec = role_model(role, AgentCard("doctor", "doctor"), options, config)
        except UsageError as error:
            yield Finding(FAIL, role, str(error))
            continue
        same = next((roles for roles, known in wanted if known == spec and "embedder" not in (role, *roles)), None)
        if same is None:
            wanted.append(([role], spec))
        else:
            same.append(role)
    for roles, spec in wanted:
        yield from process.run(probe(spec, roles, _needs(roles, options, cards), timeout))


def _needs(roles: Sequence[str], options: Options, cards: Sequence[TaskCard]) -> dict[str, int]:
    """What must fit in the window of a model in these roles -> tokens, for the named tasks."""
    needs: dict[str, int] = {}
    for card in cards:
        if "memory" in roles:
            needs[f"a chunk of {card.name}"] = card.chunk_tokens + VIEW + REPLY
        budget = min((n for n in (card.reader_budget, card.answer_budget, *options.answer_budgets) if n), default=0)
        if "reader" in roles and budget:
            needs[f"the reader's budget on {card.name} (--answer-budget)"] = budget + AROUND + REPLY
    return needs


def unwritable(folder: Path) -> str:
    """The reason why no file can be written in a folder, which may not exist yet; empty if files can be written. Writes
    nothing."""
    there = folder.absolute()
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        return f"{folder}: {there} is no folder"
    if not os.access(there, os.W_OK | os.X_OK):
        return f"{folder}: {there} cannot be written"
    free = shutil.disk_usage(there).free
    return "" if free >= FREE else f"{folder}: only {free / 1e6:,.0f} MB are free"
