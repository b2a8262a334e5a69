"""`memeval train data`: the training mixture from source files at hand, or from the published parquet, as files and cards.

    OUT/FAMILY-train.parquet  FAMILY-train.yaml  FAMILY-validation.parquet  FAMILY-validation.yaml

A card is a task like any other: `memeval run --task OUT/FAMILY-validation.yaml`, or `task:` of a training recipe.
"""

from __future__ import annotations

import csv
import functools
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import yaml

from memeval import tokens
from memeval.data.containers import BLOCK, Content
from memeval.data.fields import published
from memeval.data.files import DataFile, Found, by_hand, find, local
from memeval.data.records import read, read_object
from memeval.errors import UsageError, suggest
from memeval.records.files import unwritable
from memeval.task import Unit
from memeval.tasks.chunking import pack
from memeval.training import families
from memeval.training.data import TRAIN, VALIDATION, Built, Recipe, Row, divided, rows
from memeval.training.families import FAMILIES, Labelled
from memeval.typed import Count

MOST_STREAMS = 100
"""Of one family, as the paper's training subset has it (its table 7)."""
PIECE = 2048
"""Tokens of a chunk of a book at most."""


class Mixing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `memeval train data` goes by. families: () for all whose files are at hand. published: a parquet file as
    Mem-alpha publishes it, instead of source files. streams: of each family and split at most; 0: all. share: of the
    source items that go to validation, by a hash of their text. seed: of the split and of every draw."""

    families: tuple[str, ...] = ()
    published: str = ""
    streams: Count = MOST_STREAMS
    share: float = 0.1
    seed: Count = 42


Files = Sequence[Found]
Facts = Mapping[str, Any]
Build = Callable[[Files, Recipe, int], tuple[Built, list[Facts]]]


@dataclass(frozen=True, slots=True)
class Source:
    """A family of the mixture. card: whose prompts and metrics its questions are asked with. files: all are needed.
    headline: where it is not the card's."""

    card: str
    files: tuple[DataFile, ...]
    build: Build
    headline: str = ""


@dataclass(frozen=True, slots=True)
class Made:
    """What was built of one split of one family, and the card that asks it; None where no stream came about."""

    family: str
    split: str
    streams: int
    questions: int
    dropped: Mapping[str, int]
    card: str | None


def _squad(files: Files, recipe: Recipe, most: int) -> tuple[Built, list[Facts]]:
    document, facts = read_object(files[0])
    return families.squad(families.squad_rows(document), recipe), [facts]


def _hotpotqa(files: Files, recipe: Recipe, most: int) -> tuple[Built, list[Facts]]:
    found = read(files[0])
    return families.hotpotqa((row for _, row in found.rows()), recipe), [found.facts]


def _perltqa(files: Files, recipe: Recipe, most: int) -> tuple[Built, list[Facts]]:
    (people, first), (questions, second) = map(read_object, files)
    return families.perltqa(people, questions, recipe), [first, second]


def _booksum(files: Files, recipe: Recipe, most: int) -> tuple[Built, list[Facts]]:
    found, count = read(files[0]), tokens.counter(recipe.tokenizer)

    def pieces(text: str) -> list[str]:
        return [chunk.text for chunk in pack([Unit(text)], PIECE, count)]

    return families.booksum((row for _, row in found.rows()), recipe, pieces), [found.facts]


def _labelled(name: str, texts: Callable[[Found], tuple[Iterator[Labelled], Facts]]) -> Build:
    def build(files: Files, recipe: Recipe, most: int) -> tuple[Built, list[Facts]]:
        found, facts = texts(files[0])
        return families.labelled(found, name, recipe, most), [facts]

    return build


def _text(file: Found, encoding: str = "utf-8") -> tuple[str, Facts]:
    try:
        content = Content(file)
        text = b"".join(iter(lambda: content.read(BLOCK), b"")).decode(encoding)
        facts = content.facts()
    except OSError as error:
        raise UsageError(f"{file.path}: cannot be read ({error.strerror or error})") from None
    return text, file.facts(facts["sha256"], facts["bytes"], text.count("\n"))


def _trec(file: Found, fine: bool = False) -> tuple[Iterator[Labelled], Facts]:
    text, facts = _text(file, "latin-1")
    return families.trec(text.splitlines(), fine), facts


def _nlu(file: Found) -> tuple[Iterator[Labelled], Facts]:
    text, facts = _text(file)
    rows = csv.DictReader(io.StringIO(text), delimiter=";")
    return (Labelled(row["answer_from_anno"], f"{row['scenario']}_{row['intent']}") for row in rows), facts


def _banking77(file: Found) -> tuple[Iterator[Labelled], Facts]:
    found = read(file)
    return (Labelled(row["text"], row["category"]) for _, row in found.rows()), found.facts


def _clinc150(file: Found) -> tuple[Iterator[Labelled], Facts]:
    document, facts = read_object(file)
    return (Labelled(text, label) for text, label in document["train"]), facts


def _pubmed(file: Found) -> tuple[Iterator[Labelled], Facts]:
    text, facts = _text(file)
    return families.pubmed(text.splitlines()), facts


def _file(name: str, note: str) -> tuple[DataFile, ...]:
    return (DataFile((name,), note=note),)


SOURCES = {
    "squad": Source("memalpha-squad", _file("squad/train-v1.1.json", "SQuAD 1.1"), _squad),
    "hotpotqa": Source("memalpha-hotpotqa", _file("hotpotqa/hotpot_train_v1.1.json", "HotpotQA"), _hotpotqa),
    "perltqa": Source(
        "memalpha-perltqa",
        _file("perltqa/perltmem_en_v2.json", "PerLTQA, Dataset/en_v2")
        + _file("perltqa/perltqa_en_v2.json", "PerLTQA, Dataset/en_v2"),
        _perltqa,
    ),
    "booksum": Source(
        "memalpha-booksum", _file("booksum/train.jsonl", "ubaada/booksum-complete-cleaned, chapters"), _booksum, "rouge_l"
    ),
    "trec-c": Source("memalpha-trec-c", _file("trec/train_5500.label", "TREC questions"), _labelled("trec-c", _trec)),
    "trec-f": Source(
        "memalpha-mab-trec-f",
        _file("trec/train_5500.label", "TREC questions"),
        _labelled("trec-f", functools.partial(_trec, fine=True)),
    ),
    "nlu": Source(
        "memalpha-nlu", _file("nlu_evaluation/trainset.csv", "NLU-Evaluation-Data, KFold_1"), _labelled("nlu", _nlu)
    ),
    "banking77": Source(
        "memalpha-mab-banking77", _file("banking77/train.csv", "BANKING77"), _labelled("banking77", _banking77)
    ),
    "clinc150": Source(
        "memalpha-mab-clinic", _file("clinc150/data_full.json", "CLINC150"), _labelled("clinc150", _clinc150)
    ),
    "pubmed-rct": Source(
        "memalpha-pubmed-rct", _file("pubmed-rct/train.txt", "PubMed 200k RCT"), _labelled("pubmed-rct", _pubmed)
    ),
}
_PUBLISHED = {"squad": "squad", "hotpotqa": "hotpotqa", "perltqa": "perltqa", "booksum": "booksum"}
_PUBLISHED |= {name: family.data_source for name, family in FAMILIES.items()}


def chosen(names: Sequence[str], data_dir: Path | None) -> list[str]:
    """The families that were named, or all whose files are at hand. Raises UsageError for an unknown name, and where
    nothing is at hand."""
    for name in names:
        if name not in SOURCES:
            raise UsageError(f"no family '{name}'{suggest(name, SOURCES)} (known: {', '.join(SOURCES)})")
    found = list(names) or [name for name, one in SOURCES.items() if all(local(file, data_dir) for file in one.files)]
    if not found:
        wanted = "; ".join(dict.fromkeys(by_hand(file, data_dir) for one in SOURCES.values() for file in one.files))
        raise UsageError(f"no source data at hand: {wanted}")
    return found


def absent(data_dir: Path | None) -> dict[str, str]:
    """Families whose files are not at hand -> where they are to be put."""
    return {
        name: " and ".join(by_hand(file, data_dir) for file in one.files if not local(file, data_dir))
        for name, one in SOURCES.items()
        if not all(local(file, data_dir) for file in one.files)
    }


def mix(given: Mixing, out: Path, data_dir: Path | None) -> list[Made]:
    """Both splits of every family, written to a folder. Raises NoData where a file of a named family is missing, and
    UsageError where one is not as published or the folder cannot be written."""
    made: list[Made] = []
    for split in (TRAIN, VALIDATION):
        recipe = Recipe(split, given.share, given.seed)
        if given.published:
            made += from_published(Path(given.published).expanduser(), out, recipe, given.families, given.streams)
        else:
            made += [build(name, out, recipe, data_dir, given.streams) for name in chosen(given.families, data_dir)]
    return made


def build(name: str, out: Path, recipe: Recipe, data_dir: Path | None, most: int = MOST_STREAMS) -> Made:
    """One split of one family from its source files, at most so many streams. Raises NoData where a file is missing, and
    UsageError where one is not as published or the folder cannot be written."""
    source = SOURCES[name]
    files = [find(file, data_dir, f"train data {name}")[0] for file in source.files]
    with published(str(files[0].path)):
        built, facts = source.build(files, recipe, most)
    return _write(name, out, recipe, built, facts, most)


def from_published(file: Path, out: Path, recipe: Recipe, names: Sequence[str], most: int = 0) -> list[Made]:
    """The same from a parquet file as Mem-alpha publishes it (YuWangX/Memalpha, train.parquet): one split of each family in
    it. Raises UsageError where it is not as published."""
    found = read(Found(file.name, file))
    by_source: dict[str, list[Row]] = {}
    for place, row in found.rows():
        with published(place):
            by_source.setdefault(str(row["data_source"]), []).append(row)
    made = []
    for name, source in _PUBLISHED.items():
        if source in by_source and (not names or name in names):
            with published(str(file)):
                built = divided(by_source[source], recipe)
            made.append(_write(name, out, recipe, built, [found.facts], most, published_form=True))
    if not made:
        raise UsageError(f"{file}: holds none of the families {', '.join(names or _PUBLISHED)}")
    return made


def _write(
    name: str, out: Path, recipe: Recipe, built: Built, facts: Sequence[Facts], most: int, published_form: bool = False
) -> Made:
    streams = built.streams
    if most and len(streams) > most:
        streams = recipe.random("most", name).sample(streams, most)
        built = Built(streams, built.dropped)
    questions = sum(len(stream.questions) for stream in streams)
    card = out / f"{name}-{recipe.split}.yaml"
    if not streams:
        return Made(name, recipe.split, 0, 0, dict(built.dropped), None)
    source = SOURCES[name]
    data = card.with_suffix(".parquet").resolve()
    said: dict[str, Any] = {
        "extends": source.card,
        "description": f"built by memeval train data: {name}, {recipe.split}; {len(streams)} streams",
        "split": f"memeval-{recipe.split}",
        "trained_on": [],
        "params": {"data_source": streams[0].data_source, "files": [str(data)], "hub": []},
    }
    if source.headline and not published_form:
        said |= {"headline": source.headline, "metrics": [source.headline]}
    try:
        out.mkdir(parents=True, exist_ok=True)
        _parquet(rows(built, recipe, facts), data)
        card.write_text(yaml.safe_dump(said, sort_keys=False, allow_unicode=True), encoding="utf-8")
    except OSError as error:
        raise unwritable(out, error) from None
    return Made(name, recipe.split, len(streams), questions, dict(built.dropped), str(card))


def _parquet(found: Sequence[dict[str, Any]], path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    beside = path.with_suffix(".part")
    parquet.write_table(pyarrow.Table.from_pylist(found), beside)
    beside.replace(path)
