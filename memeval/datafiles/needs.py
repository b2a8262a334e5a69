"""Which files a task reads, where each may come from, and where it is found on this machine. Asks no network.

A source may say it itself: `needs(card) -> Sequence[Need]`. Otherwise it follows from the card's `params` over the source's
`layout`: files, corpus, hub (`owner/name/file`, or a data set id with hub_files) and revision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memeval import plugins
from memeval.cards import TaskCard
from memeval.datafiles import files
from memeval.datafiles.files import DataFile
from memeval.errors import UsageError
from memeval.sources import Settings


@dataclass(frozen=True, slots=True)
class Address:
    """Where a file outside the Hugging Face hub is published. bytes and sha256 (of the published file) where known."""

    url: str
    bytes: int = 0
    sha256: str = ""


PUBLISHED: Mapping[str, Address] = {
    "nq/nq-open-oracle.jsonl": Address(
        "https://raw.githubusercontent.com/nelson-liu/lost-in-the-middle/"
        "dc5c20a60a52c46cce60d13c659f698c1343596e/qa_data/nq-open-oracle.jsonl.gz"
    ),
    "locomo/locomo10.json": Address(
        "https://raw.githubusercontent.com/snap-research/locomo/main/data/locomo10.json",
        2_805_274,
        "79fa87e90f04081343b8c8debecb80a9a6842b76a7aa537dc9fdf651ea698ff4",
    ),
    "2wikimultihopqa/2wikimultihopqa_corpus.json": Address(
        "https://raw.githubusercontent.com/OSU-NLP-Group/HippoRAG/"
        "191f281122e2437743daf1dd2dae23059a14c088/reproduce/dataset/2wikimultihopqa_corpus.json"
    ),
}
"""Name in the data folder -> upstream's file."""


STRICTEST: Mapping[str, str] = dict.fromkeys(
    ("memalpha/train.parquet", "memalpha/test.parquet"), "CC BY-NC 4.0 (one file for all sets, PerLTQA among them)"
)
"""A file that holds several data sets -> the licence among theirs that allows least."""

FILLER = "wiki_pool/corpus-*.jsonl"
"""Passages in the data folder that fill up a pool of paragraphs which is too short for a stream."""
_FILLING = "any part of BEIR's hotpotqa corpus, for streams that the pool is too short for"


@dataclass(frozen=True, slots=True)
class Need:
    """A file that a task reads, or several of one pattern.

    files: names in the data folder, best first, the first that is there is read (absolute: beside a card); `*` stands for
    several files. hub: where it may be taken from instead, `owner/name/file` or `owner/name@revision/file`, best first, with
    `*` as before. required: the task cannot be built without it. note: what it is for, or where it is published. licence: of
    this file, where it is not the card's.
    """

    files: tuple[str, ...]
    hub: tuple[str, ...] = ()
    required: bool = True
    note: str = ""
    licence: str = ""

    @property
    def address(self) -> Address | None:
        """Where it is published outside the hub."""
        for name in self.files:
            if name in PUBLISHED:
                return PUBLISHED[name]
            if "*" in name:
                return next((address for known, address in PUBLISHED.items() if Path(known).match(name)), None)
        return None


@dataclass(frozen=True, slots=True)
class Found:
    """A need, and the files on this machine that meet it (none: it is not met)."""

    need: Need
    files: tuple[DataFile, ...]

    @property
    def bytes(self) -> int:
        """On disk, zipped where they are."""
        return sum(file.path.stat().st_size for file in self.files)


def needs(card: TaskCard) -> tuple[Need, ...]:
    """What the card's source reads; none for a source that makes its data. Raises UsageError for params of a wrong type."""
    source = plugins.source(card)
    if hasattr(source, "needs"):
        return tuple(source().needs(card))
    layout = getattr(source, "layout", None)
    given = {key: card.params.get(key, getattr(layout, key, "")) for key in ("files", "corpus", "hub", "hub_files")}
    names = _texts(card, "files", given["files"])
    beside = _texts(card, "file", card.params.get("file", ""))
    revision = card.params.get("revision", getattr(layout, "revision", ""))
    licence = next((STRICTEST[name] for name in names if name in STRICTEST), "")
    places = _hub(card, given["hub"], given["hub_files"], revision)
    found = [Need(names, places, licence=licence)] if names else []
    found += [Need((str(Path(card.path).parent.resolve() / Path(name).expanduser()), name)) for name in beside]
    corpus = _texts(card, "corpus", given["corpus"])
    found += [Need((name,), required=False, note="more passages for the pool") for name in corpus]
    if layout is not None:
        found.append(Need((FILLER,), required=False, note=_FILLING))
    return tuple(found)


def _hub(card: TaskCard, hub: Any, hub_files: Any, revision: Any) -> tuple[str, ...]:
    mark = f"@{revision}" if revision else ""
    if isinstance(hub, str) and hub.count("/") == 1:
        return tuple(f"{hub}{mark}/{name}" for name in _texts(card, "hub_files", hub_files))
    return _texts(card, "hub", hub)


def _texts(card: TaskCard, key: str, value: Any) -> tuple[str, ...]:
    parts = (value,) if isinstance(value, str) else value
    if not isinstance(parts, Sequence) or not all(isinstance(part, str) for part in parts):
        raise UsageError(f"{card.path or card.name}: 'params.{key}' is {value!r}, expected a text or a list of texts")
    return tuple(part for part in parts if part)


def hub_place(place: str) -> tuple[str, str | None, str]:
    """`owner/name@revision/file` as (owner/name, revision or None, file)."""
    owner, _, rest = place.partition("/")
    name, _, path = rest.partition("/")
    name, _, revision = name.partition("@")
    if not owner or not name or not path:
        raise UsageError(f"'{place}' is no place on the hub, expected owner/name/file or owner/name@revision/file")
    return f"{owner}/{name}", revision or None, path


def at_hand(card: TaskCard, settings: Settings) -> tuple[Found, ...]:
    """Each need of the card with the files that meet it: those of the data folder, else those of the hub's cache. A source
    that reads only some of several files says which: `choose(files)`."""
    choose = getattr(plugins.source(card)(), "choose", tuple)
    met = []
    for need in needs(card):
        found = _located(need, settings)
        met.append(Found(need, tuple(choose(found)) if found and need.required else found))
    return tuple(met)


def in_data_folder(card: TaskCard, settings: Settings) -> tuple[DataFile, ...] | None:
    """All files of the data folder, or beside the card, that meet the card's needs; those of optional needs among them. None
    where a required need is not met by these."""
    met = [(need, _local(need, settings)) for need in needs(card)]
    if any(need.required and not found for need, found in met):
        return None
    return tuple(file for _, found in met for file in found)


def _located(need: Need, settings: Settings) -> tuple[DataFile, ...]:
    found = _local(need, settings)
    for place in () if found else need.hub:
        repository, revision, path = hub_place(place)
        cached = files.in_hub_cache(repository, path, revision)
        if cached:
            return tuple(cached)
    return found


def _local(need: Need, settings: Settings) -> tuple[DataFile, ...]:
    for name in need.files:
        if Path(name).is_absolute():
            found = [DataFile(Path(name).name, path) for path in (Path(name), Path(f"{name}.gz")) if path.is_file()][:1]
        elif "*" in name or not need.required:  # sources take what is optional as a pattern, whatever its name
            found = files.matching(settings, name)
        else:
            one = files.find(settings, name)
            found = [one] if one is not None else []
        if found:
            return tuple(found)
    return ()
