"""Read a judge's reply from its end, in the form that the prompt asked for. Nothing here raises.

A reply in another form has no value and is asked for again: a missed verdict costs one more call, but a misread one makes
the score wrong.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

from memeval.judging.prompts import FLUENCY, ORDER, PRECISION, RECALL, SCORE, SENTENCES, VERDICT, YES_NO

LONGEST = 20_000
"""The most characters that are read, at the end of a reply."""

_SPECIAL = re.compile(r"<\|[^<>|\s]{1,24}\|>|</s>|<eos>|<end_of_turn>")  # tokens that some servers leave at the end
_VERDICT = re.compile(r"\W*verdict\W{0,8}(?P<word>right|wrong|correct|incorrect)[^\w?]*")
_NAMED = re.compile(r"\W*verdict\b")
_YES_NO = re.compile(r"(?:\W*answer\W+)?\W*(?P<word>yes|no)[^\w?]*")
_CLASS = {"right": "right", "correct": "right", "yes": "right", "wrong": "wrong", "incorrect": "wrong", "no": "wrong"}
_COUNTED: Mapping[str, tuple[str, ...]] = {FLUENCY: (FLUENCY,), RECALL: (RECALL,), PRECISION: (PRECISION, SENTENCES)}
_BETWEEN = " \t\r\n`*,;:./|-"


def read_verdict(text: str) -> str | None:
    """`right` or `wrong`, by the last line that begins with VERDICT; None where there is no such line, or where it says
    something else (`VERDICT: RIGHT or WRONG`)."""
    last = next((line for line in reversed(_lines(text)) if _NAMED.match(line)), "")
    return _class(_VERDICT.fullmatch(last))


def read_yes_no(text: str) -> str | None:
    """`right` or `wrong`, by the last line, or else the first one, that is only yes or no."""
    lines = _lines(text) or [""]
    return _class(_YES_NO.fullmatch(lines[-1]) or _YES_NO.fullmatch(lines[0]))


def read_counts(aspect: str, text: str, keypoints: int) -> dict[str, int] | None:
    """The numbers at the end of a reply about a summary: `fluency`, or `recall`, or `precision` and `sentence_count`; None
    where there are none, or impossible ones.

    The reply ends with a flat JSON object that has each name once, as a whole number: fluency 0 or 1, recall at most
    `keypoints`, precision at most sentence_count. Further names are ignored. Marks of a code fence may follow, but no words,
    and another object may not come right before it: a judge that repeats its instructions writes two. Upstream (`parse_json`
    of MemoryAgentBench's llm_based_eval/summarization_evaluate.py, which is HELMET's) accepts any numbers, and leaves a
    summary out of all averages if its judge cannot be read.
    """
    found = _stated(text) or {}
    counts: dict[str, Any] = {name: found.get(name) for name in _COUNTED[aspect]}
    if not all(type(value) is int and value >= 0 for value in counts.values()):  # True is an int to isinstance
        return None
    most = {FLUENCY: 1, RECALL: keypoints, PRECISION: counts.get(SENTENCES)}[aspect]
    return counts if counts[aspect] <= most else None


def read_score(text: str) -> float | None:
    """The score of a rubric's item (0, 0.5 or 1) at the end of a reply, as `{"score": 0.5}`; None for anything else."""
    value = (_stated(text) or {}).get(SCORE)
    return float(value) if type(value) in (int, float) and value in (0, 0.5, 1) else None


def read_order(text: str, events: int) -> list[int] | None:
    """The numbers of an order at the end of a reply, as `{"order": [4, 0, 2]}`: each from 0 (no event) to `events`, and none
    except 0 twice; None for anything else."""
    value = (_stated(text) or {}).get(ORDER)
    if not isinstance(value, list) or not all(type(number) is int and 0 <= number <= events for number in value):
        return None
    matched = [number for number in value if number]
    return value if len(set(matched)) == len(matched) else None


READERS: Mapping[str, Callable[[str], Any]] = {VERDICT: read_verdict, YES_NO: read_yes_no, SCORE: read_score}
"""Form of a reply -> its reader, for the forms that need only the text"""


def _stated(text: str) -> dict[str, Any] | None:
    """The flat JSON object at the end of a reply; None where there is none, or where another one comes right before it."""
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
    """The non-empty lines at the end of a reply, in lower case."""
    end = text if len(text) <= LONGEST else text[-LONGEST:].partition("\n")[2]  # without the line that was cut
    plain = unicodedata.normalize("NFKC", _SPECIAL.sub(" ", end)).lower().replace("_", " ")
    return [line.strip() for line in plain.splitlines() if line.strip()]


def _class(found: re.Match[str] | None) -> str | None:
    return _CLASS[found["word"]] if found else None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a name occurs twice")
    return dict(pairs)
