"""Is the gold evidence held in what was recalled, or in a memory? Found by text (validity section 4).

Provenance alone proves little: a chunk holds some twenty documents, and a memory that is rewritten whole names every chunk.
A piece of evidence is *held* when an item names one of its chunks *and* contains what the piece says about the answer:

* a gold answer as whole normalised tokens, if the piece itself contains one;
* else an entity of the piece (the title of its document if the piece names it, otherwise a capitalised span of its text)
  together with a detail that the piece gives about it: a word that is also in the question, a number, or another name. This
  finds the bridge of a multi-hop question, and an answer that the data word differently. An entity alone is enough if the
  piece has no such detail, and for unanswerable questions;
* or the piece word for word.

Golds prove nothing for closed questions, where only entities count: yes or no, options, unanswerable, comparisons (the
answer is already in the question), and golds of fewer than three characters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Protocol

from memeval.agent import Item
from memeval.metrics.porter import stem
from memeval.task import Question
from memeval.tasks.base import normalise

MOST_SOURCES = 3
"""The most chunks of an item that can be traced to a piece of evidence. An item of more chunks, such as a memory that is
rewritten whole, cannot be traced; nor can one that names no chunk."""

SHORTEST = 3
"""The fewest characters of a gold or entity that is searched for; shorter ones occur everywhere."""

QUOTED = 30
"""The fewest characters of a piece that is searched for verbatim before anything is normalised."""

_RENDERED = re.compile(r"^\[[^\]\n]*\] (?:[^:\n]{1,40}: )?", re.MULTILINE)
_BRACKETED = re.compile(r"\s*\([^()]*\)\s*$")
_SENTENCE = re.compile(r"(?<=[.!?:;])\s+|\n")
_WORD = re.compile(r"\w[\w'’&-]*|[^\w\s\"“‘]")
_INSIDE_NAMES = re.compile("of|the|de|la|von|van|der")
_NO_NAMES = re.compile(
    "a|an|and|are|as|at|be|but|by|can|could|did|do|does|for|from|had|has|have|he|her|here|his|how|i|i'm|i've|if|in|is|it|its"
    "|just|let|let's|may|me|my|no|not|of|oh|on|or|our|she|so|some|that|the|their|then|there|these|they|this|those|to|was|we"
    "|were|what|when|where|which|while|who|why|will|with|would|yes|you|your|january|february|march|april|june|july|august"
    "|september|october|november|december|monday|tuesday|wednesday|thursday|friday|saturday|sunday",
    re.IGNORECASE,
)
"""Words that are often capitalised but are no names by which an answer could be found."""


class Piece(Protocol):
    """A piece of gold evidence, such as `memeval.records.EvidenceRow`: its text, the titles of its documents, and the units
    and chunks that contain it."""

    @property
    def text(self) -> str: ...
    @property
    def titles(self) -> Collection[str]: ...
    @property
    def units(self) -> tuple[int, ...]: ...
    @property
    def chunks(self) -> Collection[str]: ...


def held(question: Question, evidence: Sequence[Piece], items: Iterable[Item]) -> bool | None:
    """Whether the items hold every piece of the evidence. None where that is not known: without evidence, or where a piece
    is found only in items that cannot be traced (`MOST_SOURCES`)."""
    return all_held(each_held(question, evidence, items))


def all_held(found: Collection[bool | None]) -> bool | None:
    """`held`, from the result of `each_held`."""
    return False if False in found else None if None in found or not found else True


def each_held(
    question: Question,
    evidence: Sequence[Piece],
    items: Iterable[Item],
    normal: Callable[[str], str] = normalise,
) -> list[bool | None]:
    """`held` for each piece of the evidence. Pieces that are in no chunk are left out. normal: `normalise`, or a cached
    version of it where many questions are checked against the same items."""
    return [None if rank is None else rank > 0 for rank in ranks(question, evidence, items, normal)]


def ranks(
    question: Question,
    evidence: Sequence[Piece],
    items: Iterable[Item],
    normal: Callable[[str], str] = normalise,
) -> list[int | None]:
    """For each piece of the evidence, the place (1, 2, ...) of the first item that holds it, 0 where none does, None where
    only items that cannot be traced do. Pieces that are in no chunk are left out."""
    pieces, numbered = [piece for piece in evidence if piece.chunks], list(enumerate(items, 1))
    golds = _telling_golds(question)
    worded = any(_holds(normalise(piece.text), golds) for piece in pieces)  # if not, the data word the answer differently
    found: list[int | None] = []
    for piece in pieces:
        chunks = set(piece.chunks)
        near = [(rank, item) for rank, item in numbered if not item.chunks or not chunks.isdisjoint(item.chunks)]
        if not near:
            found.append(0)
            continue
        text = normalise(piece.text)
        if _holds(text, golds):
            says = partial(_holds, signs=golds)
        else:
            about = {entity: _details(question, piece, entity) for entity in entities(piece)}
            about = {entity: details and details | golds for entity, details in about.items()}
            says = partial(_says, signs={text, *(() if worded else golds)}, about=about)
        holding = [(rank, item) for rank, item in near if _quotes(item, piece) or says(normal(item.text))]
        traced = [rank for rank, item in holding if 0 < len(set(item.chunks)) <= MOST_SOURCES]
        found.append(traced[0] if traced else None if holding else 0)
    return found


def supported(question: Question, evidence: Sequence[Piece], items: Sequence[Item]) -> bool | None:
    """Whether what was recalled supports a right answer: `held`, but None in place of False where an answer string is in
    what was recalled. False means *unsupported*."""
    found = held(question, evidence, items)
    golds = {gold for gold in map(normalise, question.answers) if gold}
    return None if found is False and any(_holds(normalise(item.text), golds) for item in items) else found


def entities(piece: Piece) -> set[str]:
    """The entities of a piece, normalised: the titles that its text names (without brackets at their end), else the
    capitalised spans of its text. The speaker and time of a turn do not count, nor does a single word at the beginning of a
    sentence, unless nothing else is capitalised."""
    titles = {normalise(_BRACKETED.sub("", title)) for title in piece.titles}
    titles = {title for title in titles if len(title) >= SHORTEST and _holds(normalise(piece.text), {title})}
    return titles or names(piece.text)


def names(text: str) -> set[str]:
    """The capitalised spans of a text, normalised."""
    inside: set[str] = set()
    first: set[str] = set()
    for sentence in _SENTENCE.split(_RENDERED.sub("", text)):
        for start, span in _capitalised(_WORD.findall(sentence)):
            (first if start == 0 and " " not in span else inside).add(normalise(span))
    return {span for span in inside or first if len(span) >= SHORTEST}


def _details(question: Question, piece: Piece, entity: str) -> set[str]:
    """The details that a piece gives about an entity, normalised: the words that it shares with the question (in the forms
    of both), its numbers and its other names. Empty for an unanswerable question, whose evidence says nothing about the
    answer."""
    if not question.answerable:
        return set()
    words = [word for word in normalise(_RENDERED.sub("", piece.text)).split() if not _holds(entity, {word})]
    asked: dict[str, set[str]] = {}
    for word in normalise(question.text).split():
        if len(word) > SHORTEST and not _NO_NAMES.fullmatch(word):
            asked.setdefault(stem(word), set()).add(word)
    common = {form for word in words if (forms := asked.get(stem(word))) for form in (word, *forms)}
    numbers = {word for word in words if any(char.isdigit() for char in word)}
    return (
        common | numbers | {name for name in names(piece.text) if not _holds(name, {entity}) and not _holds(entity, {name})}
    )


def _capitalised(words: Sequence[str]) -> Iterable[tuple[int, str]]:
    """(index of its first word, text) of each run of capitalised words, such as "Duke of York", without words such as "The"
    and "April" at both ends."""
    start = 0
    for end in range(len(words) + 1):
        if end < len(words) and (words[end][0].isupper() or (end > start and _INSIDE_NAMES.fullmatch(words[end]))):
            continue
        first, last = start, end
        while first < last and _NO_NAMES.fullmatch(words[first]):
            first += 1
        while last > first and _NO_NAMES.fullmatch(words[last - 1]):
            last -= 1
        if first < last:
            yield first, " ".join(words[first:last])
        start = end + 1


def _telling_golds(question: Question) -> set[str]:
    """The golds whose occurrence proves that evidence is held; none for a closed question."""
    if not question.answerable or question.options or "comparison" in question.kind:
        return set()
    golds = {gold for gold in map(normalise, question.answers) if len(gold) >= SHORTEST and gold != "yes"}
    return {gold for gold in golds if not _holds(normalise(question.text), [gold])}


def _says(text: str, signs: Collection[str], about: Mapping[str, Collection[str]]) -> bool:
    """Whether a text contains one of the signs, or an entity with one of its details (or an entity that has no details)."""
    if _holds(text, signs):
        return True
    return any(_holds(text, {entity}) and (not details or _holds(text, details)) for entity, details in about.items())


def _quotes(item: Item, piece: Piece) -> bool:
    """Whether an item contains a piece verbatim, as chunks do. This is checked first, because normalising a chunk takes a
    millisecond; for a short piece it proves nothing ("Yes" is in "Yesterday")."""
    return len(piece.text) >= QUOTED and piece.text in item.text


def _holds(text: str, signs: Iterable[str]) -> bool:
    """Whether one of the signs occurs in the text as whole tokens. Text and signs are normalised."""
    return any(f" {sign} " in f" {text} " for sign in signs if sign)
