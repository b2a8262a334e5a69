"""Progress: live on a terminal, a line a minute elsewhere, silent when asked; never on stdout."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from memeval.records.rows import SampleRow, Usage
from memeval.runs import progress
from memeval.runs.progress import Progress
from memeval.runs.signals import AgentSlow, ContextDone

SAMPLE = SampleRow(
    question_id="q",
    context_id="c",
    repeat=0,
    answer="Arlen",
    failure=None,
    calls={"reader": 1},
    tokens={"reader": Usage(1500, 10)},
)


def test_a_method_that_takes_long_is_named_until_its_context_goes_on() -> None:
    shown = Progress("bm25 on synth-10k", contexts=10, samples=20, quiet=True)
    shown.see(AgentSlow("c", "observe"))
    assert shown.line().endswith("; c: observe has not returned for a minute")
    shown.see(SAMPLE)
    assert "has not returned" not in shown.line()


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


def test_the_line_counts_what_happened(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    shown = Progress("bm25 on synth-10k", contexts=10, samples=20, quiet=True)
    clock.now += 10
    for number in range(5):
        shown.see(msgspec.structs.replace(SAMPLE, failure="no reply" if number == 0 else None))
    shown.see(ContextDone("c", 0))
    line = shown.line()
    assert line.startswith("bm25 on synth-10k: 1/10 contexts, 5/20 questions")
    assert "0.5 calls/s, 7.5k tokens in, 50 out, 1 failed, 0:30 left" in line


def test_a_line_a_minute_when_not_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    with Progress("x", contexts=1, samples=100) as shown:
        for _ in range(100):
            clock.now += 1.5
            shown.see(SAMPLE)
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 2  # 150 seconds

    with Progress("x", contexts=1, samples=100, quiet=True) as shown:
        for _ in range(100):
            clock.now += 1.5
            shown.see(SAMPLE)
    assert capsys.readouterr() == ("", "")


def test_live_on_a_terminal(tmp_path: Path) -> None:
    master, terminal = pty.openpty()
    command = [
        *(sys.executable, "-m", "memeval.cli", "run", "--agent", "memalpha", "--task", "synth-10k", "--limit", "8"),
        *("--model", "offline", "--runs-dir", str(tmp_path), "--format", "json"),
    ]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "200"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=terminal, env=environment) as process:
        os.close(terminal)
        screen = b""
        while True:
            try:
                block = os.read(master, 65536)
            except OSError:  # the other end is closed
                break
            screen += block
            if not block:
                break
        assert process.stdout is not None
        assert process.stdout.read().startswith(b'{"runs"')
    os.close(master)
    assert b"memalpha on synth-10k: " in screen
    assert b"/8 contexts" in screen
