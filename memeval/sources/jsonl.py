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

import dataclasses
import gzip
import hashlib
import io
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from memeval.cards import TaskCard
from memeval.datafiles.files import data_folder, parse_line
from memeval.errors import UsageError, suggest
from memeval.sources import Settings
from memeval.streams import refs_of, seeded
from memeval.task import Context, ContextRef, Evidence, Question, Unit

CONTEXT_KEYS = ("id", "units", "questions", "cluster")
UNIT_KEYS = ("text", "time", "speaker")
QUESTION_KEYS = (
    *("id", "text", "question", "answers", "answer", "kind"),
    *("options", "position", "time", "answerable", "evidence"),
)
EVIDENCE_KEYS = ("text", "units")


class Jsonl:
    """The source of cards that say `source: jsonl`."""

    def load(self, card: TaskCard, settings: Settings) -> JsonlTask:
        """Read and check the whole file. Raises UsageError with file and line for whatever is wrong in it."""
        for key in ("documents", "tokens", "hard"):
            if getattr(card, key):
                raise UsageError(
                    f"task '{card.name}': '{key}' has no effect: source jsonl takes streams as they are in the file"
                )
        if card.shared != 1:
            raise UsageError(f"task '{card.name}': 'shared' has no effect: the file says which questions share a stream")
        for key in card.params:
            if key != "file":
                raise UsageError(f"{card.path or card.name}: unknown key 'params.{key}'{suggest(key, ['file'])}")
        name = card.params.get("file")
        if not isinstance(name, str) or not name:
            raise UsageError(f"{card.path or card.name}: source jsonl needs 'params: {{file: NAME.jsonl}}'")
        return JsonlTask(card, settings, _find(name, card, settings))


class JsonlTask:
    """Implements `memeval.sources.Task`. Keeps the questions; a stream is read again from its line when it is built."""

    def __init__(self, card: TaskCard, settings: Settings, path: Path) -> None:
        self.card = card
        self._path = path
        self._data = _content(path) if path.name.endswith(".gz") else None
        self._lines: dict[str, tuple[int, int, int]] = {}  # context id -> line, and where it starts and ends (bytes)
        self._context_of: dict[str, str] = {}
        questions: dict[str, Question] = {}
        places: dict[str, int] = {}
        digest, size, start, total = hashlib.sha256(), 0, 0, 0
        for number, line in enumerate(self._raw_lines(), start=1):
            digest.update(line)
            size += len(line)
            end = start + len(line)
            if line.strip():
                context = _context(line, f"{path}:{number}", number)
                if context.id in self._lines:
                    first = self._lines[context.id][0]
                    raise UsageError(f"{path}:{number}: id '{context.id}' was already used in line {first}")
                self._lines[context.id] = (number, start, end)
                for question in context.questions:
                    if question.id in places:
                        used = places[question.id]
                        raise UsageError(f"{path}:{number}: question id '{question.id}' was already used in line {used}")
                    places[question.id] = number
                    questions[question.id] = dataclasses.replace(question, evidence=())
                    self._context_of[question.id] = context.id
                total += len(context.units)
            start = end
        if not questions:
            raise UsageError(f"{path}: no questions in it; each line is a JSON object with 'units' and 'questions'")
        self.order: Sequence[str] = seeded(questions, settings.seed)
        self._questions = questions
        facts = {
            "name": path.name.removesuffix(".gz"),
            "sha256": digest.hexdigest(),
            "bytes": size,
            "records": len(self._lines),
        }
        self.data: Mapping[str, Any] = {
            "files": [facts],
            "questions": len(questions),
            "contexts": len(self._lines),
            "units": total,
            "corpus": digest.hexdigest(),
        }

    def golds(self) -> Sequence[Question]:
        """Questions with their golds but without evidence, in seeded order."""
        return [self._questions[name] for name in self.order]

    def refs(self, question_ids: Sequence[str]) -> list[ContextRef]:
        return refs_of(self.card, self._context_of, question_ids)

    def context(self, ref: ContextRef) -> Context:
        if ref.context_id not in self._lines:
            raise UsageError(f"task '{self.card.name}': no context '{ref.context_id}'")
        number, start, end = self._lines[ref.context_id]
        if self._data is not None:
            line = self._data[start:end]
        else:
            with self._path.open("rb") as file:
                file.seek(start)
                line = file.read(end - start)
        context = _context(line, f"{self._path}:{number}", number)
        if context.id != ref.context_id:
            raise UsageError(f"{self._path}:{number}: the file was changed while it was in use; start again")
        return context

    def _raw_lines(self) -> Iterator[bytes]:
        if self._data is not None:
            yield from io.BytesIO(self._data)
            return
        try:
            with self._path.open("rb") as file:
                yield from file
        except OSError as error:
            raise UsageError(f"{self._path}: cannot be read ({error.strerror or error})") from None


def _find(name: str, card: TaskCard, settings: Settings) -> Path:
    beside = Path(card.path).parent if card.path else Path()
    for folder in (beside, data_folder(settings)):
        if folder is not None:
            path = folder / Path(name).expanduser()
            for candidate in (path, path.with_name(f"{path.name}.gz")):
                if candidate.is_file():
                    return candidate
    raise UsageError(f"{card.path or card.name}: 'params.file': no file {beside / name} (and none in the data folder)")


def _content(path: Path) -> bytes:
    try:
        return gzip.decompress(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path}: cannot be read as gzip ({error.strerror or error})") from None
    except (EOFError, zlib.error) as error:
        raise UsageError(f"{path}: damaged or cut gzip file ({error})") from None


def _context(line: bytes, place: str, number: int) -> Context:
    row = _object(parse_line(line.removeprefix(b"\xef\xbb\xbf"), place), "the line", CONTEXT_KEYS, place)
    name = _name(row, place) or f"line-{number}"
    units = tuple(_unit(item, f"{place}: units[{at}]") for at, item in enumerate(_list(row, "units", place)))
    if not units:
        raise UsageError(f"{place}: 'units' is empty")
    questions = tuple(
        _question(item, f"{name}-q{at + 1}", units, f"{place}: questions[{at}]")
        for at, item in enumerate(_list(row, "questions", place))
    )
    return Context(name, units, questions, cluster=_text(row, "cluster", place) or name, meta={"documents": len(units)})


def _unit(item: Any, place: str) -> Unit:
    row = {"text": item} if isinstance(item, str) else _object(item, "a unit", UNIT_KEYS, place)
    text = _text(row, "text", place)
    if not text:
        raise UsageError(f"{place}: a unit needs 'text'")
    return Unit(text, _text(row, "time", place), _text(row, "speaker", place))


def _question(item: Any, default_id: str, units: Sequence[Unit], place: str) -> Question:
    row = _object(item, "a question", QUESTION_KEYS, place)
    text = _one_of(row, "text", "question", place)
    if not isinstance(text, str) or not text.strip():
        raise UsageError(f"{place}: a question needs 'text'")
    answers = _one_of(row, "answers", "answer", place)
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
    if position is not None and (
        isinstance(position, bool) or not isinstance(position, int) or not 0 <= position <= len(units)
    ):
        raise UsageError(f"{place}: 'position' is {position!r}, expected a number of units from 0 to {len(units)}")
    evidence = _list(row, "evidence", place) if row.get("evidence") is not None else []
    return Question(
        id=_name(row, place) or default_id,
        text=text.strip(),
        answers=tuple(answers),
        kind=_text(row, "kind", place) or "all",
        time=_text(row, "time", place),
        options=tuple(options) if options is not None else None,
        position=position,
        answerable=answerable,
        evidence=tuple(_evidence(piece, units, f"{place}: evidence[{at}]") for at, piece in enumerate(evidence)),
    )


def _evidence(item: Any, units: Sequence[Unit], place: str) -> Evidence:
    row = _object(item, "a piece of evidence", EVIDENCE_KEYS, place)
    text = _text(row, "text", place)
    if not text:
        raise UsageError(f"{place}: a piece of evidence needs 'text'")
    if row.get("units") is None:
        return Evidence(text, tuple(at for at, unit in enumerate(units) if text in unit.text))
    indices = _list(row, "units", place)
    for index in indices:
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(units):
            raise UsageError(f"{place}: 'units' holds {repr(index)[:80]}, expected indices from 0 to {len(units) - 1}")
    return Evidence(text, tuple(indices))


def _object(item: Any, what: str, keys: Sequence[str], place: str) -> Mapping[str, Any]:
    if not isinstance(item, dict):
        raise UsageError(f"{place}: {what} is {type(item).__name__}, expected a JSON object")
    for key in item:
        if key not in keys:
            raise UsageError(f"{place}: unknown key '{key[:80]}'{suggest(key, keys)}")
    return item


def _one_of(row: Mapping[str, Any], key: str, other: str, place: str) -> Any:
    if key in row and other in row:
        raise UsageError(f"{place}: has both '{key}' and '{other}'; keep one")
    return row.get(key, row.get(other))


def _list(row: Mapping[str, Any], key: str, place: str) -> list[Any]:
    value = row.get(key)
    if not isinstance(value, list):
        raise UsageError(f"{place}: '{key}' is {type(value).__name__ if key in row else 'missing'}, expected a list")
    return value


def _text(row: Mapping[str, Any], key: str, place: str) -> str | None:
    value = row.get(key)
    if value is not None and not isinstance(value, str):
        raise UsageError(f"{place}: '{key}' is {value!r}, expected text")
    return value.strip() or None if value else None


def _name(row: Mapping[str, Any], place: str) -> str | None:
    """An id: text, or a whole number."""
    value = row.get("id")
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return _text(row, "id", place)
