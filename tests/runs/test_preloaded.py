"""A command that is forked is what a command of a new Python is, to all that tests look at."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import preloaded
import pytest

AGENT = """
import atexit, json, os, signal, sys, threading
from memeval import Recall

atexit.register(print, "at exit", file=sys.stderr)
facts = [sys.argv, sys.path[0], os.getcwd(), sorted(os.environ.items()), sys.stdin.read(), sys.__stdout__.isatty()]
usual = [signal.default_int_handler, signal.SIG_DFL, signal.SIG_DFL]
facts += [[signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)] == usual]
facts += [threading.active_count(), os.getpgrp(), sorted(os.listdir("/dev/fd"))]
print(json.dumps(facts), file=sys.stderr)

class Says:
    def begin(self, session): pass
    def observe(self, chunk): END
    def recall(self, query): return Recall([])
"""
WORDS = ["run", "--agent", "says.py:Says", "--task", "synth-10k", "--limit", "1", "--model", "offline", "--quiet"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("os.kill(os.getpid(), signal.SIGINT)", 130),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("pass", 0),
    ],
)
def test_the_same_streams_folder_environment_signals_and_exit_code(tmp_path: Path, end: str, code: int) -> None:
    (tmp_path / "says.py").write_text(AGENT.replace("END", end))
    environment = {**os.environ, "MEMEVAL_CACHE": str(tmp_path / "cache"), "OWN": "1"}
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    forked = preloaded.start([*WORDS, "--runs-dir", "one"], tmp_path, environment, **pipes)
    out, err = forked.communicate("typed\n")
    command = [sys.executable, "-m", "memeval", *WORDS, "--runs-dir", "two"]
    new = subprocess.run(
        command, cwd=tmp_path, env=environment, input="typed\n", capture_output=True, text=True, check=False
    )
    assert forked.returncode == new.returncode == code
    assert re.sub(r"[\d.]+", "", out).replace("one/", "two/") == re.sub(r"[\d.]+", "", new.stdout)
    (facts, *lines), (expected, *others) = err.splitlines(), new.stderr.splitlines()
    assert [line.replace("--runs-dir one", "--runs-dir two") for line in lines] == others
    assert json.loads(facts)[1:] == json.loads(expected)[1:]
    assert json.loads(facts)[0][1:] == [*WORDS, "--runs-dir", "one"]
    assert "typed" in facts


def test_nothing_is_forked_where_python_reads_a_variable_of_the_environment(tmp_path: Path) -> None:
    program = preloaded.start(["--version"], tmp_path, {**os.environ, "PYTHONVERBOSE": "1"}, stderr=subprocess.PIPE)
    assert "import _frozen_importlib" in program.communicate()[1]
