"""A run that a judge has scored reports the judge's score if its task is made to be judged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from memeval.judging.judged_run import judge_folder
from memeval.models.completion import ModelSpec
from memeval.records.folder import RunFolder
from memeval.records.summary import Summary
from memeval.results.load import find_run


@pytest.mark.parametrize("family", ["", "generic"])
def test_the_judges_score(family: str, make_run: Callable[..., Path], own_cache: Path) -> None:
    path = make_run([0.25, 0.25, 0.25], manifest={"judge": family})
    stored = msgspec.json.decode((path / "summary.json").read_bytes(), type=Summary)
    RunFolder(path).write_summary(msgspec.structs.replace(stored, judge_family=family))
    scorer = judge_folder(path, ModelSpec("offline"), family="generic")
    run = find_run(path)
    assert run.judge == scorer
    assert run.summary.metrics["judge"].value == 1.0  # all answers are the gold
    assert run.summary.headline.metric == ("judge" if family else "f1")
    assert set(run.values("judge").values()) == {1.0}
    assert set(run.values().values()) == ({1.0} if family else {0.25})
