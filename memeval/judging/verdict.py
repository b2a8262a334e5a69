"""What a judge's reply says: `right`, `wrong`, or None where no verdict can be read from it.

A verdict is read from whole words, never from a part of one (`INCORRECT` holds no `CORRECT`, `know` no `no`), and only where
the reply states it. Words that merely occur ("the correct answer would be Paris", "no match") state nothing: a verdict that
is missed costs one more call, one that is misread costs the number.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator

LONGEST = 20_000
"""Characters: only the end of a longer reply is read."""

_RIGHT = frozenset({"right", "correct", "yes", "true"})
_WRONG = frozenset({"wrong", "incorrect", "no", "false"})
_STRONG = r"(?:in)?correct|right|wrong"
_WORD = rf"(?:{_STRONG}|yes|no)"
_NOT = r"(?:not|never|isn't|aren't|wasn't|isnt)\s+(?:\w+ly\s+|quite\s+|at all\s+)?(?:the\s+)?"
_LABEL = r"(?:(?:my|the|final|overall|so|thus|therefore|hence)[ ,]+)*(?:verdict|label|judge?ment|decision|ruling|grade)"

_LINE = re.compile(rf"\W*(?:\d{{1,2}}[.)]\W*)?{_LABEL}\b(?P<mark>\s*[:=])?(?:\s+is\b)?(?P<value>.*)", re.DOTALL)
_VALUE = re.compile(rf"[^\w\n]*(?P<negated>{_NOT})?(?P<word>{_WORD})\b(?P<rest>.*)", re.DOTALL)
_ENDS = re.compile(r"""["'\])}]*\s*(?:$|[.,;:!](?!\w)|[-–—](?:\s|$)|\(|(?:because|since|as)\b)""")
_CHOICE = re.compile(rf"\W*(?:or\b\W*)?{_WORD}\b")
_ALONE = re.compile(rf"\W*(?P<negated>{_NOT})?(?P<word>{_WORD})\W*")
_FACT = re.compile(r"\W*(?:is )?(?:correct|right)\W{0,4}[:=]\W{0,4}(?P<word>yes|no|true|false)\W*")
_OPENING = re.compile(rf"\W*(?P<word>{_WORD})\b(?P<rest>(?!\W*:).*)")
_MENTION = re.compile(rf"(?P<negated>\b{_NOT}|n't\s+)?\b(?P<word>{_STRONG})\b")
_CLOSING = re.compile(rf"(?P<negated>\b{_NOT})?\b(?P<word>{_STRONG})\W*$")
_DOUBT = re.compile(
    r"\b(?:whether|if|cannot|could|might|may|maybe|perhaps|possibly|probably|unsure|unclear|sure|hard|hardly|impossible"
    r"|neither|nor|either|or|know|would|should|say|says|said|output|reply|respond|asks?|claims?|but|except|only|almost"
    r"|nearly|part|partly|partially|half|some|far|less|than|fails?|lacks?|never|not|no|nothing|verdict)\b|n't\b|\?"
)
_OBJECT = re.compile(r"\{[^{}]*\}")
_KEYS = frozenset({"verdict", "label", "judgement", "judgment", "decision", "ruling", "grade"})
_FACTS = frozenset({"correct", "is_correct", "right", "is_right"})
SPECIAL = re.compile(r"<\|[^<>|\s]{1,24}\|>|</s>|<eos>|<end_of_turn>")  # tokens that some servers leave at the end
_QUOTES = str.maketrans("’‘“”„«»", '\'\'"""""')
_MARKDOWN = str.maketrans("", "", "*_`#~>|\\")


def parse_verdict(text: str) -> str | None:
    """`right`, `wrong` or None. Never raises.

    In this order: the last line that names its verdict (`VERDICT: RIGHT`, `Label: wrong`, `{"label": "CORRECT"}`), where a
    `VERDICT:` with nothing usable behind it counts as no verdict; a last line of one word (right, correct, yes, wrong,
    incorrect, no); a reply that opens with such a word ("Yes, it ...") or whose last sentence ends with one ("The answer is
    incorrect."), as long as it names no other. `not correct` is wrong; `not wrong` says nothing.
    """
    if len(text) > LONGEST:
        text = text[-LONGEST:].partition("\n")[2]  # a line that is cut could begin inside a word
    raw = unicodedata.normalize("NFKC", SPECIAL.sub(" ", text)).lower().translate(_QUOTES)
    stated = [*_objects(raw), *_labelled(raw)]
    if stated:
        return max(stated, key=lambda found: found[0])[1]
    lines = [line.strip() for line in raw.translate(_MARKDOWN).splitlines() if line.strip(" \t\"'.")]
    if not lines:
        return None
    alone = _ALONE.fullmatch(lines[-1])
    if alone and "?" not in lines[-1]:
        return _class(alone["word"], alone["negated"])
    return _told(lines)


def _labelled(raw: str) -> Iterator[tuple[int, str | None]]:
    """(place, verdict) of the lines that name one."""
    place = 0
    for line in raw.splitlines(keepends=True):
        plain = line.translate(_MARKDOWN)
        place += len(line)
        fact = _FACT.fullmatch(plain)
        if fact:
            yield place, _class(fact["word"], None)
        found = _LINE.match(plain)
        if found is None:
            continue
        verdict = _value(found["value"])
        if verdict or (found["mark"] and "verdict" in line and found["value"].strip(" \t\n\"'.")):
            yield place, verdict


def _objects(raw: str) -> Iterator[tuple[int, str | None]]:
    """(place, verdict) of the JSON objects that have a key for one."""
    for found in _OBJECT.finditer(raw):
        try:
            data = json.loads(found.group())
        except (ValueError, RecursionError):
            continue
        for key, value in data.items():
            if key in _FACTS or (key in _KEYS and not isinstance(value, bool)):
                word = str(value).strip(" .!*\"'")  # True -> "True"
                yield found.end(), _class(word.lower(), None)


def _value(text: str) -> str | None:
    """The verdict behind a label: one word, with nothing behind it that takes it back."""
    found = _VALUE.match(text)
    if found is None or not _ENDS.match(found["rest"]):
        return None
    rest = found["rest"].lstrip(" \"'])}")
    if _ALONE.fullmatch(rest) or (rest[:1] in tuple(",:(-–—") and _CHOICE.match(rest)):  # "right, or wrong", "correct: no"
        return None
    return _class(found["word"], found["negated"])


def _told(lines: list[str]) -> str | None:
    """The verdict of running text, where it names one class only."""
    mentions = list(_MENTION.finditer("\n".join(lines)))
    named = {_class(found["word"], found["negated"]) for found in mentions}
    told = set()
    opening = _OPENING.match(lines[0])
    if opening and _ENDS.match(opening["rest"]):
        told.add(_class(opening["word"], None))
    closing = _CLOSING.search(lines[-1])
    if closing and "?" not in closing.group() and not _DOUBT.search(lines[-1][: closing.start()]):
        told.add(_class(closing["word"], closing["negated"]))
    if len(told) != 1 or not named <= told:
        return None
    return told.pop()


def _class(word: str, negated: str | None) -> str | None:
    if word in _RIGHT:
        return "wrong" if negated else "right"
    return "wrong" if word in _WRONG and not negated else None
