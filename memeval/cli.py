"""The `memeval` command: verbs and their options. Each verb imports its command when it is used (commands/).

Exit codes: 0 ok; 2 usage (one line on stderr); 3 a run is invalid or partial, or a finding is FAIL; 130 interrupted (after
the line that resumes).
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
    """Probe an agent: order, isolation, leaks, pure recall, fork equals prefix. Say what it may claim."""
    from memeval.commands.check import check_command
    from memeval.process import end

    end(check_command(agents, settings, agents_dir, **given))


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
@click.option("--ablations", is_flag=True, help="Train the ablations of `tiny` as well, and draw the figures.")
@click.option("--jobs", type=click.IntRange(1), default=1, help="Training runs at a time, each in a process of its own.")
@flags.FORMAT
def train(recipe: str, out: Path, settings: tuple[str, ...], seeds: int, ablations: bool, jobs: int, form: str) -> None:
    """Improve the writer of a memory by reinforcement learning; `memeval train tiny` shows it on a laptop.

    RECIPE: tiny; smollm2-135m, qwen3-0.6b-lora or qwen3-4b (real models, extra `train`); a FILE.yaml of yours. `memeval
    train data` builds training data instead."""
    from memeval.commands.train import train_command

    sys.exit(train_command(recipe, out, settings, seeds, form, jobs, ablations))


@main.group()
def prompts() -> None:
    """Prompts are files: what agents, readers and judges are prompted with, and how to replace it."""


@prompts.command("list")
@click.argument("owner", required=False, metavar="[AGENT]")
@flags.together(flags.AGENTS_DIR, flags.FORMAT)
def prompts_list(owner: str | None, agents_dir: tuple[str, ...], form: str) -> None:
    """The parts of an agent's prompts, of `reader` or of `judge`, with their placeholders; without a name, all."""
    from memeval.commands import prompts as command

    click.echo(command.list_command(owner, agents_dir, form))


@prompts.command("show")
@click.argument("owner", metavar="AGENT")
@click.argument("part", required=False, metavar="[PART]")
@flags.together(flags.AGENTS_DIR, flags.FORMAT)
def prompts_show(owner: str, part: str | None, agents_dir: tuple[str, ...], form: str) -> None:
    """The text of a part, to be redirected to a file and edited; without PART, all parts."""
    from memeval.commands import prompts as command

    click.echo(command.show_command(owner, part, agents_dir, form))


@prompts.command("fetch")
@click.argument("name", metavar="NAME")
@click.option("--out", type=flags.UserPath(), help="Of an agent: the folder for its texts and a card that uses them.")
@flags.together(flags.AGENTS_DIR, flags.FORMAT)
def prompts_fetch(name: str, out: Path | None, agents_dir: tuple[str, ...], form: str) -> None:
    """Get prompts that are not ours to ship from their public repository, checked by their hash. NAME is an agent, such as
    memalpha-paper, or a judge as published, such as longmemeval-official."""
    from memeval.commands import prompts as command

    click.echo(command.fetch_command(name, out, agents_dir, form))


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
@click.option("--older-than", type=flags.AMOUNT, required=True, metavar="DAYS", help="Age of the replies to remove.")
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


for verb in cli_results.VERBS:
    main.add_command(verb)


if __name__ == "__main__":
    main()
