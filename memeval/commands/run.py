"""`memeval run`: plan everything, run it, print one table or one JSON object."""

from __future__ import annotations

import dataclasses
import sys
from typing import TextIO

import click
from msgspec.structs import replace

from memeval.contamination import contamination
from memeval.errors import StopRun
from memeval.models.budget import Budget
from memeval.models.calls import CallSettings
from memeval.models.completion import ModelSpec
from memeval.models.local.kept_open import keep_open
from memeval.process import foreign_code
from memeval.records.averages import named
from memeval.records.clean import encode
from memeval.records.folder import RunFolder
from memeval.records.rows import QuestionRow
from memeval.report.columns import width
from memeval.report.costs import costs_table, worth_a_table
from memeval.report.suites import suite_means, suites_table
from memeval.report.table import runs_table
from memeval.runs.notes import notes
from memeval.runs.options import Options
from memeval.runs.origins import with_origins
from memeval.runs.outcome import Outcome
from memeval.runs.plan import Planned, plan, suites
from memeval.runs.progress import Position
from memeval.runs.run import conclude, run, wanted
from memeval.runs.summary import with_judge


def run_command(options: Options, *, fresh: bool, form: str) -> int:
    """Returns the exit code, 3 where a run is not whole or a suite lacks a task. Results go to stdout, else stderr."""
    with foreign_code() as out:
        return _run(options, fresh, form, out)


def _run(options: Options, fresh: bool, form: str, out: TextIO) -> int:
    outcomes = _outcomes(options, fresh)
    runs = [outcome.summary for outcome in outcomes]
    idle = options.models.get("embedder") and not any(row.embedder or row.status == "partial" for row in runs)
    if idle and not options.quiet:
        print("memeval: the embedder was not called: none of these agents embeds (no bundled one does)", file=sys.stderr)
    named = {name: tasks for name, tasks in suites(options).items() if tasks != [name]}
    means = [row for name, tasks in named.items() for row in suite_means(name, tasks, runs)]
    if form == "json":
        report = encode({"runs": runs, **({"suites": means} if means else {})})
        click.echo(report, file=out)  # JSON is UTF-8, whatever the terminal
    else:
        line = width(out)
        costs = [costs_table(runs, line)] if worth_a_table(runs) else []
        tables = [runs_table(runs, line), *costs, *([suites_table(means, line)] if means else [])]
        print("\n\n".join(tables), file=out)
    if outcomes and outcomes[-1].interrupted:
        print("memeval: interrupted; the same command resumes:", file=sys.stderr)
        print(f"  {_again()}", file=sys.stderr)
        return 130
    whole = {row.task for row in runs}.issuperset(task for tasks in named.values() for task in tasks)
    return 0 if whole and all(outcome.complete for outcome in outcomes) else 3


def _outcomes(options: Options, fresh: bool) -> list[Outcome]:
    """One run after the other, up to the first that was stopped."""
    outcomes: list[Outcome] = []
    plans = plan(options)
    budget = None
    if options.max_cost is not None or options.max_calls is not None:
        budget = Budget(options.max_cost, options.max_calls)
        judges = [planned.judge for planned in plans if planned.judge is not None]
        budget.require_prices([*judges, *(model for planned in plans for model in planned.spec.models.values())])
    if fresh:
        for planned in plans:  # all of them first: a memory that several of them read is built anew, too
            RunFolder(planned.spec.folder).remove()
    plans = with_origins(plans, options.same_model)
    with keep_open():  # a server that was started, or weights that were loaded, serve the next run too
        position = Position([len(wanted(planned)) for planned in plans], 0)
        for planned in plans:
            position.number += 1
            outcome = run(planned, quiet=options.quiet, budget=budget, position=position)
            if planned.judge is not None and not outcome.stopped:
                outcome = _judged(outcome, planned.judge, options, budget)
            outcomes.append(outcome)
            if outcome.stopped:
                if not outcome.interrupted:
                    print(f"memeval: stopped: {outcome.stopped} (the same command resumes)", file=sys.stderr)
                break
    return outcomes


def _judged(outcome: Outcome, judge: ModelSpec, options: Options, budget: Budget | None) -> Outcome:
    """The run with its answers judged. A judge that cannot be reached leaves the run as it is, to be judged again."""
    from memeval.judging.judged_run import judge_folder
    from memeval.judging.summary import judged_summary

    planned = outcome.planned
    prompt, folder = planned.judge_prompt, planned.spec.folder
    try:
        settings = CallSettings(options.concurrency, options.use_cache, options.policy, budget)
        scorer = judge_folder(folder, judge, prompt=prompt, settings=settings)
    except StopRun as stop:
        return dataclasses.replace(outcome, stopped=f"judge: {stop}")
    again = replace(conclude(planned, complete=outcome.stopped is None), requests=outcome.summary.requests)
    judged = judged_summary(folder, scorer, planned.question_ids)
    marked = contamination(planned.spec.task, planned.claims, {key: row.text for key, row in _asked(planned).items()})
    others = set(planned.question_ids) - set((marked and marked.known) or ())
    elsewhere = named("judge", judged_summary(folder, scorer, others)) if marked and marked.known else None
    found = with_judge(again, judged, elsewhere)
    return dataclasses.replace(outcome, summary=replace(found, notes=notes(found)))


def _asked(planned: Planned) -> dict[str, QuestionRow]:
    questions = RunFolder(planned.spec.folder).questions()
    return {key: questions[key] for key in planned.question_ids if key in questions}


def _again() -> str:
    """The command line that resumes. `--fresh` is left out: it would start anew."""
    import shlex

    return shlex.join(["memeval", *(word for word in sys.argv[1:] if word != "--fresh")])
