"""The driver of one run: opens or resumes its folder, writes what the executor reports, scores, aggregates.

plan -> ingest -> recall -> answer -> score -> aggregate. The same command finds the same folder and finishes it; a larger
limit grows it, a smaller one reads a part of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec
from msgspec.structs import replace

from memeval import cards, process, tokens
from memeval.contamination import contamination, facts
from memeval.digests import question_digests
from memeval.metrics.identity import scorer_digest
from memeval.models import prices, window
from memeval.models.budget import Budget
from memeval.plugins import not_as_recorded
from memeval.records.averages import average, named
from memeval.records.clean import encode
from memeval.records.folder import Key, RunFolder, RunWriter
from memeval.records.manifest import AgentFiles
from memeval.records.rows import CallRow, InvocationRow, QuestionRow, SampleRow, ScoreRow, StoppedRow
from memeval.records.summary import Contamination, OverlapFacts, Summary
from memeval.runs import local
from memeval.runs.controls import best_constant
from memeval.runs.manifest import manifest
from memeval.runs.notes import notes
from memeval.runs.outcome import Outcome
from memeval.runs.overlap import Overlap
from memeval.runs.plan import Planned
from memeval.runs.progress import Position, Progress
from memeval.runs.run_context import RunContext
from memeval.runs.score import score_samples
from memeval.runs.signals import AgentSlow, Built, ContextDone, Ended, Event, Stopped
from memeval.runs.spec import RunSpec
from memeval.runs.summary import summarise

REPORTED = 5.0
"""Seconds after which an invocation writes again how far it has come."""


def run(
    planned: Planned,
    *,
    fresh: bool = False,
    quiet: bool = False,
    budget: Budget | None = None,
    position: Position | None = None,
) -> Outcome:
    """Finish one run and return it. A finished run costs no model call, and its folder need not be writable. budget: what
    may be sent. position: of the run among those of the command, for the progress display.

    Raises UsageError when the folder cannot be used. Ctrl-C and SIGTERM end it in order, resumable (`interrupted`).
    """
    spec = planned.spec
    folder = RunFolder(spec.folder)
    if fresh:
        folder.remove()
    started = time.monotonic()
    if wanted(planned) <= finished(planned):
        return Outcome(planned, conclude(planned))
    with RunWriter(folder) as writer:
        done = finished(planned)
        samples = folder.samples()
        again = wanted(planned) - done
        kept = [row for row in samples if row.key not in again]
        if len(kept) < len(samples):  # what failed or is not whole is tried again
            writer.keep_samples(kept)
        folder.write_manifest(manifest(planned))
        clock = _Clock(started)
        work, loaded = _work(planned, again), frozenset(sys.modules)
        label = f"{spec.agent.typed} on {spec.task_typed}"
        with Progress(label, len(work), len(again), quiet=quiet, position=position) as progress:
            stopped, interrupted = process.run(_drive(planned, work, frozenset(done), writer, clock, progress, budget))
        writer.append(clock.row())
        _check_files(planned, folder, loaded)
        return Outcome(planned, conclude(planned, clock, stopped is None), stopped, interrupted)


def _check_files(planned: Planned, folder: RunFolder, loaded: frozenset[str]) -> None:
    """Note in the manifest which of the agent's files are not as its identity has them. loaded: modules before the run."""
    spec, written = planned.spec.agent, folder.manifest()
    changed, missed = not_as_recorded(spec.card, spec.files, loaded) if spec.files else ([], [])
    if written and (changed or missed):
        before = written.agent_files
        files = AgentFiles(tuple({*before.changed, *changed}), tuple({*before.missed, *missed}))
        folder.write_manifest(replace(written, agent_files=files))


@dataclass
class _Clock:
    """Seconds of this invocation: from the first model call sent (or the first event) to the last sample written; building
    contexts beside it. requests: sent, incl. retries. adapted: what servers want sent otherwise. overlap: of the streams
    built now."""

    started: float = 0.0
    first: float | None = None
    last: float | None = None
    build: float = 0.0
    requests: int = 0
    adapted: Callable[[], tuple[str, ...]] = tuple
    overlap: Overlap = field(default_factory=Overlap)
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    reported: float = field(default_factory=time.monotonic)

    def row(self) -> InvocationRow:
        now = self.reported = time.monotonic()
        seconds = (self.last - self.first) if self.first is not None and self.last is not None else 0.0
        return InvocationRow(
            at=time.time(),
            id=self.id,
            seconds=max(0.0, seconds),
            build_seconds=self.build,
            wall=now - self.started,
            requests=self.requests,
            adapted=self.adapted(),
        )


def finished(planned: Planned) -> set[Key]:
    """The samples of the folder that are whole, and whose questions are still the same. Others are made again."""
    folder = RunFolder(planned.spec.folder)
    found = folder.finished(with_memory=not planned.spec.agent.is_arm)
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


def _work(planned: Planned, left: set[Key]) -> list[local.Work]:
    """The contexts with something left to ask, repeat by repeat."""
    refs = planned.task.refs(planned.question_ids)
    open_pairs = {(question, repeat) for question, repeat, _ in left}
    return [
        (ref, repeat)
        for repeat in range(planned.spec.repeats)
        for ref in refs
        if any((question, repeat) in open_pairs for question in ref.question_ids)
    ]


async def _drive(
    planned: Planned,
    work: Sequence[local.Work],
    done: frozenset[Key],
    writer: RunWriter,
    clock: _Clock,
    progress: Progress,
    budget: Budget | None,
) -> tuple[str | None, bool]:
    """Write events as they come. Returns (why it stopped early, whether the user interrupted it)."""
    spec = planned.spec
    constant = best_constant(planned.task.golds(), spec.task.headline) if spec.agent.card.agent == "constant" else None
    stopped: str | None = None
    interrupted = False
    this = asyncio.current_task()
    assert this is not None

    def called(row: CallRow) -> None:
        record(writer, row, clock)
        progress.see(row)

    def interrupt() -> None:
        nonlocal interrupted
        interrupted = True
        this.cancel()

    try:
        with process.stopping(interrupt):
            async with (
                RunContext.of_run(spec, called, budget) as context,
                contextlib.aclosing(local.execute(context, planned.task, work, done, constant)) as events,
            ):
                clock.adapted = lambda: context.gateway.adapted
                async for event in events:
                    if isinstance(event, Stopped):
                        stopped = event.reason
                    record(writer, event, clock)
                    progress.see(event)
    except asyncio.CancelledError:
        if not interrupted:
            raise
        stopped = "interrupted"
    return stopped, interrupted


def record(writer: RunWriter, event: Event, clock: _Clock) -> None:
    """One event into the folder. What has a clock goes to events.jsonl, facts go to their own files."""
    if isinstance(event, Ended):
        clock.requests = event.requests
        clock.first = event.first_call or clock.first
    elif isinstance(event, Built):
        clock.build += event.seconds
        if event.units:
            clock.overlap.add(event.units)
    elif isinstance(event, Stopped):
        writer.append(StoppedRow(at=time.time(), reason=event.reason))
    elif not isinstance(event, (ContextDone, AgentSlow)):  # those are for the progress display
        if clock.first is None:
            clock.first = time.monotonic()
        if isinstance(event, CallRow):
            clock.requests += event.attempts
        writer.append(event)
        clock.last = time.monotonic()
    if time.monotonic() - clock.reported >= REPORTED:
        writer.append(clock.row())


# -- what follows from the rows ---------------------------------------------------------------------------------------


def conclude(planned: Planned, clock: _Clock | None = None, complete: bool = True) -> Summary:
    """Score what the folder holds and aggregate it: all of it for summary.json, the questions asked for as the result.

    clock: of the invocation that wrote to the folder, None where nothing was to do. complete: it was not stopped.
    """
    spec = planned.spec
    folder = RunFolder(spec.folder)
    questions = folder.questions()
    samples = [row for row in folder.samples() if row.question_id in questions]
    native = spec.agent.card.track == "native"
    rules = scorer_digest(spec.task.metrics, spec.task.headline, native)
    known, headers = facts(spec.task, planned.claims), folder.judge_headers()
    basis = cards.digest([sorted(encode(row).decode() for row in samples), rules, known, msgspec.to_builtins(headers)])[:16]
    asked = {question: questions[question] for question in planned.question_ids if question in questions}
    everything = {row.question_id for row in samples} <= set(asked)
    requests = clock.requests if clock else 0
    stored = folder.summary()
    current = stored if clock is None and stored and stored.basis == basis and stored.status != "partial" else None
    if current and everything:
        return _read_back(replace(current, path=spec.shown, requests=0), planned, clock)
    scores = folder.scores() if current else []
    if [(row.key, row.scorer) for row in scores] != [(row.key, rules) for row in samples]:
        task = spec.task
        scores = list(score_samples(samples, questions, folder.texts(), task.metrics, task.headline, native, rules))
        if folder.writable:
            folder.write_scores(scores)
    written = folder.manifest()
    most = max(len(planned.question_ids), written.questions if written else 0)
    whole = current
    if whole is None:
        overlaps = [stored.overlap] if stored else []  # an earlier invocation may have built more of the streams
        overlaps += [OverlapFacts(clock.overlap.streams, clock.overlap.share)] if clock else []
        whole = replace(
            _summary(planned, folder, questions, samples, scores, most, complete),
            requests=requests if clock or not stored else stored.requests,
            overlap=max(overlaps, key=lambda found: found.streams, default=OverlapFacts()),
            basis=basis,
        )
        if folder.writable:
            mark = whole.trained_on and msgspec.to_builtins(replace(whole.trained_on, others=None))
            if written:
                served = {role: tuple(sorted(names)) for role, names in sorted(whole.facts.served.items())}
                found = replace(written, trained_on={**known, "mark": mark}, served=served, adapted=whole.adapted)
                if found != written:
                    folder.write_manifest(found)
            folder.write_summary(whole)
    if everything and most == len(planned.question_ids):
        return _read_back(replace(whole, requests=requests), planned, clock)
    some = [row for row in samples if row.question_id in asked]
    mine = [row for row in scores if row.question_id in asked]
    part = _summary(planned, folder, asked, some, mine, len(planned.question_ids), complete)
    return _read_back(replace(part, requests=requests, overlap=whole.overlap, basis=basis), planned, clock)


def _read_back(found: Summary, planned: Planned, clock: _Clock | None) -> Summary:
    """The summary with the notes that hold for this command alone: what of it was read back."""
    service = clock is None and bool(found.services)
    found = replace(found, read_back=planned.read_back, service_read_back=service)
    return replace(found, notes=notes(found))


def _summary(
    planned: Planned,
    folder: RunFolder,
    questions: dict[str, QuestionRow],
    samples: Sequence[SampleRow],
    scores: Sequence[ScoreRow],
    asked: int,
    complete: bool,
) -> Summary:
    """Of these samples, out of `asked` questions."""
    spec = planned.spec
    contexts = {row.context_id for row in questions.values()}
    found = summarise(
        questions=questions,
        samples=samples,
        scores=scores,
        operations=[row for row in folder.memory.operations() if row.context_id in contexts],
        headline=spec.task.headline,
        tokenizer=tokens.counter(spec.task.tokenizer).name,
        asked=asked * spec.repeats * spec.answer_repeats,
        complete=complete,
        prices=_prices(planned),
        judged=folder.judge_headers(),
    )
    invocations: dict[str, InvocationRow] = {}
    memory_from: Counter[str] = Counter()
    written = folder.manifest()
    for event in folder.events():
        if isinstance(event, InvocationRow):
            invocations[event.id] = event
        elif isinstance(event, CallRow) and event.run:
            memory_from[event.run] += 1
    names = {role: model.name for role, model in spec.models.items()}
    found = replace(
        found,
        path=spec.shown,
        agent=spec.agent.typed,
        params=dict(spec.agent.params),
        task=spec.task_typed,
        answer_budget=spec.budgeted,
        model=names.get("memory") or names.get("reader"),
        reader=names.get("reader"),
        embedder=names.get("embedder") if found.calls.get("embedder") else None,
        judge_family=spec.task.judge,
        trained_on=_trained_on(planned, questions, scores),
        memory_from=dict(sorted(memory_from.items())),
        adapted=tuple(dict.fromkeys(text for row in invocations.values() for text in row.adapted)),
        agent_files=written.agent_files if written else AgentFiles(),
        **_window(spec),
        seconds=sum(row.seconds for row in invocations.values()),
        build_seconds=sum(row.build_seconds for row in invocations.values()),
    )
    return replace(found, notes=notes(found))


def _window(spec: RunSpec) -> dict[str, int]:
    """The reader's window and what agents may recall, where it leaves less room than the task does."""
    size = window.known(spec.models["reader"]) if "reader" in spec.models else None
    if size is None or spec.agent_budget >= spec.recall_budget:
        return {}
    return {"window": size, "recall_budget": spec.agent_budget}


def _trained_on(planned: Planned, questions: dict[str, QuestionRow], scores: Sequence[ScoreRow]) -> Contamination | None:
    """What of these questions the run's models were trained on, with the headline on the others where those are known."""
    task = planned.spec.task
    found = contamination(task, planned.claims, {key: row.text for key, row in questions.items()})
    if found is None:
        return None
    others = [row for row in scores if row.question_id not in (found.known or ())]
    return Contamination(
        mark=found.mark,
        by=found.by,
        notes=found.notes,
        asked=found.asked,
        known=None if found.known is None else len(found.known),
        others=named(task.headline, average(others, questions, task.headline)) if found.known else None,
    )


def _prices(planned: Planned) -> dict[str, prices.Price | None]:
    models = dict(planned.spec.models)
    if planned.judge is not None:
        models["judge"] = planned.judge
    return {role: prices.price(model.name, model.base_url) for role, model in models.items()}
