"""Runs of small tasks with an agent class given as an object."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from toys import MemoryTask

from memeval.cards import AgentCard, TaskCard
from memeval.contamination import claims
from memeval.models.completion import ModelSpec
from memeval.records.rows import OperationRow, QuestionRow, SampleRow, TextRow
from memeval.runs.plan import Planned
from memeval.runs.run_context import RunContext
from memeval.runs.signals import Event
from memeval.runs.spec import AgentSpec, RunSpec
from memeval.task import Context
from memeval.tasks import Settings

KINDS: dict[type, str] = {OperationRow: "operation", QuestionRow: "question", SampleRow: "sample", TextRow: "text"}


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`toy.planned(agent class or arm, contexts, ...)` makes a run, `toy.events(planned)` its raw events."""
    monkeypatch.setenv("MEMEVAL_CACHE", str(tmp_path / "cache"))
    classes: dict[str, type] = {}
    monkeypatch.setattr("memeval.runs.engine.agent_class", lambda card: classes[card.agent])

    def planned(agent: Any, contexts: Sequence[Context], *, card: dict[str, Any] | None = None, **options: Any) -> Planned:
        task = MemoryTask(
            contexts, TaskCard(**{"name": "toy", "source": "toy", "chunk_tokens": 32, "questions": 0, **(card or {})})
        )
        name = agent if isinstance(agent, str) else agent.__name__
        if not isinstance(agent, str):
            classes[name] = agent
        track = getattr(agent, "track", "reader")
        agent_card = options.pop("agent_card", {})
        models = options.pop("models", {"memory": ModelSpec("offline"), "reader": ModelSpec("offline")})
        spec = RunSpec(
            task_typed="toy",
            task=task.card,
            settings=Settings(),
            agent=AgentSpec(name, AgentCard(name=name, agent=name, track=track, **agent_card), options.pop("params", {})),
            models=models,
            data=task.data,
            **options,
        )
        return Planned(
            spec.placed(tmp_path / "runs"), task, tuple(task.order), claims=claims(spec.task, spec.agent.card, spec.models)
        )

    def events(run: Planned) -> list[dict[str, Any]]:
        run.spec.folder.mkdir(parents=True, exist_ok=True)
        work = [(ref, repeat) for repeat in range(run.spec.repeats) for ref in run.task.refs(run.question_ids)]

        async def collect() -> list[dict[str, Any]]:
            seen: list[Event] = []
            async with RunContext.of_runs([run.spec]) as context:
                await context.engine(seen.append).execute(run.task, work)
            return [
                {"event": KINDS[type(event)], **msgspec.json.decode(msgspec.json.encode(event))}
                for event in seen
                if type(event) in KINDS
            ]

        return asyncio.run(collect())

    return SimpleNamespace(planned=planned, events=events)
