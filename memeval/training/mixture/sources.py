"""`memeval train data`: build the training mixture from source files on this machine, or from the published parquet.

    OUT/FAMILY-train.parquet  FAMILY-train.yaml  FAMILY-validation.parquet  FAMILY-validation.yaml

The cards are usual tasks: `memeval run --task OUT/FAMILY-validation.yaml`, or `task:` of a training recipe.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import yaml

from memeval.data.containers import Content
from memeval.data.fields import published
from memeval.data.files import DataFile, Found, by_hand, find, local
from memeval.data.records import read, read_object
from memeval.errors import UsageError, suggest
from memeval.records.files import write_whole
from memeval.training.mixture import families
from memeval.training.mixture.families import FAMILIES, Labelled
from memeval.training.mixture.streams import TRAIN, VALIDATION, Built, Record, Split, divided, rows
from memeval.typed import Count
from memeval.wording import counted

MOST_STREAMS = 100
"""The most streams of one family, as in the paper's training subset (table 7)."""


class Mixing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The settings of `memeval train data`. families: () for all whose files are on this machine. published: a parquet file
    as Mem-alpha publishes it, to use instead of source files. streams: the most per family and split; 0: all. share: the
    part of the source items that goes to validation, by a hash of their text. seed: of the split and of every draw."""

    families: tuple[str, ...] = ()
    published: str = ""
    streams: Count = MOST_STREAMS
    share: float = 0.1
    seed: Count = 42


Build = Callable[[Sequence[Found], Split, int], Built]
"""(files, split, the most streams) -> what was built"""


@dataclass(frozen=True, slots=True)
class Source:
    """A family of the mixture. card: the card whose prompts and metrics its tasks use. files: all are needed. headline: a
    metric in place of the card's."""

    card: str
    files: tuple[DataFile, ...]
    build: Build
    headline: str = ""


@dataclass(frozen=True, slots=True)
class Made:
    """What was built for one split of one family. card: path of the written card, None where no stream was built."""

    family: str
    split: str
    streams: int
    questions: int
    dropped: Mapping[str, int]
    card: str | None


def _object(file: Found) -> Record:
    return read_object(file)[0]


def _records(file: Found) -> Iterator[Record]:
    return (row for _, row in read(file).rows())


def _lines(file: Found, encoding: str = "utf-8") -> Iterator[str]:
    return io.TextIOWrapper(io.BufferedReader(Content(file)), encoding, newline="")


def _labelled(name: str, texts: Callable[[Found], Iterable[Labelled]]) -> Build:
    return lambda files, split, most: families.labelled(texts(files[0]), name, split, most)


def _nlu(file: Found) -> Iterator[Labelled]:
    rows = csv.DictReader(_lines(file), delimiter=";")
    return (Labelled(row["answer_from_anno"], f"{row['scenario']}_{row['intent']}") for row in rows)


def _file(name: str, note: str) -> DataFile:
    return DataFile((name,), note=note)


_TREC = _file("trec/train_5500.label", "TREC questions")
SOURCES = {
    "squad": Source(
        "memalpha-squad",
        (_file("squad/train-v1.1.json", "SQuAD 1.1"),),
        lambda files, split, most: families.squad(_object(files[0]), split),
    ),
    "hotpotqa": Source(
        "memalpha-hotpotqa",
        (_file("hotpotqa/hotpot_train_v1.1.json", "HotpotQA"),),
        lambda files, split, most: families.hotpotqa(_records(files[0]), split),
    ),
    "perltqa": Source(
        "memalpha-perltqa",
        (
            _file("perltqa/perltmem_en_v2.json", "PerLTQA, Dataset/en_v2"),
            _file("perltqa/perltqa_en_v2.json", "PerLTQA, Dataset/en_v2"),
        ),
        lambda files, split, most: families.perltqa(_object(files[0]), _object(files[1]), split),
    ),
    "booksum": Source(
        "memalpha-booksum",
        (_file("booksum/train.jsonl", "ubaada/booksum-complete-cleaned, chapters"),),
        lambda files, split, most: families.booksum(_records(files[0]), split),
        "rouge_l",
    ),
    "trec-c": Source("memalpha-trec-c", (_TREC,), _labelled("trec-c", lambda file: families.trec(_lines(file, "latin-1")))),
    "trec-f": Source(
        "memalpha-mab-trec-f", (_TREC,), _labelled("trec-f", lambda file: families.trec(_lines(file, "latin-1"), fine=True))
    ),
    "nlu": Source(
        "memalpha-nlu", (_file("nlu_evaluation/trainset.csv", "NLU-Evaluation-Data, KFold_1"),), _labelled("nlu", _nlu)
    ),
    "banking77": Source(
        "memalpha-mab-banking77",
        (_file("banking77/train.csv", "BANKING77"),),
        _labelled("banking77", lambda file: (Labelled(row["text"], row["category"]) for row in _records(file))),
    ),
    "clinc150": Source(
        "memalpha-mab-clinic",
        (_file("clinc150/data_full.json", "CLINC150"),),
        _labelled("clinc150", lambda file: itertools.starmap(Labelled, _object(file)["train"])),
    ),
    "pubmed-rct": Source(
        "memalpha-pubmed-rct",
        (_file("pubmed-rct/train.txt", "PubMed 200k RCT"),),
        _labelled("pubmed-rct", lambda file: families.pubmed(_lines(file))),
    ),
}
PUBLISHED = {name: FAMILIES[name].data_source if name in FAMILIES else name for name in SOURCES}
"""Family -> its `data_source` in the published file"""


def chosen(names: Sequence[str], data_dir: Path | None) -> list[str]:
    """The families that were named, or all whose files are on this machine. Raises UsageError for an unknown name, and where
    there are no files."""
    for name in names:
        if name not in SOURCES:
            raise UsageError(f"no family '{name}'{suggest(name, SOURCES)} (known: {', '.join(SOURCES)})")
    lacking = absent(data_dir)
    found = list(names) or [name for name in SOURCES if name not in lacking]
    if not found:
        wanted = "; ".join(dict.fromkeys(by_hand(file, data_dir) for one in SOURCES.values() for file in one.files))
        raise UsageError(f"no source data found: {wanted}")
    return found


def absent(data_dir: Path | None) -> dict[str, str]:
    """Family with missing files -> where to put them."""
    lacking = {name: [file for file in one.files if not local(file, data_dir)] for name, one in SOURCES.items()}
    return {name: " and ".join(by_hand(file, data_dir) for file in files) for name, files in lacking.items() if files}


def mix(given: Mixing, out: Path, data_dir: Path | None) -> list[Made]:
    """Write both splits of every family to a folder. Raises NoData where a file of a named family is missing, and UsageError
    where one differs from its published form, a setting is out of range, or the folder cannot be written."""
    if not 0 < given.share < 1:
        raise UsageError(f"share {given.share}: expected a number between 0 and 1, the part for validation")
    made: list[Made] = []
    for split in (Split(name, given.share, given.seed) for name in (TRAIN, VALIDATION)):
        if given.published:
            made += from_published(Path(given.published).expanduser(), given, out, split)
        else:
            made += [build(name, given.streams, out, split, data_dir) for name in chosen(given.families, data_dir)]
    return made


def build(name: str, most: int, out: Path, split: Split, data_dir: Path | None) -> Made:
    """Build one split of one family from its source files. most: the most streams; 0: all."""
    source = SOURCES[name]
    files = [find(file, data_dir, f"train data {name}")[0] for file in source.files]
    try:
        with published(str(files[0].path)):
            built = source.build(files, split, most)
    except OSError as error:
        raise UsageError(f"{files[0].path}: cannot be read ({error.strerror or error})") from None
    return _write(name, most, out, split, built, files, source.headline)


def from_published(file: Path, given: Mixing, out: Path, split: Split) -> list[Made]:
    """Build one split of each family in a parquet file that Mem-alpha publishes (YuWangX/Memalpha, train.parquet)."""
    found = Found(file.name, file)
    by_source: dict[str, list[Record]] = {}
    for place, row in read(found).rows():
        with published(place):
            by_source.setdefault(str(row["data_source"]), []).append(row)
    made = []
    for name, source in PUBLISHED.items():
        if source in by_source and (not given.families or name in given.families):
            with published(str(file)):
                built = divided(by_source[source], split)
            made.append(_write(name, given.streams, out, split, built, [found]))
    if not made:
        raise UsageError(f"{file}: holds none of the families {', '.join(given.families or PUBLISHED)}")
    return made


def _write(name: str, most: int, out: Path, split: Split, built: Built, files: Sequence[Found], headline: str = "") -> Made:
    """Write the parquet file and the card for what was built. most: the most streams; 0: all. headline: a metric in place of
    that of the extended card."""
    streams = built.streams
    if most and len(streams) > most:
        streams = split.random("most", name).sample(streams, most)
        built = Built(streams, built.dropped)
    if not streams:
        return Made(name, split.name, 0, 0, dict(built.dropped), None)
    card = out / f"{name}-{split.name}.yaml"
    data = card.with_suffix(".parquet").resolve()
    content: dict[str, Any] = {
        "extends": SOURCES[name].card,
        "description": f"built by memeval train data: {name}, {split.name}; {counted(len(streams), 'stream')}",
        "split": f"memeval-{split.name}",
        "trained_on": [],
        "params": {"data_source": streams[0].data_source, "files": [str(data)], "hub": []},
    }
    if headline:
        content |= {"headline": headline, "metrics": [headline]}
    facts = [{"name": file.name, "sha256": Content(file).facts()["sha256"]} for file in files]
    write_whole(data, _parquet(rows(built, split, facts)))
    write_whole(card, yaml.safe_dump(content, sort_keys=False, allow_unicode=True).encode())
    questions = sum(len(stream.questions) for stream in streams)
    return Made(name, split.name, len(streams), questions, dict(built.dropped), str(card))


def _parquet(found: Sequence[dict[str, Any]]) -> bytes:
    import pyarrow
    from pyarrow import parquet

    file = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(found), file)
    return file.getvalue()
