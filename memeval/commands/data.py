"""`memeval data list|path|fetch|verify`: which files tasks read, where they are, how to get them, and what they contain."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from memeval import cards, plugins
from memeval.cards import TaskCard
from memeval.data.files import DataFile, Found, at_hand, megabytes
from memeval.errors import NoData, UsageError
from memeval.results.columns import columns
from memeval.tasks import Settings, verify
from memeval.wording import counted

Held = tuple[tuple[DataFile, tuple[Found, ...]], ...]
"""The data files of a task, each with its copies on this machine; a file without a copy is missing."""


def data_list(
    tasks: Sequence[str], data_dir: Path | None = None, tasks_dir: tuple[str, ...] = (), form: str = "table"
) -> str:
    """List what each task (without names: every task) needs, where it was found, its size and licence, and how to get what
    is missing."""
    settings = Settings(data_dir)
    rows = [(card, _held(card, settings)) for card in _cards(tasks, tasks_dir)]
    if form == "json":
        return json.dumps({"tasks": [_as_json(card, held, settings) for card, held in rows]}, ensure_ascii=False)
    groups: dict[Any, list[TaskCard]] = {}
    for card, held in rows:
        groups.setdefault((held, card.licence), []).append(card)
    return "\n\n".join(_block(same, held, settings) for (held, _), same in groups.items())


def _held(card: TaskCard, settings: Settings) -> Held:
    return tuple((file, at_hand(file, settings.data_dir)) for file in verify.data_files(card))


def _block(same: Sequence[TaskCard], held: Held, settings: Settings) -> str:
    """The lines about tasks that read the same files."""
    lines = [", ".join(card.name for card in same)]
    if same[0].licence:
        lines.append(f"  licence  {same[0].licence}")
    if not held:
        lines.append("  made by the task itself: reads no files")
    remedies: list[str] = []
    for file, found in held:
        what = "" if file.required else f" (optional: {file.note})" if file.note else " (optional)"
        for item in found:
            lines.append(f"  found    {item.path}  [{'hub cache' if item.hub else 'data folder'}, {_size(item.path)}]{what}")
        if not found:
            what += f" ({file.licence})" if file.licence else ""
            lines.append(f"  {'MISSING ' if file.required else 'absent  '} {' or '.join(file.names)}{what}")
            remedies += [verify.remedy(same[0], file, settings)] if file.required else []
    return "\n".join([*lines, *(f"           get it: {line}" for line in dict.fromkeys(remedies))])


def _size(path: Path) -> str:
    return megabytes(path.stat().st_size)


def _as_json(card: TaskCard, held: Held, settings: Settings) -> dict[str, Any]:
    return {
        "task": card.name,
        "licence": card.licence,
        "ready": all(found or not file.required for file, found in held),
        "needs": [
            {
                "files": list(file.names),
                "hub": list(file.hub),
                "url": file.url or None,
                "required": file.required,
                "note": file.note,
                "licence": file.licence or card.licence,
                "found": [
                    {
                        "path": str(item.path),
                        "bytes": item.path.stat().st_size,
                        "hub": item.hub or None,
                        "revision": item.revision or None,
                    }
                    for item in found
                ],
                "remedy": None if found else verify.remedy(card, file, settings),
            }
            for file, found in held
        ],
    }


def data_path(tasks: Sequence[str], data_dir: Path | None = None, tasks_dir: tuple[str, ...] = ()) -> str:
    """The paths of the files that the tasks read, one per line, each once. Raises UsageError, with the remedy, where a
    required file is missing."""
    settings = Settings(data_dir)
    lines: dict[str, None] = {}
    for card in _cards(tasks, tasks_dir):
        for file, found in _held(card, settings):
            if file.required and not found:
                remedy = verify.remedy(card, file, settings)
                raise UsageError(f"task '{card.name}': no {' or '.join(file.names)}; {remedy}")
            lines.update(dict.fromkeys(str(item.path) for item in found))
    return "\n".join(lines)


def data_fetch(
    tasks: Sequence[str],
    data_dir: Path | None = None,
    tasks_dir: tuple[str, ...] = (),
    to: Path | None = None,
    accepted: Sequence[str] = (),
) -> str:
    """Fetch what the tasks need, into the hub's cache or into the data folder `to`. accepted: names of accepted licences.
    Returns a line per file; progress goes to stderr. Raises UsageError where something cannot be fetched."""
    if not tasks:
        raise UsageError("memeval data fetch: name the tasks to fetch data for (memeval data list shows what is missing)")
    lines: dict[str, None] = {}
    for card in _cards(tasks, tasks_dir):
        got = verify.fetch_data(card, Settings(data_dir), to, accepted, _say)
        for item in got:
            origin = f"from {item.origin}" if item.origin else "(already there)"
            lines[f"{item.path}  {_size(item.path)}  {origin}"] = None
        if not got:
            lines[f"{card.name}: reads no files"] = None
    return "\n".join(lines)


def _say(line: str) -> None:
    print(f"memeval: {line}", file=sys.stderr)


def data_verify(
    tasks: Sequence[str],
    data_dir: Path | None = None,
    tasks_dir: tuple[str, ...] = (),
    form: str = "table",
    contexts: int | None = None,
    everything: bool = False,
) -> tuple[str, int]:
    """Load the tasks and count what is in them. Returns the text to print and the exit code. Progress goes to stderr.

    everything: verify every task whose files are on this machine, in one table. Tasks with missing files, too few passages
    for their length, or damaged files are named below it; damage makes the exit code 2. Without `everything`, the first
    damage is raised as UsageError. contexts: how many to build per task (0: all).
    """
    if not tasks and not everything:
        raise UsageError("memeval data verify: name the tasks, or pass --all")
    settings = Settings(data_dir)
    verified: list[verify.Verified] = []
    absent: list[str] = []
    damaged: dict[str, str] = {}
    short: dict[str, str] = {}
    wanted = _cards(tasks, tasks_dir)
    for position, card in enumerate(wanted, start=1):
        if everything and verify.missing(card, settings):
            absent.append(card.name)
            continue
        with _Progress(f"{card.name} ({position} of {len(wanted)})") as progress:
            try:
                verified.append(verify.verify(card, settings, contexts, progress.show))
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


class _Progress:
    """The progress of a task on stderr: one line that is overwritten on a terminal, elsewhere a line per task and minute."""

    def __init__(self, task: str) -> None:
        self._task = task
        self._live = sys.stderr.isatty()
        self._printed = time.monotonic()

    def __enter__(self) -> _Progress:
        self._write("reading")
        return self

    def show(self, built: int, of: int) -> None:
        if self._live or time.monotonic() - self._printed >= 60:
            self._printed = time.monotonic()
            self._write(f"{built} of {counted(of, 'context')} built")

    def __exit__(self, *_: object) -> None:
        if self._live:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def _write(self, text: str) -> None:
        start, end = ("\r\x1b[K", "") if self._live else ("", "\n")
        print(f"{start}memeval: {self._task}: {text}", end=end, file=sys.stderr, flush=True)


def _files(item: verify.Verified) -> str:
    lines = [item.task]
    for facts in item.files:
        hub = f"  {facts['hub']}@{facts['revision']}" if "hub" in facts else ""
        size = f"{facts['bytes']} bytes, {counted(facts['records'], 'record')}"
        lines.append(f"  {facts['name']}  {size}, sha256 {facts['sha256']}{hub}")
    return "\n".join(lines if item.files else [*lines, "  made by the task itself: reads no files"])


def counts_table(verified: Sequence[verify.Verified]) -> str:
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
    table = columns(header, body, align, keep=header)
    return f"{table}\n\nTokens of whole streams as chunks show them ({tokenizers})."


def _cards(tasks: Sequence[str], tasks_dir: tuple[str, ...]) -> list[TaskCard]:
    """The cards of the named tasks and suites, each once; without names, of every task. Raises UsageError for an unknown
    name before anything is read."""
    if tasks:
        names = dict.fromkeys(name for typed in tasks for name in plugins.find_suite(typed, tasks_dir) or [typed])
        return [plugins.find_task(name, tasks_dir) for name in names]
    found = (cards.find(TaskCard, name, tasks_dir) for name in cards.listing(TaskCard, tasks_dir))
    return [card for card in found if card is not None and not card.abstract]
