"""One `vllm serve` process: started, waited for, watched, and ended always. UNTESTED ON A GPU: the tests run a stand-in.

It listens on 127.0.0.1 at a free port, with a key of its own that it gets through its environment, writes to a log file, and
runs under guardian.py, so that it ends with this process however that ends. Nothing here belongs to an event loop: a server
may serve several runs, one after the other.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from memeval.config import cache_folder
from memeval.errors import UsageError
from memeval.models import keys
from memeval.models.faults import EndpointError
from memeval.models.journal import to_stderr
from memeval.models.reply import one_line

GRACE = 20.0  # seconds from SIGTERM to SIGKILL
AFTERMATH = 5.0  # seconds for killed processes to go
POLL = 0.25  # seconds between two looks at a server that is starting
PORTS = 3  # tries, should another program take the port in between
LOGS = 20  # log files that are kept
_LISTEN = "0A"  # the state of a socket in /proc/net/tcp
_TAKEN = re.compile(r"address already in use|errno 98\b|EADDRINUSE", re.IGNORECASE)
_ERROR = re.compile(r"\b\w*(Error|Exception)\b: |^vllm( \w+)?: error: ")  # the second: an option it does not have
_ELSEWHERE = re.compile(r"root cause|Engine core initialization failed", re.IGNORECASE)
_PREFIX = re.compile(r"^(\x1b\[[\d;]*m|\([\w ]*pid=\d+\)|[A-Z]+ \d\d-\d\d [\d:]+ \[[^\]]*\]|\s)+")


class ServerEnded(EndpointError):
    """The server could not be started, or it ended by itself: the run stops, and the same command resumes it. One line,
    with what the log says last and where the log is."""


class VllmServer:
    """command: the command line for a port. name: for messages. patience: seconds until it must be healthy. environment: set
    on top of ours. grace: seconds from SIGTERM to SIGKILL."""

    def __init__(
        self,
        name: str,
        command: Callable[[int], list[str]],
        patience: float,
        environment: Mapping[str, str] | None = None,
        notice: Callable[[str], None] = to_stderr,
        grace: float | None = None,
    ) -> None:
        self.name = name
        self.key = secrets.token_urlsafe(32)
        self.log = _new_log(name)
        self.port = 0
        self._command = command
        self._patience = patience
        self._environment = {**keys.environment(), **(environment or {})}
        self._environment["VLLM_API_KEY"] = self.key
        self._notice = notice
        self._grace = GRACE if grace is None else grace
        self._starting = threading.Lock()
        self._closing = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._up = False
        self._watching: threading.Thread | None = None
        self._mourners: list[Callable[[], None]] = []
        self._mourning = threading.Lock()

    def __repr__(self) -> str:
        return f"VllmServer({self.name!r}, port {self.port})"

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def usable(self) -> bool:
        """Whether it was healthy once and still runs, as far as one can see."""
        return self._up and self._process is not None and self._process.poll() is None and not self._closing.is_set()

    def start(self) -> None:
        """Return when the server is healthy; blocks for minutes. Raises ServerEnded; UsageError when nothing can be run."""
        with self._starting:
            if self._process is None:
                self._notice(f"memeval: starting vllm serve {self.name} (log: {self.log})")
                tries = 0
                while not self._started():
                    tries += 1
                    if tries == PORTS or not _TAKEN.search(self._tail()):
                        raise ServerEnded(self.last_words())
                self._up = True
            if not self.usable:
                raise ServerEnded(self.last_words())

    def when_ended(self, mourner: Callable[[], None]) -> None:
        """Call `mourner` once when the server has ended, from another thread; at once if it has."""
        with self._mourning:
            self._mourners.append(mourner)
        if self._watching is not None and not self._watching.is_alive():
            self._mourn()

    def close(self) -> None:
        """SIGTERM, and SIGKILL for what is left of the process group. Returns when nothing of it is left."""
        self._closing.set()
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)  # to the guardian, which knows how to end the rest
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(self._grace + 2.0)
            _kill_group(self._process.pid)
        if self._watching is not None:
            self._watching.join(5.0)

    def last_words(self) -> str:
        """Why it ended, as one line."""
        if self._closing.is_set():
            return f"vllm/{self.name}: the server was stopped"
        status = None if self._process is None else self._process.poll()
        what = f"not healthy after {self._patience:g} s" if status is None else f"the server ended (exit status {status})"
        said = one_line(_telling(self._tail()), self.key, 300)
        return f"vllm/{self.name}: {what}: {said or 'its log is empty'} (log: {self.log})"

    def _started(self) -> bool:
        """One try. False when the process ended; raises ServerEnded when it is running and still not healthy in time."""
        self.port = _free_port()
        guardian = [sys.executable, "-I", str(Path(__file__).with_name("guardian.py")), str(os.getpid()), str(self._grace)]
        with self.log.open("ab") as log:
            try:
                process = self._process = subprocess.Popen(
                    [*guardian, *self._command(self.port)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=self._environment,
                    start_new_session=True,
                )
            except OSError as error:
                raise UsageError(f"vllm/{self.name}: cannot be started ({error})") from None
        self._watching = threading.Thread(target=self._watch, args=(process,), name="memeval-vllm", daemon=True)
        self._watching.start()
        end = time.monotonic() + self._patience
        while time.monotonic() < end and not self._closing.is_set():
            if process.poll() is not None:
                return False
            if self._healthy(process.pid):
                return True
            self._closing.wait(POLL)
        words = self.last_words()
        self.close()
        raise ServerEnded(words)

    def _healthy(self, group: int) -> bool:
        """Whether it answers, and is the one that was started: another program may have been quicker on the port."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5.0)
        try:
            connection.request("GET", "/health")
            healthy = connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False  # it does not listen yet
        finally:
            connection.close()
        owners = _listening(self.port) if healthy else set()
        return healthy and (not owners or group in owners)

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        _kill_group(process.pid)
        if process is self._process:
            self._mourn()

    def _mourn(self) -> None:
        with self._mourning:
            mourners, self._mourners = self._mourners, []
        for mourner in mourners:
            mourner()

    def _tail(self) -> str:
        with contextlib.suppress(OSError), self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - 65_536))
            return log.read().decode("utf-8", "replace")
        return ""


def _telling(log: str) -> str:
    """The last line of a log; before it the last error, where the last line only says that there was one."""
    lines = [text for line in log.splitlines() if (text := _PREFIX.sub("", line).rstrip())]
    last = lines[-1] if lines else ""
    causes = [line for line in lines if _ERROR.search(line) and not _ELSEWHERE.search(line)]
    if not causes or causes[-1] == last:
        return last
    return f"{causes[-1][:150]} ... {last}"


def _kill_group(leader: int) -> None:
    """SIGKILL for whoever is left, and a moment until they are gone: the next server needs their memory."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody is left, or only ghosts (macOS)
        os.killpg(leader, signal.SIGKILL)
    end = time.monotonic() + AFTERMATH
    while _living(leader) and time.monotonic() < end:
        time.sleep(0.01)


def _living(group: int) -> bool:
    """Whether a process group has members that are no zombies, as far as one may know (Linux; False elsewhere)."""
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended
            state, _, of = status.read_text().rpartition(")")[2].split()[:3]
            if int(of) == group and state != "Z":
                return True
    return False


def _listening(port: int) -> set[int]:
    """The process groups that listen on a port of this machine, as far as one may know (Linux; nothing elsewhere)."""
    sockets = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                    sockets.add(f"socket:[{fields[9]}]")
    groups = set()
    for process in Path("/proc").glob("[0-9]*") if sockets else ():
        with contextlib.suppress(OSError):  # it has ended, or belongs to somebody else
            if any(os.readlink(handle) in sockets for handle in (process / "fd").iterdir()):
                groups.add(os.getpgid(int(process.name)))
    return groups


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _new_log(name: str) -> Path:
    """A file for the log, readable for its owner only. The oldest of many are deleted."""
    folder = cache_folder() / "logs"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for old in sorted(folder.glob("vllm-*.log"), key=lambda path: path.stat().st_mtime)[: -LOGS + 1]:
            old.unlink()
        safe = re.sub(r"[^\w.-]+", "-", name).strip("-.")[-60:]
        path = folder / f"vllm-{safe}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}.log"
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except OSError as error:
        raise UsageError(f"{folder}: no log of the server can be written there ({error.strerror})") from None
    return path
