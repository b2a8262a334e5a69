"""What a model was trained on, as an agent's card and a checkpoint's folder say it (validity section 5).

    trained_on: [hotpotqa]                                                      # a family; which split is not known
    trained_on: [{family: nlu, splits: [test], hashes: [9f86...], note: where this is known from}]

A checkpoint states the same in `memeval_trained_on.json` beside its weights: `{"trained_on": [...]}`.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from memeval.errors import UsageError, suggest

CHECKPOINT_FILE = "memeval_trained_on.json"
ALL = "all"
"""The split of data that have none; in an entry: every split."""
LARGEST_FILE = 256_000_000
"""Bytes of a checkpoint's file: some four million hashes."""

_KEYS = ("family", "splits", "hashes", "note")
_NAME = re.compile(r"[\w.+-]{1,100}")
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class TrainedOn:
    """A set of questions that was trained on. splits: as task cards name them; empty: not known. hashes: `content_hash` of
    every question of it, where they were kept. note: how this is known."""

    family: str
    splits: tuple[str, ...] = ()
    hashes: frozenset[str] = frozenset()
    note: str = ""

    def covers(self, family: str, split: str) -> str | None:
        """`leaked` (this very split), `in-domain` (the family) or None, by name alone."""
        if _plain(family) != _plain(self.family):
            return None
        return "leaked" if {ALL, _split(split)} & {_split(name) for name in self.splits} else "in-domain"


def content_hash(question: str) -> str:
    """sha256 (hex) of the question's text in NFKC, casefolded, blanks as one, in UTF-8.

    Neither golds nor the stream are in it: builds of one data set differ in aliases and in what surrounds a question. So a
    question that is asked in the same words of two streams counts as the same: it errs towards a mark.
    """
    text = " ".join(unicodedata.normalize("NFKC", question).casefold().split())
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def parse(value: Any, where: str) -> tuple[TrainedOn, ...]:
    """The entries of a `trained_on` key: a family's name, a mapping, or a list of these. Entries of the same family, splits
    and note become one. Raises UsageError, in one line that begins with `where`."""
    return merged(_entry(entry, where) for entry in (value if isinstance(value, (list, tuple)) else [value]))


def merged(entries: Iterable[TrainedOn]) -> tuple[TrainedOn, ...]:
    """Entries that differ in their hashes alone as one, in order of first appearance."""
    found: dict[TrainedOn, frozenset[str]] = {}
    for entry in entries:
        key = replace(entry, hashes=frozenset())
        found[key] = found.get(key, frozenset()) | entry.hashes
    return tuple(replace(key, hashes=hashes) for key, hashes in found.items())


def of_checkpoint(folder: Path) -> tuple[TrainedOn, ...]:
    """What the file beside the weights says; () where there is none. Raises UsageError for a file that is not sound."""
    path = folder / CHECKPOINT_FILE
    if not path.is_file():
        return ()
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise UsageError(f"{path}: larger than {LARGEST_FILE:,} bytes; that is no list of questions")
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (ValueError, RecursionError):
        raise UsageError(f"{path}: not JSON; the trainer writes it whole, get it again") from None
    if not isinstance(data, dict) or list(data) != ["trained_on"]:
        raise UsageError(f'{path}: expected {{"trained_on": [...]}} and nothing else')
    return parse(data["trained_on"], str(path))


def _entry(value: Any, where: str) -> TrainedOn:
    data = {"family": value} if isinstance(value, str) else value
    if not isinstance(data, dict):
        raise UsageError(f"{where}: 'trained_on' holds {_shown(value)}, expected a family's name or a mapping")
    for key in data:
        if not isinstance(key, str) or key not in _KEYS:
            raise UsageError(f"{where}: unknown key 'trained_on.{_shown(key)[1:-1]}'{suggest(str(key)[:100], _KEYS)}")
    if "family" not in data:
        raise UsageError(f"{where}: an entry of 'trained_on' has no 'family'")
    note = data.get("note", "")
    if not isinstance(note, str) or len(note) > 300 or not note.isprintable():
        raise UsageError(f"{where}: 'trained_on.note' is {_shown(note)}, expected one line of at most 300 characters")
    return TrainedOn(
        _strings([data["family"]], _NAME, "family", "a name of letters, digits and ._+-", where)[0],
        _strings(data.get("splits", []), _NAME, "splits", "names of letters, digits and ._+-", where),
        frozenset(_strings(data.get("hashes", []), _HASH, "hashes", "sha256 digests (64 hex digits)", where)),
        note,
    )


def _strings(value: Any, form: re.Pattern[str], key: str, wanted: str, where: str) -> tuple[str, ...]:
    parts = [value] if isinstance(value, str) else value
    if not isinstance(parts, (list, tuple)):
        raise UsageError(f"{where}: 'trained_on.{key}' is {_shown(value)}, expected {wanted}")
    for part in parts:
        if not isinstance(part, str) or form.fullmatch(part) is None:
            raise UsageError(f"{where}: 'trained_on.{key}' holds {_shown(part)}, expected {wanted}")
    return tuple(parts)


def _plain(name: str) -> str:
    return "".join(char for char in name.casefold() if char.isalnum())


def _split(name: str) -> str:
    """`validation` on the hub is what the data sets' authors call `dev`."""
    return {"validation": "dev", "valid": "dev", "val": "dev"}.get(name.casefold(), name.casefold())


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
