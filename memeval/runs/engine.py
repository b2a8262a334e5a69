"""One context through an agent or an engine arm. Everything that happens leaves as rows, which the driver writes.

Golds are in question rows only, which never meet an agent.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path

from memeval.models import usage
from memeval.models.usage import Ledger
from memeval.records.rows import EvidenceRow, QuestionRow
from memeval.runs import arms
from memeval.runs.answering import Desk, Shown
from memeval.runs.ingest import Ingest, together
from memeval.runs.prepare import Asking, Prepared, evidence_chunks
from memeval.task import Question


@dataclass(frozen=True)
class Engine:
    """What the contexts of one run share. scratch: a folder for what agents leave on disk; who made it deletes it. constant:
    the fixed answer of the `constant` arm."""

    desk: Desk
    threads: Executor
    scratch: Path
    constant: str | None = None
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    async def run(self, prepared: Prepared, repeat: int, built: Callable[[], None] = lambda: None) -> None:
        """Ask every open question of the context; emit its samples. built: called when an agent's memory of the whole stream
        is built. Raises StopRun when the whole run must stop."""
        asked = [(asking, question) for asking in prepared.askings for question in asking.questions]
        for asking, question in asked:
            self.desk.emit(question_row(prepared, asking, question))
        if self.desk.spec.agent.is_arm:
            await together(self._arm(prepared, asking, question, repeat) for asking, question in asked)
        else:
            folder = self.scratch / str(next(self._numbers))
            await Ingest(self.desk, prepared, repeat, folder, self.threads, built).run()
            if folder.exists():
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def _arm(self, prepared: Prepared, asking: Asking, question: Question, repeat: int) -> None:
        arm = self.desk.spec.agent.card.agent
        reason = arms.not_applicable(arm, question)
        for number in self.desk.open(question, repeat):
            ledger = Ledger("answer")
            usage.current.set(ledger)
            shown: Shown | None = None
            text = self.constant if arm == "constant" and not reason else None
            if arm != "constant" and not reason:
                recall = arms.arm_recall(arm, question, prepared.context.units, asking.chunks)
                shown = self.desk.shown(recall) if recall is not None else None
                text = await self.desk.read(question, shown, repeat, number)
            self.desk.sample(
                prepared.context.id, question, repeat, number,
                ledger=ledger, shown=shown, text=text, held=arms.held(arm), not_applicable=reason,
            )  # fmt: skip


def question_row(prepared: Prepared, asking: Asking, question: Question) -> QuestionRow:
    context = prepared.context
    chunks = evidence_chunks(question, asking.chunks)
    return QuestionRow(
        question_id=question.id,
        context_id=context.id,
        cluster=context.cluster or context.id,
        kind=question.kind,
        answerable=question.answerable,
        text=question.text,
        time=question.time,
        options=tuple(question.options) if question.options else None,
        answers=tuple(question.answers),
        position=question.position,
        evidence=tuple(
            EvidenceRow(text=piece.text, units=tuple(piece.units), chunks=tuple(ids))
            for piece, ids in zip(question.evidence, chunks, strict=True)
        ),
        keypoints=tuple(question.keypoints),
        stream_tokens=prepared.tokens,
        stream_units=len(context.units),
        stream_chunks=len(prepared.stream),
        prefix_chunks=len(asking.chunks),
        own_chunks=len(asking.chunks) - asking.shared,
        meta=dict(context.meta),
    )
