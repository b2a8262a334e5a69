"""`--log wandb`: what is sent, what is not, and that nothing is lost where it cannot be sent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner
from made_runs import Asked

from memeval.cli import main
from memeval.results import wandb_log
from memeval.results.load import load_runs

Make = Callable[..., Path]
RUN = ["run", "--agent", "bm25", "--task", "synth-10k", "--model", "offline", "--limit", "2", "--quiet"]


class Recorded(ModuleType):
    """A package of the same name that keeps what it is given."""

    class Error(Exception): ...

    def __init__(self) -> None:
        super().__init__("wandb")
        self.given: dict[str, Any] = {}
        self.logged: dict[str, Any] = {}
        self.summary: dict[str, Any] = {}
        self.finished = 0
        self.logins = 0
        self.fault: Exception | None = None

    def login(self) -> None:
        self.logins += 1

    def Settings(self, **settings: Any) -> dict[str, Any]:
        return settings

    def Table(self, columns: list[str], data: list[list[Any]]) -> list[dict[str, Any]]:
        return [dict(zip(columns, row, strict=True)) for row in data]

    def init(self, **given: Any) -> Recorded:
        if self.fault:
            raise self.fault
        self.given = given
        return self

    def log(self, values: dict[str, Any]) -> None:
        self.logged |= values

    def finish(self) -> None:
        self.finished += 1


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    found = Recorded()
    monkeypatch.setitem(sys.modules, "wandb", found)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    return found


def test_what_is_logged(make_run: Make, package: Recorded) -> None:
    asked = [Asked("q1", 1.0), Asked("q2", 0.0, answer="Rome\x1b[31m"), Asked("q3", None)]
    (run,) = load_runs(make_run(asked, label="first try", model="m", reader="r"))
    wandb_log.log(run)
    given, numbers = package.given, package.summary
    assert (given["project"], given["name"], given["group"]) == ("memeval", "first try", "toy-10k")
    assert given["config"]["identity"] == run.manifest.identity
    assert given["config"]["models"] == {"memory": "m", "reader": "r"}
    assert "1 failed" in given["notes"]
    assert (numbers["f1/value"], numbers["f1/n"], numbers["failed"]) == (pytest.approx(1 / 3), 3, 1)
    assert numbers["headline/metric"] == "f1"
    assert numbers["f1/low"] < 1 / 3 < numbers["f1/high"]
    rows = {row["question"]: row for row in package.logged["questions"]}
    assert (rows["q1"]["verdict"], rows["q1"]["score"], rows["q1"]["golds"]) == ("right", 1.0, "Paris")
    assert (rows["q2"]["answer"], rows["q3"]["answer"], rows["q3"]["verdict"]) == ("Rome [31m", "", "failed")
    assert package.finished == 1


def test_the_same_run_is_the_same_there(make_run: Make, package: Recorded) -> None:
    path = make_run([1.0])
    (run,) = load_runs(path)
    ids = []
    for _ in range(2):
        wandb_log.log(run)
        ids.append((package.given["id"], package.given["resume"]))
    assert ids == [(run.manifest.hash[:16], "allow")] * 2


def test_only_that_is_logged(make_run: Make, package: Recorded) -> None:
    (run,) = load_runs(make_run([1.0]))
    wandb_log.log(run)
    assert package.given["settings"] == {
        "console": "off",
        "disable_git": True,
        "save_code": False,
        "x_disable_meta": True,
        "x_disable_stats": True,
        "x_save_requirements": False,
    }


def test_the_command_logs_its_runs(package: Recorded, tmp_path: Path) -> None:
    done = CliRunner().invoke(main, [*RUN, "--runs-dir", str(tmp_path), "--log", "wandb", "--format", "json"])
    assert done.exit_code == 0, done.output
    (row,) = json.loads(done.stdout)["runs"]
    assert package.logins == 1
    assert package.summary["questions"] == row["n"] == 2
    assert len(package.logged["questions"]) == 2


def test_what_cannot_be_logged_is_said_and_nothing_is_lost(package: Recorded, tmp_path: Path) -> None:
    package.fault = RuntimeError("no\nroute")
    done = CliRunner().invoke(main, [*RUN, "--runs-dir", str(tmp_path), "--log", "wandb"])
    assert done.exit_code == 0
    assert "was not logged (RuntimeError: no route); the same command logs it again" in done.stderr
    assert "bm25" in done.stdout


def test_without_a_login_nothing_is_started(package: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def login() -> None:
        raise Recorded.Error("No API key configured.")

    monkeypatch.setattr(package, "login", login)
    done = CliRunner().invoke(main, [*RUN, "--runs-dir", str(tmp_path / "runs"), "--log", "wandb"])
    assert done.exit_code == 2
    assert done.stderr == (
        "memeval: --log wandb: No API key configured. WANDB_MODE=offline keeps everything on this machine.\n"
    )
    assert not (tmp_path / "runs").exists()


def test_without_the_package_one_line_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    done = CliRunner().invoke(main, [*RUN, "--runs-dir", str(tmp_path / "runs"), "--log", "wandb"])
    assert done.exit_code == 2
    assert len(done.stderr.splitlines()) == 1
    assert "pip install -c constraints.txt -e '.[wandb]'" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_nothing_is_imported_unless_asked_for() -> None:
    code = "import sys, memeval, memeval.results.api, memeval.commands.run; assert 'wandb' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_the_real_package_offline(make_run: Make, tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    path = make_run([Asked("q1", 1.0), Asked("q2", 0.0)], label="first try")
    secret = "sk-not-to-be-seen"
    environment = {**os.environ, "WANDB_MODE": "offline", "WANDB_SILENT": "true", "OPENAI_API_KEY": secret}
    code = "import sys; from memeval.results import load, wandb_log; wandb_log.log(*load.load_runs(sys.argv[1]))"
    command = [sys.executable, "-c", code, str(path), f"--key={secret}"]
    subprocess.run(command, check=True, cwd=tmp_path, env=environment, timeout=100)
    (folder,) = (tmp_path / "wandb").glob("offline-run-*")
    (record,) = folder.glob("*.wandb")
    content = record.read_bytes()
    assert all(text in content for text in (b"first try", b"identity", b"f1/value", b"headline/metric"))
    (table,) = folder.rglob("*.table.json")
    assert [row[0] for row in json.loads(table.read_text())["data"]] == ["q1", "q2"]
    written = [file.read_bytes() for file in tmp_path.joinpath("wandb").rglob("*") if file.is_file()]
    assert not any(secret.encode() in data for data in written)
