"""The driver: opens or resumes the folders of runs, writes what the executor reports, and concludes.

plan -> ingest -> recall -> answer -> score -> aggregate. The same command finds the same folders and finishes them; a larger
limit grows a folder, a smaller one reads a part of it. Runs that differ only in how they are answered are driven together:
their contexts are read once, and each question is recalled once for all of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from memeval import process
from memeval.digests import question_digests
from memeval.models.budget import Budget
from memeval.plugins import not_as_recorded
from memeval.records.folder import Key, RunFolder, RunWriter
from memeval.records.manifest import AgentFiles
from memeval.records.memory import MemoryFolder, MemoryWriter
from memeval.records.rows import CallRow, InvocationRow, OperationRow, QuestionRow, StoppedRow, TimesRow, TroubleRow
from memeval.runs import local
from memeval.runs.conclude import conclude
from memeval.runs.controls import best_constant
from memeval.runs.manifest import manifest, memory_manifest
from memeval.runs.memory_turn import MemoryTurn
from memeval.runs.outcome import Outcome
from memeval.runs.plan import Planned
from memeval.runs.progress import Position, Progress
from memeval.runs.run_context import RunContext, answer_phase
from memeval.runs.signals import Built, ContextRead, Ended, Event, RunRow, Stopped

REPORTED = 1.0
"""Seconds after which an invocation writes again how far it has come."""


def run(planned: Planned, *, quiet: bool = False, budget: Budget | None = None) -> Outcome:
    """Finish one run; see `run_together`."""
    return run_together([planned], quiet=quiet, budget=budget)[0]


def run_together(
    plans: Sequence[Planned], *, quiet: bool = False, budget: Budget | None = None, position: Position | None = None
) -> list[Outcome]:
    """Finish runs that are answered from one recall (`together`). A finished run costs no model call, and its folder need
    not be writable. budget: what may be sent. position: of the last of them among the runs of the command, for the progress
    display.

    Raises UsageError when a folder cannot be used. Ctrl-C and SIGTERM end it in order, resumable (`interrupted`).
    """
    left = [planned for planned in plans if wanted(planned) - finished(planned)]
    with contextlib.ExitStack() as stack:
        runs = {planned.spec.folder: _OpenRun(planned, stack) for planned in left}
        stopped, interrupted = None, False
        if runs:
            stopped, interrupted = _Driver(list(runs.values()), stack).run(quiet, budget, position)
        outcomes = []
        for planned in plans:
            found = runs.get(planned.spec.folder)
            if found is None:
                _label(planned)
                outcomes.append(Outcome(planned, conclude(planned)))
            else:
                summary = conclude(planned, found.requests, stopped is None)
                outcomes.append(Outcome(planned, summary, stopped, interrupted))
        return outcomes


def together(plans: Sequence[Planned]) -> list[list[Planned]]:
    """The runs of a command in groups that `run_together` takes: they differ only in how they are answered."""
    groups: list[list[Planned]] = []
    for planned in plans:
        alike = next((group for group in groups if _alike(group[0], planned)), None)
        if alike is None:
            groups.append([planned])
        else:
            alike.append(planned)
    return groups


def _alike(one: Planned, other: Planned) -> bool:
    ours, theirs = ((run.spec.memory, run.question_ids, run.spec.repeats, run.spec.models) for run in (one, other))
    return one.spec.memory is not None and ours == theirs


def _label(planned: Planned) -> None:
    """Give a run that is finished already the label that was typed."""
    folder = RunFolder(planned.spec.folder)
    written, label = folder.manifest(), planned.spec.label
    if written and label and label != written.label and folder.writable:
        folder.write_manifest(replace(written, label=label))


def finished(planned: Planned) -> set[Key]:
    """The samples of the folder that are whole, and whose questions are still the same. Others are made again."""
    folder = RunFolder(planned.spec.folder)
    found = folder.finished()
    if not (found and planned.spec.own_data):
        return found
    asked = {question: row.digest for question, row in folder.questions().items()}
    edited = {
        question
        for ref in planned.task.refs(planned.question_ids)
        for question, digest in question_digests(planned.task.context(ref)).items()
        if asked.get(question, digest) != digest
    }
    return {key for key in found if key[0] not in edited}


def wanted(planned: Planned) -> set[Key]:
    spec = planned.spec
    return {
        (question, repeat, answer)
        for question in planned.question_ids
        for repeat in range(spec.repeats)
        for answer in range(spec.answer_repeats)
    }


@dataclass
class _OpenRun:
    """A run with something left to ask, its folder open for writing until `stack` ends, and what this invocation takes:
    seconds from the first model call sent (or the first row) to the last row written, beside them those of building
    contexts; requests sent, retries included; what servers want sent otherwise (adapted); steps of reading that came out
    otherwise than the memory has them (differing)."""

    planned: Planned
    stack: contextlib.ExitStack
    started: float = field(default_factory=time.monotonic)
    first: float | None = None
    last: float = 0.0
    build: float = 0.0
    requests: int = 0
    adapted: Callable[[], tuple[str, ...]] = tuple
    differing: Callable[[], int] = int
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    reported: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        folder = RunFolder(self.planned.spec.folder)
        self.writer = self.stack.enter_context(RunWriter(folder))
        self.done = finished(self.planned)
        self.left = wanted(self.planned) - self.done
        self.ranks = {question: rank for rank, question in enumerate(self.planned.question_ids)}
        samples = folder.samples()
        kept = [row for row in samples if row.key not in self.left]
        if len(kept) < len(samples):  # what failed or is not whole is tried again
            self.writer.keep_samples(kept)
        folder.write_manifest(manifest(self.planned))

    def write(self, row: Any) -> None:
        self.last = time.monotonic()
        self.first = self.first or self.last - (row.seconds if isinstance(row, CallRow) else 0.0)
        self.writer.append(replace(row, rank=self.ranks[row.question_id]) if isinstance(row, QuestionRow) else row)

    def report(self, least: float = 0.0) -> None:
        """Write how far the invocation has come, unless it was written within the `least` last seconds."""
        now = time.monotonic()
        if now - self.reported < least:
            return
        self.reported = now
        self.writer.append(
            InvocationRow(
                at=time.time(),
                id=self.id,
                seconds=max(0.0, self.last - self.first) if self.first and self.last else 0.0,
                build_seconds=self.build,
                wall=now - self.started,
                requests=self.requests,
                adapted=self.adapted(),
                differing=self.differing(),
            )
        )

    def check_files(self, loaded: frozenset[str]) -> None:
        """Note in the manifest which of the agent's files are not as its identity has them. loaded: modules before the
        run."""
        agent, folder = self.planned.spec.agent, RunFolder(self.planned.spec.folder)
        changed, missed = not_as_recorded(agent.card, agent.files, loaded, agent.params) if agent.files else ([], [])
        written = folder.manifest()
        if written and (changed or missed):
            before = written.agent_files
            files = AgentFiles(tuple({*before.changed, *changed}), tuple({*before.missed, *missed}))
            folder.write_manifest(replace(written, agent_files=files))


class _Driver:
    """Has the contexts of some runs executed, and writes each row to where it belongs. The calls and troubles of reading
    are written by the first run."""

    def __init__(self, runs: Sequence[_OpenRun], stack: contextlib.ExitStack) -> None:
        self.runs = runs
        self.planned = runs[0].planned
        self.work = self._work()
        self.turn: MemoryTurn | None = None
        spec = self.planned.spec
        if spec.memory:
            writer = MemoryWriter(MemoryFolder(spec.memory), memory_manifest(runs[0].planned))
            self.turn = MemoryTurn(writer, len(self.work), spec.agent.replayable)
            stack.callback(self.turn.close)
            for run in runs:
                run.differing = lambda: writer.differing

    def _work(self) -> list[local.Work]:
        """The contexts with something left to ask, repeat by repeat."""
        planned = self.planned
        refs = planned.task.refs(planned.question_ids)
        left = {(question, repeat) for run in self.runs for question, repeat, _ in run.left}
        return [
            (ref, repeat)
            for repeat in range(planned.spec.repeats)
            for ref in refs
            if any((question, repeat) in left for question in ref.question_ids)
        ]

    def run(self, quiet: bool, budget: Budget | None, position: Position | None) -> tuple[str | None, bool]:
        """(why it stopped early, whether the user interrupted it)"""
        spec = self.planned.spec
        label = f"{spec.agent.typed} on {spec.task_typed}"
        loaded = frozenset(sys.modules)
        left = sum(len(run.left) for run in self.runs)
        with Progress(label, len(self.work), left, quiet=quiet, position=position) as self.progress:
            ended = process.run(self._drive(budget))
        for run in self.runs:
            run.report()
            run.check_files(loaded)
        return ended

    async def _drive(self, budget: Budget | None) -> tuple[str | None, bool]:
        spec = self.planned.spec
        golds = self.planned.task.golds()
        constant = best_constant(golds, spec.task.headline) if spec.agent.card.agent == "constant" else None
        stopped: str | None = None
        interrupted = False
        this = asyncio.current_task()
        assert this is not None

        def interrupt() -> None:
            nonlocal interrupted
            interrupted = True
            this.cancel()

        specs, done = [run.planned.spec for run in self.runs], [frozenset(run.done) for run in self.runs]
        try:
            with process.stopping(interrupt):
                async with (
                    RunContext.of_runs(specs, self._see, self.turn, budget) as context,
                    contextlib.aclosing(local.execute(context, self.planned.task, self.work, done, constant)) as events,
                ):
                    for run in self.runs:
                        run.adapted = lambda: context.gateway.adapted
                    async for event in events:
                        if isinstance(event, Stopped):
                            stopped = event.reason
                        self._see(event)
        except asyncio.CancelledError:
            if not interrupted:
                raise
            stopped = "interrupted"
        return stopped, interrupted

    def _see(self, event: Event) -> None:
        """One row or signal. What has a clock goes to events.jsonl, facts go to their own files."""
        first = self.runs[0]
        if isinstance(event, RunRow):
            self.runs[event.run].write(event.row)
        elif isinstance(event, OperationRow):
            if self.turn is not None:
                self.turn.writer.append(event)
        elif isinstance(event, CallRow):
            phases = [answer_phase(number) for number in range(len(self.runs))]
            run = self.runs[phases.index(event.phase)] if event.phase in phases else first
            run.requests += event.attempts
            run.write(replace(event, phase="answer") if event.phase in phases else event)
        elif isinstance(event, TroubleRow):
            first.write(event)
        elif isinstance(event, TimesRow):
            for run in self.runs:  # they have read and recalled together
                run.writer.append(event)
        elif isinstance(event, ContextRead) and self.turn is not None:
            self.turn.read()
        for run in self.runs:
            if isinstance(event, Built):
                run.build += event.seconds
            elif isinstance(event, Stopped):
                run.writer.append(StoppedRow(at=time.time(), reason=event.reason))
            elif isinstance(event, Ended):
                run.first = event.first_call or run.first
            run.report(REPORTED)
        if isinstance(event, Ended):  # some that were sent have no reply
            first.requests = event.requests - sum(run.requests for run in self.runs[1:])
        self.progress.see(event.row if isinstance(event, RunRow) else event)
