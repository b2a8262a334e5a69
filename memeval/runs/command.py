"""`memeval run`: plan everything, run it, print one table or one JSON object."""

from __future__ import annotations

import json
import sys

from memeval.report.suites import suite_means, suites_table
from memeval.report.table import runs_table
from memeval.runs.outcome import Outcome, public
from memeval.runs.plan import Options, plan, suites
from memeval.runs.run import run


def run_command(options: Options, *, fresh: bool, form: str) -> int:
    """Returns the exit code. Results go to stdout, everything else to stderr."""
    outcomes: list[Outcome] = []
    for planned in plan(options):
        outcome = run(planned, fresh=fresh, quiet=options.quiet)
        outcomes.append(outcome)
        if outcome.stopped and not outcome.interrupted:
            print(f"memeval: stopped: {outcome.stopped} (the same command resumes)", file=sys.stderr)
            break
        if outcome.interrupted:
            break
    runs = [public(outcome) for outcome in outcomes]
    means = [row for name, tasks in suites(options).items() if tasks != [name] for row in suite_means(name, tasks, runs)]
    if form == "json":
        print(json.dumps({"runs": runs, **({"suites": means} if means else {})}, ensure_ascii=False))
    else:
        print("\n\n".join([runs_table(runs), *([suites_table(means)] if means else [])]))
    if outcomes and outcomes[-1].interrupted:
        print("memeval: interrupted; the same command resumes:", file=sys.stderr)
        print(f"  {_again()}", file=sys.stderr)
        return 130
    return 3 if any(outcome.summary["status"] != "complete" for outcome in outcomes) else 0


def _again() -> str:
    """The command line that resumes. `--fresh` is left out: it would start anew."""
    import shlex

    return shlex.join(["memeval", *(word for word in sys.argv[1:] if word != "--fresh")])
