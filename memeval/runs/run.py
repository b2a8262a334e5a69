"""The driver: opens or resumes run folders, executes the contexts, writes every row, and concludes.

plan -> ingest -> recall -> answer -> score -> aggregate. The same command finds the same folders and finishes them; a
larger limit extends a folder, a smaller one reads a part of it. Runs that differ only in how they are answered are
driven together: their contexts are read once, and each question is recalled once for all of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from msgspec.structs import replace

from memeval import process
from memeval.digests import question_digests
from memeval.errors import StopRun
from memeval.models.budget import Budget
from memeval.models.gateway import Gateway
from memeval.records.folder import Key, RunFolder, RunWriter
from memeval.records.memory import MemoryFolder, MemoryWriter
from memeval.records.rows import CallRow, InvocationRow, OperationRow, QuestionRow, StoppedRow, TimesRow, TroubleRow
from memeval.records.summary import Summary
from memeval.runs.agent_files import keep_changes, not_as_planned
from memeval.runs.conclude import conclude
from memeval.runs.controls import best_constant
from memeval.runs.engine import Work
from memeval.runs.manifest import manifest, memory_manifest
from memeval.runs.plan import Planned
from memeval.runs.progress import Position, Progress
from memeval.runs.run_context import RunContext, answer_phase
from memeval.runs.signals import AgentSlow, ContextBuilt, Event, Row

REPORTED = 1.0
"""Seconds between two reports of an invocation's progress in events.jsonl."""
INTERRUPTED = "interrupted"
"""The reason of a run that the user interrupted."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of the driver for one run. summary: of the requested questions. stopped: why the run ended early, if
    it did."""

    planned: Planned
    summary: Summary
    stopped: str | None = None

    @property
    def interrupted(self) -> bool:
        return self.stopped == INTERRUPTED

    @property
    def complete(self) -> bool:
        return self.summary.status == "complete"


def run(planned: Planned, *, quiet: bool = False, budget: Budget | None = None) -> Outcome:
    """Finish one run; see `run_together`."""
    return run_together([planned], quiet=quiet, budget=budget)[0]


def run_together(
    plans: Sequence[Planned], *, quiet: bool = False, budget: Budget | None = None, position: Position | None = None
) -> list[Outcome]:
    """Finish runs that share one recall (`together`). A finished run costs no model call, and its folder may be
    read-only. budget: the limit of what may be sent. position: of the last of these runs among the runs of the command,
    for the progress display.

    Raises UsageError if a folder cannot be used. Ctrl-C and SIGTERM end the runs in order, resumable (`interrupted`).
    """
    left = [planned for planned in plans if wanted(planned) - finished(planned)]
    with contextlib.ExitStack() as stack:
        runs = {planned.spec.folder: _OpenRun(planned, stack) for planned in left}
        driver = _Driver(list(runs.values()), stack) if runs else None
        stopped = driver.run(quiet, budget, position) if driver else None
        outcomes = []
        for planned in plans:
            opened = runs.get(planned.spec.folder)
            if driver and opened:
                summary = conclude(planned, driver.requests(opened), stopped is None)
                outcomes.append(Outcome(planned, summary, stopped))
            else:
                _label(planned)
                outcomes.append(Outcome(planned, conclude(planned)))
        return outcomes


def together(plans: Sequence[Planned]) -> list[list[Planned]]:
    """Group the runs of a command for `run_together`: the runs of a group differ only in how they are answered."""
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
    """Write the typed label into the manifest of a finished run."""
    folder = RunFolder(planned.spec.folder)
    written, label = folder.manifest(), planned.spec.label
    if written and label and label != written.label and folder.writable:
        folder.write_manifest(replace(written, label=label))


def finished(planned: Planned) -> set[Key]:
    """The complete samples of the folder whose questions have not changed. All others are made again."""
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


class _OpenRun:
    """A run with open samples; `stack` closes its folder. first, last: times of the first and the last row. sent:
    requests for its own answers, including retries."""

    def __init__(self, planned: Planned, stack: contextlib.ExitStack) -> None:
        folder = RunFolder(planned.spec.folder)
        self.planned = planned
        self.writer = stack.enter_context(RunWriter(folder))
        self.done = frozenset(finished(planned))
        self.left = wanted(planned) - self.done
        self.id = uuid.uuid4().hex[:12]
        self.first, self.last, self.sent = 0.0, 0.0, 0
        self._ranks = {question: rank for rank, question in enumerate(planned.question_ids)}
        samples = folder.samples()
        kept = [row for row in samples if row.key not in self.left]
        if len(kept) < len(samples):  # failed and incomplete samples are tried again
            self.writer.keep_samples(kept)
        folder.write_manifest(manifest(planned))

    def write(self, row: Row | CallRow | TroubleRow) -> None:
        self.last = time.monotonic()
        self.first = self.first or self.last - (row.seconds if isinstance(row, CallRow) else 0.0)
        self.writer.append(replace(row, rank=self._ranks[row.question_id]) if isinstance(row, QuestionRow) else row)


class _Driver:
    """Executes the contexts of some runs, and writes each row to its file: rows with times to events.jsonl, facts to
    the other files. The first run gets the calls and troubles of reading."""

    def __init__(self, runs: Sequence[_OpenRun], stack: contextlib.ExitStack) -> None:
        self.runs = runs
        self.planned = runs[0].planned
        self.answering = {answer_phase(number): run for number, run in enumerate(runs)}
        self.work = self._work()
        self.memory: MemoryWriter | None = None
        if self.planned.spec.memory:
            folder = MemoryFolder(self.planned.spec.memory)
            self.memory = MemoryWriter(folder, memory_manifest(self.planned), len(self.work))
            stack.callback(self.memory.release)
        self.gateway: Gateway | None = None
        self.build = 0.0
        self.started = self.reported = time.monotonic()

    def _work(self) -> list[Work]:
        """The contexts with open questions, repeat by repeat."""
        planned = self.planned
        refs = planned.task.refs(planned.question_ids)
        left = {(question, repeat) for run in self.runs for question, repeat, _ in run.left}
        return [
            (ref, repeat)
            for repeat in range(planned.spec.repeats)
            for ref in refs
            if any((question, repeat) in left for question in ref.question_ids)
        ]

    def run(self, quiet: bool, budget: Budget | None, position: Position | None) -> str | None:
        """Execute the contexts. Returns why the runs stopped early, or None."""
        spec = self.planned.spec
        label = f"{spec.agent.typed} on {spec.task_typed}"
        loaded = frozenset(sys.modules)
        left = sum(len(run.left) for run in self.runs)
        with Progress(label, len(self.work), left, quiet=quiet, position=position) as self.progress:
            stopped = process.run(self._drive(budget))
        self._report()
        for run in self.runs:
            keep_changes(RunFolder(run.planned.spec.folder), not_as_planned(run.planned.spec.agent, loaded))
        return stopped

    async def _drive(self, budget: Budget | None) -> str | None:
        spec, task = self.planned.spec, self.planned.task
        constant = best_constant(task.golds(), spec.task.headline) if spec.agent.card.agent == "constant" else None
        stopped: str | None = None
        this = asyncio.current_task()
        assert this is not None

        def interrupt() -> None:
            nonlocal stopped
            stopped = INTERRUPTED
            this.cancel()

        try:
            with process.stopping(interrupt):
                async with RunContext.of_runs([run.planned.spec for run in self.runs], self._take, budget) as context:
                    self.gateway = context.gateway
                    stages = [
                        context.stage(partial(self._answered, run), run.done, number) for number, run in enumerate(self.runs)
                    ]
                    if self.work and "reader" in spec.models and spec.agent.card.track == "reader":
                        self.gateway.open(spec.models["reader"])  # a missing key stops the run before it pays for streams
                    await context.engine(self._take, stages, constant).execute(task, self.work, self.memory)
        except StopRun as stop:
            stopped = str(stop)
            for run in self.runs:
                run.writer.append(StoppedRow(at=time.time(), reason=stopped))
        except asyncio.CancelledError:
            if stopped is None:
                raise
        return stopped

    def _answered(self, run: _OpenRun, row: Row) -> None:
        run.write(row)
        self._show(row)

    def _take(self, event: Event) -> None:
        """Handle a row of reading, a call or a signal."""
        first = self.runs[0]
        if isinstance(event, OperationRow):
            if self.memory is not None:
                self.memory.append(event)
        elif isinstance(event, CallRow):
            run = self.answering.get(event.phase, first)
            run.sent += event.attempts
            run.write(replace(event, phase="answer") if event.phase in self.answering else event)
        elif isinstance(event, TroubleRow):
            first.write(event)
        elif isinstance(event, TimesRow):
            for run in self.runs:  # all runs share reading and recall
                run.writer.append(event)
        elif isinstance(event, ContextBuilt):
            self.build += event.seconds
        self._show(event)

    def _show(self, event: Event) -> None:
        self.progress.see(event)
        if not isinstance(event, AgentSlow) and time.monotonic() - self.reported >= REPORTED:  # AgentSlow comes from a timer
            self._report()

    def requests(self, run: _OpenRun) -> int:
        """Requests sent for a run, including retries; the first run also counts requests without a reply yet."""
        if run is self.runs[0] and self.gateway is not None:
            return self.gateway.requests - sum(other.sent for other in self.runs[1:])
        return run.sent

    def _report(self) -> None:
        """Write this invocation's progress: the seconds from the first call (or the first row) to the last row, and the
        seconds of building contexts."""
        now = self.reported = time.monotonic()
        for run in self.runs:
            begun = (self.gateway and self.gateway.first_call_at) or run.first
            row = InvocationRow(
                at=time.time(),
                id=run.id,
                seconds=max(0.0, run.last - begun) if begun and run.last else 0.0,
                build_seconds=self.build,
                wall=now - self.started,
                requests=self.requests(run),
                adapted=self.gateway.adapted if self.gateway else (),
                differing=self.memory.differing if self.memory else 0,
            )
            run.writer.append(row)
