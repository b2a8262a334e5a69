"""What question sets over paragraphs share: finding the files, the pool, its filler, and what to say when there are none.

A subclass says where its data lie and turns a record into passages and an example. The pool is every distinct passage of the
task's files, also of records that are not asked, plus the `*_corpus*` file beside them; `wiki_pool` fills it up where it is
too short.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from memeval.cards import TaskCard
from memeval.datafiles import files
from memeval.datafiles.fields import text_field
from memeval.datafiles.needs import FILLER
from memeval.datafiles.origin import params
from memeval.errors import NoData, UsageError
from memeval.pool import number
from memeval.sources import Settings
from memeval.streams import Example, PackedTask, Passage, Pool

FILLER_WORDS = 20
"""Shorter filler is left out: stubs of one clause."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a data set lies; every field but the last may be set in a card's `params`.

    files: names in the data folder, best first; a name with `*` stands for all files that match it. corpus: further
    passages, a pattern there (empty: none). hub, hub_files: data set id and pattern of file names. revision: of the hub data
    set; empty for the current one. records: read about so many, chosen by a hash of their id, where reading all takes long
    (0: all). joint: what stands between the sentences of a paragraph.
    """

    files: tuple[str, ...]
    corpus: str
    hub: str
    hub_files: str
    revision: str = ""
    records: int = 0
    joint: str = ""


class ParagraphQA(ABC):
    """A source over one layout. Subclasses set `layout` and `parse`; some also the other methods. One object reads once."""

    layout: ClassVar[Layout]
    id_fields: ClassVar[tuple[str, ...]] = ("_id", "id")

    @abstractmethod
    def parse(self, row: Mapping[str, Any], place: str) -> tuple[list[Passage], Example]:
        """One record: its passages, and the question with them. An example without evidence is not asked. Raises UsageError
        with `place` (file and record) for a damaged record."""

    def choose(self, found: Sequence[files.DataFile]) -> Sequence[files.DataFile]:
        """Of the files that match one name, in order of name, those to read: all, as parts of one set."""
        return found

    def read(self, file: files.DataFile) -> files.Records:
        """The records of a file."""
        return files.read(file)

    def merge(self, first: Example, second: Example) -> Example | None:
        """Two records of one question as one; None where an id must not come twice."""
        return None

    def noted(self) -> Mapping[str, Any]:
        """Facts for the manifest of what was read besides the records."""
        return {}

    def load(self, card: TaskCard, settings: Settings) -> PackedTask:
        """Read records and pool. Raises UsageError when the data are not at hand, damaged, or too few for the length."""
        layout = _configured(self.layout, card)
        facts: list[Mapping[str, Any]] = []
        examples: dict[str, Example] = {}
        passages: list[Passage] = []
        places: dict[str, str] = {}
        read = [self.read(file) for file in self.choose(_records(layout, card, settings))]
        total = sum(len(loaded.rows) for loaded in read)
        if not total:
            raise UsageError(f"{read[0].file.path}: holds no records; fetch it again")
        share = layout.records / total if layout.records else 1.0
        for loaded in read:
            for place, row in loaded.objects():
                if share < 1 and number("record", self._id(row, place)) >= share * 2**64:
                    continue
                own, example = self.parse(row, place)
                passages.extend(own)
                name = example.question.id
                merged = self.merge(examples[name], example) if name in places else example
                if merged is None:
                    raise UsageError(f"{place}: id '{name}' was already used by {places[name]}")
                examples[name] = merged
                places.setdefault(name, place)
            facts.append({**loaded.facts, **self.noted()})
        asked = [example for example in examples.values() if example.evidence]
        if not asked:
            raise UsageError(f"task '{card.name}': no record of {facts[0]['name']} has its evidence among its paragraphs")
        for file in files.matching(settings, layout.corpus) if layout.corpus else ():
            loaded = files.read(file)
            facts.append(loaded.facts)
            passages.extend(titled(loaded))
        pool = Pool(passages)
        if _short(pool, card):
            filler: list[Passage] = []
            for file in files.matching(settings, FILLER):
                loaded = files.read(file)
                facts.append(loaded.facts)
                filler.extend(item for item in titled(loaded) if len(item.text.split()) >= FILLER_WORDS)
            pool = Pool(passages, filler)
        data = {
            "files": facts,
            "questions": len(asked),
            "incomplete": len(examples) - len(asked),
            "pool": pool.size,
            "wiki_pool": len(pool) - pool.size,
            "corpus": pool.digest,
        }
        return PackedTask(card, settings, asked, lambda: pool, data)

    def _id(self, row: Mapping[str, Any], place: str) -> str:
        return text_field(row, next((key for key in self.id_fields if key in row), self.id_fields[-1]), place)


def titled(loaded: files.Records) -> Iterator[Passage]:
    """The passages of a corpus file: records with `title` and `text`, those without text left out."""
    for place, row in loaded.objects():
        passage = Passage(text_field(row, "title", place, blank=True), text_field(row, "text", place, blank=True))
        if passage.text:
            yield passage


def texts(row: Mapping[str, Any], key: str, place: str) -> list[str]:
    """A list of texts of a record, stripped, blank ones left out. Raises UsageError for anything else."""
    value = row.get(key)
    if not isinstance(value, Sequence) or isinstance(value, str) or not all(isinstance(item, str) for item in value):
        found = f"{str(value)[:80]!r}, expected a list of texts" if key in row else "missing"
        raise UsageError(f"{place}: '{key}' is {found}")
    return [item.strip() for item in value if item.strip()]


def _short(pool: Pool, card: TaskCard) -> bool:
    """Whether the pool may not suffice for a stream. On the safe side, because the answer must not depend on the question:
    own titles bar a few passages each, and no pool of English has fewer than one token in eight characters."""
    if card.tokens:
        return sum(len(item.text) for item in pool.passages) < 8 * card.tokens
    return pool.size < card.documents + 20 * card.shared


def _records(layout: Layout, card: TaskCard, settings: Settings) -> list[files.DataFile]:
    """The files with the questions. Raises NoData with every remedy when there are none."""
    for name in layout.files:
        matched = files.matching(settings, name) if "*" in name else [files.find(settings, name)]
        present = [file for file in matched if file is not None]
        if present:
            return present
    found, reason = files.from_hub(layout.hub, layout.hub_files, layout.revision or None)
    if found:
        return found
    folder = files.data_folder(settings)
    base, _, length = card.name.partition("@")[0].rpartition("-")
    bundled = f"synth-{length}" if base and length in ("10k", "30k", "100k", "1m") else "synth-10k"
    raise NoData(
        f"task '{card.name}': no data; put {files.named(layout.files)} into {folder or 'a folder DIR'}"
        f"{'' if folder else ' and pass --data-dir DIR (or set MEMEVAL_DATA)'}, or get {layout.hub} from the "
        f"Hugging Face hub (network or a filled HF cache; now: {reason}); or run the bundled {bundled}, which needs no data"
    )


def _configured(layout: Layout, card: TaskCard) -> Layout:
    """The layout with the card's `params`."""
    names = ("files", "corpus", "hub", "hub_files", "revision", "records")
    return replace(layout, **params(card, {name: getattr(layout, name) for name in names}))
