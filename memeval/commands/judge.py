"""`memeval score RUN --judge M` and `memeval judge calibrate [FILE] --judge M`: short tables, or one JSON object."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import msgspec
from tabulate import tabulate

from memeval.commands.show_answers import short
from memeval.errors import StopRun
from memeval.judging.calibrate import Calibration, calibrate, save
from memeval.judging.judge import Progress
from memeval.judging.judged_run import judge_folder
from memeval.judging.official import official
from memeval.judging.rates import corrected
from memeval.judging.shares import RULE
from memeval.judging.summary import judged_summary
from memeval.models.calls import CallSettings
from memeval.models.completion import ModelSpec
from memeval.models.model_names import same_name
from memeval.prompts import load_prompts
from memeval.records.averages import Average
from memeval.records.clean import encode
from memeval.records.judgements import Rate
from memeval.records.numbers import percent, percents
from memeval.records.summary import JudgeSummary, Limits
from memeval.records.verdicts import status
from memeval.results.columns import columns, width
from memeval.results.run_table import legend, mark
from memeval.runs.notes import OFFLINE_JUDGE, other_than, parts_line, trained_text
from memeval.wording import counted

SHOWN = 10
"""How many disagreements are printed."""
REPLY = 110
"""The most characters of a reply in a disagreement."""


def score_command(
    folders: Sequence[Path],
    judge: ModelSpec,
    *,
    family: str | None = None,
    prompt: Path | None = None,
    settings: CallSettings | None = None,
    form: str = "table",
    quiet: bool = False,
) -> int:
    """Judge finished runs, without running them again. Returns the exit code: 0, 3 (invalid, partial, or stopped), 130."""
    rules = _rules(prompt)
    summaries: list[tuple[str, JudgeSummary]] = []
    with stoppable() as work:
        for folder in folders:
            progress = counter(f"judging {folder.name}", quiet)
            scorer = judge_folder(folder, judge, family, prompt=rules, settings=settings, progress=progress)
            summaries.append((str(folder), judged_summary(folder, scorer)))
    if form == "json":
        rows = [{"path": path, **msgspec.to_builtins(found)} for path, found in summaries]
        click.echo(encode({"judged": rows}))  # JSON is UTF-8, whatever the terminal
    elif summaries:
        print(score_table(summaries, width(sys.stdout)))
    return work.code or (3 if any(found.status != "complete" for _, found in summaries) else 0)


def calibrate_command(
    file: Path | None,
    judge: ModelSpec,
    *,
    family: str = "generic",
    prompt: Path | None = None,
    settings: CallSettings | None = None,
    form: str = "table",
    quiet: bool = False,
) -> int:
    """Have a judge rate human-labelled answers (None: the starter set), print its error rates and keep them for later
    scores. Returns the exit code: 0, 3 (more than max(1, 2 %) answers without a verdict, or stopped), 130."""
    rules = _rules(prompt)
    with stoppable() as work:
        progress = counter("calibrating", quiet)
        calibration = calibrate(file, judge, family, prompt=rules, settings=settings, progress=progress)
    if work.code:
        return work.code
    invalid = status(True, calibration.failed, calibration.items) == "invalid"
    path = None if invalid else save(calibration)
    if form == "json":
        facts = {**msgspec.to_builtins(calibration), "kept": str(path) if path else None}
        click.echo(encode(facts))  # JSON is UTF-8, whatever the terminal
    else:
        kept = f"Kept in {path}: memeval score with this judge and family prints corrected scores from now on."
        print(f"{calibration_table(calibration)}\n{kept if path else 'Not kept: the judge gave up too often.'}")
    return 3 if invalid else 0


def score_table(rows: Sequence[tuple[str, JudgeSummary]], width: int | None = None) -> str:
    """A row per run with the judge's score, and notes on how to read it. rows: (path of the run, its judged summary)."""
    header = ["run", "judge", "prompt", "judged %", "95% interval", "n", "failed", "corrected %", "95% interval", "status"]
    body = [
        [
            path,
            f"{row.judge} ({row.family})",
            row.prompt_hash[:8],
            percent(row.value) + mark(row.trained_on),
            _range(row),
            row.n,
            row.failed,
            percent(row.corrected.value) if row.corrected else "-",
            _range(row.corrected) if row.corrected else "-",
            row.status,
        ]
        for path, row in rows
    ]
    lines = [columns(header, body, ["left"] * len(header), keep=("run", "judged %", "status"), width=width)]
    for path, row in rows:
        if row.parts:
            lines.append(f"{path}: {RULE[row.family]}; {parts_line(row.parts)}")
        if len(row.kinds) > 1:
            kinds = ", ".join(f"{kind} {percent(found.value)} (n {found.n})" for kind, found in row.kinds.items())
            lines.append(f"{path}: {kinds}; all questions {percent(row.overall.value)}")
        if row.published_kinds:
            kinds = ", ".join(f"{kind} {percent(found.value)}" for kind, found in row.published_kinds.items())
            lines.append(f"{path}: by the published rule {kinds}")
    return "\n".join([*lines, *_notes(rows)])


def _notes(rows: Sequence[tuple[str, JudgeSummary]]) -> list[str]:
    notes = [OFFLINE_JUDGE] if any(row.judge == "offline" for _, row in rows) else []
    notes += legend([row.trained_on for _, row in rows])
    for path, row in rows:
        if row.trained_on:
            notes.append(f"{path}: {trained_text(row.trained_on)}")
        if (known := official().get(row.family)) and not row.own_prompt and not same_name(known.model, row.judge):
            notes.append(f"{path}: family {row.family} was published with the judge {known.model}.")
        if row.related and row.judge != "offline":
            notes.append(f"{path}: the judge is of the family of the {' and '.join(row.related)} model it judges.")
        notes += [f"{path}: {text}." for text in other_than("judge", row.judge, row.served)]
        if row.failure_bounds:
            low, high = row.failure_bounds
            notes.append(f"{path}: failures count 0; all wrong or all right: {percent(low)} to {percent(high)}.")
        notes += [f"{path}: {count} x {reason}" for reason, count in row.reasons.items()]
    notes += dict.fromkeys(f"not corrected: {row.uncorrected}" for _, row in rows if row.uncorrected)
    if any(row.corrected and row.calibration and row.calibration.source == "starter" for _, row in rows):
        notes.append(
            "corrected by the starter set, whose answers are harder than a run's; calibrate on answers of your own runs."
        )
    return notes


def calibration_table(calibration: Calibration) -> str:
    """The judge's error rates with their limits, the errors by case, and how they change a score."""
    errors = calibration.errors
    named = {
        "agreement with humans": errors.agreement,
        "false accepts (wrong answers called right)": errors.false_accepts,
        "false rejects (right answers called wrong)": errors.false_rejects,
    }
    body = [
        [name, f"{percent(found.value)} %", percents(found.low, found.high), found.n]
        for name, found in named.items()
        if found
    ]
    if errors.kappa:
        low, high = f"{errors.kappa.low:.2f}", f"{errors.kappa.high:.2f}"
        body.append(["Cohen's kappa", f"{errors.kappa.value:.2f}", f"{low} to {high}", errors.kappa.n])
    title = (
        f"judge {calibration.judge}, family {calibration.family}, prompt {calibration.prompt_hash[:8]}, "
        f"{calibration.source}: {counted(calibration.items, 'answer')}, {calibration.failed} without a verdict"
    )
    parts = [title, tabulate(body, ["", "value", "95% interval", "n"], tablefmt="github", disable_numparse=True)]
    cases = [[case, *counts] for case, counts in calibration.cases.items()]
    if len(cases) > 1:
        parts.append(tabulate(cases, ["case", "n", "false accepts", "false rejects"], tablefmt="github"))
    stands = []
    accepts, rejects = calibration.answerable.false_accepts, calibration.answerable.false_rejects
    for raw in (0.25, 0.5, 0.75) if calibration.family not in RULE else ():
        found = corrected(Rate(raw, raw, raw, 0), accepts, rejects) if accepts and rejects else None
        if isinstance(found, Rate):
            stands.append(f"{percent(raw)} for {percent(found.value)} [{percents(found.low, found.high)}]")
    parts.append(
        f"a raw score stands for (Rogan-Gladen, answerable questions): {'; '.join(stands)}"
        if stands
        else "items of a rubric were judged, a half counted as not met; a share is not corrected by this"
        if calibration.family in RULE
        else "a score by this judge cannot be corrected: it needs both labels, and a judge better than chance"
    )
    for number, human, verdict, reply in calibration.disagreements[:SHOWN]:
        parts.append(f"  line {number}: human {human}, judge {verdict}: {_end(reply)}")
    return "\n".join(parts)


def _rules(prompt: Path | None) -> str | None:
    return load_prompts({"judge": str(prompt)})["judge"] if prompt else None


@dataclass
class Work:
    """code: 0, or the exit code if the work was stopped."""

    code: int = 0


@contextmanager
def stoppable(what: str = "verdicts") -> Iterator[Work]:
    """Run a block that calls a judge or a reader; if it is stopped, print how to resume. what: the results that are kept."""
    work = Work()
    try:
        yield work
    except StopRun as stop:
        print(f"memeval: stopped: {stop}", file=sys.stderr)
        work.code = 3
    except KeyboardInterrupt:
        print(f"memeval: interrupted; {what} so far are kept, the same command resumes:", file=sys.stderr)
        print(f"  {shlex.join(['memeval', *sys.argv[1:]])}", file=sys.stderr)
        work.code = 130


def counter(label: str, quiet: bool, what: str = "verdicts") -> Progress | None:
    """A function that shows how many are done: a counter on a terminal, one line a minute elsewhere. None if quiet."""
    if quiet:
        return None
    live = sys.stderr.isatty()
    printed = time.monotonic()

    def show(done: int, total: int, failed: int) -> None:
        nonlocal printed
        now = time.monotonic()
        if now - printed < (0.2 if live else 60) and done < total:
            return
        printed = now
        text = f"{label}: {done}/{total} {what}, {failed} failed"
        if live:
            print(f"\r{text}", end="\n" if done == total else "", file=sys.stderr, flush=True)
        elif done < total:
            print(text, file=sys.stderr, flush=True)

    return show


def _range(row: Average | Limits) -> str:
    within = " (within these streams only)" if isinstance(row, Average) and row.within_stream else ""
    return "-" if row.low is None else f"{percents(row.low, row.high)}{within}"


def _end(text: str) -> str:
    """The end of a reply, where its verdict is, on one line."""
    flat = short(text, None)
    return flat if len(flat) <= REPLY else f"...{flat[3 - REPLY :]}"
