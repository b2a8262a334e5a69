"""docs/tables.md and leaderboards/synth.md show what their commands print."""

from __future__ import annotations

import io
import re
import shlex
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from memeval.cli import main

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "tables.md").read_text(encoding="utf-8")
SYNTH = (ROOT / "leaderboards" / "synth.md").read_text(encoding="utf-8")
README = (ROOT / "leaderboards" / "README.md").read_text(encoding="utf-8")


def commands(page: str, first: str) -> list[list[str]]:
    """The lines of the fenced block that starts with these words, each without `memeval`."""
    (block,) = [text for text in re.findall(r"```sh\n(.*?)```", page, re.DOTALL) if text.startswith(first)]
    return [shlex.split(line)[1:] for line in block.strip().splitlines()]


def printed(words: list[str]) -> str:
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    return str(done.output)


def test_the_published_table_of_the_page() -> None:
    (words,) = commands(PAGE, "memeval leaderboard show")
    first = printed(words).split("\n\n**Memory")[0]
    assert first in PAGE


def test_the_table_of_runs_is_the_one_of_the_leaderboards() -> None:
    assert SYNTH.split("\n\n**synth-10k by kind")[0] in PAGE


def test_the_python_of_the_page(make_run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run([1.0, 0.0], agent="bm25")
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {}
    with redirect_stdout(io.StringIO()) as out:
        exec(code, names)
    assert r"\toprule" in out.getvalue()
    assert "<table>" in names["grid"]._repr_html_()
    frame = names["grid"].to_pandas()
    assert (frame["agent"].tolist(), frame["value"].tolist()) == (["bm25"], [0.5])


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_runs_of_the_leaderboards_give_the_same_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    *runs, show = commands(README, "memeval run")
    for run in runs:
        printed([*run, "--quiet"])
    assert printed(show) == SYNTH
    assert commands(PAGE, "memeval run")[:-1] == runs
