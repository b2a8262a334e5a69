"""`cmd:` agents: a process for each context, with one message per line on its stdin and one reply per line on its stdout."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import json
import os
import shlex
import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from memeval.agent import Session
from memeval.agents.foreign import messages
from memeval.agents.foreign.agent import TIMEOUT, Foreign
from memeval.errors import ForeignFailed, UsageError

KEPT = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "SYSTEMROOT")
"""The environment variables that a process gets; others may hold secrets."""
ENDING = 0.5
"""How many seconds a process has to end by itself after its stdin is closed."""
_running: dict[int, int] = {}
"""Process group -> the process that started it; only that process, not a forked copy of it, may kill the group."""


class Program(Foreign):
    """A program that is started for each context: `--agent cmd:"node agent.js"`.

    command: the program and its arguments, as a list or as one line; files are relative to the card, else to the working
    directory. timeout: seconds for one reply. params: settings that `begin` carries, for the program itself. environment:
    names of environment variables that the program gets, besides PATH and those for language and time zone.
    """

    def __init__(
        self,
        command: str | Sequence[str],
        timeout: float = TIMEOUT,
        params: Mapping[str, Any] | None = None,
        environment: Sequence[str] = (),
    ) -> None:
        self.words = words(command)
        self.environment = (environment,) if isinstance(environment, str) else tuple(environment)
        super().__init__(timeout, params)
        if self._executable() is None:
            raise UsageError(f"cmd: no program '{self.words[0]}' to start (looked in PATH and in {self._folder()})")

    @property
    def name(self) -> str:
        return title(self.words)

    def files(self) -> dict[str, Path]:
        """Label -> file, for the files that determine the answers: the program, every argument that is a file, and the
        packages of a Python environment."""
        executable = self._executable() or Path(self.words[0])
        found = {Path(self.words[0]).name: executable.resolve()}
        for word in self.words[1:]:
            path = self._folder() / word
            if path.is_file():
                found[path.name if Path(word).is_absolute() else word] = path.resolve()
        if (executable.parent.parent / "pyvenv.cfg").is_file():
            for package in executable.parent.parent.glob("[Ll]ib/**/site-packages/*.dist-info/METADATA"):
                found[f"{Path(self.words[0]).name}: {package.parent.name.removesuffix('.dist-info')}"] = package
        return found

    def transport(self, session: Session) -> Process:
        kept = {name: os.environ[name] for name in (*KEPT, *self.environment) if name in os.environ}
        scratch = str(session.workdir)
        return Process(self.words, self._folder(), {**kept, "HOME": scratch, "TMPDIR": scratch})

    def _folder(self) -> Path:
        return self.folder or Path.cwd()

    def _executable(self) -> Path | None:
        word = self.words[0]
        found = shutil.which(str(self._folder() / word) if "/" in word else word)
        return Path(found) if found else None


def words(command: Any) -> list[str]:
    """Split a command into its words. Raises UsageError where it is not a command."""
    try:
        found = shlex.split(command) if isinstance(command, str) else list(command)
    except (TypeError, ValueError) as error:
        raise UsageError(f"cmd: {command!r:.80} is not a command ({error})") from None
    if not found or not all(isinstance(word, str) and "\0" not in word for word in found) or not found[0].strip():
        raise UsageError(f"cmd: {command!r:.80} is not a command; write it as in cmd:'node agent.js'")
    return [os.path.expanduser(word) for word in found]


def title(command: Sequence[str]) -> str:
    """A short name for a command: the first argument that looks like a file, else the program."""
    files = (Path(word).name for word in command[1:] if not word.startswith("-") and Path(word).suffix)
    return next(files, Path(command[0]).name)


class Process:
    """A transport over a process in a group of its own, which is killed as a whole."""

    def __init__(self, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        self._command, self._folder, self._environment = command, folder, environment
        self._process: asyncio.subprocess.Process | None = None
        self._said = bytearray()
        self._reading: asyncio.Task[None] | None = None

    async def open(self, base_url: str, token: str) -> None:
        environment = {**self._environment, "OPENAI_BASE_URL": base_url, "OPENAI_API_KEY": token}
        pipe = asyncio.subprocess.PIPE
        word = self._command[0]
        program = str(self._folder / word) if "/" in word else word
        try:
            self._process = await asyncio.create_subprocess_exec(
                program,
                *self._command[1:],
                stdin=pipe,
                stdout=pipe,
                stderr=pipe,
                cwd=self._folder,
                env=environment,
                limit=messages.LARGEST,
                start_new_session=True,
            )
        except OSError as error:
            raise ForeignFailed(f"cannot be started: {error.strerror or error}") from None
        _running[self._process.pid] = os.getpid()
        self._reading = asyncio.create_task(self._read_errors(self._process.stderr))

    async def ask(self, message: Mapping[str, Any]) -> Any:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise ForeignFailed("it has not been started")
        with contextlib.suppress(OSError):  # the process has ended; reading its reply finds out how
            process.stdin.write(json.dumps(message).encode() + b"\n")
            await process.stdin.drain()
        try:
            line = await process.stdout.readline()
        except ValueError:
            raise ForeignFailed(f"sent more than {messages.LARGEST:,} bytes in one reply") from None
        if not line.endswith(b"\n"):
            raise ForeignFailed(f"ended instead of replying{await self._how(process)}")
        return messages.parse(line)

    async def _how(self, process: asyncio.subprocess.Process) -> str:
        """The exit code or signal of a process, where it ends in time."""
        with contextlib.suppress(TimeoutError):
            code = await asyncio.wait_for(process.wait(), ENDING)
            return f" ({f'exit code {code}' if code >= 0 else f'killed by signal {-code}'})"
        return ""

    def stop(self) -> None:
        if self._process is not None:
            _kill(self._process.pid)

    async def end(self) -> str:
        process, self._process = self._process, None
        if process is None:
            return messages.one_line(bytes(self._said))[-messages.SHOWN :]
        try:
            if process.stdin is not None:
                process.stdin.close()
            try:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), ENDING)
            finally:  # kill the processes that it started, even if it has ended itself
                _kill(process.pid)
            await process.wait()
            if self._reading is not None:
                await asyncio.wait([self._reading], timeout=ENDING)
        finally:
            if self._reading is not None:
                self._reading.cancel()
            process._transport.close()  # type: ignore[attr-defined]  # no public call closes its pipes
        return messages.one_line(bytes(self._said))[-messages.SHOWN :]

    async def _read_errors(self, stream: asyncio.StreamReader | None) -> None:
        """Keep the end of what the process writes to stderr."""
        while stream is not None and (block := await stream.read(65536)):
            self._said = (self._said + block)[-4 * messages.SHOWN :]


def _kill(group: int) -> None:
    _running.pop(group, None)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


@atexit.register
def _kill_all() -> None:
    """Kill the remaining processes if memeval exits before the threads of its agents have ended them."""
    for group, starter in list(_running.items()):
        if starter == os.getpid():
            _kill(group)
