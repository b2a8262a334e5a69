"""`memeval run`: plan everything, run it, print one table or one JSON object."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from typing import TextIO

import click
from msgspec.structs import replace

from memeval.contamination import contamination
from memeval.errors import StopRun
from memeval.models.budget import Budget
from memeval.models.calls import CallSettings
from memeval.models.local.kept_open import keep_open
from memeval.process import foreign_code
from memeval.records.averages import named
from memeval.records.clean import encode
from memeval.records.folder import RunFolder
from memeval.records.rows import QuestionRow
from memeval.results.columns import width
from memeval.results.costs import costs_table, worth_a_table
from memeval.results.run_table import runs_table
from memeval.results.suites import suite_means, suites_table
from memeval.runs.anew import anew
from memeval.runs.conclude import conclude
from memeval.runs.notes import notes
from memeval.runs.options import Options
from memeval.runs.origins import with_origins
from memeval.runs.outcome import Outcome
from memeval.runs.plan import Planned, plan, suites
from memeval.runs.progress import Position
from memeval.runs.run import run_together, together, wanted
from memeval.runs.summary import with_judge


def run_command(options: Options, *, form: str, fresh: bool = False, fresh_memory: bool = False) -> int:
    """Returns the exit code, 3 where a run is not whole or a suite lacks a task. Results go to stdout, else stderr."""
    with foreign_code() as out:
        return _print(_outcomes(options, fresh, fresh_memory), options, form, out)


def _print(outcomes: Sequence[Outcome], options: Options, form: str, out: TextIO) -> int:
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
    if any(outcome.interrupted for outcome in outcomes):
        print("memeval: interrupted; the same command resumes:", file=sys.stderr)
        print(f"  {_again()}", file=sys.stderr)
        return 130
    whole = {row.task for row in runs}.issuperset(task for tasks in named.values() for task in tasks)
    return 0 if whole and all(outcome.complete for outcome in outcomes) else 3


def _outcomes(options: Options, fresh: bool, fresh_memory: bool) -> list[Outcome]:
    """One group of runs after the other, up to the first that was stopped."""
    outcomes: list[Outcome] = []
    plans = plan(options)
    budget = None
    if options.max_cost is not None or options.max_calls is not None:
        budget = Budget(options.max_cost, options.max_calls)
        judges = [planned.judge for planned in plans if planned.judge is not None]
        budget.require_prices([*judges, *(model for planned in plans for model in planned.spec.models.values())])
    plans = with_origins(anew(plans, fresh=fresh, fresh_memory=fresh_memory), options.same_model)
    with keep_open():  # a server that was started, or weights that were loaded, serve the next run too
        groups = together(plans)
        position = Position([len(wanted(planned)) for group in groups for planned in group], 0)
        for group in groups:
            position.number += len(group)
            stopped: Outcome | None = None
            for outcome in run_together(group, quiet=options.quiet, budget=budget, position=position):
                if not (stopped or outcome.stopped):
                    outcome = _judged(outcome, options, budget)
                stopped = outcome if outcome.stopped else stopped
                outcomes.append(outcome)
            if stopped:
                if not stopped.interrupted:
                    print(f"memeval: stopped: {stopped.stopped} (the same command resumes)", file=sys.stderr)
                break
    order = [planned.spec.folder for planned in plans]
    return sorted(outcomes, key=lambda outcome: order.index(outcome.planned.spec.folder))


def _judged(outcome: Outcome, options: Options, budget: Budget | None) -> Outcome:
    """The run with its answers judged, where it has a judge. One that cannot be reached, and Ctrl-C, leave the run as it is,
    to be judged again."""
    from memeval.judging.judged_run import judge_folder
    from memeval.judging.summary import judged_summary

    planned = outcome.planned
    judge, prompt, folder = planned.judge, planned.judge_prompt, planned.spec.folder
    if judge is None:
        return outcome
    try:
        settings = CallSettings(options.concurrency, options.use_cache, options.policy, budget)
        scorer = judge_folder(folder, judge, prompt=prompt, settings=settings)
    except StopRun as stop:
        return dataclasses.replace(outcome, stopped=f"judge: {stop}")
    except KeyboardInterrupt:
        return dataclasses.replace(outcome, stopped="interrupted", interrupted=True)
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
    """The command line that resumes. What would start anew is left out."""
    import shlex

    return shlex.join(["memeval", *(word for word in sys.argv[1:] if word not in ("--fresh", "--fresh-memory"))])
