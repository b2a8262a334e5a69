"""Starts `memeval` commands in a fraction of the time that Python needs to import the package and to read the vocabulary.

One process of the test session has done both, and forks for each command. A command is a process of its own all the same: it
has its own arguments, folder, environment, standard streams, signals and exit code, and it ends as any Python program does.
Where there is no fork, or the environment has variables that Python itself reads, a new Python runs `python -m memeval`.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Protocol, TextIO

MOST_USED = ("commands.run", "models.endpoint", "models.offline", "agents.memalpha", "judging.judged_run", "tasks.synth")
LENGTH = struct.Struct("!I")


class Command(Protocol):
    """What `start` returns: these of subprocess.Popen."""

    pid: int
    returncode: int | None
    stdin: TextIO | None
    stdout: TextIO | None
    stderr: TextIO | None

    def poll(self) -> int | None: ...
    def wait(self) -> int: ...
    def communicate(self, input: str | None = None) -> tuple[str, str]: ...
    def send_signal(self, sig: int) -> None: ...
    def kill(self) -> None: ...


def start(words: Sequence[str], cwd: Path | None = None, env: Mapping[str, str] | None = None, **streams: Any) -> Command:
    """`memeval WORDS`. streams: `stdin`, `stdout`, `stderr` as subprocess.Popen takes them; pipes carry text."""
    wanted = dict(os.environ if env is None else env)
    if not hasattr(os, "fork") or python_reads(wanted) != python_reads(os.environ):
        command = [sys.executable, "-m", "memeval", *words]
        plain: Command = subprocess.Popen(command, cwd=cwd, env=wanted, text=True, **streams)
        return plain
    return Forked(_server(), list(words), str(cwd or Path.cwd()), wanted, **streams)


def run(
    words: Sequence[str], cwd: Path | None = None, env: Mapping[str, str] | None = None, **streams: Any
) -> subprocess.CompletedProcess[str]:
    """`memeval WORDS` to its end. Both streams are captured where they are not named."""
    process = start(words, cwd, env, **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams})
    out, err = process.communicate()
    assert process.returncode is not None
    return subprocess.CompletedProcess(["memeval", *words], process.returncode, out, err)


def on_terminal(words: Sequence[str], stream: str, env: Mapping[str, str], **streams: Any) -> tuple[Command, str]:
    """`memeval WORDS` to its end with `stream` (stdout or stderr) on a terminal: the process, and what was shown there."""
    import pty

    master, terminal = pty.openpty()
    process = start(words, env=env, **{stream: terminal}, **streams)
    os.close(terminal)
    shown = b""
    with contextlib.suppress(OSError):  # the other end is closed
        while block := os.read(master, 65536):
            shown += block
    os.close(master)
    process.wait()
    return process, shown.decode()


def python_reads(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that are read when Python, a C library or an imported package starts."""
    marks = ("PYTHON", "LD_", "LC_", "LANG", "MALLOC", "OMP_", "TIKTOKEN_", "HF_", "LITELLM_")
    return {name: value for name, value in environment.items() if name.startswith(marks)}


class Forked:
    """A command that the server has forked."""

    def __init__(
        self,
        server: Server,
        words: list[str],
        cwd: str,
        env: dict[str, str],
        stdin: Any = None,
        stdout: Any = None,
        stderr: Any = None,
    ) -> None:
        self.returncode: int | None = None
        self.stdin: TextIO | None = None
        self.stdout: TextIO | None = None
        self.stderr: TextIO | None = None
        given, passed = [], []
        for number, stream in enumerate((stdin, stdout, stderr)):
            if stream == subprocess.PIPE:
                ours, theirs = os.pipe()[:: -1 if number == 0 else 1]
                setattr(self, ("stdin", "stdout", "stderr")[number], open(ours, "w" if number == 0 else "r"))  # noqa: SIM115
                given.append(theirs)
            elif stream == subprocess.DEVNULL:
                given.append(os.open(os.devnull, os.O_RDWR))
            else:
                passed.append(number)
                given.append(os.dup(number if stream is None else stream if isinstance(stream, int) else stream.fileno()))
        if stderr == subprocess.STDOUT:
            raise ValueError("stderr cannot be sent to stdout here")
        self._status, end = os.pipe()
        try:
            server.send({"words": words, "cwd": cwd, "env": env}, [*given, end])
        finally:
            for descriptor in (*given, end):
                os.close(descriptor)
        weakref.finalize(self, os.close, self._status)
        self._said = b""
        self._reading = threading.Lock()
        while b"\n" not in self._said:
            self._read()
        self.pid = int(self._said.split()[0])

    def _read(self) -> None:
        """Read on. One thread may wait for the end while another one sends a signal: each line is read by one of them."""
        with self._reading:
            if self.returncode is not None:
                return
            more = os.read(self._status, 64)
            if not more:
                raise RuntimeError("the process that forks commands has died")
            self._said += more
            if self._said.count(b"\n") == 2:
                self.returncode = os.waitstatus_to_exitcode(int(self._said.split()[1]))

    def poll(self) -> int | None:
        while self.returncode is None and wait([self._status], 0):
            self._read()
        return self.returncode

    def wait(self) -> int:
        while self.returncode is None:
            self._read()
        return self.returncode

    def communicate(self, input: str | None = None) -> tuple[str, str]:
        texts = ["", ""]

        def read(at: int, stream: TextIO) -> None:
            with stream:
                texts[at] = stream.read()

        streams = [(at, stream) for at, stream in enumerate((self.stdout, self.stderr)) if stream]
        readers = [threading.Thread(target=read, args=part, daemon=True) for part in streams]
        for reader in readers:
            reader.start()
        try:
            if self.stdin:
                with contextlib.suppress(BrokenPipeError), self.stdin:
                    self.stdin.write(input or "")
            self.wait()
            for reader in readers:
                reader.join()
        except BaseException:  # the test is ended: it took too long, or somebody pressed Ctrl-C
            self.kill()
            raise
        return texts[0], texts[1]

    def send_signal(self, sig: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, sig)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Server:
    """The process that forks, as the tests see it. It ends with the test session: its socket closes then."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())],
                **{"pass_fds": [theirs.fileno()], "stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL},
            )

    def send(self, request: dict[str, Any], descriptors: Sequence[int]) -> None:
        body = json.dumps(request).encode()
        with self._lock:
            socket.send_fds(self._socket, [LENGTH.pack(len(body))], descriptors)
            self._socket.sendall(body)


@functools.cache
def _server() -> Server:
    return Server()


def serve(requests: socket.socket) -> dict[str, Any] | None:
    """Fork for each request. Returns it in the process that is to run it; None in the server, when the tests have ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.collect()
    gc.freeze()
    while True:
        head, descriptors, _, _ = socket.recv_fds(requests, LENGTH.size, 4)
        if not head:
            return None
        body = b""
        while len(body) < LENGTH.unpack(head)[0]:
            body += requests.recv(LENGTH.unpack(head)[0] - len(body))
        if os.fork() == 0:
            requests.close()
            return _attend(json.loads(body), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _attend(request: dict[str, Any], descriptors: Sequence[int]) -> dict[str, Any]:
    """Fork once more, tell the tests the child's number and how it ends, and go. Returns in the child."""
    *streams, status = descriptors
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number, descriptor in enumerate(streams):
            os.dup2(descriptor, number)
        for descriptor in descriptors:
            os.close(descriptor)
        return request
    os.write(status, f"{child}\n".encode())
    for descriptor in streams:
        os.close(descriptor)
    for number in range(3):
        os.close(number)
    os.write(status, f"{os.waitpid(child, 0)[1]}\n".encode())
    os._exit(0)


def main() -> None:
    from memeval import tokens
    from memeval.cli import main as memeval
    from memeval.metrics.abstention import abstained

    for name in MOST_USED:
        importlib.import_module(f"memeval.{name}")
    tokens.counter(tokens.DEFAULT)("read the vocabulary")
    abstained("read the patterns")
    request = serve(socket.socket(fileno=int(sys.argv[1])))
    if request is None:
        return
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    sys.path[0] = request["cwd"]
    sys.argv = ["memeval", *request["words"]]
    for number, name in enumerate(("stdin", "stdout", "stderr")):  # what the old ones know of a descriptor is of /dev/null
        old = getattr(sys, name)
        new = open(number, old.mode, encoding=old.encoding, errors=old.errors, closefd=False)  # noqa: SIM115
        if number:
            new.reconfigure(line_buffering=number == 2 or new.isatty())
        setattr(sys, name, new)
        setattr(sys, f"__{name}__", new)
    memeval(prog_name="memeval")


if __name__ == "__main__":
    main()
