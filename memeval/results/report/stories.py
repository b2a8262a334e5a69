"""The answers of the page: a row for each, and its story (what was asked, recalled, held, and written)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import msgspec

from memeval.memory.replay import replay
from memeval.metrics.held import each_held
from memeval.records.attribution import AttributedAnswer
from memeval.records.clean import encode
from memeval.records.folder import Key
from memeval.records.rows import OperationRow, QuestionRow, SampleRow, ScoreRow
from memeval.results.load import Run
from memeval.results.lost import ASKED_WORDS, WORDS, Lost, headline_scores
from memeval.results.memory_at import by_memory, steps_at
from memeval.results.report.pack import Pack
from memeval.runs.score import recalled_items

LIMIT = 20_000_000
"""Characters of packed stories in a page, unless all are wanted."""
SHORT = 300
"""Characters of a text in a row of the table."""
LONG = 60
"""Characters from which on an argument of a call is packed like a text."""
FIRST = ("wrong", "failed", "partly", "right", "n/a")
"""Verdicts in the order in which their stories go into the page."""

LEFT_OUT = -1


class QuestionCells(msgspec.Struct, frozen=True, array_like=True):
    """A question in the table, its texts shortened."""

    id: str
    task: str
    kind: str
    text: str
    golds: str


class AnswerCells(msgspec.Struct, frozen=True, array_like=True):
    """An answer in the table. run, question: their numbers. score: the run's headline; None where it does not apply.
    lost: where a wrong answer was lost, or that a right one is unsupported. story: a number in the pack, or LEFT_OUT."""

    run: int
    question: int
    repeat: int
    answer_repeat: int
    verdict: str
    score: float | None
    lost: str
    answer: str
    story: int


class Rows(msgspec.Struct, frozen=True):
    questions: tuple[QuestionCells, ...]
    answers: tuple[AnswerCells, ...]


class EvidenceFacts(msgspec.Struct, frozen=True):
    text: str
    titles: tuple[str, ...]
    chunks: tuple[str, ...]


class QuestionFacts(msgspec.Struct, frozen=True):
    """A question in full."""

    text: str
    time: str | None
    options: tuple[str, ...]
    answers: tuple[str, ...]
    answerable: bool
    keypoints: tuple[str, ...]
    evidence: tuple[EvidenceFacts, ...]
    context: str
    stream_tokens: int
    chunks: int


class RecalledItem(msgspec.Struct, frozen=True):
    """text: a number in the pack; None where the text is not at hand. holds: numbers of the pieces of evidence in it."""

    text: int | None
    chunks: tuple[str, ...]
    id: str | None
    score: float | None
    tokens: int
    holds: tuple[int, ...]


class MemoryFacts(msgspec.Struct, frozen=True):
    """A memory when it was asked. held: tokens by type; None where the agent does not say. entries: type -> (id, text),
    as the recorded operations made them. steps: numbers in the pack, in order."""

    held: dict[str, int] | None
    chunks: int
    entries: dict[str, list[tuple[str, int]]]
    steps: tuple[int, ...]


class CallFacts(msgspec.Struct, frozen=True):
    """A memory operation. arguments: short ones as text, long ones as a number in the pack."""

    name: str
    arguments: dict[str, str | int]
    status: str
    message: str


class StepFacts(msgspec.Struct, frozen=True):
    """The operations of one chunk; reply: the first reply, where nothing was stored."""

    chunk: str
    calls: tuple[CallFacts, ...]
    reply: str | None


class Ruling(msgspec.Struct, frozen=True):
    """What a judge says of an answer."""

    judge: str
    verdict: str
    text: str


class Asked(msgspec.Struct, frozen=True):
    """A wrong answer that was asked again (`memeval attribute`): where it was lost, and the replies."""

    lost: str
    with_evidence: str | None
    with_memory: str | None


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """An answer in full. question, memory: numbers in the pack; memory is None of a control, and where it is not at hand.
    found: of each piece of the evidence that is in the stream, whether it was recalled, None where that cannot be traced."""

    question: int
    answer: str | None
    failure: str | None
    reason: str | None
    metrics: dict[str, float]
    rulings: tuple[Ruling, ...]
    recalled: tuple[RecalledItem, ...]
    recall_tokens: int
    dropped: int
    beyond: int
    memory_tokens: int | None
    memory: int | None
    found: tuple[bool | None, ...]
    asked: Asked | None


Entry = tuple[Run, SampleRow, ScoreRow | None]


def rows_and_stories(runs: Sequence[Run], followed: Sequence[Lost], pack: Pack, limit: int | None = LIMIT) -> Rows:
    """A row for every answer; its story goes into the pack while that has at most `limit` characters, wrong answers first.
    followed: where the answers of each run were lost. limit: None for all stories."""
    entries = list(_entries(runs))
    numbers: dict[tuple[str, str, str], int] = {}
    questions: list[QuestionCells] = []
    places: list[int] = []
    for run, sample, _ in entries:
        row = run.questions[sample.question_id]
        key = (run.task, row.question_id, row.digest)
        if key not in numbers:
            numbers[key] = len(questions)
            questions.append(_question_cells(run, row))
        places.append(numbers[key])
    found = dict.fromkeys(range(len(entries)), LEFT_OUT)
    stories = {run.path: Stories(run, pack) for run in runs}
    for number in sorted(found, key=lambda number: (FIRST.index(_verdict(entries[number][2])), places[number], number)):
        if limit is not None and pack.size >= limit:
            break
        run, sample, score = entries[number]
        found[number] = stories[run.path].add(sample, score)
    run_numbers = {run.path: number for number, run in enumerate(runs)}
    ends = {run.path: _ends(found) for run, found in zip(runs, followed, strict=True)}
    answers = tuple(
        _answer_cells(run, run_numbers[run.path], place, sample, score, ends[run.path].get(sample.key, ""), found[number])
        for number, ((run, sample, score), place) in enumerate(zip(entries, places, strict=True))
    )
    return Rows(tuple(questions), answers)


def _ends(found: Lost) -> dict[Key, str]:
    lost = {key: WORDS[where] for key, where in found.where.items()}
    return lost | dict.fromkeys(found.unsupported_answers, "unsupported")


def _entries(runs: Sequence[Run]) -> Iterator[Entry]:
    for run in runs:
        scores = headline_scores(run)
        yield from ((run, sample, scores.get(sample.key)) for sample in run.samples)


def _verdict(score: ScoreRow | None) -> str:
    return score.verdict if score else "n/a"


def _question_cells(run: Run, row: QuestionRow) -> QuestionCells:
    golds = " | ".join(row.answers) if row.answerable else "(unanswerable)"
    return QuestionCells(row.question_id, run.task, row.kind, _short(row.text), _short(golds))


def _answer_cells(
    run: Run, number: int, question: int, sample: SampleRow, score: ScoreRow | None, lost: str, story: int
) -> AnswerCells:
    metrics = score.metrics if score else {}
    value = metrics.get(run.summary.headline.metric, metrics.get("abstention"))
    answer = _short(sample.answer or sample.failure or "")
    return AnswerCells(number, question, sample.repeat, sample.answer_repeat, _verdict(score), value, lost, answer, story)


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= SHORT else flat[: SHORT - 1] + "…"


class Stories:
    """The stories of one run on their way into the pack. Rows are read when the first story needs them."""

    def __init__(self, run: Run, pack: Pack) -> None:
        self._run, self._pack = run, pack

    @cached_property
    def _scores(self) -> dict[Key, ScoreRow]:
        """Of the task's own metrics."""
        return {row.key: row for row in self._run.scores()}

    @cached_property
    def _rulings(self) -> dict[str, dict[Key, ScoreRow]]:
        """judge -> its scores"""
        return {name: {row.key: row for row in self._run.scores(name)} for name in self._run.folder.judges()}

    @cached_property
    def _steps(self) -> dict[tuple[str, int], list[OperationRow]]:
        return by_memory(self._run.operations)

    @cached_property
    def _asked(self) -> dict[Key, AttributedAnswer]:
        """What `memeval attribute` found."""
        found = self._run.folder.attribution()
        return {(row.question_id, row.repeat, row.answer_repeat): row for row in (found.answers if found else ())}

    def add(self, sample: SampleRow, score: ScoreRow | None) -> int:
        """The number of the story in the pack."""
        row = self._run.questions[sample.question_id]
        question, items, own = row.question(), recalled_items(sample, self._run.texts), self._scores.get(sample.key)
        placed = [number for number, piece in enumerate(row.evidence) if piece.chunks]
        near = {chunk for piece in row.evidence for chunk in piece.chunks}
        recalled = tuple(
            RecalledItem(
                text=self._pack.add(item.text) if line.text in self._run.texts else None,
                chunks=item.chunks,
                id=item.id,
                score=item.score,
                tokens=line.tokens,
                holds=()
                if near.isdisjoint(item.chunks)
                else tuple(itertools.compress(placed, each_held(question, row.evidence, [item]))),
            )
            for item, line in zip(items, sample.recall, strict=True)
        )
        return self._pack.add(
            Story(
                question=self._pack.add(_question_facts(row)),
                answer=sample.answer,
                failure=sample.failure or sample.not_applicable,
                reason=score.reason if score else None,
                metrics={**(own.metrics if own else {}), **(score.metrics if score else {})},
                rulings=tuple(self._ruled(sample)),
                recalled=recalled,
                recall_tokens=sample.recall_tokens,
                dropped=sample.recall_dropped,
                beyond=sample.recall_lost,
                memory_tokens=sample.memory_tokens,
                memory=self._memory(row, sample.repeat),
                found=tuple(each_held(question, row.evidence, items)),
                asked=self._asked_again(sample.key),
            )
        )

    def _asked_again(self, key: Key) -> Asked | None:
        found = self._asked.get(key)
        return Asked(ASKED_WORDS[found.where], found.with_evidence, found.with_memory) if found else None

    def _ruled(self, sample: SampleRow) -> Iterator[Ruling]:
        for judge, rows in self._rulings.items():
            if row := rows.get(sample.key):
                yield Ruling(judge, row.verdict, "\n".join(filter(None, (row.reason, row.reply))))

    def _memory(self, row: QuestionRow, repeat: int) -> int | None:
        steps = steps_at(self._steps.get((row.context_id, repeat), ()), row, repeat)
        if not steps:
            return None
        contents = replay(result.effect for step in steps for result in step.results)
        entries = {kind: [(key, self._pack.add(text)) for key, text in found.items()] for kind, found in contents.items()}
        written = tuple(self._pack.add(self._step(step)) for step in steps if step.results or step.reply)
        chunks = sum(1 for step in steps if step.units)
        return self._pack.add(MemoryFacts(steps[-1].held, chunks, entries, written))

    def _step(self, step: OperationRow) -> StepFacts:
        calls = tuple(
            CallFacts(result.name, self._arguments(result.arguments), result.status, result.message)
            for result in step.results
        )
        return StepFacts(step.chunk, calls, step.reply)

    def _arguments(self, arguments: Mapping[str, Any]) -> dict[str, str | int]:
        texts = {key: value if isinstance(value, str) else encode(value).decode() for key, value in arguments.items()}
        return {key: text if len(text) < LONG else self._pack.add(text) for key, text in texts.items()}


def _question_facts(row: QuestionRow) -> QuestionFacts:
    return QuestionFacts(
        text=row.text,
        time=row.time,
        options=row.options or (),
        answers=row.answers,
        answerable=row.answerable,
        keypoints=row.keypoints,
        evidence=tuple(EvidenceFacts(piece.text, piece.titles, piece.chunks) for piece in row.evidence),
        context=row.context_id,
        stream_tokens=row.stream_tokens,
        chunks=row.prefix_chunks,
    )
