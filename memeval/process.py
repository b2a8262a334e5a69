"""This process while it runs code of others: what that does to the working directory, the environment, descriptor 1, forked
children and the end of the process changes no result."""

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
"""Seconds that threads and exit hooks of others have when the program ends."""

OPEN_FILES = 48
"""What a run has open beside its contexts: standard streams, the files of its folder, three stores, modules."""
FILES_A_CONTEXT = 4
"""A connection, and the event loop of an agent's thread."""

_STOPPING = (signal.SIGINT, signal.SIGTERM)
_program = False
_handling = False


def program() -> None:
    """Say that this process is the `memeval` program, not another one that calls it: a notebook, a test.

    Standard streams that the caller has closed go to the null device: else the first file that is opened, a result's, would
    have the number of stdout.
    """
    global _program
    _program = True
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        name = ("stdin", "stdout", "stderr")[number]
        setattr(sys, name, open(number, "r" if number == 0 else "w"))  # noqa: SIM115
    os.close(number)


@contextlib.contextmanager
def foreign_code() -> Iterator[TextIO]:
    """A block in which agents are imported and run. Yields the stream for results. Whatever else is printed, or written to
    descriptor 1, goes to stderr; in the program until its end, because threads and exit hooks may outlast the block."""
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
    """A stream that stays open: an agent that closes it would take it from all others, and from us."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def close(self) -> None:
        self._stream.flush()


@contextlib.contextmanager
def surroundings() -> Iterator[None]:
    """A block after which the working directory and the environment are as they were before."""
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


class Handle:
    """By which another thread stops what runs in this one, as Ctrl-C would. `call` runs a function under the handle."""

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
    """A block in which Ctrl-C, SIGTERM and the thread's `Handle` call `stop` on the running loop. Outside the main thread
    signals stay as they are."""
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
    """`asyncio.run`. Where an event loop is running already (a notebook) it happens in another thread; KeyboardInterrupt
    cancels it. Afterwards the working directory and the environment are as they were before."""
    with surroundings():
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(main)
        return _beside(main)


async def all_of(coroutines: Iterable[Coroutine[Any, Any, Result]]) -> list[Result]:
    """The results of coroutines that are awaited at once, in their order. The first error cancels the others and is raised
    as itself."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(coroutine) for coroutine in coroutines]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


def run_interruptible(main: Coroutine[Any, Any, Result]) -> Result:
    """`run`; Ctrl-C, SIGTERM and the thread's `Handle` end it in order. Raises KeyboardInterrupt then."""

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
