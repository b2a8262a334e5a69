"""Source files behind a class, found without running anything."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from memeval import loading, plugins, source_files
from memeval.cards import AgentCard
from memeval.records.manifest import AgentFiles
from memeval.runs.agent_files import agent_files, not_as_planned
from memeval.runs.spec import AgentSpec


def written(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_imports_are_followed_in_every_form(tmp_path: Path) -> None:
    written(
        tmp_path,
        {
            "start.py": "import a.b, json\nfrom c import *\nfrom pkg import sub, name\nif False:\n    import lazy\n",
            "a/__init__.py": "",
            "a/b.py": "from . import d\nfrom ..nowhere import x\n",
            "a/d.py": "def f():\n    from .e import g\n",
            "a/e.py": "import start\n",  # in a circle
            "c.py": "import not_there",
            "pkg/sub.py": "",  # a package without __init__
            "pkg/other.py": "",
            "lazy.py": "this is no python",
            "unused.py": "",
        },
    )
    files = source_files.labels(source_files.transitive({"start": tmp_path / "start.py"}, tmp_path))
    assert set(files) == {
        *("start.py", "a/__init__.py", "a/b.py", "a/d.py", "a/e.py", "c.py", "pkg/sub.py", "lazy.py"),
    }
    assert all(path == tmp_path / label for label, path in files.items())


def test_a_built_in_agent_is_its_module_and_what_agents_are_made_of() -> None:
    files = agent_files(AgentCard(name="memalpha", agent="memalpha"), {})
    assert {"memeval/agents/memalpha.py", "memeval/prompts.py"} <= set(files)
    assert any(label.startswith("memeval/memory/") for label in files)
    own = ("memeval/agents/", "memeval/memory/", "memeval/prompts.py", "prompts/memalpha/")
    assert all(label.startswith(own) for label in files)
    assert agent_files(AgentCard(name="oracle", agent="oracle"), {}) == {}


def test_digests_tell_which_file_changed(tmp_path: Path) -> None:
    written(tmp_path, {"a.py": "1", "b.py": "2", "c.py": "3"})
    files = {path.name: path for path in sorted(tmp_path.iterdir())}
    before = source_files.digests(files)
    assert source_files.differences(before, source_files.digests(files)) == []
    (tmp_path / "a.py").write_text("4")
    (tmp_path / "b.py").unlink()
    now = source_files.digests({**files, "d.py": tmp_path / "c.py"})
    assert source_files.differences(before, now) == ["a.py", "b.py", "d.py"]


def test_at_the_end_of_a_run_the_files_are_listed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    text = "import importlib\nclass A:\n    def begin(self, s): importlib.import_module('hid' + 'den_one')\n"
    text += "    def observe(self, c): ...\n    def recall(self, q): ...\n"
    written(tmp_path, {"agent_a.py": text, "hidden_one.py": ""})
    card = plugins.find_agent(f"{tmp_path}/agent_a.py:A")
    agent, before = AgentSpec("A", card, files=source_files.digests(agent_files(card, {}))), frozenset(sys.modules)
    assert not_as_planned(agent, before) == AgentFiles()
    plugins.agent_class(card)().begin(None)
    try:
        assert not_as_planned(agent, before) == AgentFiles(missed=("hidden_one.py",))
        written(tmp_path, {"agent_a.py": text + "# later\n"})
        assert not_as_planned(agent, before) == AgentFiles(("agent_a.py",), ("hidden_one.py",))
    finally:
        del sys.modules["hidden_one"]


def test_a_fault_is_placed_in_the_users_code(tmp_path: Path) -> None:
    written(tmp_path, {"faulty.py": "import json\n\ndef f():\n    json.loads('{')\n"})
    with pytest.raises(ValueError, match="Expecting") as caught:
        loading.load_object(f"{tmp_path}/faulty.py:f")()
    assert source_files.place(caught.value) == f"{tmp_path}/faulty.py:4"
