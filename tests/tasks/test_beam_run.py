"""`beam-100k` from data to table on made-up chats: estimate, run, score, show, report and attribute."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from test_beam import asked, write

from memeval.cli import main
from memeval.commands.run import run_command
from memeval.estimate import estimate
from memeval.runs.options import Options
from memeval.runs.plan import plan

CALLS = 2 * 1 + (2 + 1) + (2 + 1) + 2 * 1
"""Of the judge for one conversation: items of its rubrics, and one call more for each of the two orders."""


@pytest.fixture
def project(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MEMEVAL_DATA", str(project / "data"))
    for name in ("1", "2", "3"):
        write(project / "data", name=name)
    return project


def options(**rest: Any) -> Options:
    models = {"model": "offline", "judge": "offline"}
    return Options(
        **{"agents": ["bm25"], "tasks": ["beam-100k"], "quiet": True, "use_cache": False, "models": models, **rest}
    )


def test_estimate_counts_the_calls_of_the_judge(project: Path) -> None:
    (planned,) = plan(options(answer_repeats=2))
    found = estimate(planned)
    assert found.roles["judge"].calls == 3 * 2 * CALLS
    assert found.roles["reader"].calls == 3 * 2 * 6
    assert any("several questions to a conversation" in note for note in found.notes)
    assert run_command(options(answer_repeats=2, limit=6), fresh=False, form="json") == 0
    assert estimate(planned).roles["judge"].calls == 2 * 2 * CALLS  # a conversation is judged already
    assert run_command(options(answer_repeats=2), fresh=False, form="json") == 0
    assert estimate(planned).calls == 0


def test_a_table_with_abilities_as_kinds(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(options(agents=["memalpha", "bm25", "oracle", "none"]), fresh=False, form="table") == 0
    out = capsys.readouterr().out
    assert "beam-100k: judge, " in out
    for name in ("abstention (6)", "event_ordering (6)", "knowledge_update (6)"):
        assert name in out
    assert "oracle on beam-100k: n/a for 9 of 18 questions: the data have no gold evidence for them" in out
    assert "judge_published" in out


def test_without_a_judge_it_is_said_what_is_shown(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(options(models={"model": "offline"}), fresh=False, form="table") == 0
    assert "made to be scored by a judge; without one (--judge NAME), rouge_l is shown instead." in capsys.readouterr().out


def test_show_report_and_attribute(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(options(), fresh=False, form="json") == 0
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    assert (run["n"], run["headline"]["n"], run["headline"]["clusters"]) == (18, 18, 3)
    assert run["headline"]["within_stream"]  # three conversations: no word about others
    assert set(run["judge"]["published_kinds"]) == set(asked())

    def printed(*words: str) -> str:
        result = CliRunner().invoke(main, list(words))
        assert result.exit_code == 0, result.output
        return result.output

    shown = printed("show", run["path"])
    assert "judge_published of event_ordering" in shown
    one = printed("show", run["path"], "1-event_ordering-1")
    assert "keypoint  LLM response should mention: Köln" in one
    assert "evidence" in one
    assert "order_tau_f1 0 items 0, 0" in one
    rows = [json.loads(line) for path in (Path(run["path"]) / "scores").glob("judge-*.jsonl") for line in path.open()]
    assert {len(row["points"]) for row in rows} == {1, 2}
    assert all(len(row["points"]) == 2 for row in rows if "event_ordering" in row["question_id"])
    printed("report", run["path"], "--output", "page.html")
    assert "knowledge_update" in Path("page.html").read_text()
    found = json.loads(printed("attribute", run["path"], "--format", "json", "--quiet"))
    assert "n/a" in json.dumps(found)  # abstentions have no evidence


def test_the_agent_sees_neither_marks_nor_plans_nor_golds(project: Path) -> None:
    (project / "spy.py").write_text(
        "from memeval import Item, Recall\n\n"
        "class Spy:\n"
        "    def begin(self, session): self.seen = []\n"
        "    def observe(self, chunk): self.seen.append(chunk.text)\n"
        "    def recall(self, query):\n"
        "        open('seen.txt', 'a').write(repr((self.seen, query)))\n"
        "        return Recall([Item(text) for text in self.seen])\n"
    )
    assert run_command(options(agents=["spy.py:Spy"]), fresh=False, form="json") == 0
    seen = Path("seen.txt").read_text()
    assert "I live in Köln." in seen
    assert not any(text in seen for text in ("->-> 1,1", "rubric", "Not said.", "LLM response", "main_question", "1,1"))
