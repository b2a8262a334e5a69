"""The `memeval` command: verbs and options only. Each verb imports its handler when it is used.

Exit codes: 0 ok; 2 usage (one line on stderr); 3 a run is invalid or partial; 130 interrupted (after the line that resumes).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from memeval import __version__
from memeval.errors import UsageError

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


class _Group(click.Group):
    """A group whose verbs' UsageErrors become one line and exit code 2, and misspelt verbs get a suggestion."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except UsageError as error:
            click.echo(f"memeval: {' '.join(str(error).split())}", err=True)
            ctx.exit(2)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            from memeval.errors import suggest

            raise UsageError(f"no command '{args[0]}'{suggest(args[0], self.list_commands(ctx))} (memeval --help shows all)")
        return super().resolve_command(ctx, args)


@click.group(cls=_Group, context_settings=_CONTEXT)
@click.version_option(__version__, prog_name="memeval")
def main() -> None:
    """Measure how well LLM agents remember: run agents on tasks, score their answers, compare."""


@main.command()
@click.option(
    "--agent", "agents", multiple=True, required=True, metavar="NAME", help="Agent, card.yaml or file.py:Class. Repeatable."
)
@click.option(
    "--task", "tasks", multiple=True, required=True, metavar="NAME", help="Task, task@variant or card.yaml. Repeatable."
)
@click.option("--model", metavar="NAME[@URL]", help="Model of the roles memory and reader.")
@click.option("--memory", metavar="NAME[@URL]", help="Model that builds the memory.")
@click.option("--reader", metavar="NAME[@URL]", help="Model that answers from what was recalled.")
@click.option("--judge", metavar="NAME[@URL]", help="Model that judges answers, on tasks that need one.")
@click.option("--embedder", metavar="NAME[@URL]", help="Embedding model, for agents that use one.")
@click.option("--base-url", metavar="URL", help="OpenAI-compatible endpoint of --model.")
@click.option("--limit", type=click.IntRange(0), help="Questions per task; 0 = all. Default: the task's (128).")
@click.option("--seed", type=int, default=42, show_default=True, help="Order of questions, distractors, packing.")
@click.option("--repeats", type=click.IntRange(1), help="Whole pipeline, memory included. Default: the task's (1).")
@click.option("--answer-repeats", type=click.IntRange(1), default=1, show_default=True, help="Reader only.")
@click.option("--answer-budget", type=click.IntRange(1), metavar="TOKENS", help="Cut what the reader sees to this.")
@click.option(
    "--exact-tokens", type=click.IntRange(1), metavar="TOKENS", help="Fill streams to this; same as task@tokens-N."
)
@click.option(
    "--concurrency", type=click.IntRange(1), default=16, show_default=True, help="Open contexts; calls per endpoint."
)
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE[,VALUE...]", help="Agent parameter; several values: a grid."
)
@click.option("--prompt", "prompts", multiple=True, metavar="ROLE=FILE", help="Replace the prompt of memory or reader.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Where data sets lie; also MEMEVAL_DATA.")
@click.option(
    "--runs-dir", type=click.Path(path_type=Path), default=Path("runs"), show_default=True, help="Where runs are kept."
)
@click.option("--tasks-dir", multiple=True, help="More task cards.")
@click.option("--agents-dir", multiple=True, help="More agent cards.")
@click.option("--no-cache", is_flag=True, help="Neither read nor fill the user's cache of model calls.")
@click.option("--fresh", is_flag=True, help="Start anew: delete what these runs have so far.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("--quiet", is_flag=True, help="No progress, no notices.")
def run(agents: tuple[str, ...], tasks: tuple[str, ...], form: str, fresh: bool, no_cache: bool, **given: Any) -> None:
    """Run agents on tasks and print a table. The same command resumes a run that was stopped."""
    from memeval.runs.command import run_command
    from memeval.runs.plan import Options

    roles = ("model", "memory", "reader", "judge", "embedder")
    models = {role: given[role] for role in roles if given[role]}
    rest = {key: given[key] for key in given if key not in (*roles, "prompts", "answer_budget", "exact_tokens")}
    options = Options(
        agents=agents,
        tasks=tasks,
        models=models,
        prompts=_pairs("--prompt", given["prompts"]),
        answer_budget=given["answer_budget"] or 0,
        exact_tokens=given["exact_tokens"] or 0,
        use_cache=not no_cache,
        **rest,
    )
    sys.exit(run_command(options, fresh=fresh, form=form))


def _pairs(option: str, values: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for value in values:
        key, equals, text = value.partition("=")
        if not equals or not key or not text:
            raise UsageError(f"{option} {value}: expected NAME=VALUE")
        pairs[key] = text
    return pairs


@main.command()
@click.argument("folder", metavar="RUN", type=click.Path(path_type=Path))
@click.option(
    "--question", metavar="ID", help="One question: gold, answer, what was recalled, the memory then, who wrote it."
)
@click.option("--repeat", type=click.IntRange(0), default=0, show_default=True)
def show(folder: Path, question: str | None, repeat: int) -> None:
    """Print a run, or one question of it."""
    from memeval.runs.show import show_question, show_run

    click.echo(show_question(folder, question, repeat) if question else show_run(folder))


@main.command("list")
@click.argument("what", metavar="tasks|agents|models|metrics")
@click.option("--tasks-dir", multiple=True, help="More task cards.")
@click.option("--agents-dir", multiple=True, help="More agent cards.")
def list_(what: str, tasks_dir: tuple[str, ...], agents_dir: tuple[str, ...]) -> None:
    """List what can be named on the command line."""
    from memeval.listing import listing

    click.echo(listing(what, tasks_dir, agents_dir))


_JUDGE = click.option("--judge", "typed", required=True, metavar="NAME[@URL]", help="Model that judges.")
_FAMILY = click.option("--family", metavar="NAME", help="Family of judge prompts. Default: the task's.")
_JUDGE_PROMPT = click.option("--prompt", type=click.Path(path_type=Path), help="A prompt file instead of the family's.")
_BASE_URL = click.option("--base-url", metavar="URL", help="OpenAI-compatible endpoint of the model.")
_WIDTH = click.option("--concurrency", type=click.IntRange(1), default=16, show_default=True)
_NO_CACHE = click.option("--no-cache", is_flag=True, help="Neither read nor fill the user's cache of model calls.")
_QUIET = click.option("--quiet", is_flag=True, help="No progress.")
_FORMAT = click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)


def _judging(command: Any) -> Any:
    """The options that judging and calibrating share."""
    for option in (_QUIET, _FORMAT, _NO_CACHE, _WIDTH, _JUDGE_PROMPT, _FAMILY, _BASE_URL, _JUDGE):
        command = option(command)
    return command


@main.command()
@click.argument("folders", nargs=-1, required=True, metavar="RUN...", type=click.Path(path_type=Path))
@_judging
def score(folders: tuple[Path, ...], typed: str, base_url: str | None, no_cache: bool, **options: Any) -> None:
    """Let a judge score finished runs, without running them again."""
    from memeval.judging.command import score_command
    from memeval.judging.ruling import judge_spec

    sys.exit(score_command(folders, judge_spec(typed, base_url), use_cache=not no_cache, **options))


@main.group()
def judge() -> None:
    """Judges and how far they can be trusted."""


@judge.command("calibrate")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@_judging
def calibrate(
    file: Path | None, typed: str, base_url: str | None, no_cache: bool, family: str | None, **options: Any
) -> None:
    """Agreement of a judge with labelled answers: FILE, or the bundled starter set."""
    from memeval.judging.command import calibrate_command
    from memeval.judging.ruling import judge_spec

    spec = judge_spec(typed, base_url)
    sys.exit(calibrate_command(file, spec, family=family or "generic", use_cache=not no_cache, **options))


@main.group()
def data() -> None:
    """Data sets: what tasks need, where it is, how to get it, whether it is sound."""


_TASKS = click.argument("tasks", nargs=-1, metavar="[TASK]...")
_TASK = click.argument("tasks", nargs=-1, required=True, metavar="TASK...")
_DATA_DIR = click.option("--data-dir", type=click.Path(path_type=Path), help="Where data sets lie; also MEMEVAL_DATA.")
_TASKS_DIR = click.option("--tasks-dir", multiple=True, help="More task cards.")


@data.command("list")
@_TASKS
@_DATA_DIR
@_TASKS_DIR
@_FORMAT
def data_list(tasks: tuple[str, ...], data_dir: Path | None, tasks_dir: tuple[str, ...], form: str) -> None:
    """What tasks need, where it was found, its size and licence, and how to get what is missing."""
    from memeval import data_command

    click.echo(data_command.data_list(tasks, data_folder(data_dir), tasks_dir, form))


@data.command("path")
@_TASK
@_DATA_DIR
@_TASKS_DIR
def data_path(tasks: tuple[str, ...], data_dir: Path | None, tasks_dir: tuple[str, ...]) -> None:
    """The files that tasks read, one a line."""
    from memeval import data_command

    found = data_command.data_path(tasks, data_folder(data_dir), tasks_dir)
    if found:
        click.echo(found)


@data.command("fetch")
@_TASK
@click.option("--to", type=click.Path(path_type=Path), help="A data folder. Default: the Hugging Face cache.")
@click.option("--accept-licence", "accepted", multiple=True, metavar="NAME", help="Of non-commercial data. Repeatable.")
@_DATA_DIR
@_TASKS_DIR
def data_fetch(
    tasks: tuple[str, ...], to: Path | None, accepted: tuple[str, ...], data_dir: Path | None, tasks_dir: tuple[str, ...]
) -> None:
    """Get what tasks need and this machine lacks."""
    from memeval import data_command

    click.echo(data_command.data_fetch(tasks, data_folder(data_dir), tasks_dir, to, accepted))


@data.command("verify")
@_TASKS
@click.option("--all", "everything", is_flag=True, help="Every task whose data are at hand.")
@click.option("--contexts", type=click.IntRange(0), help="Streams built to count tokens; 0 = all.")
@_DATA_DIR
@_TASKS_DIR
@_FORMAT
def data_verify(tasks: tuple[str, ...], everything: bool, contexts: int | None, form: str, **where: Any) -> None:
    """Read every record; count contexts, clusters, questions, kinds and tokens; refuse damaged files."""
    from memeval import data_command

    folder = data_folder(where["data_dir"])
    text, code = data_command.data_verify(tasks, folder, where["tasks_dir"], form, contexts, everything)
    click.echo(text)
    sys.exit(code)


@data.command("build")
@click.argument("families", nargs=-1, required=True, metavar="FAMILY...")
@click.option("--to", type=click.Path(path_type=Path), required=True, metavar="FILE.parquet", help="Where the rows go.")
@click.option("--split", type=click.Choice(["train", "validation"]), default="train", show_default=True)
@click.option("--share", type=float, default=0.1, show_default=True, help="Part of the source that goes to validation.")
@click.option("--seed", type=int, default=42, show_default=True)
@_DATA_DIR
def data_build(families: tuple[str, ...], to: Path, data_dir: Path | None, **recipe: Any) -> None:
    """Make training or validation sets in Mem-alpha's schema from source data (squad, hotpotqa, trec-c, banking77, ...)."""
    from memeval import data_command

    click.echo(data_command.data_build(families, data_folder(data_dir), to, **recipe))


def data_folder(typed: Path | None) -> Path | None:
    """The data folder by flag, MEMEVAL_DATA or memeval.yaml."""
    from memeval.config import data_dir, read_config

    return data_dir(typed, read_config())


@main.command()
@click.option("--agent", "agents", multiple=True, required=True, metavar="NAME", help="Agent, card.yaml or file.py:Class.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Agent parameter.")
@click.option("--agents-dir", multiple=True, help="More agent cards.")
def check(agents: tuple[str, ...], settings: tuple[str, ...], agents_dir: tuple[str, ...]) -> None:
    """Probe an agent: order, isolation, leaks, pure recall, fork equals prefix; say what it may claim."""
    from memeval.check import check_command

    sys.exit(check_command(agents, settings, agents_dir))


if __name__ == "__main__":
    main()
