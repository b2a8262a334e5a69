"""The protocols of tasks and sources, and functions that sources share."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec

from memeval import cards
from memeval.cards import TaskCard
from memeval.data.files import DataFile
from memeval.errors import UsageError, suggest
from memeval.task import Context, ContextRef, Question, Unit
from memeval.typed import fields, unknown_key
from memeval.wording import counted
from memeval.yamlfile import at_key, decoded


@dataclass(frozen=True, slots=True)
class Settings:
    """The user's settings for data. data_dir: the data folder (None: MEMEVAL_DATA or the hub). seed: of the order of
    questions, distractors and packing. questions: how many will be asked (0: the card's number, or all), for sources that
    generate questions."""

    data_dir: Path | None = None
    seed: int = 42
    questions: int = 0


class Task(Protocol):
    """A loaded task.

    card: the resolved card. data: facts for the manifest (every file that was read, with its sha256; hub revision, corpus
    hash, pool sizes); their digest is part of the run's identity. order: question ids in the seeded order, of which a run
    asks a prefix.
    """

    card: TaskCard
    data: Mapping[str, Any]
    order: Sequence[str]

    def refs(self, question_ids: Sequence[str]) -> list[ContextRef]:
        """The contexts that hold these questions, each once, in order; a larger prefix of questions only adds contexts."""
        ...

    def context(self, ref: ContextRef) -> Context:
        """Build one context, deterministically. It holds all its questions, also those that the ref does not ask."""
        ...

    def golds(self) -> Sequence[Question]:
        """Questions with their golds but without evidence, in seeded order, without building a stream."""
        ...


class Source(Protocol):
    """Makes a task from a card. A built-in source also has `files(card) -> tuple[DataFile, ...]`, the files that it reads,
    and `Params`, the record of its card's params."""

    def load(self, card: TaskCard, settings: Settings) -> Task:
        """Read the data that the card names. Raises NoData, with the remedy, if they are missing, and UsageError if they are
        damaged."""
        ...


Params = TypeVar("Params", bound=msgspec.Struct)


def params(card: TaskCard, kind: type[Params]) -> Params:
    """The card's `params` as a record of the source's class `Params`. Raises UsageError, with file and line, for a key that
    the source does not know, for a missing key, and for a value of another type."""
    path, known = Path(card.path or card.name), fields(kind)
    for key in card.params:
        if key not in known:
            fault = f"{at_key(path, 'params', key)}: {unknown_key(f'params.{key}', known)}"
            raise UsageError(cards.misplaced(type(card), key, fault))
    values = decoded(kind, card.params, path, "params")
    missing = next((name for name, field in known.items() if field.required and name not in values), None)
    if missing:
        raise UsageError(f"{at_key(path, 'params')}: 'params' lacks the key '{missing}' of source '{card.source}'")
    return kind(**values)


class Files(msgspec.Struct):
    """Params of a source whose card may name its file. files: names in the data folder; hub: places on the hub
    (`owner/name/file` or `owner/name@revision/file`); both best first. None: as in the source."""

    files: tuple[str, ...] | None = None
    hub: tuple[str, ...] | None = None

    def of(self, file: DataFile) -> DataFile:
        """The source's file with these names and places. Files that the card names are not fetched from the source's URL."""
        hub = file.hub if self.hub is None else tuple(filter(None, self.hub))
        if self.files is None or self.files == file.names:
            return dataclasses.replace(file, hub=hub)
        return dataclasses.replace(file, names=self.files, hub=hub, url="", sha256="")


def plain(text: str) -> str:
    """The text with white space collapsed, in which form two texts are compared."""
    return " ".join(text.split())


_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise(text: str) -> str:
    """Lower the case, drop ASCII punctuation, drop the articles a/an/the, and collapse white space, in that order.

    Source: `normalize_answer` of the SQuAD and HotpotQA evaluation scripts (hotpot_evaluate_v1.py). Punctuation leaves no
    space: "well-known" becomes "wellknown".
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def hash64(*parts: str | int) -> int:
    """A 64-bit hash of the parts that is the same on every machine (`hash()` is salted per process)."""
    text = "\x1f".join(map(str, parts))
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def contradiction(question: Question, units: Sequence[Unit] | None = None) -> str:
    """How a user's question contradicts itself: its options lack the answer, its evidence is not in its unit, and the like;
    empty where it does not. units: of its context, where they are known."""
    if question.answerable and not question.answers:
        return "a question needs answers, or must say that it is not answerable"
    options = question.options
    if options is not None and question.answerable:
        letters = {string.ascii_lowercase[at] for at in range(min(len(options), 26))}
        known = {normalise(option) for option in options}
        if not any(normalise(answer) in known or answer.lower().strip("() .") in letters for answer in question.answers):
            return f"its options ({'; '.join(options)[:120]}) lack the answer {question.answers[0][:80]!r}"
    if units is None:
        return ""
    if question.position is not None and not 0 <= question.position <= len(units):
        return f"its position is {question.position}, expected a number of units from 0 to {len(units)}"
    for piece in question.evidence:
        if not all(0 <= at < len(units) for at in piece.units):
            return f"its evidence lies outside its {counted(len(units), 'unit')}"
        held = [units[at].render() for at in piece.units] or [unit.render() for unit in units]
        if plain(piece.text) not in plain(" ".join(held)):
            return f"its evidence {piece.text[:80]!r} is not in {f'unit {piece.units[0]}' if piece.units else 'any unit'}"
    return ""


def seeded(ids: Iterable[str], seed: int) -> list[str]:
    """The ids in a random order that depends only on the seed and the ids, not on the order of a file."""
    return sorted(ids, key=lambda name: (hash64("order", seed, name), name))


def refs_of(card: TaskCard, context_of: Mapping[str, str], question_ids: Sequence[str]) -> list[ContextRef]:
    """The contexts that hold these questions, in the order of each one's first question; one per question where the task
    shows the question while the stream is read."""
    asked: dict[str, list[str]] = {}
    for name in question_ids:
        if name not in context_of:
            raise UsageError(f"task '{card.name}': no question '{name}'{suggest(name, context_of)}")
        asked.setdefault(context_of[name], []).append(name)
    if card.query_visible:
        return [ContextRef(context, (name,), name) for context, names in asked.items() for name in names]
    return [ContextRef(context, tuple(names)) for context, names in asked.items()]
