"""The click group behind `memeval`: a mistake in a command line or in users' files becomes one line and an exit code."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from memeval.errors import UsageError, suggest


class Group(click.Group):
    """A UsageError of a verb, and click's own, become one line and exit code 2; a misspelt verb gets a suggestion."""

    group_class = type  # subgroups are of this class too

    def main(self, args: Sequence[str] | None = None, *rest: Any, **options: Any) -> Any:
        """Run the command line. Without `args`, the installed script or `python -m` calls it: the process is memeval's
        own."""
        if args is None:
            from memeval.process import program

            program()
        try:
            return super().main(args, *rest, **options)
        except OSError as error:  # from --help; `invoke` flushes what a verb prints
            click.echo(f"memeval: {_stdout_error(error)}", err=True)
            sys.exit(2)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            if _is_help(error):
                raise
            click.echo(f"memeval: {_in_one_line(error)}", err=True)
            ctx.exit(2)

    def invoke(self, ctx: click.Context) -> Any:
        for stream in (sys.stdout, sys.stderr):  # the terminal's encoding may lack characters of a result
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")
        try:
            return self._flushed(ctx)
        except click.UsageError as error:
            if _is_help(error):
                raise
            click.echo(f"memeval: {_in_one_line(error)}", err=True)
            ctx.exit(2)
        except UsageError as error:
            click.echo(f"memeval: {' '.join(str(error).split())}", err=True)
            ctx.exit(2)
        except KeyboardInterrupt:
            from memeval.process import end

            click.echo("memeval: interrupted", err=True)
            end(130)  # without waiting for threads of the user's code

    def _flushed(self, ctx: click.Context) -> Any:
        """Run the verb and flush its output. Raises UsageError where stdout cannot be written."""
        try:
            try:
                return super().invoke(ctx)
            finally:
                sys.stdout.flush()
        except OSError as error:
            raise UsageError(_stdout_error(error)) from None

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            raise UsageError(f"no command '{args[0]}'{suggest(args[0], self.list_commands(ctx))} (memeval --help shows all)")
        return super().resolve_command(ctx, args)


def _is_help(error: click.UsageError) -> bool:
    """Whether click raised the error to show the help of a group that was called without a verb."""
    return type(error).__name__ == "NoArgsIsHelpError"


def _in_one_line(error: click.UsageError) -> str:
    """click's message on one line, with the command that shows the help."""
    verb = error.ctx.command_path.partition(" ")[2] if error.ctx else ""
    text = " ".join(error.format_message().split()).rstrip(".")
    text = text.replace("integer range", "whole number").replace("float range", "number")
    where, shows = (f"{verb}: ", f"memeval {verb}") if verb else ("", "memeval")
    return f"{where}{text[:1].lower()}{text[1:]} ({shows} --help shows all)"


def _stdout_error(error: OSError) -> str:
    """The message for a standard output that can take no more. Other errors are raised again."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO) or error.filename is not None:
        raise error
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # discards the rest of the buffer
    return f"stdout: cannot be written ({error.strerror}); what a run found is in its folder"
