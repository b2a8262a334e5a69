"""`memeval run`: plan all runs, execute them, print one table or one JSON object."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TextIO

import click

from memeval.process import foreign_code
from memeval.records.clean import encode
from memeval.results.columns import width
from memeval.results.cost_table import costs_table, worth_a_table
from memeval.results.run_table import runs_table
from memeval.results.suites import suite_means, suites_table
from memeval.runs.options import Options
from memeval.runs.plan import suites
from memeval.runs.run import Outcome
from memeval.runs.run_all import run_all


def run_command(
    options: Options, *, form: str, fresh: bool = False, fresh_memory: bool = False, log: str | None = None
) -> int:
    """Run everything. Results go to stdout, all else to stderr. Returns the exit code: 3 where a run is not complete or a
    suite lacks a task."""
    if log:
        from memeval.results import wandb_log

        wandb_log.require()
    with foreign_code() as out:
        outcomes = run_all(options, fresh=fresh, fresh_memory=fresh_memory)
        code = _print(outcomes, options, form, out)
        if log and code != 130:
            wandb_log.send(outcomes)
        return code


def _print(outcomes: Sequence[Outcome], options: Options, form: str, out: TextIO) -> int:
    runs = [outcome.summary for outcome in outcomes]
    idle = options.models.get("embedder") and not any(row.embedder or row.status == "partial" for row in runs)
    if idle and not options.quiet:
        print("memeval: the embedder was not called: none of these agents embeds (dense and hybrid do)", file=sys.stderr)
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


def _again() -> str:
    """The command line that resumes the run, without the flags that would start it anew."""
    import shlex

    return shlex.join(["memeval", *(word for word in sys.argv[1:] if word not in ("--fresh", "--fresh-memory"))])
