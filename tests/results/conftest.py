"""Run folders for tests of what follows a run."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import pytest
from made_runs import made_run


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """`make_run(questions, ...)`: the path of a new run folder in `tmp_path/runs` (made_runs.made_run)."""
    return functools.partial(made_run, tmp_path / "runs")
