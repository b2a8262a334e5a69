"""What question sets over paragraphs share: records, the pool and its filler.

A subclass names its files and turns a record into passages and an example. The pool is every distinct passage of the task's
files, also of records that are not asked, plus the `*_corpus*` file beside them; `wiki_pool` extends it where it is too
small.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, ClassVar

from memeval.cards import TaskCard
from memeval.data.fields import published
from memeval.data.files import DataFile, Found, find
from memeval.data.records import Records, read
from memeval.errors import UsageError
from memeval.tasks.base import Files, Settings, hash64, params
from memeval.tasks.pool import Passage, Pool
from memeval.tasks.streams import Example, PackedTask
from memeval.typed import Count

FILLER = DataFile(
    ("wiki_pool/corpus-*.jsonl",),
    required=False,
    note="any part of BEIR's hotpotqa corpus, for streams that the pool is too short for",
)
FILLER_WORDS = 20
"""Filler with fewer words is left out: it is stubs of one clause."""


class ParagraphQA(ABC):
    """A source that reads one file of questions, or several parts of one.

    file: the file with the questions. corpus_url: where upstream publishes the corpus for it. id_field: the field with a
    record's id, whose hash selects the records that are read.
    """

    class Params(Files):
        """corpus: the file with more passages (empty: none). records: about how many records to read, where reading all
        takes long (0: all)."""

        corpus: str | None = None
        records: Count = 0

    file: ClassVar[DataFile]
    corpus_url: ClassVar[str] = ""
    id_field: ClassVar[str] = "id"

    @abstractmethod
    def parse(self, row: Mapping[str, Any]) -> tuple[Sequence[Passage], Example]:
        """One record as (its passages, the question with its own passages). An example without evidence is not asked."""

    def files(self, card: TaskCard) -> tuple[DataFile, ...]:
        given = params(card, self.Params)
        name = given.corpus or f"{PurePosixPath(self.file.names[0]).parent}/*_corpus*.json"
        url = "" if given.corpus else self.corpus_url
        corpus = DataFile((name,), url=url, required=False, note="more passages for the pool")
        return (given.of(self.file), *([] if given.corpus == "" else [corpus]), FILLER)

    def load(self, card: TaskCard, settings: Settings) -> PackedTask:
        """Read the records and the pool. Raises UsageError if the data are missing, damaged, or too few for the length."""
        file, *corpora, filler = self.files(card)
        examples: dict[str, Example] = {}
        passages: list[Passage] = []
        parts = [read(part) for part in find(file, settings.data_dir, card.name)]
        facts = [part.facts for part in parts]
        for place, row in self._chosen(parts, params(card, self.Params).records):
            with published(place):
                own, example = self.parse(row)
                if not example.question.answers or not example.question.text:
                    raise ValueError("no question or no answer")
            if example.question.id in examples:
                raise UsageError(f"{place}: id '{example.question.id}' was already used by another record")
            passages.extend(own)
            examples[example.question.id] = example
        asked = [example for example in examples.values() if example.evidence]
        if not asked:
            raise UsageError(f"task '{card.name}': no record of {facts[0]['name']} has its evidence among its paragraphs")
        passages += [item for corpus in corpora for item in titled(find(corpus, settings.data_dir, card.name), facts)]
        pool = Pool(passages)
        if _short(pool, card):
            more = titled(find(filler, settings.data_dir, card.name), facts)
            pool = Pool(passages, (item for item in more if len(item.text.split()) >= FILLER_WORDS))
        data = {
            "files": facts,
            "questions": len(asked),
            "incomplete": len(examples) - len(asked),
            "pool": pool.size,
            "wiki_pool": len(pool) - pool.size,
            "corpus": pool.digest,
        }
        return PackedTask(card, settings, asked, lambda: pool, data)

    def _chosen(self, parts: Sequence[Records], wanted: int) -> Iterator[tuple[str, Any]]:
        """(place, record) of all records, or of about `wanted` records, selected by a hash of their ids."""
        total = sum(map(len, parts))
        share = wanted / total if wanted and total else 1.0
        for place, row in (pair for part in parts for pair in part.rows()):
            with published(place):
                if share < 1 and hash64("record", row[self.id_field].strip()) >= share * 2**64:
                    continue
            yield place, row


def titled(files: Sequence[Found], facts: list[Mapping[str, Any]]) -> Iterator[Passage]:
    """The passages of corpus files, which have records with `title` and `text`; those without text are left out. The facts
    of the files are appended to `facts`."""
    for file in files:
        loaded = read(file)
        facts.append(loaded.facts)
        for place, row in loaded.rows():
            with published(place):
                passage = Passage(row["title"].strip(), row["text"].strip())
            if passage.text:
                yield passage


def _short(pool: Pool, card: TaskCard) -> bool:
    """Whether the pool may be too small for a stream. The answer must not depend on the question, so it assumes the worst
    case: each title of a question's own passages excludes a few passages, and a token has eight characters."""
    if card.tokens:
        return sum(len(item.text) for item in pool.passages) < 8 * card.tokens
    return pool.size < card.documents + 20 * card.shared
