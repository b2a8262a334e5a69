"""Progress of runs: a live display on a terminal, one line a minute elsewhere, nothing with --quiet.

Everything goes to stderr, so stdout holds only results.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from memeval.records.rows import OperationRow, SampleRow
from memeval.runs.agent_runner import SLOW
from memeval.runs.signals import AgentSlow, ContextDone, Event
from memeval.wording import counted

MINUTE = 60.0
"""Seconds between two lines without a terminal."""


@dataclass
class Position:
    """How far a command has come. sizes: samples of each run, including finished ones. number: of the current run, from
    1. seconds, samples: totals of the runs before it."""

    sizes: Sequence[int] = (0,)
    number: int = 1
    seconds: float = 0.0
    samples: float = 0.0

    @property
    def later(self) -> int:
        """Samples of the runs after the current one."""
        return sum(self.sizes[self.number :])


class Progress:
    """Counts the events of one run and shows them. contexts, samples: numbers still to do. position: of the run among
    those of the command; None if it is the only one."""

    def __init__(
        self, label: str, contexts: int, samples: int, *, quiet: bool = False, position: Position | None = None
    ) -> None:
        self.label = label
        self.contexts, self.samples = contexts, samples
        self.quiet = quiet
        self.position = position or Position()
        self.done_contexts = self.done_samples = self.failures = self.calls = self.chunks = 0
        self.prompt = self.completion = 0
        self._started = time.monotonic()
        self._recent: deque[tuple[float, int]] = deque(maxlen=50)
        self._live: Any = None
        self._ended = threading.Event()
        self._slow: dict[str, tuple[str, float]] = {}  # context -> (method, when it was reported)

    def __enter__(self) -> Progress:
        if not self.quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(get_renderable=self._panel, console=Console(stderr=True), refresh_per_second=4, transient=True)
            self._live.start()
        elif not self.quiet:
            threading.Thread(target=self._speak, name="memeval-progress", daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        if self._live is not None:
            self._live.stop()
        self.position.seconds += time.monotonic() - self._started
        self.position.samples += self._share() * self.samples

    def _speak(self) -> None:
        """Print a line every minute, even if nothing happens."""
        while not self._ended.wait(MINUTE):
            print(self.line(), file=sys.stderr, flush=True)

    def see(self, event: Event) -> None:
        if isinstance(event, ContextDone):
            self.done_contexts += 1
        elif isinstance(event, AgentSlow):
            self._slow[event.context_id] = (event.method, time.monotonic())
        elif isinstance(event, (SampleRow, OperationRow)):
            self._slow.pop(event.context_id, None)
            if isinstance(event, SampleRow):
                self.done_samples += 1
                self.failures += event.failure is not None
            else:
                self.chunks += event.chunk_tokens > 0
            self.calls += sum(event.calls.values())
            for used in event.tokens.values():
                self.prompt += used.prompt
                self.completion += used.completion

    def line(self) -> str:
        """The number of the run, contexts, questions, chunks, calls per second, tokens, failures, the time left for all
        runs, and the agent's method that has not returned, if any."""
        now = time.monotonic()
        self._recent.append((now, self.calls))
        since, before = self._recent[0]
        rate = (self.calls - before) / (now - since) if now - since > 0.5 else self.calls / max(now - self._started, 1e-3)
        several = len(self.position.sizes)
        run = f" (run {self.position.number} of {several})" if several > 1 else ""
        slow = "".join(
            f"; {context}: {method} has been running for {_clock(SLOW + now - reported)}"
            for context, (method, reported) in list(self._slow.items())[:1]
        )
        return (
            f"{self.label}{run}: {self.done_contexts}/{counted(self.contexts, 'context')}, "
            f"{self.done_samples}/{counted(self.samples, 'question')}, {counted(self.chunks, 'chunk')}, "
            f"{rate:.1f} calls/s, {_short(self.prompt)} tokens in, {_short(self.completion)} out, "
            f"{self.failures} failed, {self._left(now)}{slow}"
        )

    def _share(self) -> float:
        """The finished share of this run, from 0 to 1."""
        return max(self.done_samples / max(self.samples, 1), self.done_contexts / max(self.contexts, 1))

    def _left(self, now: float) -> str:
        """The time left for the samples of all runs, at the speed so far."""
        done = self._share() * self.samples
        if not self.position.samples + done:
            return "time left unknown"
        each = (self.position.seconds + now - self._started) / (self.position.samples + done)
        return f"{_clock(each * (self.samples - done + self.position.later))} left"

    def _panel(self) -> Any:
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=(0, 1))
        grid.add_row(ProgressBar(total=max(self.samples, 1), completed=self.done_samples, width=30), Text(self.line()))
        return grid


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _short(number: float) -> str:
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= limit:
            return f"{number / limit:.1f}{unit}"
    return f"{number:.0f}"
