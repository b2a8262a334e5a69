"""This process while it runs code of others: what that does to the working directory, the environment, descriptor 1 and the
end of the process reaches no result."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import Coroutine, Iterator
from contextvars import copy_context
from typing import Any, NoReturn, TextIO, TypeVar

Result = TypeVar("Result")

PATIENCE = 3.0
"""Seconds that threads and exit hooks of others have when the program ends."""

OPEN_FILES = 48
"""What a run has open beside its contexts: standard streams, the files of its folder, three stores, modules."""
FILES_A_CONTEXT = 4
"""A connection, and the event loop of an agent's thread."""

_program = False


def program() -> None:
    """Say that this process is the `memeval` program, not another one that calls it: a notebook, a test."""
    global _program
    _program = True


@contextlib.contextmanager
def foreign_code() -> Iterator[TextIO]:
    """A block in which agents run. Yields the stream for results: what is printed otherwise, or written to descriptor 1,
    goes to stderr; in the program for good, because threads and exit hooks may outlast the block. At its end working
    directory and environment are as they were."""
    results, folder, environment = sys.stdout, os.getcwd(), dict(os.environ)
    out = _apart(results)
    sys.stdout = sys.stderr
    try:
        yield out
    finally:
        out.flush()
        if not _program:
            sys.stdout = results
            if out is not results:
                os.dup2(out.fileno(), 1)
                out.close()
        with contextlib.suppress(OSError):  # it may have been deleted
            os.chdir(folder)
        if dict(os.environ) != environment:
            os.environ.clear()
            os.environ.update(environment)


def _apart(stream: TextIO) -> TextIO:
    """The stream on a descriptor of its own, with descriptor 1 sent to stderr, where it is on descriptor 1."""
    try:
        if stream.fileno() != 1:
            return stream
        stream.flush()
        out = open(os.dup(1), "w", encoding=stream.encoding, errors=stream.errors)  # noqa: SIM115
        os.dup2(2, 1)
    except (OSError, ValueError, AttributeError):  # no file at all, or no stderr
        return stream
    return out


def end(code: int) -> NoReturn:
    """Exit. In the program, what others have left behind may use PATIENCE seconds, and cannot keep the process."""
    if _program:
        sys.stderr.flush()
        last = threading.Timer(PATIENCE, os._exit, (code,))
        last.daemon = True
        last.start()
    sys.exit(code)


def affordable(wanted: int) -> int:
    """How many of `wanted` contexts may be open at once, with the files that this process may open. Says on stderr when
    these are fewer."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return wanted
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    if soft == resource.RLIM_INFINITY:
        return wanted
    found = max(1, min(wanted, (soft - OPEN_FILES) // FILES_A_CONTEXT))
    if found < wanted:
        print(f"memeval: --concurrency {found}, not {wanted}: only {soft} files may be open (ulimit -n)", file=sys.stderr)
    return found


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """`asyncio.run`, also where an event loop runs already (a notebook): then in a thread of its own, whose main task
    KeyboardInterrupt cancels."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(main)
    outcome: list[Result] = []
    raised: list[BaseException] = []
    loops: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[Result]]] = []

    async def task() -> Result:
        loops.append((asyncio.get_running_loop(), asyncio.create_task(main)))
        return await loops[0][1]

    def target() -> None:
        try:
            outcome.append(asyncio.run(task()))
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=copy_context().run, args=(target,), daemon=True)
    thread.start()
    try:
        thread.join()
    except KeyboardInterrupt:
        for loop, running in loops:
            loop.call_soon_threadsafe(running.cancel)
        thread.join()
        raise
    if raised:
        raise raised[0]
    return outcome[0]
