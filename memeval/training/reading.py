"""Streams read by the model under training, through the engine that runs every evaluation."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from msgspec.structs import asdict

from memeval import process
from memeval.errors import StopRun
from memeval.metrics.rules import Rules
from memeval.models.usage import Step
from memeval.records.rows import OperationRow, QuestionRow, SampleRow, TextRow
from memeval.runs.options import Options
from memeval.runs.plan import Planned, plan
from memeval.runs.prepare import PackedContext
from memeval.runs.run_context import RunContext
from memeval.runs.score import score_samples
from memeval.runs.spec import RunSpec
from memeval.training.policy import Policy
from memeval.training.recipe import Recipe
from memeval.training.rollouts import MEMORY, Rollout, rollouts


def planned(recipe: Recipe, task: str) -> Planned:
    """The run of a recipe's agent on all of a task, with the recipe's reader; nothing of it is stored."""
    settings = {key: [value] for key, value in recipe.params.items()}
    models = {"reader": recipe.reader, MEMORY: "offline"}
    [found] = plan(Options([recipe.agent], [task], models, limit=0, settings=settings, quiet=True, use_cache=False))
    return found


def packed(run: Planned) -> list[PackedContext]:
    """The streams of a run, ready to be read, in chunks of the size that a run reads them in."""
    return [run.spec.packed(run.task, ref) for ref in run.task.refs(run.question_ids)]


def read(
    spec: RunSpec,
    streams: Sequence[PackedContext],
    policy: Policy | None = None,
    noise: str = "",
    repeats: int = 1,
    temperature: float = 1.0,
) -> list[Rollout]:
    """Read each stream `repeats` times with the agent and the task of a run, and ask its questions; nothing is stored.

    policy: the model in the role memory; None: the one that the run names, or none. noise: names the round; two rounds of
    one name and one state of the model are equal. temperature: of the policy. Raises UsageError and StopRun as a run does;
    the latter also where the agent failed, because then a reward would be that of a fault.
    """
    return process.run(_read(spec, streams, policy, noise, repeats, temperature))


async def _read(
    spec: RunSpec,
    streams: Sequence[PackedContext],
    policy: Policy | None,
    noise: str,
    repeats: int,
    temperature: float,
) -> list[Rollout]:
    rows: list[Any] = []
    steps: list[Step] = []
    if policy is not None:
        policy.begin(noise, {(stream.context.id, repeat) for stream in streams for repeat in range(repeats)}, temperature)
    live = {MEMORY: policy} if policy is not None else {}
    async with RunContext(spec, models=live, on_step=steps.append) as run:
        engine = run.engine(rows.append)

        async def one(stream: PackedContext, repeat: int) -> None:
            def ended() -> None:
                if policy is not None:
                    policy.ended(stream.context.id, repeat)

            try:
                await engine.run(stream, repeat, ended)
            finally:
                ended()

        try:
            async with asyncio.TaskGroup() as group:
                for stream in streams:
                    for repeat in range(repeats):
                        group.create_task(one(stream, repeat))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
    questions = {row.question_id: row for row in rows if isinstance(row, QuestionRow)}
    samples = [row for row in rows if isinstance(row, SampleRow)]
    lost = next((sample.failure for sample in samples if sample.failure is not None), None)
    if lost is not None:
        raise StopRun(f"a reading failed: {lost}")
    texts = {row.sha: row.text for row in rows if isinstance(row, TextRow)}
    card = spec.task
    rules = Rules.of({**asdict(card), "metrics": [card.headline]}, card.headline, native=False)
    scores = list(score_samples(samples, questions, texts, rules))
    operations = [row for row in rows if isinstance(row, OperationRow)]
    return rollouts(steps, operations, questions, scores, card.headline)
