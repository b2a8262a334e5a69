"""What a user sees while a run goes on: a live display on a terminal, one line a minute elsewhere, nothing with --quiet.

Everything goes to stderr, so that stdout holds results alone.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from types import TracebackType
from typing import Any

from memeval.records.rows import OperationRow, SampleRow
from memeval.runs.signals import AgentSlow, ContextDone, Event


class Progress:
    """Counts events of one run and shows them. total: samples and contexts still to do."""

    def __init__(self, label: str, contexts: int, samples: int, chunks: int | None = None, quiet: bool = False) -> None:
        self.label = label
        self.contexts, self.samples = contexts, samples
        self.quiet = quiet
        self.done_contexts = self.done_samples = self.failures = self.calls = self.chunks = 0
        self.prompt = self.completion = 0
        self._started = self._printed = time.monotonic()
        self._recent: deque[tuple[float, int]] = deque(maxlen=50)
        self._live: Any = None
        self._slow: AgentSlow | None = None

    def __enter__(self) -> Progress:
        if not self.quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(get_renderable=self._panel, console=Console(stderr=True), refresh_per_second=4, transient=True)
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    def see(self, event: Event) -> None:
        if isinstance(event, ContextDone):
            self.done_contexts += 1
        elif isinstance(event, AgentSlow):
            self._slow = event
        elif isinstance(event, (SampleRow, OperationRow)):
            if self._slow is not None and event.context_id == self._slow.context_id:
                self._slow = None
            if isinstance(event, SampleRow):
                self.done_samples += 1
                self.failures += event.failure is not None
            else:
                self.chunks += 1
            self.calls += sum(event.calls.values())
            for used in event.tokens.values():
                self.prompt += used.prompt
                self.completion += used.completion
        if self._live is None and not self.quiet and time.monotonic() - self._printed >= 60:
            self._printed = time.monotonic()
            print(self.line(), file=sys.stderr, flush=True)

    def line(self) -> str:
        """Contexts, questions, calls per second, tokens, failures, time left."""
        now = time.monotonic()
        self._recent.append((now, self.calls))
        since, before = self._recent[0]
        rate = (self.calls - before) / (now - since) if now - since > 0.5 else self.calls / max(now - self._started, 1e-3)
        share = max(self.done_samples / max(self.samples, 1), self.done_contexts / max(self.contexts, 1))
        eta = f"{_clock((now - self._started) * (1 - share) / share)} left" if share > 0 else "time left unknown"
        slow = f"; {self._slow.context_id}: {self._slow.method} has not returned for a minute" if self._slow else ""
        return (
            f"{self.label}: {self.done_contexts}/{self.contexts} contexts, {self.done_samples}/{self.samples} questions, "
            f"{self.chunks} chunks, {rate:.1f} calls/s, {_short(self.prompt)} tokens in, {_short(self.completion)} out, "
            f"{self.failures} failed, {eta}{slow}"
        )

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
