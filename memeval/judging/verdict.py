"""What a judge's reply says, read from its end in the form that the prompt asked for. Nothing here raises.

A reply in another form says nothing and is asked for again: a verdict that is missed costs one more call, one that is
misread costs the number.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

from memeval.judging.prompts import FLUENCY, ORDER, PRECISION, RECALL, SCORE, SENTENCES, VERDICT, YES_NO

LONGEST = 20_000
"""Characters: only the end of a longer reply is read."""

_SPECIAL = re.compile(r"<\|[^<>|\s]{1,24}\|>|</s>|<eos>|<end_of_turn>")  # tokens that some servers leave at the end
_VERDICT = re.compile(r"\W*verdict\W{0,8}(?P<word>right|wrong|correct|incorrect)[^\w?]*")
_NAMED = re.compile(r"\W*verdict\b")
_YES_NO = re.compile(r"(?:\W*answer\W+)?\W*(?P<word>yes|no)[^\w?]*")
_CLASS = {"right": "right", "correct": "right", "yes": "right", "wrong": "wrong", "incorrect": "wrong", "no": "wrong"}
_COUNTED: Mapping[str, tuple[str, ...]] = {FLUENCY: (FLUENCY,), RECALL: (RECALL,), PRECISION: (PRECISION, SENTENCES)}
_BETWEEN = " \t\r\n`*,;:./|-"


def read_verdict(text: str) -> str | None:
    """`right` or `wrong` by the last line that begins with VERDICT; None where there is none, or where it says something
    else (`VERDICT: RIGHT or WRONG`)."""
    last = next((line for line in reversed(_lines(text)) if _NAMED.match(line)), "")
    return _class(_VERDICT.fullmatch(last))


def read_yes_no(text: str) -> str | None:
    """`right` or `wrong` by a last line, or a first one, that is nothing but yes or no."""
    lines = _lines(text) or [""]
    return _class(_YES_NO.fullmatch(lines[-1]) or _YES_NO.fullmatch(lines[0]))


def read_counts(aspect: str, text: str, keypoints: int) -> dict[str, int] | None:
    """The numbers that a reply about a summary ends with: `fluency`, or `recall`, or `precision` and `sentence_count`; None
    where it states none that can be.

    The reply ends with a flat JSON object that has each name once, as a whole number: fluency 0 or 1, recall at most
    `keypoints`, precision at most sentence_count. Further names are ignored. Marks of a code fence may follow it, words may
    not, and no other object may come right before it: a judge that repeats its instructions writes two. Upstream
    (`parse_json` of MemoryAgentBench's llm_based_eval/summarization_evaluate.py, which is HELMET's) takes any numbers, and
    leaves a summary out of all averages if its judge cannot be read.
    """
    found = _stated(text) or {}
    counts: dict[str, Any] = {name: found.get(name) for name in _COUNTED[aspect]}
    if not all(type(value) is int and value >= 0 for value in counts.values()):  # True is an int to isinstance
        return None
    most = {FLUENCY: 1, RECALL: keypoints, PRECISION: counts.get(SENTENCES)}[aspect]
    return counts if counts[aspect] <= most else None


def read_score(text: str) -> float | None:
    """The score of a rubric's item, 0, 0.5 or 1, that a reply ends with as `{"score": 0.5}`; None for anything else."""
    value = (_stated(text) or {}).get(SCORE)
    return float(value) if type(value) in (int, float) and value in (0, 0.5, 1) else None


def read_order(text: str, events: int) -> list[int] | None:
    """The numbers of the entries of a reply, as `{"order": [4, 0, 2]}`: from 0 (no event) to `events`, none but 0 twice."""
    value = (_stated(text) or {}).get(ORDER)
    if not isinstance(value, list) or not all(type(number) is int and 0 <= number <= events for number in value):
        return None
    matched = [number for number in value if number]
    return value if len(set(matched)) == len(matched) else None


READERS: Mapping[str, Callable[[str], Any]] = {VERDICT: read_verdict, YES_NO: read_yes_no, SCORE: read_score}
"""Form of a reply -> its reader, of the forms that need to know nothing else."""


def _stated(text: str) -> dict[str, Any] | None:
    """The flat JSON object that a reply ends with; None where there is none, or where another comes right before it."""
    end = _SPECIAL.sub(" ", text[-LONGEST:])
    start, stop = end.rfind("{"), end.rfind("}") + 1
    before = end[:start].rstrip(_BETWEEN).removesuffix("or").removesuffix("and").rstrip(_BETWEEN)
    rival = before[before.rfind("{") :] if before.endswith("}") else None
    if start < 0 or re.search(r"\w", end[stop:]) or rival not in (None, end[start:stop]):
        return None
    try:
        found = json.loads(end[start:stop], object_pairs_hook=_once)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _lines(text: str) -> list[str]:
    """The lines of a reply's end that are not empty, in lower case."""
    end = text if len(text) <= LONGEST else text[-LONGEST:].partition("\n")[2]  # a line that is cut could begin anywhere
    plain = unicodedata.normalize("NFKC", _SPECIAL.sub(" ", end)).lower().replace("_", " ")
    return [line.strip() for line in plain.splitlines() if line.strip()]


def _class(found: re.Match[str] | None) -> str | None:
    return _CLASS[found["word"]] if found else None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a name occurs twice")
    return dict(pairs)
