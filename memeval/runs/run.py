"""The driver of one run: opens or resumes its folder, writes what the executor reports, scores, aggregates.

plan -> ingest -> recall -> answer -> score -> aggregate. The same command finds the same folder and finishes it; a larger
limit grows it, a smaller one reads a part of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from memeval import cards, process, tokens
from memeval.models import prices
from memeval.models.budget import Budget
from memeval.records.rows import CallRow, OperationRow, QuestionRow, SampleRow, TextRow, TroubleRow
from memeval.runs import local
from memeval.runs.controls import best_constant
from memeval.runs.familiarity import facts, familiarity
from memeval.runs.manifest import manifest
from memeval.runs.outcome import Outcome
from memeval.runs.overlap import Overlap
from memeval.runs.plan import Planned
from memeval.runs.progress import Progress
from memeval.runs.reader import SampleKey
from memeval.runs.score import score_samples
from memeval.runs.signals import AgentSlow, Built, ContextDone, Ended, Event, Stopped
from memeval.runs.store import Store, read_json, read_lines, write_json, write_lines
from memeval.runs.summary import summarise, without

Line = dict[str, Any]


def run(planned: Planned, *, fresh: bool = False, quiet: bool = False, budget: Budget | None = None) -> Outcome:
    """Finish one run and return it. A finished run costs no model call: its summary is read back. budget: what may be sent.

    Raises UsageError when the folder cannot be used. Ctrl-C and SIGTERM end it in order, resumable (`interrupted`).
    """
    spec = planned.spec
    if fresh:
        start_anew(planned)
    started = time.monotonic()
    with Store(spec.folder) as store:
        done = _keep_finished(store)
        left = _wanted(planned) - done
        if not left:
            summary = read_json(spec.folder / "summary.json")
            if (
                summary is not None
                and summary.get("status") != "partial"  # stopped between its last sample and its end
                and summary.get("asked") == _asked(planned)
                and summary.get("rests_on") == _rests_on(planned)
            ):
                return Outcome(planned, {**summary, "requests": 0})
            return Outcome(planned, _conclude(planned, _Clock(), True))
        write_json(spec.folder / "manifest.json", manifest(planned))
        clock = _Clock(build=0.0)
        work = _work(planned, left)
        label = f"{spec.agent.typed} on {spec.task_typed}"
        with Progress(label, len(work), len(left), quiet=quiet) as progress, _what_is_there_set_apart():
            stopped, interrupted = process.run(_drive(planned, work, done, store, clock, progress, budget))
        store.append(
            "events", {"event": "invocation", **clock.to_json(), "wall": time.monotonic() - started, "at": time.time()}
        )
        return Outcome(planned, _conclude(planned, clock, stopped is None), stopped, interrupted)


@contextlib.contextmanager
def _what_is_there_set_apart() -> Iterator[None]:
    """To search packages and data for garbage takes tens of milliseconds, finds nothing, and keeps all calls waiting."""
    if gc.get_freeze_count():  # the program around us does so itself
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def start_anew(planned: Planned) -> None:
    """Delete what the run has so far. Raises UsageError when another process is writing it."""
    folder = planned.spec.folder
    if folder.is_dir():
        with Store(folder):
            shutil.rmtree(folder)


@dataclass
class _Clock:
    """Seconds of this invocation: from the first model call sent (or the first event) to the last sample written; building
    contexts beside it. requests: sent, incl. retries. overlap: of the streams built now."""

    first: float | None = None
    last: float | None = None
    build: float = 0.0
    requests: int = 0
    overlap: Overlap = field(default_factory=Overlap)

    def to_json(self) -> dict[str, Any]:
        seconds = (self.last - self.first) if self.first is not None and self.last is not None else 0.0
        return {"seconds": max(0.0, seconds), "build_seconds": self.build, "requests": self.requests}


def _keep_finished(store: Store) -> frozenset[SampleKey]:
    """Samples that stand. Failed ones are dropped, to be tried again."""
    samples = list(store.lines("samples"))
    kept = [line for line in samples if line["failure"] is None]
    if len(kept) < len(samples):
        store.rewrite("samples", kept)
    return frozenset((line["question_id"], line["repeat"], line["answer_repeat"]) for line in kept)


def _wanted(planned: Planned) -> set[SampleKey]:
    spec = planned.spec
    return {
        (question, repeat, answer)
        for question in planned.question_ids
        for repeat in range(spec.repeats)
        for answer in range(spec.answer_repeats)
    }


def _work(planned: Planned, left: set[SampleKey]) -> list[local.Work]:
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
    done: frozenset[SampleKey],
    store: Store,
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

    def interrupt() -> None:
        nonlocal interrupted
        interrupted = True
        this.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):  # not in the main thread
            loop.add_signal_handler(number, interrupt)
    try:
        async with contextlib.aclosing(local.execute(spec, planned.task, work, done, constant, budget)) as events:
            async for event in events:
                if isinstance(event, Stopped):
                    stopped = event.reason
                record(store, event, clock)
                progress.see(event)
    except asyncio.CancelledError:
        if not interrupted:
            raise
        stopped = "interrupted"
    return stopped, interrupted


FILES: dict[type, str] = {
    SampleRow: "samples",
    QuestionRow: "questions",
    OperationRow: "operations",
    CallRow: "events",
    TroubleRow: "events",
}


def record(store: Store, event: Event, clock: _Clock) -> None:
    """One event into the folder. What has a clock goes to events.jsonl, facts go to their own files."""
    if isinstance(event, Ended):
        clock.requests = event.requests
        clock.first = event.first_call or clock.first
    elif isinstance(event, Built):
        clock.build += event.seconds
        if event.units:
            clock.overlap.add(event.units)
    elif isinstance(event, Stopped):
        store.append("events", {"event": "stopped", "reason": event.reason, "at": time.time()})
    elif not isinstance(event, (ContextDone, AgentSlow)):  # those are for the progress display
        if clock.first is None:
            clock.first = time.monotonic()
        if isinstance(event, TextRow):
            store.text(event.sha, event.text)
        else:
            store.append(FILES[type(event)], msgspec.to_builtins(event))
        clock.last = time.monotonic()


def _conclude(planned: Planned, clock: _Clock, complete: bool) -> dict[str, Any]:
    """Score everything that is there, aggregate what was asked, write both."""
    spec = planned.spec
    folder = spec.folder
    questions = {line["question_id"]: line for line in read_lines(folder / "questions.jsonl")}
    samples = list(read_lines(folder / "samples.jsonl"))
    native = spec.agent.card.track == "native"
    scores = list(score_samples(samples, questions, spec.task.metrics, spec.task.headline, native))
    write_lines(folder / "scores" / "task.jsonl", scores)
    asked = set(planned.question_ids)
    contexts = {questions[key]["context_id"] for key in asked if key in questions}
    previous: list[Line] = []
    memory_from: Counter[str] = Counter()
    for line in read_lines(folder / "events.jsonl"):
        if line["event"] == "invocation":
            previous.append(line)
        elif line.get("run"):
            memory_from[line["run"]] += 1
    summary = summarise(
        questions={key: line for key, line in questions.items() if key in asked},
        samples=[line for line in samples if line["question_id"] in asked],
        scores=[line for line in scores if line["question_id"] in asked],
        operations=(line for line in read_lines(folder / "operations.jsonl") if line["context_id"] in contexts),
        headline=spec.task.headline,
        tokenizer=tokens.counter(spec.task.tokenizer).name,
        asked=len(asked) * spec.repeats * spec.answer_repeats,
        complete=complete,
        prices=_prices(planned),
        judged=[header for path in sorted((folder / "scores").glob("judge-*.json")) if (header := read_json(path))],
    )
    mark = _familiarity(planned, {key: questions[key] for key in questions if key in asked}, scores)
    summary = {
        "asked": _asked(planned),
        "rests_on": _rests_on(planned),
        "agent": spec.agent.typed,
        "params": dict(spec.agent.params),
        "task": spec.task_typed,
        **{role: (spec.models[role].name if role in spec.models else None) for role in ("memory", "reader", "embedder")},
        **summary,
        "trained_on": mark,
        "answer_budget": spec.budgeted,
        "memory_from": dict(sorted(memory_from.items())),
        "overlap": max(clock.overlap.to_json(), _last_overlap(folder), key=lambda row: row["streams"]),
        "requests": clock.requests,
        "seconds": sum(line["seconds"] for line in previous),
        "build_seconds": sum(line["build_seconds"] for line in previous),
    }
    if (written := read_json(folder / "manifest.json")) is not None:
        shown = mark and {key: mark[key] for key in ("mark", "by", "notes", "asked", "known")}
        write_json(
            folder / "manifest.json", {**written, "trained_on": {**facts(planned.spec.task, planned.claims), "mark": shown}}
        )
    write_json(folder / "summary.json", summary)
    return summary


def _familiarity(planned: Planned, asked: dict[str, Line], scores: list[Line]) -> Line | None:
    """What of this run its models were trained on, with the headline on the other questions where those are known."""
    found = familiarity(planned.spec.task, planned.claims, {key: line["text"] for key, line in asked.items()})
    if found is None:
        return None
    mine = [line for line in scores if line["question_id"] in asked]
    return {
        "mark": found.mark,
        "by": list(found.by),
        "notes": list(found.notes),
        "asked": found.asked,
        "known": None if found.known is None else len(found.known),
        "questions": list(found.known or ()),
        "others": without(found.known, mine, asked, planned.spec.task.headline) if found.known else None,
    }


def _prices(planned: Planned) -> dict[str, prices.Price | None]:
    models = dict(planned.spec.models)
    if planned.judge is not None:
        models["judge"] = planned.judge
    return {role: prices.price(model.name, model.base_url) for role, model in models.items()}


def aggregate_again(outcome: Outcome) -> Outcome:
    """The run with its summary made anew, now that a judge has had its say (and its price)."""
    summary = _conclude(outcome.planned, _Clock(requests=outcome.summary["requests"]), outcome.stopped is None)
    return dataclasses.replace(outcome, summary=summary)


def _last_overlap(folder: Path) -> dict[str, Any]:
    """Of an earlier invocation, which may have built more of the streams than a resumed one needs."""
    return (read_json(folder / "summary.json") or {}).get("overlap") or Overlap().to_json()


def _rests_on(planned: Planned) -> str:
    """What else a summary is made of: it is made anew when a card or a checkpoint says something else."""
    return cards.digest(facts(planned.spec.task, planned.claims))[:16]


def _asked(planned: Planned) -> str:
    return cards.digest(list(planned.question_ids))[:16]
