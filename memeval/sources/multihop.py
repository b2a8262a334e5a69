"""What HotpotQA and 2WikiMultihopQA share: questions with ten paragraphs each, and which sentences of them are the evidence.

Two shapes are read and give identical contexts: upstream's JSON (`context: [[title, [sentence]]]`) and rows of the Hugging
Face hub (`context: {title: [...], sentences: [[...]]}`). The pool is every distinct paragraph of the task's file, also of
records that are not asked, plus the `*_corpus*` file beside it; `wiki_pool` fills it up where it is too short.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from memeval.cards import TaskCard
from memeval.errors import UsageError, suggest
from memeval.pool import plain
from memeval.sources import Settings, files
from memeval.streams import Example, PackedTask, Passage, Pool
from memeval.task import Question

FILLER = "wiki_pool/corpus-*.jsonl"
FILLER_WORDS = 20
"""Shorter filler is left out: stubs of one clause."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a data set lies; every field may be set in a card's `params`.

    files: names in the data folder, best first. corpus: further passages, a pattern there. hub, hub_files: data set id and
    pattern of file names. revision: of the hub data set; empty for the current one. joint: what stands between sentences.
    """

    files: tuple[str, ...]
    corpus: str
    hub: str
    hub_files: str
    joint: str
    revision: str = ""


class MultiHop:
    """A source over one layout. Subclasses set `layout`."""

    layout: ClassVar[Layout]

    def load(self, card: TaskCard, settings: Settings) -> PackedTask:
        """Read records and pool. Raises UsageError when the data are not at hand, damaged, or too few for the length."""
        layout = _configured(self.layout, card)
        facts: list[Mapping[str, Any]] = []
        examples: dict[str, Example] = {}
        passages: list[Passage] = []
        places: dict[str, str] = {}
        incomplete = 0
        for file in _records(layout, card, settings):
            loaded = files.read(file)
            facts.append(loaded.facts)
            for place, row in loaded.objects():
                own, example = parse(row, place, layout.joint)
                passages.extend(own)
                name = example.question.id
                if name in places:
                    raise UsageError(f"{place}: id '{name}' was already used by {places[name]}")
                places[name] = place
                if example.evidence:
                    examples[name] = example
                else:
                    incomplete += 1
        if not examples:
            raise UsageError(f"task '{card.name}': no record of {facts[0]['name']} has its evidence among its paragraphs")
        for file in files.matching(settings, layout.corpus):
            loaded = files.read(file)
            facts.append(loaded.facts)
            passages.extend(_titled(loaded))
        pool = Pool(passages)
        if _short(pool, card):
            filler: list[Passage] = []
            for file in files.matching(settings, FILLER):
                loaded = files.read(file)
                facts.append(loaded.facts)
                filler.extend(item for item in _titled(loaded) if len(item.text.split()) >= FILLER_WORDS)
            pool = Pool(passages, filler)
        data = {
            "files": facts,
            "questions": len(examples),
            "incomplete": incomplete,
            "pool": pool.size,
            "wiki_pool": len(pool) - pool.size,
            "corpus": pool.digest,
        }
        return PackedTask(card, settings, list(examples.values()), lambda: pool, data)


def parse(row: Mapping[str, Any], place: str, joint: str) -> tuple[list[Passage], Example]:
    """One record: its paragraphs, and the question with them. No evidence when a gold paragraph is not among them.

    Evidence is one piece per gold title: the title and its supporting sentences. Upstream's data name some sentences that
    do not exist; those are left out, and a title that has no other brings its whole paragraph.
    """
    name = files.text_field(row, "_id" if "_id" in row else "id", place)
    answer = files.text_field(row, "answer", place)
    gold: dict[str, list[int]] = {}
    for title, sentence in _pairs(row, "supporting_facts", ("sent_id",), place):
        if isinstance(sentence, bool) or not isinstance(sentence, int) or sentence < 0:
            raise UsageError(f"{place}: 'supporting_facts' names sentence {sentence!r}, expected a number from 0")
        gold.setdefault(plain(title), []).append(sentence)
    own: list[Passage] = []
    sentences: dict[str, list[str]] = {}
    at: dict[str, int] = {}
    for title, parts in _pairs(row, "context", ("sentences", "content"), place):
        if not isinstance(parts, Sequence) or isinstance(parts, str) or not all(isinstance(part, str) for part in parts):
            raise UsageError(f"{place}: the paragraph '{title}' is not a list of sentences")
        passage = Passage(title, joint.join(parts).strip())
        key = plain(title)
        if not passage.text:
            continue
        if key in at and plain(own[at[key]].text) == plain(passage.text):
            continue  # upstream repeats some paragraphs
        if key in at and key in gold:
            raise UsageError(f"{place}: two different paragraphs are titled '{title}', which is evidence")
        at.setdefault(key, len(own))
        sentences.setdefault(key, list(parts))
        own.append(passage)
    evidence = []
    for title, numbers in gold.items():
        if title in at:
            chosen = [sentences[title][i] for i in dict.fromkeys(numbers) if i < len(sentences[title])]
            text = joint.join(chosen).strip() or own[at[title]].text
            evidence.append((at[title], f"{own[at[title]].title}\n{text}"))
    question = Question(
        id=name,
        text=files.text_field(row, "question", place),
        answers=(answer,),
        kind=files.text_field(row, "type", place),
    )
    complete = bool(gold) and len(evidence) == len(gold)
    return own, Example(question, tuple(own), tuple(evidence) if complete else ())


def _pairs(row: Mapping[str, Any], key: str, seconds: Sequence[str], place: str) -> Iterator[tuple[str, Any]]:
    """(title, what belongs to it) of a field in either shape: pairs, or two columns side by side."""
    if key not in row:
        raise UsageError(f"{place}: no field '{key}' (it has {', '.join(map(str, row)) or 'none'})")
    value = row[key]
    if isinstance(value, Mapping):
        second = next((name for name in seconds if name in value), seconds[0])
        titles, others = value.get("title"), value.get(second)
        if not isinstance(titles, Sequence) or not isinstance(others, Sequence) or len(titles) != len(others):
            raise UsageError(f"{place}: '{key}' needs the lists 'title' and '{second}', equally long")
        value = list(zip(titles, others, strict=True))
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise UsageError(f"{place}: '{key}' is {type(value).__name__}, expected a list")
    for pair in value:
        if isinstance(pair, Mapping):  # some versions of datasets keep the columns in each element
            pair = [pair.get("title"), next((pair[name] for name in seconds if name in pair), None)]
        if not isinstance(pair, Sequence) or isinstance(pair, str) or len(pair) != 2 or not isinstance(pair[0], str):
            raise UsageError(f"{place}: '{key}' holds {str(pair)[:80]!r}, expected pairs that start with a title")
        if not pair[0].strip():
            raise UsageError(f"{place}: '{key}' has a blank title")
        yield pair[0].strip(), pair[1]


def _titled(loaded: files.Records) -> Iterator[Passage]:
    for place, row in loaded.objects():
        passage = Passage(
            files.text_field(row, "title", place, blank=True), files.text_field(row, "text", place, blank=True)
        )
        if passage.text:
            yield passage


def _short(pool: Pool, card: TaskCard) -> bool:
    """Whether the pool may not suffice for a stream. On the safe side, because the answer must not depend on the question:
    own titles bar a few passages each, and no pool of English has fewer than one token in eight characters."""
    if card.tokens:
        return sum(len(item.text) for item in pool.passages) < 8 * card.tokens
    return pool.size < card.documents + 20 * card.shared


def _records(layout: Layout, card: TaskCard, settings: Settings) -> list[files.DataFile]:
    """The files with the questions. Raises UsageError with every remedy when there are none."""
    for name in layout.files:
        file = files.find(settings, name)
        if file is not None:
            return [file]
    found, reason = files.from_hub(layout.hub, layout.hub_files, layout.revision or None)
    if found:
        return found
    folder = files.data_folder(settings)
    base, _, length = card.name.partition("@")[0].rpartition("-")
    bundled = f"synth-{length}" if base and length in ("10k", "30k", "100k", "1m") else "synth-10k"
    raise UsageError(
        f"task '{card.name}': no data; put {' or '.join(layout.files)} (plain or .gz) into {folder or 'a folder DIR'}"
        f"{'' if folder else ' and pass --data-dir DIR (or set MEMEVAL_DATA)'}, or get {layout.hub} from the "
        f"Hugging Face hub (network or a filled HF cache; now: {reason}); or run the bundled {bundled}, which needs no data"
    )


def _configured(layout: Layout, card: TaskCard) -> Layout:
    """The layout with the card's `params`."""
    changes: dict[str, Any] = {}
    known = ("files", "corpus", "hub", "hub_files", "revision")
    for key, value in card.params.items():
        if key not in known:
            raise UsageError(f"{card.path or card.name}: unknown key 'params.{key}'{suggest(key, known)}")
        wanted = "a list of file names" if key == "files" else "text"
        value = (value,) if key == "files" and isinstance(value, str) else value
        parts = value if key == "files" and isinstance(value, Sequence) else (value,)
        if not parts or not all(isinstance(part, str) for part in parts):
            raise UsageError(f"{card.path or card.name}: 'params.{key}' is {value!r}, expected {wanted}")
        changes[key] = tuple(parts) if key == "files" else value
    return replace(layout, **changes)
