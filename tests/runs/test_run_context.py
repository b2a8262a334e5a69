"""A run context with a live model: nothing is stored, and the replies of each step can be collected."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from scripts import ScriptedModel

from memeval.models.completion import Completion, Request, Row
from memeval.models.usage import Step
from memeval.runs.run_context import RunContext
from memeval.task import Context, Question, Unit


class Writer:
    """Calls its model twice for each chunk and once when it recalls."""

    def begin(self, session: Any) -> None:
        self.model = session.models["memory"]

    async def observe(self, chunk: Any) -> None:
        for number in range(2):
            await self.model.generate([{"role": "user", "content": chunk.text}], sample=number)

    async def recall(self, query: Any) -> Any:
        from memeval.agent import Item, Recall

        return Recall([Item((await self.model.generate([{"role": "user", "content": query.text}])).text)])


def test_a_live_model_answers_its_role_and_each_step_hands_over_its_rows(toy: Any) -> None:
    units = tuple(Unit(f"Sentence {number} has some words in it for the chunks of this stream.") for number in range(6))
    question = Question(id="q", text="What is it?", answers=("it",))
    planned = toy.planned(Writer, [Context(id="c", units=units, questions=(question,))])
    count = iter(range(1000))

    def answer(request: Request) -> Completion:
        return Completion("written", row=Row((next(count),), (1, 2), (-0.1, -0.2)))

    live, steps = ScriptedModel(answer), list[Step]()

    async def main() -> None:
        work = [(ref, 0) for ref in planned.task.refs(planned.question_ids)]
        async with RunContext(planned.spec, models={"memory": live}, on_step=steps.append) as context:
            await context.engine(lambda event: None).execute(planned.task, work)

    asyncio.run(main())
    chunks = [step for step in steps if step.name.startswith("c0")]
    assert len(chunks) > 1
    assert {step.context_id for step in steps} == {"c"}
    numbers = [completion.row.prompt_ids[0] for step in chunks for _, completion in step.completions if completion.row]
    assert numbers == list(range(2 * len(chunks)))  # one row per generate, in order, with its step
    assert len(live.requests) == 2 * len(chunks) + 1
    assert not (planned.spec.folder / "calls.sqlite").exists()
    assert replace(live.requests[0], phase="ingest") == live.requests[0]
