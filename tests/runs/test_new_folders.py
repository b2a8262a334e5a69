"""What gives a run a folder of its own and what does not, as users see it: edited agents, modules, prompts, models, data."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from gateways import gateway

from memeval.cli import main
from memeval.models.completion import Completion, ModelSpec, Request

AGENT = """
from memeval import Item, Recall
from keeping import keep

class Mine:
    def __init__(self, last=5): self.last = last
    def begin(self, session): self.notes = []
    def observe(self, chunk): self.notes.append(chunk)
    def recall(self, query): return Recall([Item(c.text, chunks=(c.id,)) for c in keep(self.notes)])
"""
KEEP = "def keep(notes): return notes[-9:]\n"
KEEP_NONE = "def keep(notes): return notes[:-9]\n"
LINE = {
    "id": "a",
    "units": ["Ann Lee lives in Arlen."],
    "questions": [{"text": "Where does Ann Lee live?", "answer": "Arlen"}],
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEMEVAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    (tmp_path / "mine.py").write_text(AGENT)
    (tmp_path / "keeping.py").write_text(KEEP)
    (tmp_path / "notes.yaml").write_text("source: jsonl\nparams: {file: notes.jsonl}\nquestions: 0\n")
    (tmp_path / "notes.jsonl").write_text(json.dumps(LINE) + "\n")
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def invoke(*words: str) -> Any:
    return CliRunner().invoke(main, ["run", "--task", "notes.yaml", "--format", "json", "--model", "offline", *words])


def run(*words: str, agent: str = "mine.py:Mine") -> tuple[str, float, str]:
    """(name of the folder, f1, what was said on stderr without progress)"""
    done = invoke("--agent", agent, *words)
    assert done.exit_code == 0, done.output
    (found,) = json.loads(done.stdout)["runs"]
    said = "\n".join(line for line in done.stderr.splitlines() if "changed since" in line)
    return Path(found["path"]).name, found["headline"]["value"], said


def test_an_edited_module_beside_the_agent_gives_new_numbers(project: Path) -> None:
    first, score, said = run()
    assert (score, said) == (1.0, "")
    assert run() == (first, 1.0, "")
    (project / "keeping.py").write_text(KEEP_NONE)  # of the same size, within a second
    second, score, said = run()
    assert second != first
    assert score == 0.0
    assert said == f"memeval: keeping.py changed since runs/notes/{first}; its answers are not used again"
    (project / "keeping.py").write_text(KEEP)
    assert run() == (first, 1.0, "")


def test_an_edited_agent_gives_new_numbers(project: Path) -> None:
    first, *_ = run()
    (project / "mine.py").write_text(AGENT.replace("keep(self.notes)", "[]"))
    second, score, said = run()
    assert (second != first, score) == (True, 0.0)
    assert said.startswith("memeval: mine.py changed since ")


def test_where_an_agent_lies_does_not_matter(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, *_ = run()
    folder = project / "elsewhere"
    folder.mkdir()
    for name in ("mine.py", "keeping.py"):
        (project / name).rename(folder / name)
    assert run(agent="elsewhere/mine.py:Mine")[0] == first
    assert run(agent=f"{folder}/mine.py:Mine")[0] == first


def test_a_module_that_only_a_method_imports_counts(project: Path) -> None:
    (project / "mine.py").write_text(
        AGENT.replace("from keeping import keep\n", "").replace(
            "def recall(self, query): ", "def recall(self, query):\n        from keeping import keep\n        "
        )
    )
    first, score, _ = run()
    assert score == 1.0
    (project / "keeping.py").write_text(KEEP_NONE)
    second, _, said = run()
    assert second != first
    assert "keeping.py changed" in said


def test_two_agents_with_modules_of_one_name(project: Path) -> None:
    other = project / "other"
    other.mkdir()
    (other / "theirs.py").write_text(AGENT.replace("Mine", "Theirs"))
    (other / "keeping.py").write_text(KEEP_NONE)
    assert run()[1] == 1.0
    assert run(agent="other/theirs.py:Theirs")[1] == 0.0
    assert run()[1] == 1.0


def test_a_package_of_the_working_directory(project: Path) -> None:
    (project / "pkg").mkdir()
    (project / "pkg" / "__init__.py").write_text("")
    (project / "pkg" / "agents.py").write_text(AGENT.replace("from keeping", "from .inner.keeping"))
    (project / "pkg" / "inner").mkdir()
    (project / "pkg" / "inner" / "keeping.py").write_text(KEEP)
    (project / "pkg" / "unused.py").write_text("")
    first, score, _ = run(agent="pkg.agents:Mine")
    assert score == 1.0
    manifest = json.loads((project / "runs" / "notes" / first / "manifest.json").read_text())
    assert set(manifest["identity"]["agent_files"]) == {"pkg/__init__.py", "pkg/agents.py", "pkg/inner/keeping.py"}
    (project / "pkg" / "unused.py").write_text("x = 1\n")
    assert run(agent="pkg.agents:Mine")[0] == first
    (project / "pkg" / "inner" / "keeping.py").write_text(KEEP_NONE)
    second, score, said = run(agent="pkg.agents:Mine")
    assert (second != first, score) == (True, 0.0)
    assert "pkg/inner/keeping.py changed" in said


def test_an_editable_package_is_followed_and_an_installed_one_is_not(project: Path) -> None:
    """An editable install is a folder that a `.pth` file puts on sys.path; its modules are not beside the agent."""
    for name, place in (("editable_one", "src"), ("installed_one", "lib/site-packages")):
        (project / place / name).mkdir(parents=True)
        (project / place / name / "__init__.py").write_text("KEPT = 9\n")
        sys.path.append(str(project / place))
    (project / "mine.py").write_text("import editable_one\nimport installed_one\n" + AGENT)
    first, *_ = run()
    (project / "lib/site-packages/installed_one/__init__.py").write_text("KEPT = 10\n")
    assert run()[0] == first
    (project / "src/editable_one/__init__.py").write_text("KEPT = 10\n")
    second, _, said = run()
    assert second != first
    assert "editable_one/__init__.py changed" in said


def test_a_card_names_further_files(project: Path) -> None:
    (project / "data").mkdir()
    (project / "data" / "rules.txt").write_text("one")
    (project / "mine.yaml").write_text("agent: mine.py:Mine\nsource: ['data/*.txt']\n")
    first, *_ = run(agent="mine.yaml")
    (project / "data" / "rules.txt").write_text("two")
    second, _, said = run(agent="mine.yaml")
    assert second != first
    assert "data/rules.txt changed" in said
    (project / "mine.yaml").write_text("agent: mine.py:Mine\nsource: ['data/*.md']\n")
    done = invoke("--agent", "mine.yaml")
    assert done.exit_code == 2
    assert "mine.yaml: source: no file is named by 'data/*.md'" in done.stderr


def test_a_prompt_file_counts_by_its_text(project: Path) -> None:
    (project / "reader.md").write_text("Answer from the memory.")
    first, *_ = run("--prompt", "reader=reader.md")
    (project / "reader.md").rename(project / "other.md")
    assert run("--prompt", "reader=other.md")[0] == first
    (project / "other.md").write_text("Answer from the memory, briefly.")
    second, _, said = run("--prompt", "reader=other.md")
    assert second != first
    assert "prompts.reader changed" in said


def test_what_was_typed_is_not_told(project: Path) -> None:
    first, *_ = run()
    second, _, said = run("--set", "last=3", "--seed", "7")
    assert (second != first, said) == (True, "")


def test_a_card_key_that_changed_is_named(project: Path) -> None:
    (project / "mine.yaml").write_text("agent: mine.py:Mine\nparams: {last: 4}\n")
    first, *_ = run(agent="mine.yaml")
    (project / "mine.yaml").write_text("agent: mine.py:Mine\nparams: {last: 3}\ndescription: mine\n")
    second, _, said = run(agent="mine.yaml")
    assert said == f"memeval: agent.params.last changed since runs/notes/{first}; its answers are not used again"
    (project / "mine.yaml").write_text("agent: mine.py:Mine\nparams: {last: 3}\ndescription: other words\n")
    assert run(agent="mine.yaml") == (second, 1.0, "")


def test_a_users_data_are_not_in_the_name_of_the_folder(project: Path) -> None:
    """Each question has a digest of its own instead."""
    first, *_ = run()
    more = {**LINE, "id": "b", "questions": [{"id": "b1", "text": "Where does Ann Lee live?", "answer": "Arlen"}]}
    with (project / "notes.jsonl").open("a") as file:
        file.write(json.dumps(more) + "\n")
    assert run()[0] == first


def test_an_edited_line_asks_its_own_questions_again_and_no_others(project: Path) -> None:
    other = {**LINE, "id": "b", "questions": [{"text": "Who lives in Arlen?", "answer": "Ann Lee"}]}
    lines = [json.dumps(LINE), json.dumps(other)]
    (project / "notes.jsonl").write_text("\n".join(lines) + "\n")
    first = json.loads(invoke("--agent", "bm25").stdout)["runs"][0]
    assert (first["n"], first["calls"], first["requests"]) == (2, {"reader": 2}, 2)
    lines[0] = json.dumps({**LINE, "questions": [{"text": "Where does Ann Lee live?", "answer": "Orsk"}]})
    (project / "notes.jsonl").write_text("\n".join(lines) + "\n")
    again = json.loads(invoke("--agent", "bm25").stdout)["runs"][0]
    assert (again["path"], again["n"], again["status"]) == (first["path"], 2, "complete")
    assert again["metrics"]["f1"]["value"] == first["metrics"]["f1"]["value"] - 0.5  # Arlen is no longer right
    assert json.loads(invoke("--agent", "bm25").stdout)["runs"][0]["requests"] == 0
    units = ["Ann Lee lives in Orsk."]
    lines[0] = json.dumps({**LINE, "units": units, "questions": [{"text": "Where does Ann Lee live?", "answer": "Orsk"}]})
    (project / "notes.jsonl").write_text("\n".join(lines) + "\n")
    moved = json.loads(invoke("--agent", "bm25").stdout)["runs"][0]
    assert (moved["requests"], moved["metrics"]["f1"]["value"]) == (1, first["metrics"]["f1"]["value"])


# -- models -------------------------------------------------------------------------------------------------------------


def folder_of(monkeypatch: pytest.MonkeyPatch, *words: str) -> str:
    """The folder of a run that is planned only; no model is called."""
    from memeval.commands import run as command
    from memeval.runs.plan import plan

    found: list[Path] = []

    def look(options: Any, **_: Any) -> int:
        found.extend(planned.spec.folder for planned in plan(options))
        return 0

    monkeypatch.setattr(command, "run_command", look)
    done = CliRunner().invoke(main, ["run", "--task", "notes.yaml", "--agent", "bm25", *words])
    assert done.exit_code == 0, done.output
    return found[0].name


def test_a_tag_is_part_of_a_models_identity_and_a_url_is_not(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = "http://127.0.0.1:1/v1", "http://127.0.0.2:9/v1"

    def of(*words: str, url: str = here) -> str:
        return folder_of(monkeypatch, "--model", "m", "--base-url", url, *words)

    plain = of()
    assert of(url=there) == plain
    assert folder_of(monkeypatch, "--model", f"m@{there}") == plain
    tagged = of("--tag", "step-100")
    assert of("--tag", "step-100", url=there) == tagged
    names = [plain, tagged, of("--tag", "step-200"), of("--tag", "reader=step-100")]
    assert len(set(names)) == len(names)
    assert of("--tag", "memory=step-100", "--tag", "reader=step-100") == tagged
    (project / "memeval.yaml").write_text(f"model: {{name: m@{here}, tag: step-100}}\n")
    assert folder_of(monkeypatch) == tagged
    (project / "memeval.yaml").write_text(f"model: {{name: m@{here}, tag: step-100, timeout: 900}}\n")
    assert folder_of(monkeypatch) == tagged
    (project / "memeval.yaml").write_text(f"model: {{name: m@{here}, tag: step-100, temperature: 0.5}}\n")
    assert folder_of(monkeypatch) != tagged


@pytest.mark.parametrize(
    ("tag", "message"),
    [
        ("reader=", "--tag reader=: expected [ROLE=]TEXT"),
        ("raeder=x", "--tag raeder=x: expected [ROLE=]TEXT; did you mean 'reader'?"),
        ("a\nb", "expected a short text"),
    ],
)
def test_a_bad_tag_is_one_line(project: Path, tag: str, message: str) -> None:
    done = invoke("--agent", "bm25", "--tag", tag)
    assert done.exit_code == 2
    assert message in done.stderr


def test_replies_under_another_tag_are_not_read_back(project: Path) -> None:
    """Neither from a run nor from the user's cache."""

    class Counting:
        identity = "counting"
        calls = 0

        async def complete(self, request: Request) -> Completion:
            self.calls += 1
            return Completion(f"reply {self.calls}")

        async def close(self) -> None:
            pass

    model, request = Counting(), Request([{"role": "user", "content": "hello"}])

    async def main() -> list[str]:
        door = gateway(project / "calls.sqlite", model)
        specs = [ModelSpec("scripted:x", tag=tag) for tag in ("", "one", "two", "one")]
        replies = [(await door.call(spec, request)).text for spec in specs]
        await door.close()
        return replies

    assert asyncio.run(main()) == ["reply 1", "reply 2", "reply 3", "reply 2"]
