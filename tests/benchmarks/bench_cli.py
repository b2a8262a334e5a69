"""What a user waits for before anything happens, as ratios to importing click (DESIGN section 8: 3x and 5x)."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.benchmark


def wall(*words: str) -> float:
    """Median seconds of nine runs of a Python process, after one that warms the disk."""
    times = []
    for _ in range(10):
        begun = time.monotonic()
        subprocess.run([sys.executable, *words], capture_output=True, check=True)
        times.append(time.monotonic() - begun)
    return statistics.median(times[1:])


def test_start() -> None:
    click = wall("-c", "import click")
    for words in (["--help"], ["list", "tasks"], ["list", "agents"]):
        seconds = wall("-m", "memeval.cli", *words)
        ratio = seconds / click
        print(f"\nmemeval {' '.join(words)}: {seconds * 1000:.0f} ms, {ratio:.1f}x importing click ({click * 1000:.0f} ms)")
