"""What a memory held at one position of its stream, according to the recorded operations of reading."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from memeval.agent import Item
from memeval.errors import UsageError
from memeval.memory.replay import replayed_items
from memeval.records.folder import belongs
from memeval.records.rows import FINISH, READ, OperationRow, QuestionRow

if TYPE_CHECKING:
    from memeval.results.run import Run


def steps_at(run: Run, question: QuestionRow, repeat: int = 0) -> list[OperationRow]:
    """The steps, in order, that built the memory for a question. Where a fork read the last chunk, its step is used."""
    steps = [row for row in run.steps.get((question.context_id, repeat), ()) if belongs(row, {question.place})]
    fork = {row.chunk for row in steps if row.position is not None}
    steps = [row for row in steps if row.chunk != READ and (row.position is not None or row.chunk not in fork)]
    order = {"begin": "", FINISH: "~"}
    return sorted(steps, key=lambda row: order.get(row.chunk, row.chunk))


def items_at(steps: Iterable[OperationRow]) -> list[Item]:
    """All items that the memory held after these steps. Raises UsageError for an effect that cannot be replayed."""
    return replayed_items(result.effect for row in steps for result in row.results)


def records_effects(operations: Iterable[OperationRow]) -> bool:
    """Whether the agent recorded what its operations changed, so that its memory can be replayed. False also for effects in
    a format of the agent's own."""
    effects = [result.effect for row in operations for result in row.results if result.effect is not None]
    try:
        replayed_items(effects)
    except UsageError:
        return False
    return bool(effects)
