"""Names: built in, file.py:Class, entry points; and the nearest right name for a wrong one."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from memeval import loading, plugins
from memeval.cards import AgentCard
from memeval.cli import main
from memeval.errors import UsageError
from memeval.runs.agent_files import agent_files

AGENT = """
from memeval import Recall

class Mine:
    track = "native"
    def begin(self, session): pass
    def observe(self, chunk): pass
    def recall(self, query): return Recall()
    def answer(self, query, recall): return "x"
"""


@pytest.fixture
def agent_file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(AGENT)
    return path


def test_every_built_in_name_loads() -> None:
    for reference in (*plugins.SOURCES.values(), *plugins.AGENTS.values()):
        assert isinstance(loading.load_object(reference), type)


def test_file_reference(agent_file: Path) -> None:
    card = plugins.find_agent(f"{agent_file}:Mine")
    assert (card.name, card.track) == ("Mine", "native")
    assert plugins.agent_class(card).__name__ == "Mine"
    assert agent_files(card, {}) == {"mine.py": agent_file}


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("nowhere.py:Mine", "no file nowhere.py"),
        ("mine.py:Mien", "has no 'Mien'; did you mean 'Mine'?"),
        ("mine.py:", "expected file.py:Class"),
        ("no_such_package.x:Mine", "no module 'no_such_package'"),
    ],
)
def test_bad_reference(agent_file: Path, monkeypatch: pytest.MonkeyPatch, reference: str, message: str) -> None:
    monkeypatch.chdir(agent_file.parent)
    with pytest.raises(UsageError) as error:
        loading.load_object(reference)
    assert message in str(error.value)


def test_syntax_error_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text("x = 1\ndef f(:\n")
    with pytest.raises(UsageError, match=r"broken\.py:2: invalid syntax"):
        loading.load_object(f"{path}:f")


def test_nearest_name() -> None:
    with pytest.raises(UsageError, match="no agent 'memalfa'; did you mean 'memalpha'?"):
        plugins.find_agent("memalfa")
    with pytest.raises(UsageError, match="no agent 'oracel'; did you mean 'oracle'?"):
        plugins.find_agent("oracel")
    with pytest.raises(UsageError, match="no task '2wiki-100'; did you mean '2wiki-100k'?"):
        plugins.find_task("2wiki-100")
    with pytest.raises(UsageError, match="'2wiki' is a base for others; name one of 2wiki-100k"):
        plugins.find_task("2wiki")
    with pytest.raises(UsageError, match="'2wiki@hard' is a base for others; name one of 2wiki-100k"):
        plugins.find_task("2wiki@hard")


def test_a_base_with_a_length_is_a_task() -> None:
    """The lengths that papers print and no card names: ReMemR1's 100, 400, 1600 and 3200 documents."""
    card = plugins.find_task("2wiki@documents-400@memocr")
    assert (card.name, card.documents, card.layout) == ("2wiki@documents-400@memocr", 400, "memocr")


SOURCE = """
from memeval.tasks.fixed import FixedTask
from memeval.task import Context, Question, Unit

class Diary:
    def load(self, card, settings):
        question = Question("q", "Where does Ann Lee live?", ("Arlen",))
        context = Context("monday", (Unit("Ann Lee lives in Arlen."),), (question,))
        return FixedTask(card, settings, {"monday": [question]}, lambda name: context, {"made": "here"})
"""


def test_a_task_can_be_a_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "diary.py").write_text(SOURCE)
    words = ["run", "--agent", "bm25", "--task", "diary.py:Diary", "--model", "offline", "--format", "json", "--quiet"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    run = json.loads(done.stdout)["runs"][0]
    assert (run["task"], run["headline"]["value"]) == ("diary.py:Diary", 1.0)
    assert run["path"].startswith("runs/Diary/bm25-")


def test_controls_are_agents_by_name() -> None:
    for control in ("oracle", "none", "closed-book", "constant", "longest-option", "shuffled", "shotgun"):
        assert plugins.find_agent(control) == AgentCard(name=control, agent=control, description=plugins.CONTROLS[control])


def test_another_name_of_an_agent_is_that_agent_unless_a_card_has_the_name(tmp_path: Path) -> None:
    assert plugins.find_agent("rag") == plugins.find_agent("bm25")
    (tmp_path / "rag.yaml").write_text("agent: recent\nparams: {k: 3}\n")
    assert plugins.find_agent("rag", (str(tmp_path),)).agent == "recent"


def test_entry_points(monkeypatch: pytest.MonkeyPatch) -> None:
    class Point:
        name = "theirs"

        @staticmethod
        def load() -> type:
            return dict

    monkeypatch.setattr("importlib.metadata.entry_points", lambda group, name=None: [Point()] if "agents" in group else [])
    assert plugins.find_agent("theirs").agent == "theirs"
    assert plugins.agent_class(AgentCard(name="theirs", agent="theirs")) is dict


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\nimport helper_that_is_not_there\n", r"mine.py:2: no module 'helper_that_is_not_there'; install it"),
        ("class Mine:\n    def f(self) pass\n", r"mine.py:2: expected ':'"),
        ("def f():\n    raise ValueError('lost\\nit')\nf()\n", r"mine.py:2: loading it raised ValueError\(lost it\)"),
        ("import sys\nsys.exit(3)\n", r"mine.py:2: loading it raised SystemExit\(3\)"),
    ],
)
def test_a_file_that_cannot_be_loaded_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(UsageError, match=f"^{tmp_path}/{message}"):
        loading.load_object(f"{path}:Mine")
    path.write_text("class Mine: pass\n")  # mended, it is loaded anew
    assert loading.load_object(f"{path}:Mine").__name__ == "Mine"
