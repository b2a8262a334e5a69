"""Progress: live on a terminal, a line a minute elsewhere, silent when asked; never on stdout."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path

import msgspec
import preloaded
import pytest

from memeval.records.rows import SampleRow, Usage
from memeval.runs import progress
from memeval.runs.progress import Position, Progress
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


def test_a_method_that_takes_long_is_named_until_its_context_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    shown = Progress("bm25 on synth-10k", contexts=10, samples=20, quiet=True)
    shown.see(AgentSlow("c", "observe"))
    clock.now += 35
    assert shown.line().endswith("; c: observe has been running for 1:35")  # it is reported after a minute
    shown.see(SAMPLE)
    assert "has been running" not in shown.line()


def test_the_time_left_is_that_of_all_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """10 samples in 20 seconds, of three runs of 20, 20 and 30 samples: 60 are left, 2 seconds each. The second run holds
    15 of its 20 already."""
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    position = Position([20, 20, 30])
    with Progress("a on t", contexts=20, samples=20, quiet=True, position=position) as shown:
        assert shown.line().startswith("a on t (run 1 of 3): ")
        assert "time left unknown" in shown.line()
        clock.now += 20
        for _ in range(10):
            shown.see(SAMPLE)
        assert ", 2:00 left" in shown.line()
        clock.now += 20
        for _ in range(10):
            shown.see(SAMPLE)
    position.number = 2
    with Progress("b on t", contexts=5, samples=5, quiet=True, position=position) as shown:
        assert shown.line().startswith("b on t (run 2 of 3): ")
        assert ", 1:10 left" in shown.line()


def test_a_line_a_minute_when_not_on_a_terminal_also_while_nothing_happens(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    waited: list[float] = []
    spoken = threading.Event()  # made before the class is replaced

    class Ended(threading.Event):
        """Time goes by at once, twice."""

        def wait(self, timeout: float | None = None) -> bool:
            if timeout is not None:
                waited.append(timeout)
                if len(waited) <= 2:
                    return False
                spoken.set()
            return super().wait()

    monkeypatch.setattr(progress.threading, "Event", Ended)
    with Progress("x", contexts=1, samples=100):
        assert spoken.wait()
    out, err = capfd.readouterr()
    assert out == ""
    assert [line.split(":")[0] for line in err.splitlines()] == ["x", "x"]
    assert waited[:2] == [60.0, 60.0]
    spoken.clear()
    waited.clear()
    with Progress("x", contexts=1, samples=100, quiet=True):
        pass
    assert (waited, capfd.readouterr().err) == ([], "")


def test_live_on_a_terminal(tmp_path: Path) -> None:
    words = [
        *("run", "--agent", "memalpha", "--task", "synth-10k", "--limit", "8"),
        *("--model", "offline", "--runs-dir", str(tmp_path), "--format", "json"),
    ]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "200"}
    process, shown = preloaded.on_terminal(words, "stderr", environment, stdout=subprocess.PIPE)
    assert process.communicate()[0].startswith('{"runs"')
    assert "memalpha on synth-10k: " in shown
    assert "/8 contexts" in shown
