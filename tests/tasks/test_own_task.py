"""A user's own task as a Python class: its declarations are checked, and an error is one line that names its file."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import preloaded
import pytest
from click.testing import CliRunner

from memeval import plugins
from memeval.cli import main
from memeval.errors import UsageError
from memeval.task import Evidence, Question
from memeval.tasks import Settings, Task
from memeval.tasks.load import load

DIARY = """
from memeval.tasks.fixed import FixedTask
from memeval.task import Context, Evidence, Question, Unit

class Diary:
    def load(self, card, settings):
        {before}
        question = Question("q", "Where does Ann live?", {answers}, options={options}, evidence={evidence})
        context = Context("monday", (Unit("Ann lives in Arlen."), {unit}), (question,))
        return FixedTask(card, settings, {{"monday": [question]}}, lambda name: context, {{}})
"""


def diary(
    folder: Path,
    answers: str = '"Arlen"',
    options: str = "None",
    evidence: str = "()",
    before: str = "pass",
    card: str = "",
    unit: str = 'Unit("Bo has a cat.")',
) -> Task:
    path = folder / "diary.py"
    path.write_text(DIARY.format(answers=answers, options=options, evidence=evidence, before=before, unit=unit))
    if card:
        (folder / "mine.yaml").write_text(f"source: diary.py:Diary\n{card}\n")
        return load(plugins.find_task(str(folder / "mine.yaml")), Settings())
    return load(plugins.find_task(f"{path}:Diary"), Settings())


def refused(task: Task) -> str:
    def read() -> None:
        for question in task.golds():
            task.context(task.refs([question.id])[0])

    with pytest.raises(UsageError) as caught:
        read()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_one_text_is_one_answer(tmp_path: Path) -> None:
    assert diary(tmp_path).golds()[0].answers == ("Arlen",)
    assert Question("q", "?", ["a", "b"]).answers == ("a", "b")  # type: ignore[arg-type]
    assert Question("q", "?", ("a",), options=["a", "b"]).options == ("a", "b")  # type: ignore[arg-type]


def test_a_sound_task_is_what_it_was(tmp_path: Path) -> None:
    evidence = '(Evidence("lives in Arlen", (0,)),)'
    task = diary(tmp_path, options='("Arlen", "Oslo")', evidence=evidence)
    (ref,) = task.refs(task.order)
    (question,) = task.context(ref).questions
    assert (question.answers, question.options) == (("Arlen",), ("Arlen", "Oslo"))
    assert question.evidence == (Evidence("lives in Arlen", (0,)),)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"options": '("Oslo", "Rome")'}, "question 'q': its options (Oslo; Rome) lack the answer 'Arlen'"),
        ({"answers": "()"}, "question 'q': a question needs answers, or must say that it is not answerable"),
        ({"evidence": '(Evidence("Arlen", (1,)),)'}, "question 'q': its evidence 'Arlen' is not in unit 1"),
        ({"evidence": '(Evidence("Arlen", (2,)),)'}, "question 'q': its evidence lies outside its 2 units"),
        ({"answers": "(5,)"}, "question 'q': 'answers[0]' is 5, expected a text"),
        ({"answers": '"Arlen", kind=7'}, "question 'q': 'kind' is 7, expected a text"),
        ({"answers": '"Arlen", position="1"'}, "question 'q': 'position' is '1', expected a whole number"),
        ({"evidence": '("Arlen",)'}, "question 'q': 'evidence[0]' is 'Arlen', expected memeval.task.Evidence"),
        ({"unit": '"Bo has a cat."'}, "context 'monday': 'units[1]' is 'Bo has a cat.', expected memeval.task.Unit"),
        ({"unit": "Unit(5)"}, "context 'monday': 'units[1].text' is 5, expected a text"),
        (
            {"unit": "Unit(object)"},
            "context 'monday' holds what is neither a text nor a number: Encoding objects of type type is unsupported",
        ),
        ({"card": "cluster: persona"}, "context 'monday' has no cluster, but the card says 'cluster: persona'"),
    ],
)
def test_what_contradicts_itself_names_the_file(wrong: dict[str, str], message: str, tmp_path: Path) -> None:
    assert refused(diary(tmp_path, **wrong)) == f"{tmp_path / 'diary.py'}:5: {message}"  # where its class begins


def test_a_load_that_raises_is_one_line_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        diary(tmp_path, before="{}['no such key']".replace("{}", "dict()"))
    assert str(caught.value) == f"{tmp_path / 'diary.py'}:7: loading the task raised KeyError('no such key')"


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("golds", "golds() raised ZeroDivisionError(division by zero)"),
        ("refs", "refs() raised ZeroDivisionError(division by zero)"),
        ("context", "building context 'monday' raised ZeroDivisionError(division by zero)"),
    ],
)
def test_any_method_that_raises_is_one_line_with_its_line(method: str, message: str, tmp_path: Path) -> None:
    diary(tmp_path)
    bad = f"class Bad(FixedTask):\n    def {method}(self, *given):\n        return 1 / 0\n\nclass Diary"
    text = (tmp_path / "diary.py").read_text().replace("class Diary", bad).replace("return FixedTask", "return Bad")
    (tmp_path / "bad.py").write_text(text)
    assert refused(load(plugins.find_task(f"{tmp_path}/bad.py:Diary"), Settings())) == f"{tmp_path}/bad.py:7: {message}"


def test_a_load_that_returns_no_task_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("class Bad:\n    def load(self, card, settings):\n        return 3\n")
    with pytest.raises(UsageError, match=r"bad\.py:1: load returned int, which has no 'data'; return a FixedTask"):
        load(plugins.find_task(f"{tmp_path}/bad.py:Bad"), Settings())


def test_a_class_without_load_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("\nclass Bad:\n    pass\n")
    with pytest.raises(UsageError, match=r"bad\.py:2: the class Bad has no method 'load'"):
        load(plugins.find_task(f"{tmp_path}/bad.py:Bad"), Settings())


def test_an_id_that_comes_twice_names_the_users_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        diary(tmp_path, before='return FixedTask(card, settings, {"monday": [Question("q", "Who?", "Ann")] * 2}, None, {})')
    assert str(caught.value) == f"{tmp_path / 'diary.py'}:7: task 'Diary': question id 'q' occurs twice"


def test_a_run_refuses_it_before_anything_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    note = {"units": ["a"], "questions": [{"text": "b?", "answer": "x", "options": ["y", "z"]}]}
    (tmp_path / "notes.jsonl").write_text(json.dumps(note))
    (tmp_path / "notes.yaml").write_text("source: jsonl\nparams: {file: notes.jsonl}\n")
    words = ["run", "--agent", "none", "--task", "notes.yaml", "--model", "offline", "--quiet"]
    done = CliRunner().invoke(main, words)
    assert (done.exit_code, done.output.count("\n")) == (2, 1)
    assert "notes.jsonl:1: questions[0]: its options (y; z) lack the answer 'x'" in done.output


def test_an_oracle_without_evidence_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    line = {"units": ["Ann lives in Arlen."], "questions": [{"text": "Where does Ann live?", "answer": "Arlen"}]}
    (tmp_path / "notes.jsonl").write_text(json.dumps(line))
    (tmp_path / "notes.yaml").write_text("source: jsonl\nparams: {file: notes.jsonl}\n")
    words = ["run", "--agent", "oracle", "--task", "notes.yaml", "--model", "offline", "--quiet"]
    done = CliRunner().invoke(main, words)
    assert "n/a for 1 of 1 question: the data have no gold evidence for them" in done.stdout
    run = json.loads(CliRunner().invoke(main, [*words, "--format", "json"]).stdout)["runs"][0]
    assert "without-evidence" in [note["code"] for note in run["notes"]]
    assert run["headline"]["value"] is None


BOUND = """
import asyncio, sqlite3
from memeval.tasks.fixed import FixedTask
from memeval.task import Context, Question, Unit

class Rows:
    def load(self, card, settings):
        self.rows = sqlite3.connect(":memory:")
        self.rows.execute("CREATE TABLE towns AS SELECT 'Arlen' AS name UNION SELECT 'Borvik' UNION SELECT 'Castro'")
        self.names = [name for name, in self.rows.execute("SELECT name FROM towns")]
        return FixedTask(card, settings, {name: [self.question(name)] for name in self.names}, self.context, {})

    def question(self, name):
        return Question(name, f"Which town is like {name}?", name)

    def context(self, name):
        asyncio.run(asyncio.sleep(0))
        (found,) = self.rows.execute("SELECT name FROM towns WHERE name = ?", (name,)).fetchone()
        return Context(name, (Unit(f"{found} is a town."),), (self.question(name),))
"""


def test_what_is_bound_to_a_thread_and_loops_of_its_own_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.py").write_text(BOUND)
    words = ["run", "--agent", "bm25", "--task", "rows.py:Rows", "--model", "offline", "--quiet", "--format", "json"]
    for limit in ("2", "3"):  # what is finished is built too, to see whether it was edited
        done = CliRunner().invoke(main, [*words, "--limit", limit])
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout)["runs"][0]["n"] == int(limit)


@pytest.mark.parametrize("before", ["raise SystemExit(3)", "import sys; sys.exit(3)"])
def test_a_task_that_exits_is_one_line(before: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        diary(tmp_path, before=before)
    assert str(caught.value) == f"{tmp_path / 'diary.py'}:7: loading the task raised SystemExit(3)"


@pytest.mark.slow
def test_ctrl_c_ends_a_task_that_does_not_return(tmp_path: Path) -> None:
    waits = "open('began', 'w').close(); import time; time.sleep(600)"
    (tmp_path / "diary.py").write_text(DIARY.format(answers="()", options="None", evidence="()", unit="", before=waits))
    words = ["run", "--agent", "bm25", "--task", "diary.py:Diary", "--model", "offline"]
    process = preloaded.start(words, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    while not (tmp_path / "began").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.communicate()[1] == "memeval: interrupted\n"
    assert process.returncode == 130
