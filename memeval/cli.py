"""The `memeval` command: verbs and their options. Each verb imports its command (commands/) when it is used.

Exit codes: 0 ok; 2 usage (one line on stderr); 3 a run is invalid or partial, or a finding is FAIL; 130 interrupted
(after the line that resumes).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from memeval import __version__, cli_results
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
@click.option("--fresh", is_flag=True, help="Answer all questions again, from the same memory.")
@click.option("--fresh-memory", is_flag=True, help="Read the streams and answer again; other runs keep the old memory.")
@click.option("--log", type=click.Choice(["wandb"]), help="Also log the runs to Weights & Biases (extra `wandb`).")
@click.option("--same-model", is_flag=True, help="Keep the stored replies although the server now lists another name.")
@click.option("--label", default="", metavar="TEXT", help="A name for these runs. It changes no result.")
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
    """Estimate calls, tokens, USD, interval and detectable effect of runs, before anything is spent."""
    from memeval.commands.estimate import estimate_command
    from memeval.process import end
    from memeval.runs.options import as_typed

    end(estimate_command(as_typed(agents, tasks, {**given, "quiet": True}), form))


@main.command()
@click.option("--task", "tasks", multiple=True, metavar="NAME", help="Check the data and window length of this task.")
@flags.MODELS
@flags.BASE_URL
@click.option("--timeout", type=flags.SECONDS, metavar="SECONDS", help="Time limit of one call to a model. Default: 120.")
@flags.together(flags.DATA_DIR, flags.RUNS_DIR, flags.TASKS_DIR, flags.FORMAT)
def doctor(tasks: tuple[str, ...], form: str, timeout: float | None, **given: Any) -> None:
    """Check packages, keys, endpoints, tool calls, context windows, data and folders, and name what to fix."""
    from memeval.commands.doctor import doctor_command
    from memeval.runs.options import as_typed

    sys.exit(doctor_command(as_typed((), tasks, given), form, timeout))


@main.command()
@click.option(
    "--agent",
    "agents",
    multiple=True,
    required=True,
    metavar="NAME",
    help="Agent, card.yaml, file.py:Class, cmd:PROGRAM or http:URL.",
)
@flags.SET
@click.option("--embedder", metavar="NAME[@URL]", help=flags.ROLES["embedder"])
@flags.AGENTS_DIR
@flags.AGENT_TIMEOUT
@flags.FORMAT
def check(agents: tuple[str, ...], settings: tuple[str, ...], agents_dir: tuple[str, ...], **given: Any) -> None:
    """Test an agent's contract: order, isolation, leaks, pure recall, forks. Print what the agent may claim."""
    from memeval.commands.check import check_command
    from memeval.process import end

    end(check_command(agents, settings, agents_dir, **given))


@main.command("list")
@click.argument("what", metavar="runs|tasks|agents|models|metrics|memories")
@click.argument("names", nargs=-1, metavar="[NAME...]")
@flags.together(flags.TASKS_DIR, flags.AGENTS_DIR, flags.RUNS_DIR, flags.FORMAT)
def list_(what: str, names: tuple[str, ...], form: str, **folders: Any) -> None:
    """List runs, newest last; or the names of tasks, agents, models, metrics or memories.

    `list runs [NAME...]`: all runs, or those of a task, TASK/AGENT, label, tag or folder. `list agents NAME`: the
    parameters of one agent."""
    from memeval.commands.list import list_command

    click.echo(list_command(what, names, form=form, **folders))


@main.command()
@click.argument("folders", nargs=-1, required=True, metavar="RUN|MEMORY...", type=flags.UserPath())
def remove(folders: tuple[Path, ...]) -> None:
    """Delete runs, and memories that no run uses (`list memories` shows them)."""
    from memeval.commands.memories import remove_command

    click.echo(remove_command(folders))


@main.command()
@click.argument("what", metavar="agent|task")
@click.argument("name", metavar="NAME")
def new(what: str, name: str) -> None:
    """Write a small agent (NAME.py), or a task card with a few questions (NAME.yaml, NAME.jsonl).

    Prints the commands to type next. Overwrites no file."""
    from memeval.commands.new import new_command

    click.echo(new_command(what, name))


@main.command()
@click.argument("names", nargs=-1, required=True, metavar="RUN...")
@flags.RUNS_DIR
@flags.JUDGING
def score(names: tuple[str, ...], runs_dir: Path, typed: str, base_url: str | None, **options: Any) -> None:
    """Score finished runs with a judge model, without running them again.

    RUN is a folder, `latest`, TASK, TASK/AGENT, a label or a tag (`memeval list runs`)."""
    from memeval.commands.judge import score_command
    from memeval.judging.scorer import judge_spec
    from memeval.results.load import load_runs

    judge = judge_spec(typed, base_url)
    folders = [run.path for run in load_runs(*names, runs_dir=runs_dir)]
    settings, others = flags.call_settings(options, judge)
    sys.exit(score_command(folders, judge, settings=settings, **others))


@main.group()
def judge() -> None:
    """Measure how far a judge can be trusted."""


@judge.command("calibrate")
@click.argument("file", required=False, type=flags.UserPath())
@flags.JUDGING
def calibrate(file: Path | None, typed: str, base_url: str | None, family: str | None, **options: Any) -> None:
    """Measure a judge's agreement with labelled answers: FILE, or the bundled starter set."""
    from memeval.commands.judge import calibrate_command
    from memeval.judging.scorer import judge_spec

    judge = judge_spec(typed, base_url)
    settings, others = flags.call_settings(options, judge)
    sys.exit(calibrate_command(file, judge, family=family or "generic", settings=settings, **others))


@main.command()
@click.argument("recipe", metavar="RECIPE")
@click.option("--out", type=flags.UserPath(), required=True, help="Folder of the training run; the same command resumes it.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Replace a value of the recipe, such as grpo.steps=40. Repeatable.",
)
@click.option("--seeds", type=click.IntRange(1), default=1, help="Train with so many seeds.")
@click.option("--ablations", is_flag=True, help="Also train the ablations of `tiny`, and draw the figures.")
@click.option("--jobs", type=click.IntRange(1), default=1, help="Parallel training runs, each in its own process.")
@flags.FORMAT
def train(recipe: str, out: Path, settings: tuple[str, ...], seeds: int, ablations: bool, jobs: int, form: str) -> None:
    """Train the model that writes a memory, by reinforcement learning; `memeval train tiny` does it on a laptop.

    RECIPE: tiny; smollm2-135m, qwen3-0.6b-lora or qwen3-4b (real models, extra `train`); or your FILE.yaml. `memeval
    train data` builds training data instead."""
    from memeval.commands.train import train_command

    sys.exit(train_command(recipe, out, settings, seeds, form, jobs, ablations))


@main.group()
def prompts() -> None:
    """List, show and fetch the prompts of agents, readers and judges."""


@prompts.command("list")
@click.argument("owner", required=False, metavar="[AGENT]")
@flags.together(flags.AGENTS_DIR, flags.FORMAT)
def prompts_list(owner: str | None, agents_dir: tuple[str, ...], form: str) -> None:
    """List the parts of the prompts of an agent, of `reader` or of `judge`, with their placeholders; without a name, all."""
    from memeval.commands import prompts as command

    click.echo(command.list_command(owner, agents_dir, form))


@prompts.command("show")
@click.argument("owner", metavar="AGENT")
@click.argument("part", required=False, metavar="[PART]")
@flags.together(flags.AGENTS_DIR, flags.FORMAT)
def prompts_show(owner: str, part: str | None, agents_dir: tuple[str, ...], form: str) -> None:
    """Print the text of a part, to save and edit it; without PART, all parts."""
    from memeval.commands import prompts as command

    click.echo(command.show_command(owner, part, agents_dir, form))


@prompts.command("fetch")
@click.argument("name", metavar="NAME")
@click.option("--out", type=flags.UserPath(), help="For an agent: the folder to write its prompts and a card to.")
@flags.together(flags.AGENTS_DIR, flags.FORMAT)
def prompts_fetch(name: str, out: Path | None, agents_dir: tuple[str, ...], form: str) -> None:
    """Download prompts that memeval may not ship, from their public repository, and check their hash. NAME is an agent,
    such as memalpha-paper, or a judge as published, such as longmemeval-official."""
    from memeval.commands import prompts as command

    click.echo(command.fetch_command(name, out, agents_dir, form))


@main.group()
def cache() -> None:
    """Show or shrink the user's cache (MEMEVAL_CACHE, else ~/.cache/memeval).

    It holds replies of models (calls.sqlite) and records of data files (data/). Other files in the folder are kept."""


@cache.command("stats")
@flags.FORMAT
def cache_stats(form: str) -> None:
    """Show what the cache holds."""
    from memeval.commands import cache as command

    click.echo(command.stats(form))


@cache.command("clear")
@click.option("--yes", is_flag=True, help="Confirm that everything is to be removed.")
def cache_clear(yes: bool) -> None:
    """Remove all replies and all records of data files."""
    from memeval.commands import cache as command

    click.echo(command.clear(yes))


@cache.command("prune")
@click.option("--older-than", type=flags.AMOUNT, required=True, metavar="DAYS", help="Age of the replies to remove.")
def cache_prune(older_than: float) -> None:
    """Remove old replies."""
    from memeval.commands import cache as command

    click.echo(command.prune(older_than))


@main.group()
def data() -> None:
    """Find, fetch and verify data sets."""


_TASKS = click.argument("tasks", nargs=-1, metavar="[TASK]...")
_TASK = click.argument("tasks", nargs=-1, required=True, metavar="TASK...")


@data.command("list")
@flags.together(_TASKS, flags.DATA_DIR, flags.TASKS_DIR, flags.FORMAT)
def data_list(tasks: tuple[str, ...], data_dir: Path | None, tasks_dir: tuple[str, ...], form: str) -> None:
    """List the files that tasks need, where they are, size and licence, and how to get missing files."""
    from memeval.commands import data as command

    click.echo(command.data_list(tasks, flags.data_folder(data_dir), tasks_dir, form))


@data.command("path")
@flags.together(_TASK, flags.DATA_DIR, flags.TASKS_DIR)
def data_path(tasks: tuple[str, ...], data_dir: Path | None, tasks_dir: tuple[str, ...]) -> None:
    """Print the paths of the files that tasks read, one per line."""
    from memeval.commands import data as command

    if found := command.data_path(tasks, flags.data_folder(data_dir), tasks_dir):
        click.echo(found)


@data.command("fetch")
@_TASK
@click.option("--to", type=flags.UserPath(), help="Data folder to download into. Default: the Hugging Face cache.")
@click.option(
    "--accept-licence",
    "accepted",
    multiple=True,
    metavar="NAME",
    help="Accept the licence of non-commercial data. Repeatable.",
)
@flags.DATA_DIR
@flags.TASKS_DIR
def data_fetch(tasks: tuple[str, ...], data_dir: Path | None, **options: Any) -> None:
    """Download the files that tasks need and this machine lacks."""
    from memeval.commands import data as command

    click.echo(command.data_fetch(tasks, flags.data_folder(data_dir), **options))


@data.command("verify")
@_TASKS
@click.option("--all", "everything", is_flag=True, help="Every task whose data are on this machine.")
@click.option("--contexts", type=click.IntRange(0), help="Streams to build for the token counts; 0 = all.")
@flags.together(flags.DATA_DIR, flags.TASKS_DIR, flags.FORMAT)
def data_verify(tasks: tuple[str, ...], data_dir: Path | None, **options: Any) -> None:
    """Read every record; count contexts, clusters, questions, kinds and tokens; reject damaged files."""
    from memeval.commands import data as command

    text, code = command.data_verify(tasks, flags.data_folder(data_dir), **options)
    click.echo(text)
    sys.exit(code)


for verb in cli_results.VERBS:
    main.add_command(verb)


if __name__ == "__main__":
    main()
