"""The `memeval` command: verbs and options only. Each verb imports its handler when it is used.

Exit codes: 0 ok; 2 usage (one line on stderr); 3 a run is invalid or partial; 130 interrupted (after the line that resumes).
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from memeval import __version__
from memeval.errors import UsageError

Verb = TypeVar("Verb", bound=Callable[..., Any])
_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


class _Group(click.Group):
    """A group whose verbs' UsageErrors become one line and exit code 2, and misspelt verbs get a suggestion."""

    def main(self, args: Sequence[str] | None = None, *rest: Any, **options: Any) -> Any:
        """Called without arguments, by the installed script or `python -m`, it is the program itself."""
        if args is None:
            from memeval.process import program

            program()
        return super().main(args, *rest, **options)

    def invoke(self, ctx: click.Context) -> Any:
        for stream in (sys.stdout, sys.stderr):  # a terminal or pipe may hold fewer characters than a result does
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")
        try:
            return self._flushed(ctx)
        except UsageError as error:
            click.echo(f"memeval: {' '.join(str(error).split())}", err=True)
            ctx.exit(2)
        except KeyboardInterrupt:
            click.echo("memeval: interrupted", err=True)
            ctx.exit(130)

    def _flushed(self, ctx: click.Context) -> Any:
        """Run the verb and see its output written. Raises UsageError where stdout does not take it."""
        try:
            try:
                return super().invoke(ctx)
            finally:
                sys.stdout.flush()
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO) or error.filename is not None:
                raise
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is left in the buffer goes nowhere
            raise UsageError(f"stdout: cannot be written ({error.strerror}); the run's folder holds the results") from None

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            from memeval.errors import suggest

            raise UsageError(f"no command '{args[0]}'{suggest(args[0], self.list_commands(ctx))} (memeval --help shows all)")
        return super().resolve_command(ctx, args)


@click.group(cls=_Group, context_settings=_CONTEXT)
@click.version_option(__version__, prog_name="memeval")
def main() -> None:
    """Measure how well LLM agents remember: run agents on tasks, score their answers, compare."""


class _Path(click.Path):
    """A path as typed, `~` expanded: a shell leaves it alone in `--option=~/here`."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return super().convert(os.path.expanduser(value), param, ctx)


def _affordable(wanted: int) -> int:
    from memeval.process import affordable

    return affordable(wanted)


_FORMAT = click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
_BASE_URL = click.option("--base-url", metavar="URL", help="OpenAI-compatible endpoint of the model.")
_DATA_DIR = click.option("--data-dir", type=_Path(), help="Where data sets lie; also MEMEVAL_DATA.")
_TASKS_DIR = click.option("--tasks-dir", multiple=True, help="More task cards.")
_AGENTS_DIR = click.option("--agents-dir", multiple=True, help="More agent cards.")
_RUNS_DIR = click.option("--runs-dir", type=_Path(), default=Path("runs"), show_default=True)
_WIDTH = click.option(
    "--concurrency",
    type=click.IntRange(1),
    default=16,
    show_default=True,
    callback=lambda context, parameter, wanted: _affordable(wanted),
    help="Open contexts; calls per endpoint.",
)
_NO_CACHE = click.option("--no-cache", is_flag=True, help="Neither read nor fill the user's cache.")
_QUIET = click.option("--quiet", is_flag=True, help="No progress, no notices.")
_ROLES = {
    "model": "Model of the roles memory and reader.",
    "memory": "Model that builds the memory.",
    "reader": "Model that answers from what was recalled.",
    "judge": "Model that judges the answers afterwards.",
    "embedder": "Embedding model, for agents that use one.",
}
_MODELS = [click.option(f"--{role}", metavar="NAME[@URL]", help=says) for role, says in _ROLES.items()]
_SECONDS = click.FloatRange(0, min_open=True)
_WIRE = [
    click.option("--timeout", type=_SECONDS, metavar="SECONDS", help="For one attempt of a call. Default: 600."),
    click.option(
        "--wait", type=_SECONDS, metavar="SECONDS", help="For a silent server. Default: 120 at the start, 600 later."
    ),
    click.option("--rpm", type=_SECONDS, metavar="N", help="Requests a minute at most, per endpoint."),
    click.option("--tpm", type=_SECONDS, metavar="N", help="Tokens a minute at most, per endpoint."),
    click.option("--fold-system", is_flag=True, help="Put system text into the user message."),
]
_RUN = [
    click.option("--agent", "agents", multiple=True, required=True, metavar="NAME", help="Agent, card or file.py:Class."),
    click.option(
        "--task", "tasks", multiple=True, required=True, metavar="NAME", help="Task[@variant], card or file.py:Class."
    ),
    *_MODELS,
    _BASE_URL,
    click.option(
        "--tag", "tags", multiple=True, metavar="[ROLE=]TEXT", help="Which checkpoint the model is; part of its identity."
    ),
    click.option("--limit", type=click.IntRange(0), help="Questions per task; 0 = all. Default: the task's (128)."),
    click.option("--seed", type=int, default=42, show_default=True, help="Order of questions, distractors, packing."),
    click.option("--repeats", type=click.IntRange(1), help="Whole pipeline, memory included. Default: the task's (1)."),
    click.option("--answer-repeats", type=click.IntRange(1), default=1, show_default=True, help="Reader only."),
    click.option("--answer-budget", type=click.IntRange(1), metavar="TOKENS", help="Cut what the reader sees to this."),
    click.option("--exact-tokens", type=click.IntRange(1), metavar="TOKENS", help="Fill streams; same as task@tokens-N."),
    _WIDTH,
    *_WIRE,
    click.option(
        "--set", "settings", multiple=True, metavar="KEY=VALUE[,VALUE...]", help="Agent parameter; several: a grid."
    ),
    click.option(
        "--prompt", "prompts", multiple=True, metavar="ROLE=FILE", help="Replace the prompt of memory, reader, judge."
    ),
    _DATA_DIR,
    _RUNS_DIR,
    _TASKS_DIR,
    _AGENTS_DIR,
    _FORMAT,
]


def _with(*options: Callable[[Verb], Verb]) -> Callable[[Verb], Verb]:
    """Several options at once, in this order."""

    def add(command: Verb) -> Verb:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def _policy(given: dict[str, Any]) -> Any:
    """The flags of the wire, as `models.limits.Policy`."""
    from memeval.models.limits import Policy

    found = {key: given.pop(key, None) for key in ("timeout", "wait", "rpm", "tpm", "fold_system")}
    if found["wait"] is not None:
        found["wait_at_start"] = found["wait"]
    return Policy(**{key: value for key, value in found.items() if value is not None})


def _options(agents: tuple[str, ...], tasks: tuple[str, ...], given: dict[str, Any]) -> Any:
    """What was typed, as `runs.options.Options`."""
    from memeval.runs.options import Options

    given["policy"] = _policy(given)
    models = {role: name for role in _ROLES if (name := given.pop(role, None))}
    prompts = _pairs("--prompt", given.pop("prompts", ()))
    agents, tasks = _listed(agents), _listed(tasks)
    counts: dict[str, Any] = {key: given.pop(key, None) or 0 for key in ("answer_budget", "exact_tokens")}
    tags = dict(map(_tag, given.pop("tags", ())))
    return Options(agents=agents, tasks=tasks, models=models, tags=tags, prompts=prompts, **counts, **given)


@main.command()
@_with(*_RUN)
@click.option("--max-cost", type=click.FloatRange(0), metavar="USD", help="Stop, resumable, before more is spent.")
@click.option("--max-calls", type=click.IntRange(0), metavar="N", help="Stop, resumable, after so many calls sent.")
@_NO_CACHE
@click.option(
    "--agent-timeout",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="Of one method of an agent.",
)
@click.option("--fresh", is_flag=True, help="Start anew: delete what these runs have so far.")
@_QUIET
def run(agents: tuple[str, ...], tasks: tuple[str, ...], form: str, fresh: bool, no_cache: bool, **given: Any) -> None:
    """Run agents on tasks and print a table. The same command resumes a run that was stopped."""
    from memeval.commands.run import run_command
    from memeval.process import end

    end(run_command(_options(agents, tasks, {**given, "use_cache": not no_cache}), fresh=fresh, form=form))


@main.command()
@_with(*_RUN)
def estimate(agents: tuple[str, ...], tasks: tuple[str, ...], form: str, **given: Any) -> None:
    """Calls, tokens, USD, interval and detectable effect of runs, before anything is spent."""
    from memeval.estimating.estimate import estimate_command
    from memeval.process import end

    end(estimate_command(_options(agents, tasks, {**given, "quiet": True}), form))


@main.command()
@click.option("--task", "tasks", multiple=True, metavar="NAME", help="Task whose data and windows are looked at.")
@_with(*_MODELS, _BASE_URL, _DATA_DIR, _RUNS_DIR, _TASKS_DIR, _FORMAT)
def doctor(tasks: tuple[str, ...], form: str, **given: Any) -> None:
    """Check packages, keys, endpoints, tool calling, windows, data and folders; say what to mend."""
    from memeval.doctor import doctor_command

    sys.exit(doctor_command(_options((), tasks, given), form))


@main.command()
@click.argument("verb", metavar="stats|clear|prune")
@click.option("--older-than", type=float, metavar="DAYS", help="prune: remove replies older than this.")
@click.option("--yes", is_flag=True, help="clear: really.")
@_FORMAT
def cache(verb: str, form: str, **limits: Any) -> None:
    """The user's cache (MEMEVAL_CACHE, else ~/.cache/memeval): what it holds, and how to make it smaller.

    It holds replies of models (calls.sqlite), and what tasks held when their data were read last (tasks/). clear removes
    both, prune some replies; nothing else in the folder is touched."""
    from memeval.models.cache_command import cache_command

    sys.exit(cache_command(verb, form=form, **limits))


def _listed(names: tuple[str, ...]) -> tuple[str, ...]:
    """`a,b` is a and b, unless there is a file of that name."""
    return tuple(
        part
        for name in names
        for part in ([name] if os.path.exists(os.path.expanduser(name.rpartition(":")[0] or name)) else name.split(","))
        if part
    )


def _tag(text: str) -> tuple[str, str]:
    """(role or "model", tag) of `[ROLE=]TEXT`."""
    role, equals, tag = text.partition("=")
    if not equals or role not in _ROLES:
        from memeval.errors import suggest

        near = suggest(role, _ROLES) if equals else ""
        if near or not text:
            raise UsageError(f"--tag {text}: expected [ROLE=]TEXT{near} (roles: {', '.join(_ROLES)})")
        return "model", text
    if not tag:
        raise UsageError(f"--tag {text}: expected [ROLE=]TEXT")
    return role, tag


def _pairs(option: str, values: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for value in values:
        key, equals, text = value.partition("=")
        if not equals or not key or not text:
            raise UsageError(f"{option} {value}: expected NAME=VALUE")
        pairs[key] = text
    return pairs


@main.command()
@click.argument("folder", metavar="RUN", type=_Path())
@click.option(
    "--question", metavar="ID", help="One question: gold, answer, what was recalled, the memory then, who wrote it."
)
@click.option("--repeat", type=click.IntRange(0), default=0, show_default=True)
def show(folder: Path, question: str | None, repeat: int) -> None:
    """Print a run, or one question of it."""
    from memeval.commands.show import show_question, show_run

    click.echo(show_question(folder, question, repeat) if question else show_run(folder))


@main.command("list")
@click.argument("what", metavar="tasks|agents|models|metrics")
@_TASKS_DIR
@_AGENTS_DIR
def list_(what: str, tasks_dir: tuple[str, ...], agents_dir: tuple[str, ...]) -> None:
    """List what can be named on the command line."""
    from memeval.listing import listing

    click.echo(listing(what, tasks_dir, agents_dir))


_JUDGING = _with(
    click.option("--judge", "typed", required=True, metavar="NAME[@URL]", help="Model that judges."),
    _BASE_URL,
    click.option("--family", metavar="NAME", help="Family of judge prompts. Default: the task's."),
    click.option("--prompt", type=_Path(), help="A prompt file instead of the family's."),
    _WIDTH,
    _NO_CACHE,
    _FORMAT,
    _QUIET,
)


@main.command()
@click.argument("folders", nargs=-1, required=True, metavar="RUN...", type=_Path())
@_JUDGING
def score(folders: tuple[Path, ...], typed: str, base_url: str | None, no_cache: bool, **options: Any) -> None:
    """Let a judge score finished runs, without running them again."""
    from memeval.commands.judge import score_command
    from memeval.judging.ruling import judge_spec

    sys.exit(score_command(folders, judge_spec(typed, base_url), use_cache=not no_cache, **options))


@main.group()
def judge() -> None:
    """Judges and how far they can be trusted."""


@judge.command("calibrate")
@click.argument("file", required=False, type=_Path())
@_JUDGING
def calibrate(
    file: Path | None, typed: str, base_url: str | None, no_cache: bool, family: str | None, **options: Any
) -> None:
    """Agreement of a judge with labelled answers: FILE, or the bundled starter set."""
    from memeval.commands.judge import calibrate_command
    from memeval.judging.ruling import judge_spec

    spec = judge_spec(typed, base_url)
    sys.exit(calibrate_command(file, spec, family=family or "generic", use_cache=not no_cache, **options))


@main.group()
def data() -> None:
    """Data sets: what tasks need, where it is, how to get it, whether it is sound."""


_TASKS = click.argument("tasks", nargs=-1, metavar="[TASK]...")
_TASK = click.argument("tasks", nargs=-1, required=True, metavar="TASK...")


@data.command("list")
@_TASKS
@_DATA_DIR
@_TASKS_DIR
@_FORMAT
def data_list(tasks: tuple[str, ...], data_dir: Path | None, tasks_dir: tuple[str, ...], form: str) -> None:
    """What tasks need, where it was found, its size and licence, and how to get what is missing."""
    from memeval.commands import data as data_command

    click.echo(data_command.data_list(tasks, data_folder(data_dir), tasks_dir, form))


@data.command("path")
@_TASK
@_DATA_DIR
@_TASKS_DIR
def data_path(tasks: tuple[str, ...], data_dir: Path | None, tasks_dir: tuple[str, ...]) -> None:
    """The files that tasks read, one a line."""
    from memeval.commands import data as data_command

    found = data_command.data_path(tasks, data_folder(data_dir), tasks_dir)
    if found:
        click.echo(found)


@data.command("fetch")
@_TASK
@click.option("--to", type=_Path(), help="A data folder. Default: the Hugging Face cache.")
@click.option("--accept-licence", "accepted", multiple=True, metavar="NAME", help="Of non-commercial data. Repeatable.")
@_DATA_DIR
@_TASKS_DIR
def data_fetch(
    tasks: tuple[str, ...], to: Path | None, accepted: tuple[str, ...], data_dir: Path | None, tasks_dir: tuple[str, ...]
) -> None:
    """Get what tasks need and this machine lacks."""
    from memeval.commands import data as data_command

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
    from memeval.commands import data as data_command

    folder = data_folder(where["data_dir"])
    text, code = data_command.data_verify(tasks, folder, where["tasks_dir"], form, contexts, everything)
    click.echo(text)
    sys.exit(code)


def data_folder(typed: Path | None) -> Path | None:
    """The data folder by flag, MEMEVAL_DATA or memeval.yaml."""
    from memeval.config import data_dir, read_config

    return data_dir(typed, read_config())


@main.command()
@click.option("--agent", "agents", multiple=True, required=True, metavar="NAME", help="Agent, card.yaml or file.py:Class.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Agent parameter.")
@click.option("--embedder", metavar="NAME[@URL]", help=_ROLES["embedder"])
@_AGENTS_DIR
def check(agents: tuple[str, ...], settings: tuple[str, ...], agents_dir: tuple[str, ...], embedder: str | None) -> None:
    """Probe an agent: order, isolation, leaks, pure recall, fork equals prefix; say what it may claim."""
    from memeval.check import check_command
    from memeval.process import end

    end(check_command(agents, settings, agents_dir, embedder))


if __name__ == "__main__":
    main()
