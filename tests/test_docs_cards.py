"""docs/cards.md and docs/json-lines.md: every key is there with its default, and every example does what the page says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from memeval import cards, loading, plugins
from memeval.cards import AgentCard, SuiteCard, TaskCard
from memeval.cli import main
from memeval.errors import UsageError
from memeval.tasks import Settings
from memeval.tasks.jsonl import EvidenceLine, Line, QuestionLine, UnitLine
from memeval.tasks.load import load
from memeval.typed import fields

DOCS = Path(__file__).parent.parent / "docs"
CARDS = (DOCS / "cards.md").read_text(encoding="utf-8")
LINES = (DOCS / "json-lines.md").read_text(encoding="utf-8")
SECTIONS = dict(zip((TaskCard, AgentCard, SuiteCard), re.split(r"^## .*card$", CARDS, flags=re.MULTILINE)[1:], strict=True))


def blocks(text: str, language: str = "") -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [block for name, block in found if name == language]


@pytest.mark.parametrize("kind", SECTIONS, ids=lambda kind: kind.__name__)
def test_every_key_is_described_with_its_default(kind: type[msgspec.Struct]) -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \| [^|]+", SECTIONS[kind], re.MULTILINE))
    assert set(rows) == set(fields(kind)) - {"path"}
    for name, field in fields(kind).items():
        default: Any = None if field.default is msgspec.NODEFAULT else field.default
        if field.default_factory is not msgspec.NODEFAULT:
            default = field.default_factory()
        if name == "name":
            assert rows[name] == "the file's name"
        elif field.required:
            assert rows.get(name) == "required"
        elif isinstance(default, tuple) and default:
            assert rows[name] == f"`{', '.join(default)}`"
        elif name != "path":
            assert json.loads(rows[name].strip("`")) == (list(default) if isinstance(default, tuple) else default)


@pytest.mark.parametrize(
    ("kind", "text"), [(kind, text) for kind, page in SECTIONS.items() for text in blocks(page, "yaml")]
)
def test_every_card_of_the_page_is_one(kind: Any, text: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    found = cards.find(kind, str(tmp_path / "mine.yaml"))
    assert found is not None
    for variant in getattr(found, "variants", {}):
        cards.with_variant(found, variant)


def test_every_refusal_of_the_page_is_said(tmp_path: Path) -> None:
    """The three lines that the page shows for cards."""
    told = [line for line in blocks(CARDS)[0].splitlines() if line.startswith("notes.yaml")]
    for number, text in enumerate(("chunk_token: 5", "temperature: 1", "questions: all"), start=2):
        path = tmp_path / "notes.yaml"
        path.write_text("source: jsonl\n" + "\n" * (number - 2) + text + "\n")
        with pytest.raises(UsageError) as caught:
            cards.find(TaskCard, str(path))
        assert str(caught.value).replace(f"{tmp_path}/", "") in told


def test_the_params_of_every_built_in_source_are_described() -> None:
    rows = dict(re.findall(r"^\| (`[^|]+`) \| (`[^|]+`) \| [^|]+ \|$", CARDS.partition("### `params`")[2], re.MULTILINE))
    described = {name: keys for names, keys in rows.items() for name in re.findall(r"`([^`]+)`", names)}
    for name in plugins.SOURCES:
        known = fields(loading.load_object(plugins.SOURCES[name]).Params)
        assert re.findall(r"`(\w+)`", described[name]) == list(known), name


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.jsonl").write_text(blocks(LINES, "jsonl")[0])
    (tmp_path / "notes.yaml").write_text(blocks(LINES, "yaml")[0])
    (tmp_path / "diary.py").write_text(blocks(LINES, "python")[0])
    return tmp_path


def test_the_commands_of_the_page_run_its_example(example: Path) -> None:
    commands = [line for block in blocks(LINES) for line in block.splitlines() if line.startswith("memeval ")]
    commands += re.findall(r"`(memeval run [^`]+)`", LINES)
    assert len(commands) == 3
    for command in commands:
        words = command.split()[1:]
        words += ["--model", "offline"] if words[0] == "run" and "--model" not in words else []
        done = CliRunner().invoke(main, words)
        assert done.exit_code == 0, (command, done.output)
    task = load(plugins.find_task("notes.yaml"), Settings())
    assert len(task.order) == 4
    assert sum(not question.answerable for question in task.golds()) == 1


def test_every_key_of_a_line_is_described() -> None:
    for kind in (Line, UnitLine, QuestionLine, EvidenceLine):
        assert all(f"`{key}`" in LINES for key in fields(kind)), kind


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('["Ann", "Bo"]', '["Ann", "Cy"]'),
        ('"lives in Arlen"', '"lives in Castro"'),
        ("cluster", "cluster"),
        ('"question": "What has Cy?", "answer"', '"question": "What has Cy?", "anwser"'),
    ],
)
def test_what_the_page_says_is_refused(example: Path, before: str, after: str) -> None:
    text = (example / "notes.jsonl").read_text().replace(before, after)
    text = (
        text.replace('{"text": "What has Cy?", "answer"', '{"text": "What has Cy?", "anwser"') if "anwser" in after else text
    )
    if before == "cluster":
        text = text.replace('{"id": "monday"', '{"cluster": "x", "id": "monday"')
        (example / "notes.yaml").write_text(blocks(LINES, "yaml")[0] + "cluster: persona\n")
    (example / "notes.jsonl").write_text(text)
    with pytest.raises(UsageError) as caught:
        load(plugins.find_task("notes.yaml"), Settings())
    assert str(caught.value).replace(f"{example}/", "") in LINES.splitlines()
