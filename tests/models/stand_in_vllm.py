"""A program that behaves like `vllm serve`, as far as memeval can see: for tests of how the process is handled.

`make(folder, **behaviour)` writes the executable. behaviour: delay (seconds until healthy), crash_start, crash_call (ends at
the first call), hang_stop (ignores SIGTERM), never (never healthy).
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

PROGRAM = """#!{python} -I
import json, os, signal, subprocess, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

behaviour = {behaviour}
notes = {notes!r}
words = sys.argv[1:]
port = int(words[words.index("--port") + 1])
name = words[words.index("--served-model-name") + 1]
key = os.environ.get("VLLM_API_KEY")
engine = subprocess.Popen([sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"])
with open(notes, "a") as file:
    file.write(json.dumps({{"argv": words, "pid": os.getpid(), "engine": engine.pid, "port": port,
                           "environment": dict(os.environ)}}) + "\\n")
print("(APIServer pid=1) INFO 11-22 10:00:00 [api.py:1] starting", flush=True)


def stop(number, frame):
    print("told to end", flush=True)
    if not behaviour.get("hang_stop"):
        os._exit(0)


signal.signal(signal.SIGTERM, stop)
if behaviour.get("crash_start"):
    print("(EngineCore pid=2) ERROR 11-22 10:00:01 [core.py:7] ValueError: no room for the KV cache of " + str(key))
    print("RuntimeError: Engine core initialization failed. See root cause above.", flush=True)
    sys.exit(1)
ready = time.time() + behaviour.get("delay", 0)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *words):
        pass

    def answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def allowed(self):
        return self.headers.get("Authorization") == "Bearer " + str(key)

    def do_GET(self):
        if time.time() < ready or behaviour.get("never"):
            return self.answer(503, {{}})
        if not self.allowed():
            return self.answer(401, {{"error": "Unauthorized"}})
        self.answer(200, {{"data": [{{"id": name}}]}})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        print("a call", flush=True)
        if not self.allowed():
            return self.answer(401, {{"error": "Unauthorized"}})
        if behaviour.get("crash_call"):
            print("torch.OutOfMemoryError: CUDA out of memory", flush=True)
            os._exit(0)  # with status 0, as vllm does when its engine dies
        time.sleep(behaviour.get("latency", 0))
        if self.path == "/v1/embeddings":
            data = [{{"index": n, "embedding": [float(len(text)), 1.0]}} for n, text in enumerate(asked["input"])]
            return self.answer(200, {{"data": data, "usage": {{"prompt_tokens": 10}}}})
        text = asked["messages"][-1]["content"]
        choice = {{"message": {{"content": "echo: " + text}}, "finish_reason": "stop"}}
        self.answer(200, {{"choices": [choice], "usage": {{"prompt_tokens": 3, "completion_tokens": 2}}}})


server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
server.daemon_threads = True
server.serve_forever()
"""


class StandIn:
    """path: the executable. starts: what each start of it noted (argv, pid, engine, port, environment)."""

    def __init__(self, folder: Path, **behaviour: object) -> None:
        self.path = folder / "vllm"
        self._notes = folder / "starts.jsonl"
        self.path.write_text(PROGRAM.format(python=sys.executable, behaviour=behaviour, notes=str(self._notes)))
        self.path.chmod(0o755)

    @property
    def starts(self) -> list[dict]:
        if not self._notes.exists():
            return []
        return [json.loads(line) for line in self._notes.read_text().splitlines()]

    def running(self) -> list[int]:
        """Which processes of it are still there: servers and their engines."""
        return [pid for start in self.starts for pid in (start["pid"], start["engine"]) if alive(pid)]


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        os.kill(pid, 0)
        status = Path(f"/proc/{pid}/stat").read_text() if Path("/proc/self/stat").exists() else ") R"
    except (ProcessLookupError, FileNotFoundError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def until(condition: Callable[[], object], seconds: float = 500.0) -> None:
    """Return once the condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)
