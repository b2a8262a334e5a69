"""`memeval attribute`: wrong answers asked again, of agents that lose them in each way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from folders import read_json, run_folders
from msgspec.structs import replace
from test_lost_answers import UNITS, Lists, Records, RecordsAndDeletes, SaysNothing, lives
from toys import context

from memeval.cli import main
from memeval.errors import UsageError
from memeval.judging.judged_run import judge_folder
from memeval.models.budget import Budget, BudgetSpent
from memeval.models.calls import CallSettings
from memeval.models.completion import ModelSpec
from memeval.results.attribute import Attribute
from memeval.results.load import find_run
from memeval.results.lost import asked_sentence, lost
from memeval.runs.run import run
from memeval.task import Context, Question

WITHOUT_CACHE = CallSettings(use_cache=False)


@pytest.mark.parametrize(
    ("agent", "asked", "where"),
    [
        (Records, lives(), "recall"),
        (RecordsAndDeletes, lives(), "write"),
        (Records, lives("Why does Ann Lee dislike Arlen?", gold="Ann Lee lives"), "read"),
        (Records, lives(gold="Borvik", evidence=()), "n/a"),
        (SaysNothing, lives(), "not recalled"),
    ],
)
def test_a_wrong_answer_is_asked_again(toy: Any, agent: type, asked: Context, where: str) -> None:
    planned = toy.planned(agent, [asked])
    run(planned, quiet=True)
    found = Attribute(find_run(planned.spec.folder)).attribution(WITHOUT_CACHE)
    assert [(row.question_id, row.where) for row in found.answers] == [("q", where)]
    assert (found.wrong, found.counts) == (1, {where: 1})
    assert find_run(planned.spec.folder).folder.attribution() == found


def test_a_memory_beyond_the_readers_window(toy: Any) -> None:
    models = {"memory": ModelSpec("offline"), "reader": ModelSpec("offline", params={"context": 200})}
    planned = toy.planned(Records, [lives()], models=models)
    run(planned, quiet=True)
    found = Attribute(find_run(planned.spec.folder)).attribution(WITHOUT_CACHE)
    assert found.counts == {"recall-or-write": 1}
    assert asked_sentence(found) == "of 1 wrong, asked again: 1 not recalled or never written"


def test_it_is_estimated_stopped_and_goes_on(toy: Any) -> None:
    planned = toy.planned(Records, [lives()])
    run(planned, quiet=True)
    attribute = Attribute(find_run(planned.spec.folder))
    expected = attribute.expected()
    assert (expected.answers, expected.calls, expected.usd) == (1, 2, 0.0)
    assert expected.prompt_tokens > 50
    with pytest.raises(BudgetSpent):
        attribute.attribution(CallSettings(use_cache=False, budget=Budget(max_calls=1)))
    found = attribute.attribution(WITHOUT_CACHE)
    assert (found.calls, found.requests) == (2, 1)  # the first was kept
    assert attribute.attribution(WITHOUT_CACHE).requests == 0


def test_the_limit_takes_the_first(toy: Any) -> None:
    asked = [Question(f"q{number}", "Where?", ("x",)) for number in range(2)]
    planned = toy.planned(Lists, [context("town", UNITS, asked)])
    run(planned, quiet=True)
    found = Attribute(find_run(planned.spec.folder), limit=1).attribution(WITHOUT_CACHE)
    expected = "of 1 of 2 wrong, asked again: 1 cannot be followed"
    now = lost(find_run(planned.spec.folder))
    assert asked_sentence(found) == asked_sentence(found, now) == expected
    assert asked_sentence(found, replace(now, wrong=3)).startswith(f"{expected} (the run has changed since")


def test_controls_are_refused(toy: Any) -> None:
    planned = toy.planned("none", [lives()])
    run(planned, quiet=True)
    with pytest.raises(UsageError, match="the control 'none' has no memory"):
        Attribute(find_run(planned.spec.folder))


AGENT = '''
from memeval import Item, MemoryStats, Recall


class Keeps:
    """Lists everything and recalls nothing."""

    def begin(self, session):
        self.session, self.kept = session, []

    async def observe(self, chunk):
        await self.session.models["memory"].generate([{"role": "user", "content": chunk.text}])
        self.kept.append(Item(chunk.text, (chunk.id,)))

    def recall(self, query):
        return Recall()

    def memory(self):
        return MemoryStats({"notes": len(self.kept)}, self.kept)
'''


def test_a_memory_is_made_again_from_stored_replies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEMEVAL_CACHE", str(tmp_path / "cache"))
    Path("keeps.py").write_text(AGENT)
    runner = CliRunner()
    words = ["--agent", "keeps.py:Keeps", "--task", "synth-10k", "--limit", "8", "--model", "offline"]
    assert runner.invoke(main, ["run", *words, "--quiet", "--no-cache"]).exit_code == 0
    (folder,) = run_folders(Path("runs"))
    assert runner.invoke(main, ["run", *words, "--agent", "none", "--quiet", "--no-cache"]).exit_code == 0  # is passed over
    first = runner.invoke(main, ["attribute", "synth-10k", "--no-cache", "--format", "json"])
    assert first.exit_code == 0, first.output
    (found,) = json.loads(first.stdout)["attributed"]
    assert found["memory"] == "replay"
    assert found["counts"]["recall"] >= 1
    assert set(found["counts"]) <= {"recall", "write", "read", "n/a"}
    assert "wrong answers: at most" in first.stderr
    assert read_json(folder / "scores" / "attribution.json")["counts"] == found["counts"]  # type: ignore[index]
    again = runner.invoke(main, ["attribute", str(folder), "--no-cache"])
    assert "asked again:" in again.stdout
    assert "asked again:" in runner.invoke(main, ["show", str(folder)]).stdout
    Path("keeps.py").write_text(AGENT.replace("async def observe", "# changed\n    async def observe"))
    changed = runner.invoke(main, ["attribute", str(folder), "--no-cache", "--quiet"])
    assert "agent, models or task are not as they were" in changed.stdout
    assert "not written or not recalled" in changed.stdout


def test_a_judged_run_is_judged_again(toy: Any) -> None:
    """By the judge whose score is the headline, not by the task's metrics."""
    planned = toy.planned(Records, [lives()], card={"judge": "generic"})
    run(planned, quiet=True)
    judge_folder(planned.spec.folder, ModelSpec("offline"), settings=WITHOUT_CACHE)
    found = Attribute(find_run(planned.spec.folder)).attribution(WITHOUT_CACHE)
    assert (found.counts, found.scorer[:14]) == ({"recall": 1}, "judge-offline-")


def test_a_judge_with_a_prompt_of_its_own_is_refused(toy: Any) -> None:
    planned = toy.planned(Records, [lives()], card={"judge": "generic"})
    run(planned, quiet=True)
    judge_folder(planned.spec.folder, ModelSpec("offline"), prompt="Be kind.", settings=WITHOUT_CACHE)
    with pytest.raises(UsageError, match="judged by a prompt file"):
        Attribute(find_run(planned.spec.folder))
