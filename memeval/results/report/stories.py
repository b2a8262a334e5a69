"""The answers of the page: a row for each, and the story of each question in the pack."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from memeval.records.clean import encode
from memeval.records.folder import Key
from memeval.records.rows import QuestionRow, SampleRow, ScoreRow
from memeval.results.lost import WORDS, Lost
from memeval.results.report.pack import Pack
from memeval.results.run import Run
from memeval.results.story import Given, Story, answers, whole_story

LIMIT = 20_000_000
"""The most characters of packed stories in a page, unless all are wanted."""
SHORT = 300
"""The most characters of a text in a row of the table."""
LONG = 60
"""An argument of a call that has this many characters is packed separately, as texts are."""
FIRST = ("wrong", "failed", "partly", "right", "n/a")
"""Verdicts in the order in which their stories go into the page."""

LEFT_OUT = -1
Place = tuple[int, int, int]


class QuestionCells(msgspec.Struct, frozen=True, array_like=True):
    """A question in the table, with shortened texts."""

    id: str
    task: str
    kind: str
    text: str
    golds: str


class AnswerCells(msgspec.Struct, frozen=True, array_like=True):
    """An answer in the table. run, question: numbers. score: by the run's headline, None where it does not apply. lost:
    where a wrong answer was lost, or `unsupported` for a right one. story: the number of its story in the pack, or
    LEFT_OUT."""

    run: int
    question: int
    repeat: int
    answer_repeat: int
    verdict: str
    score: float | None
    lost: str
    answer: str
    story: int = LEFT_OUT

    @property
    def place(self) -> Place:
        """The key of its story: there is one for each question of a run in each repeat."""
        return self.run, self.question, self.repeat


class Rows(msgspec.Struct, frozen=True):
    questions: tuple[QuestionCells, ...]
    answers: tuple[AnswerCells, ...]


def rows_and_stories(runs: Sequence[Run], pack: Pack, limit: int | None = LIMIT) -> Rows:
    """A row for every answer. Stories are added to the pack, those of wrong answers first, until it has `limit` characters;
    None: all stories."""
    numbers: dict[tuple[str, str, str], int] = {}
    questions: list[QuestionCells] = []
    rows: list[AnswerCells] = []
    samples_of: dict[Place, tuple[Run, SampleRow, list[Given]]] = {}
    for number, run in enumerate(runs):
        scores, ends = run.score_of(run.decides), _ends(run.lost)
        for sample, given in zip(run.samples, answers(run), strict=True):
            question = run.questions[sample.question_id]
            key = (run.task, question.question_id, question.digest)
            if key not in numbers:
                numbers[key] = len(questions)
                questions.append(_question_cells(run, question))
            row = _answer_cells(run, sample, scores.get(sample.key), number, numbers[key], ends.get(sample.key, ""))
            rows.append(row)
            samples_of.setdefault(row.place, (run, sample, []))[2].append(given)
    stories: dict[Place, int] = {}
    for row in sorted(rows, key=lambda row: (FIRST.index(row.verdict), row.question)):
        if limit is not None and pack.size >= limit:
            break
        if row.place not in stories:
            stories[row.place] = _packed(pack, whole_story(*samples_of[row.place]))
    return Rows(tuple(questions), tuple(replace(row, story=stories.get(row.place, LEFT_OUT)) for row in rows))


def _ends(found: Lost) -> dict[Key, str]:
    lost = {key: WORDS[where] for key, where in found.where.items()}
    return lost | dict.fromkeys(found.unsupported_answers, "unsupported")


def _question_cells(run: Run, row: QuestionRow) -> QuestionCells:
    golds = " | ".join(row.answers) if row.answerable else "(unanswerable)"
    return QuestionCells(row.question_id, run.task, row.kind, _short(row.text), _short(golds))


def _answer_cells(run: Run, sample: SampleRow, score: ScoreRow | None, number: int, question: int, lost: str) -> AnswerCells:
    metrics = score.metrics if score else {}
    return AnswerCells(
        run=number,
        question=question,
        repeat=sample.repeat,
        answer_repeat=sample.answer_repeat,
        verdict=score.verdict if score else "n/a",
        score=metrics.get(run.summary.headline.metric, metrics.get("abstention")),
        lost=lost,
        answer=_short(sample.answer or sample.failure or ""),
    )


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= SHORT else flat[: SHORT - 1] + "…"


def _packed(pack: Pack, story: Story) -> int:
    """Add a story to the pack and return its number. Parts that stories share (the question, the memory, its entries and
    operations, texts) are values of their own; the story holds their numbers."""
    found = msgspec.to_builtins(replace(story, run="", question=replace(story.question, meta={})))
    found["question"] = pack.add(found["question"])
    found["recalled"] = [_with_text(pack, item) for item in found["recalled"]]
    if memory := found["memory"]:
        memory["entries"] = [pack.add(_with_text(pack, entry)) for entry in memory["entries"]]
        memory["operations"] = [pack.add(_with_arguments(pack, call)) for call in memory["operations"]]
        found["memory"] = pack.add(memory)
    return pack.add(found)


def _with_text(pack: Pack, row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "text": pack.add(row["text"])}


def _with_arguments(pack: Pack, call: dict[str, Any]) -> dict[str, Any]:
    """The call with short arguments as texts, and long ones as numbers of packed texts."""
    texts = {key: value if isinstance(value, str) else encode(value).decode() for key, value in call["arguments"].items()}
    return {**call, "arguments": {key: text if len(text) < LONG else pack.add(text) for key, text in texts.items()}}
