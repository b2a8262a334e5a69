"""Which run of a column is the best, where the statistics allow to say so (validity section 1)."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeVar

from memeval.plugins import CONTROLS
from memeval.results.pairs import Pair
from memeval.results.run import Run
from memeval.runs.notes import FEW
from memeval.stats import holm, paired

LEVEL = 0.05
CLUSTERS = 5
"""Fewer streams say nothing of others."""

Name = TypeVar("Name", bound=Hashable)


def best(
    runs: Mapping[Name, Run], metric: str | None = None, left: Mapping[Run, frozenset[str]] | None = None
) -> Name | None:
    """The run whose mean is higher than that of every other, by paired tests at .05 after Holm. None where there is none,
    with fewer than 100 questions or 5 streams, and with the offline model, whose order says nothing of agents. Controls, and
    runs that are not whole, are left out. runs: comparable ones, of one task. left: the questions of a run that count, where
    not all do."""
    scores = {name: counted(run, metric, left or {}) for name, run in runs.items() if _takes_part(run)}
    if len(scores) < 2 or any(len(values) < FEW for values in scores.values()):
        return None
    leader = max(scores, key=lambda name: sum(scores[name].values()) / len(scores[name]))
    p_values = []
    for name, values in scores.items():
        if name == leader:
            continue
        both = Pair(runs[leader], runs[name]).columns(scores[leader], values)
        if len(both.questions) < FEW or len(set(both.clusters)) < CLUSTERS:
            return None
        found = paired(both.base, both.other, both.clusters)
        if found.value <= 0:
            return None
        p_values.append(found.p)
    return leader if max(holm(p_values)) < LEVEL else None


def _takes_part(run: Run) -> bool:
    models = (run.summary.model, run.summary.reader)
    return run.summary.status == "complete" and run.agent not in CONTROLS and "offline" not in models


def counted(run: Run, metric: str | None, left: Mapping[Run, frozenset[str]]) -> dict[str, float]:
    """question id -> score, of the questions that count. left: those of a run where not all do."""
    kept = left.get(run)
    return {key: value for key, value in run.values(metric).items() if kept is None or key in kept}
