"""The runs of a folder, a line each."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from memeval.results.load import Run


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A run in a list. score: of the metric, over `n` questions; questions: finished. when: ISO 8601, UTC."""

    task: str
    agent: str
    params: str
    label: str
    tag: str
    model: str | None
    metric: str
    score: float | None
    low: float | None
    high: float | None
    n: int
    questions: int
    status: str
    when: str
    path: str


def listed(runs: Iterable[Run]) -> list[Listed]:
    return [_listed(run) for run in runs]


def _listed(run: Run) -> Listed:
    found = run.summary
    return Listed(
        task=run.task,
        agent=run.agent,
        params=", ".join(f"{key}={value}" for key, value in found.params.items()),
        label=run.label,
        tag=run.tag,
        model=run.model,
        metric=found.headline.metric,
        score=found.headline.value,
        low=found.headline.low,
        high=found.headline.high,
        n=found.headline.n,
        questions=found.n,
        status=found.status,
        when=run.when.isoformat(timespec="seconds"),
        path=str(run.path),
    )
