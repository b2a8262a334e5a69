"""One `vllm serve` process: started, waited for, and always ended. UNTESTED ON A GPU: the tests run a stand-in.

It listens on 127.0.0.1 at a free port, with a key of its own that it gets through its environment, writes to a log file, and
runs under guardian.py in a session of its own, so that it ends with this process however that ends. Nothing here belongs to
an event loop: a server may serve several runs, one after the other.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from memeval.config import cache_folder
from memeval.errors import UsageError
from memeval.models import keys
from memeval.models.faults import EndpointError
from memeval.models.reply import one_line
from memeval.models.store import to_stderr

GRACE = 20.0  # seconds from SIGTERM to SIGKILL
POLL = 0.25  # seconds between two looks at a server that is starting
PORTS = 3  # tries, should another program take the port in between
LOGS = 20  # log files that are kept
_TAKEN = re.compile(r"address already in use|errno 98\b|EADDRINUSE", re.IGNORECASE)
_ERROR = re.compile(r"\b\w*(Error|Exception)\b: |^vllm( \w+)?: error: ")  # the second: an option it does not have
_ELSEWHERE = re.compile(r"root cause|Engine core initialization failed", re.IGNORECASE)
_PREFIX = re.compile(r"^(\x1b\[[\d;]*m|\([\w ]*pid=\d+\)|[A-Z]+ \d\d-\d\d [\d:]+ \[[^\]]*\]|\s)+")


class ServerEnded(EndpointError):
    """The server could not be started, or it ended by itself: the run stops, and the same command resumes it. One line,
    with what the log says last and where the log is."""


class VllmServer:
    """command: the command line for a port. name: for messages. patience: seconds until it must be healthy. environment: set
    on top of ours."""

    def __init__(
        self, name: str, command: Callable[[int], list[str]], patience: float, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.key = secrets.token_urlsafe(32)
        self.log = _new_log(name)
        self.port = 0
        self._command = command
        self._patience = patience
        self._environment = {**keys.environment(), **(environment or {}), "VLLM_API_KEY": self.key}
        self._starting = threading.Lock()
        self._closing = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._up = False

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
                to_stderr(f"memeval: starting vllm serve {self.name} (log: {self.log})")
                for attempt in range(PORTS):
                    self._up = self._started()
                    if self._up or attempt == PORTS - 1 or not _TAKEN.search(self._tail()):
                        break
            if not self.usable:
                words = self.last_words()
                self.close()
                raise ServerEnded(words)

    def close(self) -> None:
        """SIGTERM, and SIGKILL for what is left of the process group."""
        self._closing.set()
        process = self._process
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)  # to the guardian, which knows how to end the rest
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE + 2.0)
        _kill_group(process)
        process.wait()

    def last_words(self) -> str:
        """Why it ended, as one line."""
        if self._closing.is_set():
            return f"vllm/{self.name}: the server was stopped"
        status = None if self._process is None else self._process.poll()
        what = f"not healthy after {self._patience:g} s" if status is None else f"the server ended (exit status {status})"
        said = one_line(_telling(self._tail()), self.key, 300)
        return f"vllm/{self.name}: {what}: {said or 'its log is empty'} (log: {self.log})"

    def _started(self) -> bool:
        """One try: whether it is healthy in time. What an earlier one left behind is killed."""
        if self._process is not None:
            _kill_group(self._process)
        self.port = _free_port()
        guardian = [sys.executable, "-I", str(Path(__file__).with_name("guardian.py")), str(os.getpid()), str(GRACE)]
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
        end = time.monotonic() + self._patience
        while time.monotonic() < end and process.poll() is None and not self._closing.wait(POLL):
            if self._healthy():
                return True
        return False

    def _healthy(self) -> bool:
        """Whether it answers, and to its own key: another program may have been quicker on the port."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5.0)
        try:
            connection.request("GET", "/health")
            reply = connection.getresponse()
            reply.read()
            connection.request("GET", "/v1/models", headers={"Authorization": f"Bearer {self.key}"})
            models = connection.getresponse()
            served = [model.get("id") for model in json.loads(models.read())["data"]] if models.status == 200 else []
        except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError, AttributeError):
            return False  # it does not listen yet, or is another program
        finally:
            connection.close()
        return reply.status == 200 and self.name in served

    def _tail(self) -> str:
        with contextlib.suppress(OSError), self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - 65_536))
            return log.read().decode("utf-8", "replace")
        return ""


def _kill_group(leader: subprocess.Popen[bytes]) -> None:
    """SIGKILL for the guardian, the server and all that the server started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # none is left, or only zombies (macOS)
        os.killpg(leader.pid, signal.SIGKILL)


def _telling(log: str) -> str:
    """The last line of a log; before it the last error, where the last line only says that there was one."""
    lines = [text for line in log.splitlines() if (text := _PREFIX.sub("", line).rstrip())]
    last = lines[-1] if lines else ""
    causes = [line for line in lines if _ERROR.search(line) and not _ELSEWHERE.search(line)]
    return f"{causes[-1][:150]} ... {last}" if causes and causes[-1] != last else last


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _new_log(name: str) -> Path:
    """A file for the log, readable for its owner only. The oldest of many are deleted."""
    folder = cache_folder() / "logs"
    safe = re.sub(r"[^\w.-]+", "-", name).strip("-.")[-60:]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for old in sorted(folder.glob("vllm-*.log"), key=lambda path: path.stat().st_mtime)[: -LOGS + 1]:
            old.unlink()
        handle, path = tempfile.mkstemp(".log", f"vllm-{safe}-{time.strftime('%Y%m%d-%H%M%S')}-", folder)
        os.close(handle)
    except OSError as error:
        raise UsageError(f"{folder}: no log of the server can be written there ({error.strerror})") from None
    return Path(path)
