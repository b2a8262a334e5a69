"""The verbs that read runs: results, comparisons, where answers were lost. Like cli.py, it only defines options."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from memeval.commands import flags


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="RUN... [QUESTION]")
@click.option("--question", metavar="ID", help="One question in full; the same as RUN QUESTION.")
@click.option("--wrong", is_flag=True, help="Every answer that is wrong or failed, with its golds.")
@click.option("--all", "everything", is_flag=True, help="Every answer.")
@click.option("--full", is_flag=True, help="Full details of every question; texts are not shortened.")
@click.option("--memory", is_flag=True, help="What the memory of one context held; * marks evidence.")
@click.option("--context", metavar="ID", help="For --memory: which context. Default: the first.")
@click.option(
    "--position",
    type=click.IntRange(0),
    metavar="UNITS",
    help="For --memory: after so many units. Default: the last question.",
)
@click.option("--repeat", type=click.IntRange(0), default=0, show_default=True, help="Which repeat.")
@flags.FIRST
@flags.RUNS_DIR
@flags.FORMAT
def show(words: tuple[str, ...], form: str, **wanted: Any) -> None:
    """Print runs, their answers, or one question: gold, answer, recalled items, the memory, the calls that wrote it.

    RUN is a folder, `latest`, TASK, TASK/AGENT, a label or a tag (`memeval list runs`)."""
    from memeval.commands.show import show_command

    click.echo(show_command(words, form=form, **wanted))


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN_A RUN_B...")
@click.option("--metric", metavar="NAME", help="Metric to compare. Default: the headline of RUN_A.")
@click.option("--all", "everything", is_flag=True, help="List all questions won and lost.")
@click.option("--force", is_flag=True, help="Compare the shared questions of runs that may not be compared; say why not.")
@click.option("--format", "form", type=click.Choice(["table", "md", "json"]), default="table", show_default=True)
@flags.FIRST
@flags.RUNS_DIR
def compare(runs: tuple[str, ...], **options: Any) -> None:
    """Is RUN_B better than RUN_A? Paired by question: difference, interval, test, questions won and lost, kinds, cost.

    RUN is a folder, TASK/AGENT, a label, a tag, a baseline or `latest`; a name with a run on each of several tasks gives a
    pair for each. All are compared with RUN_A."""
    from memeval.commands.compare import compare_command

    click.echo(compare_command(runs, **options))


@click.command()
@click.option("--baseline", required=True, metavar="RUN", help="The run to compare with, or a baseline of `export`.")
@click.option("--candidate", required=True, metavar="RUN", help="The run to test.")
@click.option(
    "--max-drop",
    type=float,
    metavar="SHARE",
    default=0.0,
    show_default=True,
    help="Largest accepted drop of the headline; 0.02: two points.",
)
@click.option("--min", "minimum", multiple=True, metavar="METRIC=VALUE", help="Least accepted mean of a metric. Repeatable.")
@click.option(
    "--max-memory-growth", type=float, metavar="SHARE", help="Largest accepted growth of the tokens held; 0.2: 20 %."
)
@click.option(
    "--max-cost-growth", type=float, metavar="SHARE", help="Largest accepted growth of the USD (else tokens) per answer."
)
@click.option(
    "--max-latency", multiple=True, metavar="p50|p95=SECONDS", help="Largest accepted latency, such as `p95=2s`. Repeatable."
)
@click.option("--alpha", type=float, metavar="SHARE", default=0.05, show_default=True, help="Probability of a false alarm.")
@click.option("--strict", is_flag=True, help="Exit 1 unless the candidate is shown to be as good.")
@click.option("--within-stream", is_flag=True, help="Accept fewer than five clusters: a verdict about these streams.")
@click.option("--junit", type=flags.UserPath(), metavar="FILE", help="Write a JUnit file, a test case per check.")
@click.option("--summary", type=flags.UserPath(), metavar="FILE", help="Append Markdown, e.g. to $GITHUB_STEP_SUMMARY.")
@click.option("--format", "form", type=click.Choice(["table", "md", "json"]), default="table", show_default=True)
@flags.FIRST
@flags.RUNS_DIR
def gate(
    baseline: str,
    candidate: str,
    form: Any,
    limit: int | None,
    runs_dir: Path,
    junit: Path | None,
    summary: Path | None,
    **rules: Any,
) -> None:
    """Is the candidate worse than the baseline? Exit 0: not shown to be; 1: it is; 2: wrong input; 3: a run is not complete.

    Every task of the baseline is tested. A drop is a regression if its whole one-sided interval lies beyond --max-drop.
    An inconclusive result is a warning, and a failure with --strict."""
    from memeval.commands.gate import gate_command, rules_of

    found = rules_of(**rules)
    where = {"form": form, "limit": limit, "runs_dir": runs_dir, "junit": junit, "summary": summary}
    sys.exit(gate_command(baseline, candidate, found, **where))


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option(
    "--to", type=click.Choice(["csv", "baseline"]), required=True, help="csv: a row per answer; baseline: a folder for git."
)
@click.option(
    "--output", "-o", type=flags.UserPath(), help="CSV file (default: stdout); baseline folder (default: baseline)."
)
@flags.RUNS_DIR
def export(runs: tuple[str, ...], **options: Any) -> None:
    """Write results as CSV, or as a baseline: the small files, without texts, that gate, compare and table need."""
    from memeval.commands.export import export_command

    click.echo(export_command(runs, **options))


@click.command()
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@click.option("-o", "--output", type=flags.UserPath(), default=Path("report.html"), show_default=True, help="File to write.")
@click.option("--title", default="memeval report", show_default=True, metavar="TEXT", help="Title of the page.")
@click.option(
    "--stories",
    type=click.Choice(["wrong-first", "all"]),
    default="wrong-first",
    show_default=True,
    help="Above 20 MB of answer details: keep those of wrong answers first, or keep all.",
)
@flags.together(flags.RUNS_DIR, flags.FORMAT)
def report(runs: tuple[str, ...], output: Path, title: str, stories: str, runs_dir: Path, form: str) -> None:
    """Write an HTML page about runs: scores, figures, and the details of every answer. Default: all runs."""
    from memeval.commands.report import report_command

    click.echo(report_command(runs, output, title, stories, runs_dir, form))


@click.command()
@flags.RUNS
@click.option(
    "--rows", callback=flags.names, default="", metavar="FACT[,FACT...]", help="Facts that make a row. Default: agent."
)
@click.option(
    "--cols",
    callback=flags.names,
    default="task",
    show_default=True,
    metavar="FACT[,FACT...]",
    help="Facts that make a column.",
)
@click.option("--metric", metavar="NAME", help="A metric in place of each run's headline.")
@click.option("--ci", is_flag=True, help="Print 95 % intervals.")
@click.option("--unseen", multiple=True, metavar="RUN", help="Run of closed-book; count only questions that it gets wrong.")
@click.option("--kinds", "by_kind", is_flag=True, help="Also a table per task by kind of question.")
@click.option("--lost", "by_loss", is_flag=True, help="Also where the wrong answers of each run were lost.")
@flags.FIRST
@flags.RUNS_DIR
@flags.FORMS
def table(runs: tuple[str, ...], **options: Any) -> None:
    """Print runs in one table, agents x tasks. RUN: a folder or a name; without one, all runs of --runs-dir.

    Facts: task, agent, model, reader, embedder, tag, budget, track, question, judge, metric, seed, repeats, prompts,
    sampling, label, run. Further facts are added to the rows if they distinguish runs."""
    from memeval.commands.table import table_command

    click.echo(table_command(runs, **options))


@click.group()
def leaderboard() -> None:
    """Published results, with your runs below them."""


_METHODS = click.option(
    "--method", "methods", multiple=True, metavar="TEXT", help="Only published rows whose method contains this text."
)


@leaderboard.command("show")
@flags.RUNS
@click.option("--layout", metavar="NAME", help="A published table, or card: a line per result. Default with runs: card.")
@_METHODS
@flags.RUNS_DIR
@flags.FORMS
def leaderboard_show(runs: tuple[str, ...], **options: Any) -> None:
    """Print published results; below them your runs (RUN: a folder or a name), and how far they may be compared."""
    from memeval.commands.leaderboard import show_command

    click.echo(show_command(runs, **options))


@leaderboard.command("build")
@flags.RUNS
@click.option(
    "--layout", "layouts", multiple=True, metavar="NAME", help="Published table, or card. Repeatable. Default: all."
)
@_METHODS
@click.option(
    "-o", "--output", type=flags.UserPath(), default=Path("leaderboards"), show_default=True, help="Folder to write to."
)
@click.option("--format", "form", type=click.Choice(["md", "latex", "csv", "html", "json"]), default="md", show_default=True)
@flags.RUNS_DIR
def leaderboard_build(runs: tuple[str, ...], **options: Any) -> None:
    """Write published tables, with your runs below them, to files: OUTPUT/LAYOUT.md."""
    from memeval.commands.leaderboard import build_command

    click.echo(build_command(runs, **options))


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="RUN...")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="At most N wrong answers per run. Default: all.")
@flags.BASE_URL
@flags.CONCURRENCY
@flags.WIRE
@flags.LIMITS
@flags.NO_CACHE
@flags.DATA_DIR
@flags.RUNS_DIR
@flags.FORMAT
@flags.QUIET
def attribute(names: tuple[str, ...], **options: Any) -> None:
    """Ask the reader wrongly answered questions again, with the gold evidence and the whole memory: where was each lost?"""
    from memeval.commands.attribute import attribute_command

    settings, others = flags.call_settings(options)
    sys.exit(attribute_command(names, settings, **others))


VERBS = (show, compare, gate, export, report, table, leaderboard, attribute)
