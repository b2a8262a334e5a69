"""The known training data of models, from an agent's card and a checkpoint's folder (validity section 5).

    trained_on: [hotpotqa]                                                      # a family; which split is not known
    trained_on: [{family: nlu, splits: [test], hashes: [9f86...], note: where this is known from}]

A checkpoint states the same in `memeval_trained_on.json` beside its weights: `{"trained_on": [...]}`.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from pathlib import Path
from typing import Annotated, Any

import msgspec

from memeval.errors import UsageError, suggest

CHECKPOINT_FILE = "memeval_trained_on.json"
ALL = "all"
"""The split of data without splits; in an entry: every split."""

_Name = Annotated[str, msgspec.Meta(pattern=r"\A[\w.+-]{1,100}\Z")]
_Hash = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
_EXPECTED = {
    "family": "a name of letters, digits and ._+-",
    "splits": "names of letters, digits and ._+-",
    "hashes": "sha256 digests (64 hex digits)",
    "note": "one line of at most 300 characters",
}


class TrainedOn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A set of questions that a model was trained on. splits: as task cards name them; empty: unknown. hashes:
    `content_hash` of each of its questions, if known. note: the source of this knowledge."""

    family: _Name
    splits: tuple[_Name, ...] = ()
    hashes: frozenset[_Hash] = frozenset()
    note: Annotated[str, msgspec.Meta(max_length=300)] = ""

    def covers(self, family: str, split: str) -> str | None:
        """`leaked` (exactly this split), `in-domain` (the family) or None, by name alone."""
        if _plain(family) != _plain(self.family):
            return None
        return "leaked" if {ALL, _split(split)} & {_split(name) for name in self.splits} else "in-domain"


def content_hash(question: str) -> str:
    """sha256 (hex) of the question's text in NFKC, casefolded, with single blanks, in UTF-8.

    Golds and the stream are not included, because builds of one data set differ in aliases and in the text around a
    question. So equal questions on two streams count as the same: errors are in favour of a mark.
    """
    text = " ".join(unicodedata.normalize("NFKC", question).casefold().split())
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def parse(value: Any, where: str) -> tuple[TrainedOn, ...]:
    """The entries of a `trained_on` key: a family's name, a mapping, or a list of these. Raises UsageError with one
    line that begins with `where`."""
    return tuple(_entry(entry, where) for entry in (value if isinstance(value, (list, tuple)) else [value]))


def of_checkpoint(folder: Path) -> tuple[TrainedOn, ...]:
    """The entries of the file beside the weights; () if there is none. Raises UsageError for a file that cannot be
    used."""
    path = folder / CHECKPOINT_FILE
    if not path.is_file():
        return ()
    try:
        data = msgspec.json.decode(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise UsageError(f"{path}: not JSON; the trainer writes it whole, get it again") from None
    if not isinstance(data, dict) or list(data) != ["trained_on"]:
        raise UsageError(f'{path}: expected {{"trained_on": [...]}} and nothing else')
    return parse(data["trained_on"], str(path))


def _entry(value: Any, where: str) -> TrainedOn:
    data = {"family": value} if isinstance(value, str) else value
    if isinstance(data, dict):
        data = {key: [one] if key in ("splits", "hashes") and isinstance(one, str) else one for key, one in data.items()}
    try:
        found = msgspec.convert(data, TrainedOn)
    except msgspec.ValidationError as error:
        raise UsageError(f"{where}: {_fault(str(error), data)}") from None
    if not found.note.isprintable():
        raise UsageError(f"{where}: {_fault('$.note', data)}")
    return found


def _fault(message: str, data: Any) -> str:
    """The message for a wrong entry, from msgspec's message."""
    if unknown := re.search(r"unknown field `(.*)`", message):
        return f"unknown key 'trained_on.{unknown[1][:80]}'{suggest(unknown[1][:100], _EXPECTED)}"
    if "missing required field" in message:
        return "an entry of 'trained_on' has no 'family'"
    if key := next((key for key in _EXPECTED if f"$.{key}" in message), None):
        return f"'trained_on.{key}' is {data[key]!r:.80}, expected {_EXPECTED[key]}"
    return f"'trained_on' holds {data!r:.80}, expected a family's name or a mapping"


def _plain(name: str) -> str:
    return "".join(char for char in name.casefold() if char.isalnum())


def _split(name: str) -> str:
    """The split's name in task cards: the hub's `validation` is called `dev` by the data sets' authors."""
    return {"validation": "dev", "valid": "dev", "val": "dev"}.get(name.casefold(), name.casefold())
