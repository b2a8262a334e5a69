"""`memeval data list|path|fetch|verify`: what tasks read, where it lies, how to get it, and what is in it."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from memeval import cards, plugins
from memeval.cards import TaskCard
from memeval.datafiles.download import megabytes
from memeval.datafiles.needs import Found, at_hand
from memeval.errors import NoData, UsageError
from memeval.sources import Settings, data


def data_list(
    tasks: Sequence[str], data_dir: Path | None = None, tasks_dir: tuple[str, ...] = (), form: str = "table"
) -> str:
    """What each task (none named: every task) needs, where it was found, its size and licence, and how to get the rest."""
    settings = Settings(data_dir)
    rows = [(card, at_hand(card, settings)) for card in _cards(tasks, tasks_dir)]
    if form == "json":
        return json.dumps({"tasks": [_as_json(card, found, settings) for card, found in rows]}, ensure_ascii=False)
    groups: dict[Any, list[TaskCard]] = {}
    found_of: dict[Any, tuple[Found, ...]] = {}
    for card, found in rows:
        key = (tuple(item.need for item in found), card.licence)
        groups.setdefault(key, []).append(card)
        found_of[key] = found
    return "\n\n".join(_block(same, found_of[key], settings) for key, same in groups.items())


def _block(same: Sequence[TaskCard], found: tuple[Found, ...], settings: Settings) -> str:
    """Tasks that read the same files, and these."""
    lines = [", ".join(card.name for card in same)]
    if same[0].licence:
        lines.append(f"  licence  {same[0].licence}")
    if not found:
        lines.append("  made by the task itself: reads no files")
    for item in found:
        where = "hub cache" if item.files and item.files[0].hub else "data folder"
        what = "" if item.need.required else f" (optional: {item.need.note})" if item.need.note else " (optional)"
        if item.files:
            lines += [f"  found    {file.path}  [{where}, {_size(file.path)}]{what}" for file in item.files]
        else:
            what += f" ({item.need.licence})" if item.need.licence else ""
            lines.append(f"  {'MISSING ' if item.need.required else 'absent  '} {' or '.join(item.need.files)}{what}")
    remedies = (data.remedy(same[0], item.need, settings) for item in found if item.need.required and not item.files)
    lines += [f"           get it: {line}" for line in dict.fromkeys(remedies)]
    return "\n".join(lines)


def _size(path: Path) -> str:
    return megabytes(path.stat().st_size)


def _as_json(card: TaskCard, found: tuple[Found, ...], settings: Settings) -> dict[str, Any]:
    return {
        "task": card.name,
        "licence": card.licence,
        "ready": all(item.files or not item.need.required for item in found),
        "needs": [
            {
                "files": list(item.need.files),
                "hub": list(item.need.hub),
                "url": item.need.address.url if item.need.address else None,
                "required": item.need.required,
                "note": item.need.note,
                "licence": item.need.licence or card.licence,
                "found": [
                    {
                        "path": str(file.path),
                        "bytes": file.path.stat().st_size,
                        "hub": file.hub,
                        "revision": file.revision,
                    }
                    for file in item.files
                ],
                "remedy": None if item.files else data.remedy(card, item.need, settings),
            }
            for item in found
        ],
    }


def data_path(tasks: Sequence[str], data_dir: Path | None = None, tasks_dir: tuple[str, ...] = ()) -> str:
    """The files the tasks read, one per line, each once; nothing for a task that reads none. Raises UsageError with the
    remedy when a required one is missing."""
    settings = Settings(data_dir)
    lines: dict[str, None] = {}
    for card in _cards(tasks, tasks_dir):
        for item in at_hand(card, settings):
            if item.need.required and not item.files:
                wanted = " or ".join(item.need.files)
                raise UsageError(f"task '{card.name}': no {wanted}; {data.remedy(card, item.need, settings)}")
            lines.update(dict.fromkeys(str(file.path) for file in item.files))
    return "\n".join(lines)


def data_fetch(
    tasks: Sequence[str],
    data_dir: Path | None = None,
    tasks_dir: tuple[str, ...] = (),
    to: Path | None = None,
    accepted: Sequence[str] = (),
) -> str:
    """Get what the tasks need: into the hub's cache, or laid out as a data folder in `to`. accepted: licences, by name.
    A line per file; progress goes to stderr. Raises UsageError when something cannot be had."""
    if not tasks:
        raise UsageError("memeval data fetch: name the tasks to fetch data for (memeval data list shows what is missing)")
    lines: dict[str, None] = {}
    for card in _cards(tasks, tasks_dir):
        got = data.fetch(card, Settings(data_dir), to, accepted, _tell)
        for file in got:
            origin = f"  from {file.origin}" if file.origin else ""
            lines[f"{file.path}  {megabytes(file.bytes)}{origin}{f'  ({file.changed})' if file.changed else ''}"] = None
        if not got:
            lines[f"{card.name}: reads no files"] = None
    return "\n".join(lines)


def _tell(line: str) -> None:
    print(f"memeval: {line}", file=sys.stderr)


def data_verify(
    tasks: Sequence[str],
    data_dir: Path | None = None,
    tasks_dir: tuple[str, ...] = (),
    form: str = "table",
    contexts: int | None = None,
    everything: bool = False,
) -> tuple[str, int]:
    """Load the tasks and count what is in them: the text to print, and the exit code.

    everything: every task whose files are at hand, one table; a task without its files, or with too few passages for its
    length, is named; damage is a row and makes the code 2. Else the first damage is raised as the source's UsageError.
    contexts: how many to build per task (0: all).
    """
    if not tasks and not everything:
        raise UsageError("memeval data verify: name the tasks, or pass --all")
    settings = Settings(data_dir)
    verified: list[data.Verified] = []
    absent: list[str] = []
    damaged: dict[str, str] = {}
    short: dict[str, str] = {}
    for card in _cards(tasks, tasks_dir):
        if everything and data.missing(card, settings):
            absent.append(card.name)
            continue
        try:
            verified.append(data.verify(card, settings, contexts))
        except UsageError as error:
            if not everything:
                raise
            (short if isinstance(error, NoData) else damaged)[card.name] = str(error)
    code = 2 if damaged else 0
    if form == "json":
        found = [dataclasses.asdict(item) for item in verified]
        return json.dumps({"tasks": found, "missing": [*absent, *short], "damaged": damaged}, ensure_ascii=False), code
    blocks = [] if everything else [_files(item) for item in verified]
    blocks += [counts_table(verified)] if verified else []
    if absent:
        blocks.append(f"no data (memeval data list TASK says how to get them): {', '.join(absent)}")
    blocks += [f"TOO LITTLE DATA  {error}" for error in short.values()]
    blocks += [f"DAMAGED  {error}" for error in damaged.values()]
    return "\n\n".join(blocks), code


def _files(item: data.Verified) -> str:
    lines = [item.task]
    for facts in item.files:
        hub = f"  {facts['hub']}@{facts['revision']}" if "hub" in facts else ""
        lines.append(f"  {facts['name']}  {facts['bytes']} bytes, {facts['records']} records, sha256 {facts['sha256']}{hub}")
    return "\n".join(lines if item.files else [*lines, "  made by the task itself: reads no files"])


def counts_table(verified: Sequence[data.Verified]) -> str:
    """A row per task: contexts, clusters, questions, tokens of the streams (min, mean, max), kinds."""
    header = ["task", "contexts", "clusters", "questions", "tokens min", "mean", "max", "of contexts", "kinds"]
    body = [
        [
            item.task,
            item.contexts,
            item.clusters,
            item.questions,
            *(f"{item.tokens[key]:.0f}" if item.tokens else "-" for key in ("min", "mean", "max")),
            "all" if item.built == item.contexts else item.built,
            ", ".join(f"{kind} {number}" for kind, number in item.kinds.items()),
        ]
        for item in verified
    ]
    align = ("left", *["right"] * 7, "left")
    tokenizers = ", ".join(dict.fromkeys(item.tokenizer for item in verified))
    table = tabulate(body, header, tablefmt="github", colalign=align, disable_numparse=True)
    return f"{table}\n\nTokens of whole streams as chunks show them ({tokenizers})."


def _cards(tasks: Sequence[str], tasks_dir: tuple[str, ...]) -> Iterator[TaskCard]:
    """The cards of the named tasks and suites, each once; of every task when none is named."""
    seen: Mapping[str, None] = {}
    if tasks:
        seen = dict.fromkeys(name for typed in tasks for name in plugins.find_suite(typed, tasks_dir) or [typed])
        yield from (plugins.find_task(name, tasks_dir) for name in seen)
        return
    for name in cards.listing(TaskCard, tasks_dir):
        card = cards.find(TaskCard, name, tasks_dir)
        if card is not None and not card.abstract:
            yield card
