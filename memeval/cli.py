"""The `memeval` command: verbs and their options. Each verb imports its command when it is used (commands/).

Exit codes: 0 ok; 2 usage (one line on stderr); 3 a run is invalid or partial, or a finding is FAIL; 130 interrupted (after
the line that resumes).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from memeval import __version__
from memeval.commands import flags
from memeval.commands.group import Group

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


@click.group(cls=Group, context_settings=_CONTEXT)
@click.version_option(__version__, prog_name="memeval")
def main() -> None:
    """Measure how well LLM agents remember: run agents on tasks, score their answers, compare."""


@main.command()
@flags.RUN
@flags.LIMITS
@flags.NO_CACHE
@flags.AGENT_TIMEOUT
@click.option("--fresh", is_flag=True, help="Answer anew, from the same memory.")
@click.option("--fresh-memory", is_flag=True, help="Read and answer anew; other runs keep the memory they have read.")
@click.option("--log", type=click.Choice(["wandb"]), help="Log the runs there as well (extra `wandb`).")
@click.option("--same-model", is_flag=True, help="What the server lists now is the model of the stored replies.")
@click.option("--label", default="", metavar="TEXT", help="A name to find these runs by. It changes no result.")
@flags.QUIET
def run(
    agents: tuple[str, ...],
    tasks: tuple[str, ...],
    form: str,
    fresh: bool,
    fresh_memory: bool,
    no_cache: bool,
    log: str | None,
    **given: Any,
) -> None:
    """Run agents on tasks and print a table. The same command resumes a run that was stopped."""
    from memeval.commands.run import run_command
    from memeval.process import end
    from memeval.runs.options import as_typed

    options = as_typed(agents, tasks, {**given, "use_cache": not no_cache})
    end(run_command(options, form=form, fresh=fresh, fresh_memory=fresh_memory, log=log))


@main.command()
@flags.RUN
def estimate(agents: tuple[str, ...], tasks: tuple[str, ...], form: str, **given: Any) -> None:
    """Calls, tokens, USD, interval and detectable effect of runs, before anything is spent."""
    from memeval.commands.estimate import estimate_command
    from memeval.process import end
    from memeval.runs.options import as_typed

    end(estimate_command(as_typed(agents, tasks, {**given, "quiet": True}), form))


@main.command()
@click.option("--task", "tasks", multiple=True, metavar="NAME", help="Task whose data and windows are looked at.")
@flags.MODELS
@flags.BASE_URL
@click.option("--timeout", type=flags.SECONDS, metavar="SECONDS", help="For one call to a model. Default: 120.")
@flags.together(flags.DATA_DIR, flags.RUNS_DIR, flags.TASKS_DIR, flags.FORMAT)
def doctor(tasks: tuple[str, ...], form: str, timeout: float | None, **given: Any) -> None:
    """Check packages, keys, endpoints, tool calling, windows, data and folders, and name what has to be fixed."""
    from memeval.commands.doctor import doctor_command
    from memeval.runs.options import as_typed

    sys.exit(doctor_command(as_typed((), tasks, given), form, timeout))


@main.command()
@click.option("--agent", "agents", multiple=True, required=True, metavar="NAME", help="Agent, card.yaml or file.py:Class.")
@flags.SET
@click.option("--embedder", metavar="NAME[@URL]", help=flags.ROLES["embedder"])
@flags.AGENTS_DIR
@flags.AGENT_TIMEOUT
@flags.FORMAT
def check(agents: tuple[str, ...], settings: tuple[str, ...], agents_dir: tuple[str, ...], **given: Any) -> None:
    """Probe an agent: order, isolation, leaks, pure recall, fork equals prefix. Say what it may claim."""
    from memeval.commands.check import check_command
    from memeval.process import end

    end(check_command(agents, settings, agents_dir, **given))


@main.command()
@click.argument("words", nargs=-1, required=True, metavar="RUN... [QUESTION]")
@click.option("--question", metavar="ID", help="The same as RUN QUESTION.")
@click.option("--wrong", is_flag=True, help="Every answer that is wrong or failed, with its golds.")
@click.option("--all", "everything", is_flag=True, help="Every answer.")
@click.option("--full", is_flag=True, help="Everything of each question, no text shortened.")
@click.option("--memory", is_flag=True, help="What the memory of one context held; * marks evidence.")
@click.option("--context", metavar="ID", help="Of --memory. Default: the first.")
@click.option("--position", type=click.IntRange(0), metavar="UNITS", help="Of --memory. Default: the end.")
@click.option("--repeat", type=click.IntRange(0), default=0, show_default=True)
@flags.RUNS_DIR
@flags.FORMAT
def show(words: tuple[str, ...], form: str, **wanted: Any) -> None:
    """Print runs, their answers, or one question: gold, answer, what was recalled, the memory then, the calls that wrote it.

    RUN is a folder, `latest`, TASK, TASK/AGENT, a label or a tag (`memeval list runs`)."""
    from memeval.commands.show import show_command

    click.echo(show_command(words, form=form, **wanted))


@main.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN_A RUN_B...")
@click.option("--metric", metavar="NAME", help="Default: the headline of RUN_A.")
@click.option("--all", "everything", is_flag=True, help="List all questions won and lost.")
@click.option("--force", is_flag=True, help="Compare the shared questions of runs that may not be compared; say why not.")
@click.option("--format", "form", type=click.Choice(["table", "md", "json"]), default="table", show_default=True)
@flags.RUNS_DIR
def compare(runs: tuple[str, ...], **options: Any) -> None:
    """Is RUN_B better than RUN_A? Paired by question: difference, interval, test, questions won and lost, kinds, cost.

    RUN is a folder, TASK/AGENT, a label, a tag, a baseline or `latest`; a name with a run on each of several tasks gives a
    pair for each. All are compared with RUN_A."""
    from memeval.commands.compare import compare_command

    click.echo(compare_command(runs, **options))


@main.command()
@click.option("--baseline", required=True, metavar="RUN", help="What it is judged by: a run, or what `export` made of one.")
@click.option("--candidate", required=True, metavar="RUN", help="The run that is judged.")
@click.option(
    "--max-drop", type=click.FloatRange(0, 1), default=0.0, show_default=True, help="Of the headline; 0.02: two points."
)
@click.option("--min", "minimum", multiple=True, metavar="METRIC=VALUE", help="Least mean of a metric. Repeatable.")
@click.option("--max-memory-growth", type=flags.MORE, metavar="SHARE", help="Of the tokens held; 0.2: a fifth more.")
@click.option("--max-cost-growth", type=flags.MORE, metavar="SHARE", help="Of USD an answer, else of tokens.")
@click.option("--max-latency", multiple=True, metavar="p50|p95=SECONDS", help="Of an answer, as `p95=2s`. Repeatable.")
@click.option(
    "--alpha",
    type=click.FloatRange(0, 0.5, min_open=True, max_open=True),
    default=0.05,
    show_default=True,
    help="Chance of a false alarm.",
)
@click.option("--strict", is_flag=True, help="Exit 1 unless the candidate is shown to be as good.")
@click.option("--within-stream", is_flag=True, help="Judge fewer than five clusters, within these streams only.")
@click.option("--junit", type=flags.UserPath(), metavar="FILE", help="Write a test case per check.")
@click.option("--summary", type=flags.UserPath(), metavar="FILE", help="Append Markdown, as to $GITHUB_STEP_SUMMARY.")
@click.option("--format", "form", type=click.Choice(["table", "md", "json"]), default="table", show_default=True)
@flags.RUNS_DIR
def gate(
    baseline: str, candidate: str, form: Any, runs_dir: Path, junit: Path | None, summary: Path | None, **rules: Any
) -> None:
    """Is the candidate worse than the baseline? Exit 0: not shown to be; 1: it is; 2: wrong input; 3: a run is not whole.

    Each task that the baseline has is judged. A drop counts where its whole one-sided interval lies beyond --max-drop; what
    the questions do not tell is a warning, and under --strict a failure."""
    from memeval.commands.gate import gate_command, rules_of

    found = rules_of(**rules)
    sys.exit(gate_command(baseline, candidate, found, form=form, runs_dir=runs_dir, junit=junit, summary=summary))


@main.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option("--to", type=click.Choice(["csv", "baseline"]), required=True, help="A row per answer; a folder for git.")
@click.option("--output", "-o", type=flags.UserPath(), help="File of the CSV (default: printed); folder (`baseline`).")
@flags.RUNS_DIR
def export(runs: tuple[str, ...], **options: Any) -> None:
    """Write results as CSV, or as a baseline: the few small files, without texts, that gate, compare and table need."""
    from memeval.commands.export import export_command

    click.echo(export_command(runs, **options))


@main.command()
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@click.option("-o", "--output", type=flags.UserPath(), default=Path("report.html"), show_default=True)
@click.option("--title", default="memeval report", show_default=True, metavar="TEXT")
@click.option(
    "--stories",
    type=click.Choice(["wrong-first", "all"]),
    default="wrong-first",
    show_default=True,
    help="Beyond 20 MB of stories: leave some out, or keep all.",
)
@flags.together(flags.RUNS_DIR, flags.FORMAT)
def report(runs: tuple[str, ...], output: Path, title: str, stories: str, runs_dir: Path, form: str) -> None:
    """Write a page about runs in one file: scores, figures, and the story of every answer. Default: all runs."""
    from memeval.commands.report import report_command

    click.echo(report_command(runs, output, title, stories, runs_dir, form))


@main.command("list")
@click.argument("what", metavar="runs|tasks|agents|models|metrics|memories")
@click.argument("names", nargs=-1, metavar="[NAME...]")
@flags.together(flags.TASKS_DIR, flags.AGENTS_DIR, flags.RUNS_DIR, flags.FORMAT)
def list_(what: str, names: tuple[str, ...], form: str, **folders: Any) -> None:
    """List runs, newest last; or the names that can be used.

    `list runs [NAME...]`: all, or those of a task, TASK/AGENT, a label, a tag or a folder. `list agents NAME`: the
    parameters of one."""
    from memeval.commands.list import list_command

    click.echo(list_command(what, names, form=form, **folders))


@main.command()
@flags.RUNS
@click.option("--rows", callback=flags.names, default="", metavar="FACT[,FACT...]", help="Default: agent.")
@click.option("--cols", callback=flags.names, default="task", show_default=True, metavar="FACT[,FACT...]")
@click.option("--metric", metavar="NAME", help="In place of each run's headline.")
@click.option("--ci", is_flag=True, help="With 95 % intervals.")
@click.option("--unseen", multiple=True, metavar="RUN", help="Run of closed-book: only what it does not get right.")
@click.option("--kinds", "by_kind", is_flag=True, help="Below it, a table per task by kind of question.")
@flags.RUNS_DIR
@flags.FORMS
def table(runs: tuple[str, ...], **options: Any) -> None:
    """Runs in one table, agents x tasks. RUN: a folder or a name; all runs of --runs-dir without one.

    Facts: task, agent, model, reader, embedder, tag, budget, track, question, judge, metric, seed, repeats, prompts,
    sampling, label, run. Those that tell runs apart are added to the rows."""
    from memeval.commands.table import table_command

    click.echo(table_command(runs, **options))


@main.group()
def leaderboard() -> None:
    """What papers have published, and runs beside it."""


_METHODS = click.option(
    "--method", "methods", multiple=True, metavar="TEXT", help="Only published rows whose method has this text."
)


@leaderboard.command("show")
@flags.RUNS
@click.option("--layout", metavar="NAME", help="A published table, or card: a line per result. Default with runs: card.")
@_METHODS
@flags.RUNS_DIR
@flags.FORMS
def leaderboard_show(runs: tuple[str, ...], **options: Any) -> None:
    """Print published results; below them runs (RUN: a folder or a name), with how far they may be compared."""
    from memeval.commands.leaderboard import show_command

    click.echo(show_command(runs, **options))


@leaderboard.command("build")
@flags.RUNS
@click.option("--layout", "layouts", multiple=True, metavar="NAME", help="Which tables. Default: all.")
@_METHODS
@click.option("-o", "--output", type=flags.UserPath(), default=Path("leaderboards"), show_default=True, help="Folder.")
@click.option("--format", "form", type=click.Choice(["md", "latex", "csv", "html", "json"]), default="md", show_default=True)
@flags.RUNS_DIR
def leaderboard_build(runs: tuple[str, ...], **options: Any) -> None:
    """Write published tables, and runs beside them, to files: OUTPUT/LAYOUT.md."""
    from memeval.commands.leaderboard import build_command

    click.echo(build_command(runs, **options))


@main.command()
@click.argument("folders", nargs=-1, required=True, metavar="RUN|MEMORY...", type=flags.UserPath())
def remove(folders: tuple[Path, ...]) -> None:
    """Delete runs, and memories that no run names (`list memories` shows them)."""
    from memeval.commands.memories import remove_command

    click.echo(remove_command(folders))


@main.command()
@click.argument("what", metavar="agent|task")
@click.argument("name", metavar="NAME")
def new(what: str, name: str) -> None:
    """Start a file of your own: a small agent (NAME.py), or a task card with a few questions (NAME.yaml, NAME.jsonl).

    Nothing that exists is overwritten. The commands to type next are printed."""
    from memeval.commands.new import new_command

    click.echo(new_command(what, name))


@main.command()
@click.argument("names", nargs=-1, required=True, metavar="RUN...")
@flags.RUNS_DIR
@flags.JUDGING
def score(names: tuple[str, ...], runs_dir: Path, typed: str, base_url: str | None, **options: Any) -> None:
    """Let a judge score finished runs, without running them again.

    RUN is a folder, `latest`, TASK, TASK/AGENT, a label or a tag (`memeval list runs`)."""
    from memeval.commands.judge import score_command
    from memeval.judging.scorer import judge_spec
    from memeval.results.load import load_runs

    judge = judge_spec(typed, base_url)
    folders = [run.path for run in load_runs(*names, runs_dir=runs_dir)]
    sys.exit(score_command(folders, judge, settings=flags.call_settings(options, judge), **options))


@main.command()
@click.argument("names", nargs=-1, required=True, metavar="RUN...")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Wrong answers per run at most. Default: all.")
@flags.BASE_URL
@flags.WIDTH
@flags.WIRE
@flags.LIMITS
@flags.NO_CACHE
@flags.DATA_DIR
@flags.RUNS_DIR
@flags.FORMAT
@flags.QUIET
def attribute(names: tuple[str, ...], **options: Any) -> None:
    """Ask wrong answers again, with the gold evidence and with the whole memory, to see where each was lost."""
    from memeval.commands.attribute import attribute_command

    sys.exit(attribute_command(names, flags.call_settings(options), **options))


@main.group()
def judge() -> None:
    """Judges and how far they can be trusted."""


@judge.command("calibrate")
@click.argument("file", required=False, type=flags.UserPath())
@flags.JUDGING
def calibrate(file: Path | None, typed: str, base_url: str | None, family: str | None, **options: Any) -> None:
    """Agreement of a judge with labelled answers: FILE, or the bundled starter set."""
    from memeval.commands.judge import calibrate_command
    from memeval.judging.scorer import judge_spec

    judge = judge_spec(typed, base_url)
    settings = flags.call_settings(options, judge)
    sys.exit(calibrate_command(file, judge, family=family or "generic", settings=settings, **options))


@main.command()
@click.argument("recipe", metavar="RECIPE")
@click.option(
    "--out", type=flags.UserPath(), required=True, help="Folder of the training run; the same command goes on there."
)
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Of the recipe, such as grpo.steps=40. Repeatable."
)
@click.option("--seeds", type=click.IntRange(1), default=1, help="Train as often, with this many seeds.")
@flags.FORMAT
def train(recipe: str, out: Path, settings: tuple[str, ...], seeds: int, form: str) -> None:
    """Improve the writer of a memory by reinforcement learning; `memeval train tiny` shows it on a laptop."""
    from memeval.commands.train import train_command

    sys.exit(train_command(recipe, out, settings, seeds, form))


@main.group()
def cache() -> None:
    """The user's cache (MEMEVAL_CACHE, else ~/.cache/memeval).

    It holds replies of models (calls.sqlite) and what was read from data files (data/). Other files in the folder stay."""


@cache.command("stats")
@flags.FORMAT
def cache_stats(form: str) -> None:
    """What it holds."""
    from memeval.commands import cache as command

    click.echo(command.stats(form))


@cache.command("clear")
@click.option("--yes", is_flag=True, help="Really remove everything.")
def cache_clear(yes: bool) -> None:
    """Remove all replies, and what was read from data files."""
    from memeval.commands import cache as command

    click.echo(command.clear(yes))


@cache.command("prune")
@click.option("--older-than", type=click.FloatRange(0), required=True, metavar="DAYS", help="Age of the replies to remove.")
def cache_prune(older_than: float) -> None:
    """Remove old replies."""
    from memeval.commands import cache as command

    click.echo(command.prune(older_than))


@main.group()
def data() -> None:
    """Data sets: what tasks need, where it is, how to get it, whether it is complete."""


_TASKS = click.argument("tasks", nargs=-1, metavar="[TASK]...")
_TASK = click.argument("tasks", nargs=-1, required=True, metavar="TASK...")


@data.command("list")
@flags.together(_TASKS, flags.DATA_DIR, flags.TASKS_DIR, flags.FORMAT)
def data_list(tasks: tuple[str, ...], data_dir: Path | None, tasks_dir: tuple[str, ...], form: str) -> None:
    """What tasks need, where it was found, its size and licence, and how to get what is missing."""
    from memeval.commands import data as command

    click.echo(command.data_list(tasks, flags.data_folder(data_dir), tasks_dir, form))


@data.command("path")
@flags.together(_TASK, flags.DATA_DIR, flags.TASKS_DIR)
def data_path(tasks: tuple[str, ...], data_dir: Path | None, tasks_dir: tuple[str, ...]) -> None:
    """The files that tasks read, one a line."""
    from memeval.commands import data as command

    if found := command.data_path(tasks, flags.data_folder(data_dir), tasks_dir):
        click.echo(found)


@data.command("fetch")
@_TASK
@click.option("--to", type=flags.UserPath(), help="A data folder. Default: the Hugging Face cache.")
@click.option("--accept-licence", "accepted", multiple=True, metavar="NAME", help="Of non-commercial data. Repeatable.")
@flags.DATA_DIR
@flags.TASKS_DIR
def data_fetch(tasks: tuple[str, ...], data_dir: Path | None, **options: Any) -> None:
    """Get what tasks need and this machine lacks."""
    from memeval.commands import data as command

    click.echo(command.data_fetch(tasks, flags.data_folder(data_dir), **options))


@data.command("verify")
@_TASKS
@click.option("--all", "everything", is_flag=True, help="Every task whose data are at hand.")
@click.option("--contexts", type=click.IntRange(0), help="Streams built to count tokens; 0 = all.")
@flags.together(flags.DATA_DIR, flags.TASKS_DIR, flags.FORMAT)
def data_verify(tasks: tuple[str, ...], data_dir: Path | None, **options: Any) -> None:
    """Read every record; count contexts, clusters, questions, kinds and tokens; refuse damaged files."""
    from memeval.commands import data as command

    text, code = command.data_verify(tasks, flags.data_folder(data_dir), **options)
    click.echo(text)
    sys.exit(code)


if __name__ == "__main__":
    main()
