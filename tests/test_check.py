"""`memeval check`: what it opens it closes, and an embedder can be named."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner

from memeval.cli import main

COUNTS = """
import sqlite3
from memeval import Item, Recall

class Counts:
    opened = closed = 0

    def begin(self, session):
        type(self).opened += 1
        self.db = sqlite3.connect(session.workdir / "notes.db")
        self.db.execute("create table notes(text text)")
        {begin}
    def observe(self, chunk): self.db.execute("insert into notes values(?)", (chunk.text,))
    def recall(self, query):
        return Recall([Item(text) for (text,) in self.db.execute("select text from notes order by rowid")])
    def close(self):
        type(self).closed += 1
        self.db.close()
        open("closed", "w").write(f"{{self.opened - self.closed}} left")
"""


def check(folder: Path, monkeypatch: pytest.MonkeyPatch, begin: str, *options: str) -> tuple[int, str]:
    monkeypatch.chdir(folder)
    (folder / "counts.py").write_text(COUNTS.format(begin=begin))
    done = CliRunner().invoke(main, ["check", "--agent", "counts.py:Counts", *options])
    return done.exit_code, done.output


def test_every_agent_that_was_made_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, output = check(tmp_path, monkeypatch, "")
    assert (code, "FAILED" in output) == (0, False)
    assert "n/a     cannot be forked (Counts.db: cannot pickle 'sqlite3.Connection' object)" in output
    assert (tmp_path / "closed").read_text() == "0 left"


def test_findings_as_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, output = check(tmp_path, monkeypatch, "", "--format", "json")
    (found,) = json.loads(output)["agents"]
    assert (code, found["agent"]) == (0, "counts.py:Counts")
    assert {row["probe"]: row["ok"] for row in found["findings"]}["fork"] is None
    assert False not in {row["ok"] for row in found["findings"]}


def test_an_embedder_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin = 'assert session.models["embedder"].name == "openai/text-embedding-3-small"'
    assert check(tmp_path, monkeypatch, begin)[0] == 3  # without it the embedder is the offline one
    assert check(tmp_path, monkeypatch, begin, "--embedder", "openai/text-embedding-3-small")[0] == 0


def test_a_method_that_never_returns_fails_its_probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stuck.py").write_text(
        "import time\n\nclass Stuck:\n"
        "    def begin(self, session): pass\n"
        "    def observe(self, chunk): time.sleep(600)\n"
        "    def recall(self, query): pass\n"
    )
    done = CliRunner().invoke(main, ["check", "--agent", "stuck.py:Stuck", "--agent-timeout", "0.2"])
    assert done.exit_code == 3
    assert "FAILED  agent's observe had not returned after 0.2 s (--agent-timeout)" in done.output


@pytest.mark.slow
def test_a_method_that_takes_long_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("memeval.runs.agent_runner.SLOW", 0.01)
    (tmp_path / "slow.py").write_text(
        "import time\n\nclass Slow:\n"
        "    def begin(self, session): time.sleep(0.5)\n"
        "    def observe(self, chunk): pass\n"
        "    def recall(self, query): pass\n"
    )
    done = CliRunner().invoke(main, ["check", "--agent", "slow.py:Slow"])
    assert "memeval: the agent's begin has not returned for a minute (--agent-timeout ends it)" in done.stderr


NOTES = """
from memeval import Item, Recall

class Notes:
    {body}
    def begin(self, session): self.notes = []
    def observe(self, chunk): self.notes.append(chunk)
    def recall(self, query): return Recall([Item(note.text, chunks=(note.id,)) for note in self.notes])
"""
WRONG = {
    "def close(self): raise OSError('the port is gone')": "agent raised OSError(the port is gone) in close at notes.py:5",
    "track = 'native'; answer = lambda *given: 5": "answer returned int, expected memeval.Answer or str at notes.py:5",
    "def finish(self, now): pass": "Notes.finish() missing 1 required positional argument: 'now') in finish at notes.py:5",
    "def memory(self): return 5": "memory returned int, expected memeval.MemoryStats at notes.py:5",
}


def notes(folder: Path, monkeypatch: pytest.MonkeyPatch, body: str, *options: str) -> tuple[int, str]:
    monkeypatch.chdir(folder)
    (folder / "notes.py").write_text(NOTES.format(body=body))
    done = CliRunner().invoke(main, ["check", "--agent", "notes.py:Notes", *options])
    return done.exit_code, done.output


@pytest.mark.parametrize("body", WRONG)
def test_what_is_wrong_is_a_line_with_the_users_file_and_line(
    body: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, output = notes(tmp_path, monkeypatch, body)
    (line,) = [line for line in output.splitlines() if "FAILED" in line]
    assert (code, line.endswith(WRONG[body])) == (3, True), line
    assert "may claim: nothing yet" in output


def test_a_parameter_can_be_set_and_a_misspelt_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = "def __init__(self, path): self.path = path"
    assert notes(tmp_path, monkeypatch, body, "--set", "path=a")[0] == 0
    assert notes(tmp_path, monkeypatch, body) == (
        2,
        "memeval: agent 'Notes': parameter 'path' has no value; add --set path=VALUE, give it a default, or put it in a "
        "card's params\n",
    )
    code, output = notes(tmp_path, monkeypatch, body, "--set", "path=a", "--set", "pth=b")
    assert (code, "--set pth: no agent of this run has a parameter 'pth'; did you mean 'path'?" in output) == (2, True)


def test_agents_may_be_separated_by_commas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, output = notes(tmp_path, monkeypatch, "pass", "--agent", "bm25,recent", "--set", "k=3")
    names = [line for line in output.splitlines() if not line.startswith(" ")]
    assert (code, names) == (0, ["notes.py:Notes", "bm25", "recent"])


class _Refusing(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.send_error(401, "wrong key")


def test_an_embedder_that_refuses_every_call_is_one_line() -> None:
    with HTTPServer(("127.0.0.1", 0), _Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        done = CliRunner().invoke(main, ["check", "--agent", "dense", "--embedder", f"x@{url}"])
        server.shutdown()
    (line,) = [line for line in done.output.splitlines() if not line.startswith("127.0.0.1 - ")]  # the server's own log
    assert (done.exit_code, line.startswith("memeval: ")) == (2, True)
    assert "401" in line
