"""One's own data: a JSONL file with a stream and its questions on each line, and a card of a few lines.

    source: jsonl
    params: {file: notes.jsonl}          # beside the card, or in the data folder; plain or .gz

    {"id": "monday",                                                       # optional; "line-1", ... otherwise
     "units": ["a text", {"text": "another", "time": "2024-05-01", "speaker": "Ann"}],
     "questions": [{"text": "Who?", "answers": ["Ann", "Ann Lee"]}],       # or "question", or "answer": one text
     "cluster": "diary"}                                                   # optional: streams that are not independent

Optional in a question: "id"; "kind" (a label to report by); "options"; "position" (units seen when it is asked); "time";
"answerable" (false: the right reply is to abstain, and answers may be left out); "evidence", a list of {"text", "units"}:
the supporting text and the 0-based units that hold it (found by the text when left out).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from memeval.cards import TaskCard
from memeval.data.fields import either, id_field, is_whole, known_object, list_field, optional_text
from memeval.data.files import DataFile, local
from memeval.data.records import Span, read
from memeval.errors import UsageError
from memeval.task import Context, Evidence, Question, Unit
from memeval.tasks.base import Settings, contradiction, params
from memeval.tasks.fixed import FixedTask, Head, from_records

CONTEXT_KEYS = ("id", "units", "questions", "cluster")
UNIT_KEYS = ("text", "time", "speaker")
QUESTION_KEYS = (
    *("id", "text", "question", "answers", "answer", "kind"),
    *("options", "position", "time", "answerable", "evidence"),
)
EVIDENCE_KEYS = ("text", "units")


class Jsonl:
    """The source of cards that say `source: jsonl`."""

    class Params(msgspec.Struct):
        file: str

    def files(self, card: TaskCard) -> tuple[DataFile, ...]:
        """The file of the card's params: beside the card, else in the data folder."""
        name = params(card, self.Params).file
        return (DataFile((str(Path(card.path).parent.absolute() / Path(name).expanduser()), name)),)

    def load(self, card: TaskCard, settings: Settings) -> FixedTask:
        """Read and check the whole file. Raises UsageError with file and line for whatever is wrong in it."""
        (wanted,) = self.files(card)
        found = local(wanted, settings.data_dir)
        if not found:
            raise UsageError(
                f"{card.path or card.name}: 'params.file': no file {wanted.names[0]} (and none in the data folder)"
            )
        records = read(found[0])
        clustered = card.cluster not in ("question", "context")

        def head(row: Any, span: Span) -> Head:
            place = records.place(span.number)
            context = parse(row, place, span.number)
            if clustered and context.cluster == context.id and "cluster" not in row:
                raise UsageError(f"{place}: no 'cluster', but the card says 'cluster: {card.cluster}'; name it in each line")
            return context.id, context.questions

        return from_records(
            card, settings, records, head, lambda row, span: parse(row, records.place(span.number), span.number)
        )


def parse(record: Any, place: str, number: int) -> Context:
    """The line of that number. Raises UsageError with the place."""
    row = known_object(record, "the line", CONTEXT_KEYS, place)
    name = id_field(row, "id", place) or f"line-{number}"
    units = tuple(_unit(item, f"{place}: units[{at}]") for at, item in enumerate(list_field(row, "units", place)))
    if not units:
        raise UsageError(f"{place}: 'units' is empty")
    questions = tuple(
        _question(item, f"{name}-q{at + 1}", units, f"{place}: questions[{at}]")
        for at, item in enumerate(list_field(row, "questions", place))
    )
    cluster = optional_text(row, "cluster", place) or name
    return Context(name, units, questions, cluster, meta={"documents": len(units)})


def _unit(item: Any, place: str) -> Unit:
    row = {"text": item} if isinstance(item, str) else known_object(item, "a unit", UNIT_KEYS, place)
    text = optional_text(row, "text", place)
    if not text:
        raise UsageError(f"{place}: a unit needs 'text'")
    return Unit(text, optional_text(row, "time", place), optional_text(row, "speaker", place))


def _question(item: Any, default_id: str, units: Sequence[Unit], place: str) -> Question:
    row = known_object(item, "a question", QUESTION_KEYS, place)
    text = either(row, "text", "question", place)
    if not isinstance(text, str) or not text.strip():
        raise UsageError(f"{place}: a question needs 'text'")
    answers = either(row, "answers", "answer", place)
    answers = [answers] if isinstance(answers, str) else ([] if answers is None else answers)
    if not isinstance(answers, list) or not all(isinstance(answer, str) and answer.strip() for answer in answers):
        raise UsageError(f"{place}: 'answers' is a list of texts")
    answerable = row.get("answerable", True)
    if not isinstance(answerable, bool):
        raise UsageError(f"{place}: 'answerable' is true or false")
    if answerable and not answers:
        raise UsageError(f"{place}: a question needs 'answers' (or 'answerable': false)")
    options = row.get("options")
    if options is not None and not (isinstance(options, list) and options and all(isinstance(o, str) for o in options)):
        raise UsageError(f"{place}: 'options' is a list of texts")
    position = row.get("position")
    if position is not None and not is_whole(position, most=len(units)):
        raise UsageError(f"{place}: 'position' is {position!r}, expected a number of units from 0 to {len(units)}")
    evidence = list_field(row, "evidence", place) if row.get("evidence") is not None else []
    question = Question(
        id=id_field(row, "id", place) or default_id,
        text=text.strip(),
        answers=tuple(answers),
        kind=optional_text(row, "kind", place) or "all",
        time=optional_text(row, "time", place),
        options=tuple(options) if options is not None else None,
        position=position,
        answerable=answerable,
        evidence=tuple(_evidence(piece, units, f"{place}: evidence[{at}]") for at, piece in enumerate(evidence)),
    )
    fault = contradiction(question, units)
    if fault:
        raise UsageError(f"{place}: {fault}")
    return question


def _evidence(item: Any, units: Sequence[Unit], place: str) -> Evidence:
    row = known_object(item, "a piece of evidence", EVIDENCE_KEYS, place)
    text = optional_text(row, "text", place)
    if not text:
        raise UsageError(f"{place}: a piece of evidence needs 'text'")
    if row.get("units") is None:
        return Evidence(text, tuple(at for at, unit in enumerate(units) if text in unit.text))
    indices = list_field(row, "units", place)
    for index in indices:
        if not is_whole(index, most=len(units) - 1):
            raise UsageError(f"{place}: 'units' holds {repr(index)[:80]}, expected indices from 0 to {len(units) - 1}")
    return Evidence(text, tuple(indices))
