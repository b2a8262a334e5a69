"""Ctrl-C or SIGTERM while `run --judge` judges: the run is printed, with the line that resumes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import preloaded
import pytest
from faulty_server import FaultyServer, in_thread


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_run_is_printed_all_the_same(tmp_path: Path, number: signal.Signals) -> None:
    environment = {**os.environ, "MEMEVAL_CACHE": str(tmp_path / "cache")}
    with in_thread(FaultyServer(latency=30)) as server:
        words = ["run", "--agent", "bm25", "--task", "synth-10k", "--limit", "2", "--model", "offline", "--format", "json"]
        words += ["--judge", f"j@{server.url}", "--quiet"]
        process = preloaded.start(words, tmp_path, environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while not server.seen and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(number)
        out, err = process.communicate()
    assert process.returncode == 130, err
    (run,) = json.loads(out)["runs"]
    assert (run["status"], run["n"], run["judge"]) == ("complete", 2, None)
    assert "the same command resumes" in err
    assert "memeval run --agent bm25" in err
    assert "Traceback" not in err
