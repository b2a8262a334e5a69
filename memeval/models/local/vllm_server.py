"""One `vllm serve` process: started, awaited, and always ended. UNTESTED ON A GPU: the tests run a program that behaves
like it.

It listens on 127.0.0.1 at a free port, gets its own key through its environment, writes to a log file, and runs under
guardian.py in its own session, so that it ends when this process ends, for whatever reason.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from memeval.config import cache_folder
from memeval.errors import UsageError
from memeval.models import keys
from memeval.models.faults import EndpointError
from memeval.models.reply import one_line

GRACE = 20.0  # seconds from SIGTERM to SIGKILL
POLL = 0.25  # seconds between two checks of a starting server
_ERROR = re.compile(r"\b\w*(Error|Exception)\b: |^vllm( \w+)?: error: ")  # the second: an unknown option
_ELSEWHERE = re.compile(r"root cause|Engine core initialization failed", re.IGNORECASE)
_PREFIX = re.compile(r"^(\x1b\[[\d;]*m|\([\w ]*pid=\d+\)|[A-Z]+ \d\d-\d\d [\d:]+ \[[^\]]*\]|\s)+")


class ServerEnded(EndpointError):
    """The server could not be started, or it ended by itself: the run stops, and the same command resumes it. The
    message is one line with the last error of the log and the path of the log."""


class VllmServer:
    """name: the model's, for messages. command: the command line, which listens on `port`. start_timeout: seconds until
    it must be healthy. environment: additional variables."""

    def __init__(
        self, name: str, port: int, command: Sequence[str], start_timeout: float, environment: Mapping[str, str]
    ) -> None:
        self.name = name
        self.key = secrets.token_urlsafe(32)
        self.base_url = f"http://127.0.0.1:{port}/v1"
        self.log = cache_folder() / "logs" / f"vllm-{re.sub(r'[^A-Za-z0-9.]+', '-', name).strip('-.')[-60:]}.log"
        self._command = command
        self._start_timeout = start_timeout
        self._environment = {**keys.environment(), **environment, "VLLM_API_KEY": self.key}
        self._closing = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def usable(self) -> bool:
        """Whether its process is running."""
        return self._process is not None and self._process.poll() is None and not self._closing.is_set()

    def start(self) -> None:
        """Start the server and return when it is healthy; blocks for minutes. Raises ServerEnded, or UsageError if the
        program cannot be run."""
        print(f"memeval: starting vllm serve {self.name} (log: {self.log})", file=sys.stderr)
        guardian = [sys.executable, "-I", str(Path(__file__).with_name("guardian.py")), str(os.getpid()), str(GRACE)]
        try:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            self.log.unlink(missing_ok=True)
            with open(os.open(self.log, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600), "ab") as log:  # only for its owner
                self._process = subprocess.Popen(
                    [*guardian, *self._command],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=self._environment,
                    start_new_session=True,
                )
        except OSError as error:
            raise UsageError(f"vllm/{self.name}: cannot be started ({error})") from None
        end = time.monotonic() + self._start_timeout
        while time.monotonic() < end and self.usable:
            if self._healthy():
                return
            self._closing.wait(POLL)
        words = self.why_ended()
        self.close()
        raise ServerEnded(words)

    def close(self) -> None:
        """Send SIGTERM, then SIGKILL to what is left of the process group."""
        self._closing.set()
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)  # to the guardian, which ends the rest
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE + 2.0)
        with contextlib.suppress(ProcessLookupError, PermissionError):  # nothing is left, or only zombies (macOS)
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def why_ended(self) -> str:
        """Why the server ended, as one line."""
        if self._closing.is_set():
            return f"vllm/{self.name}: the server was stopped"
        status = None if self._process is None else self._process.poll()
        what = (
            f"not healthy after {self._start_timeout:g} s" if status is None else f"the server ended (exit status {status})"
        )
        log = self.log.read_bytes()[-65_536:].decode("utf-8", "replace") if self.log.is_file() else ""
        said = one_line(last_error(log), self.key, 300)
        return f"vllm/{self.name}: {what}: {said or 'its log is empty'} (log: {self.log})"

    def _healthy(self) -> bool:
        """Whether it serves the model for its own key: another program may have taken the port."""
        request = urllib.request.Request(f"{self.base_url}/models", headers={"Authorization": f"Bearer {self.key}"})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=5.0) as reply:
                return self.name in [model["id"] for model in json.loads(reply.read())["data"]]
        except (OSError, ValueError, LookupError, TypeError):
            return False  # it is not listening yet, or is another program


def last_error(log: str) -> str:
    """The last line of a log, after the last error if the last line only reports that there was one."""
    lines = [text for line in log.splitlines() if (text := _PREFIX.sub("", line).rstrip())]
    last = lines[-1] if lines else ""
    causes = [line for line in lines if _ERROR.search(line) and not _ELSEWHERE.search(line)]
    return f"{causes[-1][:150]} ... {last}" if causes and causes[-1] != last else last


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
