"""Users' own data: a JSONL file with a stream and its questions on each line, and a card of a few lines.

    source: jsonl
    params: {file: notes.jsonl}          # beside the card, or in the data folder; plain or .gz

    {"id": "monday",                                                       # optional; "line-1", ... otherwise
     "units": ["a text", {"text": "another", "time": "2024-05-01", "speaker": "Ann"}],
     "questions": [{"text": "Who?", "answers": ["Ann", "Ann Lee"]}],       # or "question", or "answer": one text
     "cluster": "diary"}                                                   # optional: streams that are not independent

Optional in a question: "id"; "kind" (a label to report by); "options"; "position" (units seen when it is asked); "time";
"answerable" (false: the right reply is to abstain, and answers may be left out); "evidence", a list of {"text", "units"}:
the supporting text and the 0-based units that contain it (searched for when left out).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec

from memeval.cards import TaskCard
from memeval.data.files import DataFile, local
from memeval.data.records import read
from memeval.errors import UsageError
from memeval.task import Context, Evidence, Question, Unit
from memeval.tasks.base import Settings, contradiction, params
from memeval.tasks.fixed import FixedTask, from_records
from memeval.typed import Count, Text, typed


class UnitLine(msgspec.Struct, forbid_unknown_fields=True):
    text: Text
    time: str | None = None
    speaker: str | None = None


class EvidenceLine(msgspec.Struct, forbid_unknown_fields=True):
    text: Text
    units: tuple[Count, ...] | None = None


class QuestionLine(msgspec.Struct, forbid_unknown_fields=True):
    text: Text | None = None
    question: Text | None = None
    answers: Text | tuple[Text, ...] | None = None
    answer: Text | tuple[Text, ...] | None = None
    id: str | int | None = None
    kind: str | None = None
    options: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)] | None = None
    position: Count | None = None
    time: str | None = None
    answerable: bool = True
    evidence: tuple[EvidenceLine, ...] | None = None


class Line(msgspec.Struct, forbid_unknown_fields=True):
    units: Annotated[tuple[Text | UnitLine, ...], msgspec.Meta(min_length=1)]
    questions: tuple[QuestionLine, ...]
    id: str | int | None = None
    cluster: str | None = None


class Jsonl:
    """The source of cards that say `source: jsonl`."""

    class Params(msgspec.Struct):
        file: str

    def files(self, card: TaskCard) -> tuple[DataFile, ...]:
        """The file that the card's params name: beside the card, else in the data folder."""
        name = params(card, self.Params).file
        return (DataFile((str(Path(card.path).parent.absolute() / Path(name).expanduser()), name)),)

    def load(self, card: TaskCard, settings: Settings) -> FixedTask:
        """Read and check the whole file. Raises UsageError, with file and line, for anything that is wrong in it."""
        (wanted,) = self.files(card)
        found = local(wanted, settings.data_dir)
        if not found:
            raise UsageError(
                f"{card.path or card.name}: 'params.file': no file {wanted.names[0]} (and none in the data folder)"
            )
        records = read(found[0])
        clustered = card.cluster not in ("question", "context")

        def build(row: Any, number: int) -> Context:
            place = records.place(number)
            context = parse(row, place, number)
            if clustered and context.cluster == context.id and "cluster" not in row:
                raise UsageError(f"{place}: no 'cluster', but the card says 'cluster: {card.cluster}'; name it in each line")
            return context

        return from_records(card, settings, records, build)


TRACEABLE = 3
"""The fewest characters of an evidence text that is searched for; a shorter one is a mark. Shorter gold answers cannot be
traced either."""


def parse(record: Any, place: str, number: int) -> Context:
    """The context of a line. Raises UsageError with the place."""
    line: Line = typed(record, Line, place)
    name = _plain(line.id) or f"line-{number}"
    units = tuple(
        Unit(unit.strip()) if isinstance(unit, str) else Unit(unit.text.strip(), _plain(unit.time), _plain(unit.speaker))
        for unit in line.units
    )
    questions = tuple(
        _question(item, f"{name}-q{at + 1}", units, f"{place}: questions[{at}]") for at, item in enumerate(line.questions)
    )
    return Context(name, units, questions, _plain(line.cluster) or name, meta={"documents": len(units)})


def _question(row: QuestionLine, default_id: str, units: Sequence[Unit], place: str) -> Question:
    text, answers = _either(row, "text", "question", place), _either(row, "answers", "answer", place)
    if text is None:
        raise UsageError(f"{place}: a question needs 'text'")
    if row.answerable and not answers:
        raise UsageError(f"{place}: a question needs 'answers' (or 'answerable': false)")
    question = Question(
        id=_plain(row.id) or default_id,
        text=text.strip(),
        answers=answers or (),
        kind=_plain(row.kind) or "all",
        time=_plain(row.time),
        options=row.options,
        position=row.position,
        answerable=row.answerable,
        evidence=tuple(_evidence(piece, units) for piece in row.evidence or ()),
    )
    fault = contradiction(question, units)
    if fault:
        raise UsageError(f"{place}: {fault}")
    return question


def _evidence(row: EvidenceLine, units: Sequence[Unit]) -> Evidence:
    text = row.text.strip()
    named = row.units or ()
    if len(text) < TRACEABLE and all(at < len(units) for at in named) and not any(text in unit.text for unit in units):
        text = "\n".join(units[at].text for at in named) or text  # a mark such as "x": its units are the evidence
    return Evidence(text, row.units or tuple(at for at, unit in enumerate(units) if text in unit.text))


def _either(row: QuestionLine, key: str, other: str, place: str) -> Any:
    """The value of a key that has two names. Raises UsageError where both are given."""
    first, second = getattr(row, key), getattr(row, other)
    if first is not None and second is not None:
        raise UsageError(f"{place}: has both '{key}' and '{other}'; keep one")
    return second if first is None else first


def _plain(value: str | int | None) -> str | None:
    """An optional text: None if it is left out, null or blank."""
    return None if value is None else str(value).strip() or None
