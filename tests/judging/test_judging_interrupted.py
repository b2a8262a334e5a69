"""Ctrl-C while `run --judge` judges: the run is printed, with the line that resumes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from faulty_server import FaultyServer, in_thread


@pytest.mark.slow
def test_the_run_is_printed_all_the_same(tmp_path: Path) -> None:
    environment = {**os.environ, "MEMEVAL_CACHE": str(tmp_path / "cache")}
    with in_thread(FaultyServer(latency=30)) as server:
        words = ["run", "--agent", "bm25", "--task", "synth-10k", "--limit", "2", "--model", "offline", "--format", "json"]
        process = subprocess.Popen(
            [sys.executable, "-m", "memeval.cli", *words, "--judge", f"j@{server.url}", "--quiet"],
            **{"cwd": tmp_path, "env": environment, "text": True, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE},
        )
        while not server.seen and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    (run,) = json.loads(out)["runs"]
    assert (run["status"], run["n"], run["judge"]) == ("complete", 2, None)
    assert "the same command resumes" in err
    assert "memeval run --agent bm25" in err
    assert "Traceback" not in err
