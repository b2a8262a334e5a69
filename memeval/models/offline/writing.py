"""Writing: a chunk condensed into notes, one per subject, and a free-text memory rewritten to hold them.

A sentence is kept when it states something: a named subject, a verb, and an object, a number or a date. What is asked later
plays no part. A note replaces what an older one says only when it states a later value of the same predicate of the same
subject.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from memeval.models.offline.documents import Document, documents, opening, resolved, same_subject
from memeval.models.offline.spans import dates, names, numbers
from memeval.models.offline.window import stamped
from memeval.models.offline.words import COPULAS, PRONOUNS, STOP, WORD, fold, listed, stem, words

CHARACTERS = 4
"""Characters of a token, for every estimate of the offline model."""
_ASIDE = re.compile(r"\s?\((?:[A-Z][a-z]+: [^()]*|[^()\x00-\x7f]+|pronounced[^()]*)\)")
_DISCOURSE = re.compile(
    r"(?:However|Moreover|Furthermore|In addition|Additionally|Meanwhile|Therefore|Thus|Nevertheless|Indeed|Overall), (?=\w)"
)
_CHANGE = re.compile(
    r"\b(?:now|currently|as of|since|became|moved|no longer|new|newly|changed|replaced|instead|today)\b", re.IGNORECASE
)
_PRESENT = re.compile(r"\b(?:is|are|has|have|\w{2,}s)\b")
_PAST = re.compile(r"\b(?:was|were|had|\w{3,}ed)\b")
_VERB = re.compile(r"\s(?!(?:of|in|at|on|by|for|from|to|and|or|the|with)\b)[a-z]{2,}")
_FIRST_PERSON = listed("i my we our")
_SAME_PREDICATE = 0.6


@dataclass(frozen=True, slots=True)
class Note:
    """What is to be remembered of one subject. `sentences` stand alone: pronouns that open them are resolved."""

    subject: str
    stamp: str
    sentences: tuple[str, ...]

    def text(self) -> str:
        """One line: `[date] Subject: sentences`; the subject is left out where the first sentence opens with it."""
        first = self.sentences[0] if self.sentences else ""
        stamp = f"[{self.stamp}] " if self.stamp else ""
        lead = f"{self.subject}: " if self.subject and not same_subject(opening(first), self.subject) else ""
        return stamp + lead + " ".join(self.sentences)

    @property
    def event(self) -> bool:
        """It tells of something that happened at a stated time, rather than of how something is."""
        dated = sum(any(len(d.key) > 1 and d.key[1] for d in dates(s)) and bool(_PAST.search(s)) for s in self.sentences)
        return bool(self.stamp) or dated * 2 > len(self.sentences)


def condensed(chunk: str, budget: int, overhead: int = 0) -> list[Note]:
    """The notes of a chunk, in its order, in at most `budget` characters (`overhead` of them for each note). Where not all
    fits, every subject keeps its first sentence before any keeps its second."""
    gathered: dict[tuple[str, str], Note] = {}
    for number, document in enumerate(documents(chunk)):
        told = tuple(_shortened(s, document) for s in document.sentences if _tells(s, document))
        key = (fold(document.subject) or f"\n{number}", document.stamp)
        before = gathered.get(key)
        if before is not None:
            told = (*before.sentences, *(s for s in told if s not in before.sentences))
        gathered[key] = Note(_plain(document.subject), document.stamp, told)
    notes = list(gathered.values())
    chosen: list[list[str]] = [[] for _ in notes]
    for rank in range(max((len(note.sentences) for note in notes), default=0)):
        for note, taken in zip(notes, chosen, strict=True):
            if rank < len(note.sentences):
                cost = len(note.sentences[rank]) + 1
                if not taken:
                    cost += overhead + len(note.subject) + len(note.stamp) + 5
                if cost <= budget:
                    taken.append(note.sentences[rank])
                    budget -= cost
    return [replace(note, sentences=tuple(taken)) for note, taken in zip(notes, chosen, strict=True) if taken]


def rewritten(memory: str, chunk: str, tokens: int) -> str:
    """The memory with the chunk's notes in it, in at most 85 % of `tokens` (4 characters each), oldest first.

    The newest notes are kept whole in half of the room; of the older ones as many first sentences as the rest holds.
    """
    room = int(0.85 * tokens * CHARACTERS)
    notes = [note for document in documents(memory) if (note := _kept(document))]
    for note in condensed(chunk, room):
        for place, old in enumerate(notes):
            if (merged := updated(old, note)) is not None:
                del notes[place]
                note = merged
                break
        if all(note != old for old in notes):
            notes.append(note)
    lines: list[str] = []
    left = room
    for note in reversed(notes):
        line = note.text()
        if len(line) + 1 > left - room // 2:
            line = replace(note, sentences=note.sentences[:1]).text()
        if len(line) + 1 <= left:
            lines.append(line)
            left -= len(line) + 1
    return "\n".join(reversed(lines))


def updated(old: Note, new: Note) -> Note | None:
    """`old` with the sentences replaced of which `new` states a later value, and the rest of `new` added; None when the
    notes have different subjects or nothing is replaced."""
    if not same_subject(old.subject, new.subject):
        return None
    kept = [s for s in old.sentences if not any(later(s, old.stamp, t, new.stamp, new.subject) for t in new.sentences)]
    if len(kept) == len(old.sentences):
        return None
    sentences = (*kept, *(s for s in new.sentences if s not in kept))
    return Note(new.subject, new.stamp or old.stamp, sentences)


def later(old: str, old_stamp: str, new: str, new_stamp: str, subject: str) -> bool:
    """`new` gives another value of the predicate of `old`, and not an earlier one. Both must state how things stand (present
    tense, or a word of change): two past events do not replace each other."""
    if old == new or not _is_state(new):
        return False
    before, after = _predicate(old, subject), _predicate(new, subject)
    if not before or not after or len(before & after) < _SAME_PREDICATE * len(before | after):
        return False
    if _values(old, subject) == _values(new, subject):
        return False
    then = stamped(old_stamp) or max((d.key for d in dates(old)), default=())
    now = stamped(new_stamp) or max((d.key for d in dates(new)), default=())
    return not then or not now or now >= then


def _is_state(sentence: str) -> bool:
    return bool(_CHANGE.search(sentence)) or (bool(_PRESENT.search(sentence)) and not _PAST.search(sentence))


def _predicate(sentence: str, subject: str) -> set[str]:
    """Stems of the sentence without its subject, names, numbers, dates and words of change."""
    taken = [(s.start, s.end) for s in (*names(sentence), *dates(sentence), *numbers(sentence))]
    about = set(words(subject))
    found = set()
    for match in WORD.finditer(sentence):
        word = fold(match.group())
        inside = any(start <= match.start() < end for start, end in taken)
        if not inside and word not in STOP and word not in about and not _CHANGE.fullmatch(word):
            found.add(stem(word))
    return found


def _values(sentence: str, subject: str) -> set[str]:
    about = set(words(subject))
    return {word for span in (*names(sentence), *numbers(sentence)) for word in words(span.text)} - about


def _shortened(sentence: str, document: Document) -> str:
    """Without asides and discourse words, and standing alone. (A speaker's `he` is somebody else, any other the subject.)"""
    short = _DISCOURSE.sub("", _ASIDE.sub("", " ".join(sentence.split())), count=1)
    return short.strip() if document.spoken else resolved(short.strip(), _plain(document.subject))


def _plain(subject: str) -> str:
    return re.sub(r"\s*\([^)]*\)", "", subject).strip() or subject


def _tells(sentence: str, document: Document) -> bool:
    """The sentence states something: a named subject (the document's, or a speaker's `I`), a verb, and a name, a number or,
    after a copula, any object. Questions and remarks do not."""
    tokens = words(sentence)
    if len(tokens) < 3 or sentence.endswith("?"):
        return False
    if document.spoken and tokens[0] in _FIRST_PERSON:
        return True
    copular = any(token in COPULAS for token in tokens[1:])
    if not copular and not _VERB.search(sentence):
        return False
    if any(character.isdigit() for character in sentence):
        return True
    found = names(sentence)
    about = set(words(document.subject))
    if any(not about & set(words(span.text)) for span in found):
        return True
    return copular and len(tokens) > 4 and (tokens[0] in PRONOUNS or any(span.start < 4 for span in found))


def _kept(document: Document) -> Note | None:
    sentences = tuple(sentence for sentence in document.sentences if _tells(sentence, document))
    return Note(document.subject, document.stamp, sentences) if sentences else None


def told(notes: Iterable[Note]) -> set[str]:
    """All sentences of some notes."""
    return {sentence for note in notes for sentence in note.sentences}
