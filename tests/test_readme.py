"""What the README shows is run as it stands there."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from memeval.cli import main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {path.name: path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]}


def block(language: str, first_words: str) -> str:
    """The fenced block of that language that starts with those words."""
    found = [text for text in re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL) if text.startswith(first_words)]
    assert len(found) == 1, (language, first_words)
    return str(found[0])


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_agent.py").write_text(block("python", "from memeval"), encoding="utf-8")
    (tmp_path / "my-notes.yaml").write_text(block("yaml", "description"), encoding="utf-8")
    (tmp_path / "my-notes.jsonl").write_text(block("json", '{"id"'), encoding="utf-8")
    return tmp_path


def test_ten_lines_are_ten_lines(project: Path) -> None:
    assert len([line for line in (project / "my_agent.py").read_text().splitlines() if line.strip()]) <= 10
    assert len((project / "my-notes.yaml").read_text().splitlines()) <= 10


def test_the_agent_of_the_readme(project: Path) -> None:
    check, run = block("sh", "memeval check").strip().splitlines()
    checked = CliRunner().invoke(main, shlex.split(check)[1:])
    assert checked.exit_code == 0, checked.output
    assert "may claim" in checked.output
    done = CliRunner().invoke(main, [*shlex.split(run)[1:], "--limit", "6", "--format", "json", "--quiet"])
    assert done.exit_code == 0, done.output
    runs = json.loads(done.stdout)["runs"]
    assert [(row["agent"], row["params"]) for row in runs] == [
        ("my_agent.py:Notebook", {"last": 2}),
        ("my_agent.py:Notebook", {"last": 5}),
        ("none", {}),
        ("oracle", {}),
    ]
    assert runs[3]["headline"]["value"] > runs[2]["headline"]["value"]


def test_the_task_of_the_readme(project: Path) -> None:
    line = block("sh", "memeval run --agent bm25 --task my-notes").strip()
    done = CliRunner().invoke(main, [*shlex.split(line)[1:], "--format", "json", "--quiet"])
    assert done.exit_code == 0, done.output
    run = json.loads(done.stdout)["runs"][0]
    assert (run["task"], run["n"], run["headline"]["value"]) == ("my-notes.yaml", 1, 1.0)
    assert run["path"].startswith("runs/my-notes/bm25-")


def test_the_table_of_the_readme_is_that_of_the_leaderboards() -> None:
    """A slow test compares leaderboards/synth.md with what its commands print."""
    synth = (ROOT / "leaderboards" / "synth.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([\w-]+) +\| +([\d.]+) \| ([\d.]+) to ([\d.]+) +\|", README, re.MULTILINE)
    assert len(rows) == 6
    for agent, value, low, high in rows:
        assert re.search(rf"^\| {agent} +\| +{value} \\\[{low}, {high}\\\] \|", synth, re.MULTILINE), agent


@pytest.mark.parametrize("page", [name for name, text in PAGES.items() if "```sh\nmemeval" in text])
def test_every_command_of_the_documentation_parses(page: str) -> None:
    """Options and verbs shown anywhere in the README and in docs/ exist."""
    lines = [line for text in re.findall(r"```sh\n(.*?)```", PAGES[page], re.DOTALL) for line in text.splitlines()]
    commands = [part.split("memeval ", 1)[1] for line in lines for part in line.split("&&") if "memeval " in part]
    assert commands
    for command in commands:
        words = shlex.split(command.partition("#")[0])
        verb = main.commands[words[0]]
        if isinstance(verb, click.Group):
            verb = verb.commands[words[1]]
        known = {option for parameter in verb.params for option in parameter.opts}
        assert not [word for word in words if word.startswith("--") and word not in known], command
