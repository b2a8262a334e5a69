"""The streams of a training run, and how the model under training reads them: by the engine that runs every evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from memeval import process
from memeval.errors import StopRun, UsageError
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


class Stream(NamedTuple):
    """A stream in chunks, and the run that reads it."""

    run: RunSpec
    packed: PackedContext


def streams(recipe: Recipe, tasks: str, key: str) -> list[Stream]:
    """All streams of `task[,task...]`, packed into the chunks of their runs. key: of the recipe, for messages. Raises
    UsageError for tasks that cannot be used, and where they have no questions."""
    runs = [planned(recipe, name) for name in filter(None, map(str.strip, tasks.split(",")))]
    found = [Stream(run.spec, run.spec.packed(run.task, ref)) for run in runs for ref in run.task.refs(run.question_ids)]
    if not found:
        raise UsageError(f"{key}: '{tasks}' has no questions, and without them no reward; name a task that has")
    return found


def planned(recipe: Recipe, task: str) -> Planned:
    """The run of a recipe's agent on a whole task, with the recipe's reader; nothing of it is stored."""
    settings = {key: [value] for key, value in recipe.params.items()}
    models = {"reader": recipe.reader, MEMORY: "offline"}
    [found] = plan(Options([recipe.agent], [task], models, limit=0, settings=settings, quiet=True, use_cache=False))
    return found


def by_run(streams: Sequence[Stream]) -> Iterator[tuple[RunSpec, list[PackedContext]]]:
    """The streams grouped by run."""
    runs = [*{id(stream.run): stream.run for stream in streams}.values()]
    return ((run, [stream.packed for stream in streams if stream.run is run]) for run in runs)


def read(
    streams: Sequence[Stream],
    policy: Policy | None = None,
    noise: str = "",
    repeats: int = 1,
    temperature: float = 1.0,
) -> list[Rollout]:
    """Read each stream `repeats` times with the agent of its run, and ask its questions; nothing is stored. Results are in
    order of run, context and repeat.

    policy: the model in the role memory; None: the one that the run names, if any. noise: the name of the round; two rounds
    with the same name and the same weights are equal. temperature: of the policy. Raises UsageError and StopRun as a run
    does, and StopRun where the agent failed, because the reward would then measure the failure.
    """
    found: list[Rollout] = []
    for run, some in by_run(streams):
        found += process.run(_read(run, some, policy, noise, repeats, temperature))
    return found


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

        await process.all_of(one(stream, repeat) for stream in streams for repeat in range(repeats))
    return _rollouts(spec, rows, steps)


def _rollouts(spec: RunSpec, rows: Sequence[Any], steps: Sequence[Step]) -> list[Rollout]:
    """The readings, from what the engine emitted, with answers scored by the headline of the task. Raises StopRun where an
    answer failed."""
    questions = {row.question_id: row for row in rows if isinstance(row, QuestionRow)}
    samples = [row for row in rows if isinstance(row, SampleRow)]
    lost = next((sample.failure for sample in samples if sample.failure is not None), None)
    if lost is not None:
        raise StopRun(f"a reading failed: {lost}")
    texts = {row.sha: row.text for row in rows if isinstance(row, TextRow)}
    card = spec.task
    native = spec.agent.card.track == "native"
    rules = Rules((card.headline,), card.headline, native, card.keyword_separator, card.cut_off)
    scores = list(score_samples(samples, questions, texts, rules))
    operations = [row for row in rows if isinstance(row, OperationRow)]
    return rollouts(steps, operations, questions, scores, card.headline, spec.task_typed)
