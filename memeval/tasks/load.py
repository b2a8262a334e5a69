"""Loading a task: a built-in one as it is, a user's own with what it says checked."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from memeval import plugins
from memeval.cards import TaskCard
from memeval.errors import StopRun, UsageError
from memeval.task import Context, ContextRef, Question
from memeval.tasks.base import Settings, Task, contradiction


def load(card: TaskCard, settings: Settings) -> Task:
    """The task of a card. Raises NoData with the remedy where its data are not at hand, and UsageError, which names
    file and line, for damaged data and for a user's own task that fails or contradicts itself."""
    source = plugins.source(card)
    if card.source in plugins.SOURCES:
        found: Task = source().load(card, settings)
        return found
    place = _file(card)
    try:
        return OwnTask(card, source().load(card, settings), place)
    except (UsageError, StopRun):
        raise
    except Exception as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == place]
        line = f":{frames[-1].lineno}" if frames else ""
        text = " ".join(str(error).split())[:200]
        raise UsageError(f"{place}{line}: loading the task raised {type(error).__name__}({text})") from error


def _file(card: TaskCard) -> str:
    """The file of a task's class, for messages; the name of its source, where that is a module."""
    if not card.source.rpartition(":")[0].endswith(".py"):
        return card.source
    return str(plugins.module_file(card.source, Path(card.path) if card.path else None))


class OwnTask:
    """A user's task; implements `memeval.tasks.Task`. Raises UsageError, which names the file, for a question that
    contradicts itself."""

    def __init__(self, card: TaskCard, task: Task, place: str) -> None:
        self.card = card
        self._task, self._place = task, place
        self.data: Mapping[str, Any] = task.data
        self.order: Sequence[str] = task.order

    def golds(self) -> Sequence[Question]:
        golds = self._task.golds()
        for question in golds:
            self._check(question, contradiction(question))
        return golds

    def refs(self, question_ids: Sequence[str]) -> list[ContextRef]:
        return self._task.refs(question_ids)

    def context(self, ref: ContextRef) -> Context:
        context = self._task.context(ref)
        if not context.cluster and self.card.cluster not in ("question", "context"):
            text = f"context '{context.id}' has no cluster, but the card says 'cluster: {self.card.cluster}'"
            raise UsageError(f"{self._place}: {text}")
        for question in context.questions:
            self._check(question, contradiction(question, context.units))
        return context

    def _check(self, question: Question, fault: str) -> None:
        if fault:
            raise UsageError(f"{self._place}: question '{question.id}': {fault}")
