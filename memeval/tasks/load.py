"""Load a task. What a user's own task returns is checked."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, NoReturn, TypeVar

import msgspec

from memeval import plugins, source_files
from memeval.cards import TaskCard
from memeval.errors import NoData, StopRun, UsageError
from memeval.loading import described
from memeval.task import Context, ContextRef, Evidence, Question, Unit
from memeval.tasks.base import Settings, Task, contradiction
from memeval.typed import typed

PARTS = ("data", "order", "golds", "refs", "context")
"""The attributes and methods that a task needs, besides its card."""

Result = TypeVar("Result")


def load(card: TaskCard, settings: Settings) -> Task:
    """The task of a card. Raises NoData with the remedy if its data are missing, and UsageError with file and line for
    damaged data and for a user's own task that raises or contradicts itself."""
    source = plugins.source(card)
    if card.source in plugins.SOURCES:
        found: Task = source().load(card, settings)
        return found
    file, line = card.source, 1
    with suppress(OSError, TypeError):  # the class is in no file
        file, line = inspect.getsourcefile(source) or file, inspect.getsourcelines(source)[1]
    thread = ThreadPoolExecutor(1, "memeval-task")
    with _users_code(file, line, "loading the task"):
        task = thread.submit(_loaded, source, card, settings).result()
        return OwnTask(card, task, file, line, thread)


def _loaded(source: Any, card: TaskCard, settings: Settings) -> Task:
    """The task that a user's class loads. Raises UsageError if it has no `load`, or if that returns no task."""
    if not callable(getattr(source, "load", None)):
        raise UsageError(
            f"the class {card.source.rpartition(':')[2]} has no method 'load' (load(card, settings) returns a task)"
        )
    task: Task = source().load(card, settings)
    missing = [part for part in PARTS if not hasattr(task, part)]
    if missing:
        raise UsageError(
            f"load returned {type(task).__name__}, which has no '{missing[0]}'; return a FixedTask of memeval.tasks.fixed"
        )
    return task


_PLACED = re.compile(r"\S+:\d+: ")


@contextmanager
def _users_code(file: str, line: int, doing: str) -> Iterator[None]:
    """Turn whatever a user's task raises into a UsageError of one line, with the last place in the task's file, else the
    line of its class. A UsageError that already names a place is kept."""
    try:
        yield
    except (NoData, StopRun):
        raise
    except UsageError as error:
        if _PLACED.match(str(error)):
            raise
        raise UsageError(f"{source_files.place(error) or f'{file}:{line}'}: {error}") from error
    except (Exception, SystemExit) as error:
        place = source_files.place(error) or f"{file}:{line}"
        raise UsageError(f"{place}: {doing} raised {described(error)}") from error


class OwnTask:
    """A user's task; implements `memeval.tasks.Task`. Raises UsageError, with file and line, where a method of the task
    raises, and for a question that contradicts itself.

    The user's code runs in one thread without an event loop, so it may hold SQLite handles and call `asyncio.run`."""

    def __init__(self, card: TaskCard, task: Task, file: str, line: int, thread: ThreadPoolExecutor) -> None:
        self.card = card
        self._task, self._file, self._line, self._thread = task, file, line, thread
        self.data: Mapping[str, Any] = task.data
        self.order: Sequence[str] = task.order

    def golds(self) -> Sequence[Question]:
        with _users_code(self._file, self._line, "golds()"):
            golds = self._run(self._task.golds)
            if [question.id for question in golds] != list(self.order):
                self._refuse("its golds are not the questions of its order")
            self._check(golds)
            return golds

    def refs(self, question_ids: Sequence[str]) -> list[ContextRef]:
        with _users_code(self._file, self._line, "refs()"):
            return self._run(self._task.refs, question_ids)

    def context(self, ref: ContextRef) -> Context:
        with _users_code(self._file, self._line, f"building context '{ref.context_id}'"):
            context = self._run(self._task.context, ref)
            self._check_types("context", context.id, dataclasses.replace(context, questions=(), meta={}))
            name = f"context '{context.id}'"
            if context.id != ref.context_id or not {item.id for item in context.questions}.issuperset(ref.question_ids):
                self._refuse(f"{name} is not the one that was wanted ('{ref.context_id}')")
            if not any(unit.text.strip() for unit in context.units):
                self._refuse(f"{name} has no text")
            if not context.cluster and self.card.cluster not in ("question", "context"):
                self._refuse(f"{name} has no cluster, but the card says 'cluster: {self.card.cluster}'")
            self._check(context.questions, context.units)
            return context

    def _run(self, method: Callable[..., Result], *args: Any) -> Result:
        return self._thread.submit(method, *args).result()

    def _check(self, questions: Sequence[Question], units: Sequence[Unit] | None = None) -> None:
        for question in questions:
            self._check_types("question", question.id, question)
            fault = contradiction(question, units)
            if fault:
                self._refuse(f"question '{question.id}': {fault}")

    def _check_types(self, kind: str, name: Any, part: Context | Question) -> None:
        """Check that every field has the type that the class declares."""
        place = f"{self._file}:{self._line}: {kind} {name!r}"
        for field, wanted in (("units", Unit), ("evidence", Evidence)):
            for at, piece in enumerate(getattr(part, field, ())):
                if not isinstance(piece, wanted):
                    raise UsageError(f"{place}: '{field}[{at}]' is {piece!r:.80}, expected memeval.task.{wanted.__name__}")
        try:
            typed(msgspec.to_builtins(part), type(part), place)
        except TypeError as error:  # a value that no record can hold
            raise UsageError(f"{place} holds what is neither a text nor a number: {error}") from error

    def _refuse(self, fault: str) -> NoReturn:
        raise UsageError(f"{self._file}:{self._line}: {fault}")
