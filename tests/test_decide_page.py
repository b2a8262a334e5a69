"""docs/decide.md: its commands run, and its workflow is YAML with flags that exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner

from memeval.cli import main

PAGE = (Path(__file__).parents[1] / "docs" / "decide.md").read_text(encoding="utf-8")
(WORKFLOW,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
SHELL = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)


def steps() -> list[dict[str, object]]:
    found = yaml.safe_load(WORKFLOW)
    assert set(found) == {"name", True, "permissions", "jobs"}  # YAML 1.1 reads `on` as true
    (job,) = found["jobs"].values()
    assert {"runs-on", "steps"} <= set(job)
    return list(job["steps"])


def commands() -> list[str]:
    """The lines of workflow and page that call memeval, without what a shell redirects."""
    lines = [line for step in steps() for line in str(step.get("run", "")).splitlines()]
    lines += [line for block in SHELL for line in block.splitlines()]
    return [line.partition(" > ")[0] for line in lines if line.startswith("memeval ")]


def test_each_step_is_one_that_github_runs() -> None:
    for step in steps():
        assert ("run" in step) != ("uses" in step), step
        assert set(step) <= {"name", "run", "uses", "with", "env", "if"}
    verbs = [line.split()[1] for line in commands()]
    assert {"run", "table", "gate", "export", "compare"} <= set(verbs)


@pytest.mark.parametrize("line", commands())
def test_its_commands_have_the_flags_they_use(line: str) -> None:
    verb, *arguments = shlex.split(line)[1:]
    command = main.commands[verb]
    parsed = command.make_context(verb, [part.replace("$TAG", "step-1") for part in arguments], resilient_parsing=False)
    assert isinstance(parsed, click.Context)


@pytest.mark.slow
def test_the_first_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for line in SHELL[0].strip().splitlines():
        arguments = shlex.split(line)[1:]
        if arguments[0] == "run":
            arguments += ["--limit", "12", "--quiet", "--no-cache"]
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == 0, (line, done.output)
    assert (tmp_path / "baseline" / "synth-10k" / "scores" / "task.jsonl").is_file()
