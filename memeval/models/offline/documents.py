"""A window of text as documents, each with a subject and its sentences.

A document is a line (an entry of a memory, a turn, a paragraph), together with a title line above it where one stands there.
Recognised in front of a line: a bullet or a number, `[id]`, `[date]`, and `Subject: ` (a title or a speaker).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from memeval.models.offline.spans import names
from memeval.models.offline.words import PRONOUNS, listed, words

_BULLET = re.compile(r"(?:[-*•]|\d{1,4}[.)])\s+")
_TAG = re.compile(r"</?\w+>")
_MARK = re.compile(r"\[([^\[\]\n]{1,40})\]\s*")
_STAMP = re.compile(r"\d{4}[-/]\d{1,2}|\b\d{1,2}:\d\d\b|[A-Z][a-z]{2,8}\.? \d{1,2},? \d{4}|\d{1,2} [A-Z][a-z]{2,8},? \d{4}")
_SUBJECT = re.compile(r"([^\s:.!?][^:.!?\n]{0,79}|[^\s:][^:\n]{0,39}): (?=\S)")
_BOUNDARY = re.compile(r"(?<![.!?])([.!?]++[\"'”’)\]]*+)\s++(?=[\"'“‘(\[]*[^\W_a-z])")
_SHORT = listed("mr mrs ms dr st jr sr prof rev mt ft lt col gen capt no vs vol op fl ca c b d e.g i.e approx feat")
_LAST = re.compile(r"[\w.]+$")


@dataclass(frozen=True, slots=True)
class Document:
    """`subject`: the title, the speaker or the name that opens the first sentence ("" when there is none). `titled`: the
    subject stands apart from the sentences; `spoken`: in front of them, as a speaker does. `ident` and `stamp`: what stood
    in brackets before it, "" when nothing did."""

    sentences: tuple[str, ...]
    subject: str = ""
    titled: bool = False
    spoken: bool = False
    stamp: str = ""
    ident: str = ""


def documents(text: str) -> list[Document]:
    """The documents of a text in their order. Lines that hold a markup tag alone are skipped; a title line without text
    below it is a document of its own."""
    found: list[Document] = []
    lines = text.splitlines()
    title: Document | None = None
    used = gap = bare = False
    for number, raw in enumerate(lines):
        line = raw.strip()
        if not line or _TAG.fullmatch(line):
            gap = True
            continue
        if gap and used:
            title = None
        following = next((later.strip() for later in lines[number + 1 : number + 3] if later.strip()), "")
        ident, stamp, body, marked = _marks(line)
        if not (marked and _marks(following)[3]) and _is_title(body, following, opens=gap or marked or number == 0):
            if title is not None and not used:
                found.append(title)
            title, used, gap, bare = Document((body,), body, True, False, stamp, ident), False, False, not marked
            continue
        gap = False
        if title is not None and marked and bare:
            title = None  # a heading above a list: no subject of its entries
        subject = title.subject if title is not None else ""
        if title is not None:
            used = True
            ident, stamp = ident or title.ident, stamp or title.stamp
        spoken = False
        if title is None and (match := _SUBJECT.match(body)) and len(match.group(1).split()) <= 12:
            subject, body, spoken = match.group(1).strip(), body[match.end() :], True
        parts = tuple(sentences(body))
        if parts:
            found.append(Document(parts, subject or opening(parts[0]), bool(subject), spoken, stamp, ident))
    if title is not None and not used:
        found.append(title)
    return found


def sentences(text: str) -> list[str]:
    """Split after `.`, `!`, `?` before a capital or a digit; not after initials and common abbreviations."""
    found, start = [], 0
    for match in _BOUNDARY.finditer(text):
        if match.group(1)[0] == "." and text[match.start() - 1 : match.start()].isalpha():
            last = _LAST.search(text, max(0, match.start() - 12), match.start())
            word = last.group() if last else ""
            if word.lower() in _SHORT or (len(word) == 1 and word.isupper()) or re.fullmatch(r"(?:[A-Z]\.)+[A-Z]", word):
                continue
        found.append(text[start : match.end(1)].strip())
        start = match.end()
    found.append(text[start:].strip())
    return [sentence for sentence in found if sentence]


def opening(sentence: str) -> str:
    """The name that a sentence opens with; "" when it opens otherwise."""
    found = names(sentence[:120])
    lead = sentence[: found[0].start].strip(" \"'“‘(") if found else "x"
    return found[0].text if not lead else ""


def resolved(sentence: str, subject: str) -> str:
    """`sentence` with a pronoun that opens it replaced by `subject`: `His son` becomes `Ann's son`."""
    head, _, rest = sentence.partition(" ")
    pronoun = head.lower().rstrip(",")
    if not subject or not rest or pronoun not in PRONOUNS or pronoun in ("him", "them", "hers", "theirs"):
        return sentence
    owns = pronoun in ("his", "its", "their") or (pronoun == "her" and not re.match(r"(?:is|was|has|had)\b", rest))
    return f"{subject}'s {rest}" if owns else f"{subject} {rest}"


def _marks(line: str) -> tuple[str, str, str, bool]:
    """(id, date, rest, whether it had a bullet or an id) of a line."""
    ident = stamp = ""
    bullet = _BULLET.match(line)
    if bullet:
        line = line[bullet.end() :]
    for _ in range(3):
        match = _MARK.match(line)
        if match is None:
            break
        inner = match.group(1).strip()
        if _STAMP.search(inner):
            stamp = stamp or inner
        elif not ident and " " not in inner:
            ident = inner
        else:
            break
        line = line[match.end() :]
    return ident, stamp, line, bullet is not None or bool(ident)


def _is_title(line: str, following: str, opens: bool) -> bool:
    """A short line that opens no sentence, above a longer one."""
    if not following or len(line) > 100 or not line or line[0].islower() or len(line.split()) > 14:
        return False
    if re.search(r"[.!?;,:]$", line):
        return opens and line[-1] not in ";,:" and len(following) > 2 * len(line) and len(line.split()) <= 6
    return len(following) > len(line) and (opens or following[-1:] in '.!?"”)')


def same_subject(one: str, other: str) -> bool:
    """Two subjects made of the same words, whatever their case."""
    return bool(one) and words(one) == words(other)
