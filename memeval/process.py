"""Protect the results while this process runs other people's code: that code may change the working directory and the
environment, write to descriptor 1, fork children, and hold up the end of the process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from typing import Any, NoReturn, TextIO, TypeVar

Result = TypeVar("Result")

PATIENCE = 3.0
"""Seconds for foreign threads and exit hooks when the program ends."""

OPEN_FILES = 48
"""Number of files that a run has open besides its contexts: standard streams, the files of its folder, three stores,
modules."""
FILES_A_CONTEXT = 4
"""Open files per context: a connection, and the event loop of an agent's thread."""

_STOPPING = (signal.SIGINT, signal.SIGTERM)
_program = False
_handling = False


def program() -> None:
    """Mark this process as the `memeval` program; it is not marked if a notebook or a test calls memeval.

    Standard streams that the caller has closed are redirected to the null device: otherwise the first opened file, such
    as a result, would get the descriptor of stdout.
    """
    global _program
    _program = True
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        name = ("stdin", "stdout", "stderr")[number]
        setattr(sys, name, open(number, "r" if number == 0 else "w"))  # noqa: SIM115
    os.close(number)


@contextlib.contextmanager
def foreign_code() -> Iterator[TextIO]:
    """A block in which agents are imported and run. Yields the stream for results. Everything else that is printed, or
    written to descriptor 1, goes to stderr; in the program until its end, because threads and exit hooks may outlast
    the block."""
    results, errors = sys.stdout, sys.stderr
    out = _apart(results)
    sys.stdout = sys.stderr = _Kept(errors)
    try:
        with surroundings():
            yield out
    finally:
        out.flush()
        if not _program:
            sys.stdout, sys.stderr = results, errors
            if out is not results:
                os.dup2(out.fileno(), 1)
                out.close()


class _Kept:
    """A stream that ignores `close`: an agent that closed it would take it away from everyone else."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def close(self) -> None:
        self._stream.flush()


@contextlib.contextmanager
def surroundings() -> Iterator[None]:
    """A block after which the working directory and the environment are restored."""
    folder, environment = os.getcwd(), dict(os.environ)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # it may have been deleted
            os.chdir(folder)
        if dict(os.environ) != environment:
            os.environ.clear()
            os.environ.update(environment)


def _apart(stream: TextIO) -> TextIO:
    """The stream on a new descriptor, with descriptor 1 redirected to stderr, if it is on descriptor 1."""
    try:
        if stream.fileno() != 1:
            return stream
        stream.flush()
        out = open(os.dup(1), "w", encoding=stream.encoding, errors=stream.errors)  # noqa: SIM115
        os.dup2(2, 1)
    except (OSError, ValueError, AttributeError):  # the stream is not a file, or there is no stderr
        return stream
    return out


def end(code: int) -> NoReturn:
    """Exit. In the program, foreign threads and exit hooks get PATIENCE seconds and cannot keep the process alive."""
    if _program:
        sys.stderr.flush()
        last = threading.Timer(PATIENCE, os._exit, (code,))
        last.daemon = True
        last.start()
    sys.exit(code)


def affordable(wanted: int) -> int:
    """How many of `wanted` contexts may be in progress at once, given the limit of open files. Prints a line on stderr
    if there are fewer."""
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


class Handle:
    """Lets another thread stop the code that runs in this one, as Ctrl-C would. `call` runs a function under the
    handle."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stop: Callable[[], object] | None = None
        self.stopped = False

    def call(self, function: Callable[[], Result]) -> Result:
        context = copy_context()
        context.run(_handle.set, self)
        return context.run(function)

    def stop(self) -> None:
        self._set(self._stop, stopped=True)

    def _set(self, stop: Callable[[], object] | None, stopped: bool = False) -> None:
        with self._lock:
            self._stop = stop
            self.stopped = self.stopped or stopped
            if self.stopped and stop is not None:
                stop()


_handle: ContextVar[Handle | None] = ContextVar("memeval_handle", default=None)


@contextlib.contextmanager
def stopping(stop: Callable[[], None]) -> Iterator[None]:
    """A block in which Ctrl-C, SIGTERM and the thread's `Handle` call `stop` on the running loop. Outside the main
    thread, signals keep their handlers."""
    global _handling
    loop = asyncio.get_running_loop()
    handle = _handle.get() or Handle()
    handle._set(lambda: loop.call_soon_threadsafe(stop))
    handled = []
    for number in _STOPPING:
        with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):  # Windows; not the main thread
            loop.add_signal_handler(number, stop)
            handled.append(number)
    _handling = bool(handled)
    try:
        yield
    finally:
        handle._set(None)
        _handling = False
        for number in handled:
            loop.remove_signal_handler(number)


# A forked child (multiprocessing in an agent) shares the descriptor by which signals wake its parent's loop: a signal to
# the child would stop the run. It has the usual handlers instead, and gets no signal before it has them.


def _before_fork() -> None:
    if _handling:
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)


def _after_fork() -> None:
    if _handling:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)


def _in_child() -> None:
    if _handling:
        signal.set_wakeup_fd(-1)
        for number in _STOPPING:
            signal.signal(number, signal.SIG_DFL)
    _after_fork()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_in_child)


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """`asyncio.run`. If an event loop is running already (a notebook), the code runs in another thread;
    KeyboardInterrupt cancels it. Afterwards the working directory and the environment are restored."""
    with surroundings():
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(main)
        return _beside(main)


async def all_of(coroutines: Iterable[Coroutine[Any, Any, Result]]) -> list[Result]:
    """Await coroutines concurrently; their results, in order. The first error cancels the others and is raised as
    itself."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(coroutine) for coroutine in coroutines]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


def run_interruptible(main: Coroutine[Any, Any, Result]) -> Result:
    """Like `run`, but Ctrl-C, SIGTERM and the thread's `Handle` cancel the code in order; then it raises
    KeyboardInterrupt."""

    async def guarded() -> Result:
        interrupted = asyncio.Event()
        task = asyncio.ensure_future(main)

        def stop() -> None:
            interrupted.set()
            task.cancel()

        with stopping(stop):
            try:
                return await task
            except asyncio.CancelledError:
                if interrupted.is_set():
                    raise KeyboardInterrupt from None
                raise

    return run(guarded())


def _beside(main: Coroutine[Any, Any, Result]) -> Result:
    cancel: list[Callable[[], object]] = []

    async def cancellable() -> Result:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        if task is not None:
            cancel.append(lambda: loop.call_soon_threadsafe(task.cancel))
        return await main

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(copy_context().run, asyncio.run, cancellable())
        try:
            return done.result()
        except KeyboardInterrupt:
            for call in cancel:
                call()
            raise
