"""The families of Mem-alpha's training mixture, built from records of the source files.

They follow Mem-alpha's process_data.py, without the filters that need a model (golds that it knows without the text,
shortened answers). Records that differ from the published form raise KeyError, TypeError or ValueError; the caller, which
reads the file, adds its name.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from memeval import tokens
from memeval.task import Unit
from memeval.tasks.base import plain
from memeval.tasks.chunking import pack
from memeval.training.mixture.streams import (
    FIRST_DAY,
    JOINT,
    MOST_QUESTIONS,
    Asked,
    Built,
    Record,
    Split,
    Stream,
    capped,
    chunked,
    dialogues,
    short,
)

_MEMORY = re.compile(r"\d+(?:_\d+)+(?:#\d+)?")


def squad(document: Record, split: Split, least_before: int = 50, least_after: int = 30) -> Built:
    """Streams of paragraphs in ten dialogues of random size, with every question about them that has a short gold. document:
    SQuAD's own JSON. A stream needs `least_before` questions before the filter and `least_after` after it. The split is by
    article, so no paragraph is on both sides."""
    paragraphs: dict[tuple[str, str], list[Asked]] = {}
    for article in document["data"]:
        if split.takes(article["title"]):
            for paragraph in article["paragraphs"]:
                item = (article["title"], paragraph["context"])
                for row in paragraph["qas"]:
                    gold = row["answers"][0]["text"].strip()
                    question = {"question": row["question"], "answer": gold, "evidence": [[*item]]}
                    paragraphs.setdefault(item, []).append(question)
    built, draw, count = Built(), split.random("squad"), tokens.counter()
    items = list(paragraphs)
    groups = chunked([text for _, text in items], draw, count)
    for start in range(0, len(groups), 10):
        parts = [[items[index] for index in group] for group in groups[start : start + 10]]
        asked = [question for part in parts for item in part for question in paragraphs[item]]
        kept = short(asked, count, least_before, least_after, built.dropped)
        if kept:
            chunks = dialogues([JOINT.join(text for _, text in part) for part in parts], draw)
            content = tuple(text for part in parts for _, text in part)
            built.streams.append(Stream(chunks, capped(kept, draw), "squad", content))
    return built


def hotpotqa(
    records: Iterable[Record], split: Split, stream_tokens: int = 10_000, least_before: int = 30, least_after: int = 10
) -> Built:
    """Streams of the gold paragraphs of consecutive questions, up to `stream_tokens` each, from train files only. A question
    belongs to a split only if all its paragraphs do; mixed ones are dropped, so no paragraph is on both sides."""
    built, draw, count = Built(), split.random("hotpotqa"), tokens.counter()
    streams: list[tuple[dict[str, str], list[Asked]]] = []
    size = 0
    for row in records:
        gold = _gold_paragraphs(row)
        sides = {split.takes(title) for title in gold}
        if sides != {True}:
            built.dropped["questions with paragraphs on both sides of the split"] += len(sides) > 1
            continue
        texts = {title: f"Title: {title}\n{text}" for title, text in gold.items()}
        new = sum(count(text) for title, text in texts.items() if not streams or title not in streams[-1][0])
        if not streams or size + new > stream_tokens:
            streams.append(({}, []))
            size, new = 0, sum(map(count, texts.values()))
        streams[-1][0].update(texts)
        streams[-1][1].append({"question": row["question"], "answer": row["answer"], "evidence": [*map(list, gold.items())]})
        size += new
    for paragraphs, asked in streams:
        kept = short(asked, count, least_before, least_after, built.dropped)
        passages = list(paragraphs.values())
        groups = chunked(passages, draw, count)
        if kept and len(groups) <= 20:
            chunks = dialogues([JOINT.join(passages[index] for index in group) for group in groups], draw)
            built.streams.append(Stream(chunks, capped(kept, draw), "hotpotqa", tuple(passages)))
    return built


def _gold_paragraphs(row: Record) -> dict[str, str]:
    """title -> text, for the supporting paragraphs"""
    wanted = {title for title, _ in row["supporting_facts"]}
    return {title: "".join(sentences).strip() for title, sentences in row["context"] if title in wanted}


def perltqa(people: Record, questions: Record, split: Split, least: int = 20) -> Built:
    """One stream per character, with one chunk per event and its dialogues. people, questions: the objects of PerLTQA's
    memory and question files (version 2), by name. Questions about the profile, and those whose memory is in no event, are
    dropped. A character needs `least` remaining questions, and one to thirty events. The split is by character."""
    built = Built()
    built.dropped["characters of one file only"] = len(people.keys() ^ questions.keys())
    for name, record in people.items():
        if name not in questions or not split.takes(name):
            continue
        memories: dict[str, str] = {}
        chunks = tuple(
            _event(name, key, event, record.get("dialogues", {}), memories) for key, event in record["events"].items()
        )
        kept = []
        for item in (item for kind, groups in questions[name].items() if kind != "profile" for item in _items(groups)):
            named = _MEMORY.findall(str(item.get("Reference Memory", "")))
            if named and memories.keys() >= set(named):
                evidence = [[key, memories[key]] for key in named]
                kept.append({"question": item["Question"], "answer": item["Answer"], "evidence": evidence})
            else:
                built.dropped["questions whose memory is in no event"] += 1
        if least <= len(kept) and 0 < len(chunks) <= 30:
            draw = split.random("perltqa", name)
            built.streams.append(Stream(chunks, capped(kept, draw), "perltqa", (name, *chunks), {"character": name}))
    return built


def _items(groups: Iterable[Mapping[str, Iterable[Record]]]) -> Iterator[Record]:
    """The questions of `[{"4_0_0": [question, ...]}, ...]`."""
    return (item for group in groups for items in group.values() for item in items)


def _event(name: str, ident: str, event: Record, dialogues: Record, memories: dict[str, str]) -> str:
    """The chunk of an event, with the dialogues whose id before a "#" is that of the event. Adds their texts to
    `memories`."""
    when = f" on {event['Creation Time']}" if event.get("Creation Time") else ""
    parts = [f"What happened to the user {name}{when}.\nSummary: {event.get('summary', '')}\nContent: {event['content']}"]
    memories[ident] = event["content"]
    for key, dialogue in dialogues.items():
        if key.split("#")[0] == ident:
            lines = []
            for time, messages in dialogue["contents"].items():
                if messages and isinstance(messages[0], list):  # some lists are nested
                    messages = messages[0]
                lines += [f"Dialogue at {time}", *(re.sub(r"^([^:]+): ", r"<\1> ", message) for message in messages)]
            memories[key] = "\n".join(lines)
            parts += [] if len(parts) > 1 else ["Dialogues about it:"]
            parts.append(memories[key])
    return JOINT.join(parts)


def booksum(chapters: Iterable[Record], split: Split, piece: int = 2048) -> Built:
    """One stream per chapter, read over some weeks, with one question: what was it about? Chapters have 5 to 20 chunks of at
    most `piece` tokens, cut at sentence ends, one to three days apart. The split is by book. The gold is the whole summary,
    for `rouge_l`; upstream's golds are keywords that a model extracted from it."""
    built, count = Built(), tokens.counter()
    for number, row in enumerate(chapters):
        if not split.takes(row["book_title"]):
            continue
        texts = [chunk.text for chunk in pack([Unit(row["text"])], piece, count)]
        if not 5 <= len(texts) <= 20:
            built.dropped["chapters of fewer than 5 or more than 20 chunks"] += 1
            continue
        dates, draw = [FIRST_DAY], split.random("booksum", number)
        for _ in texts[1:]:
            dates.append(dates[-1] + datetime.timedelta(days=draw.choice((1, 2, 3))))
        chunks = tuple(
            f"[On {date} the user is reading a book]\n<User> {text}\n\n"
            f"<System> Remember what the user read on {date}, and keep a summary of the book so far."
            for text, date in zip(texts, dates, strict=True)
        )
        summary = row["summary"] if isinstance(row["summary"], str) else row["summary"][0]["text"]
        question = {"question": f"Summarise what I read in the book from {dates[0]} to {dates[-1]}.", "answer": summary}
        facts = {"book_title": row["book_title"], "chapter_id": str(row.get("chapter_id", ""))}
        built.streams.append(Stream(chunks, (question,), "booksum", (row["text"],), facts))
    return built


@dataclass(frozen=True, slots=True)
class Labelled:
    """A text and the name of its class. group: what must stay on one side of the split, such as the abstract of a sentence;
    empty for the text itself."""

    text: str
    label: str
    group: str = ""


@dataclass(frozen=True, slots=True)
class Family:
    """data_source: the published name, by which cards select rows. size: the fewest and the most tokens of a chunk, counted
    over its texts, or (whole) over the examples with their marks. reuse: whether an example may be in several streams."""

    data_source: str
    size: tuple[int, int]
    whole: bool = False
    reuse: bool = True


FAMILIES = {
    "trec-c": Family("icl_trec_coarse_6600shot_balance", (200, 200)),
    "trec-f": Family("icl_trec_fine_6400shot_balance", (200, 200)),
    "nlu": Family("icl_nlu_8296shot_balance", (200, 200)),
    "banking77": Family("icl_banking77_5900shot_balance", (400, 400)),
    "clinc150": Family("icl_clinic150_7050shot_balance", (400, 400)),
    "pubmed-rct": Family("pubmed-rct", (1024, 2048), whole=True, reuse=False),
}


def trec(lines: Iterable[str], fine: bool = False) -> Iterator[Labelled]:
    """TREC questions (Li and Roth, COLING 2002) with six classes, or fifty (fine). lines: `COARSE:fine question`."""
    for line in filter(str.strip, lines):
        label, _, question = line.strip().partition(" ")
        yield Labelled(question.strip(), label if fine else label.partition(":")[0])


def pubmed(lines: Iterable[str]) -> Iterator[Labelled]:
    """PubMed RCT (Dernoncourt and Lee, IJCNLP 2017). lines: blocks of `###<id>`, followed by lines `LABEL<tab>sentence`."""
    abstract = ""
    for line in filter(str.strip, lines):
        if line.startswith("###"):
            abstract = line.strip()
        else:
            label, sentence = line.split("\t")
            yield Labelled(sentence.strip(), label, abstract)


def labelled(
    texts: Iterable[Labelled], name: str, split: Split, streams: int = 20, questions: int = MOST_QUESTIONS
) -> Built:
    """Streams of ten dialogues of labelled examples, with held-out texts to classify after them. name: a key of FAMILIES.
    Labels are numbers, in the alphabetical order of their names. A text is used once, and not at all if it has two labels.
    A question whose label has no example is dropped. streams: the most streams; fewer where examples may not be reused and
    run out."""
    family, built, count = FAMILIES[name], Built(), tokens.counter()
    distinct = _with_one_label(texts, built)
    numbers = {label: str(number) for number, label in enumerate(sorted({item.label for item in distinct}))}
    side = [item for item in distinct if split.takes(item.group or item.text)]
    rest = split.random(name).sample(side, len(side))
    for position in range(streams):
        draw = split.random(name, position)
        pool = draw.sample(side, len(side)) if family.reuse else rest
        asked, pool = pool[:questions], pool[questions:]
        marked = [f"Sentence: {item.text}\nLabel: {numbers[item.label]}" for item in pool]
        sized = marked if family.whole else [item.text for item in pool]
        groups = chunked(sized, draw, count, *family.size, joint=JOINT if family.whole else "")[:10]
        if len(groups) < 10:
            break
        shown = _all_labels_shown(groups, pool)
        used = {index for group in groups for index in group}
        rest = [item for index, item in enumerate(pool) if index not in used]
        fair = [item for item in asked if item.label in shown]
        built.dropped["questions whose label has no example"] += len(asked) - len(fair)
        chunks = dialogues([JOINT.join(marked[index] for index in group) for group in groups], draw, "labelled_openings")
        ask = "Which label does this sentence have?"
        items = tuple({"question": f"Sentence: {item.text}\n{ask}", "answer": numbers[item.label]} for item in fair)
        content = tuple(item.text for item in (*asked, *(pool[index] for index in sorted(used))))
        built.streams.append(Stream(chunks, items, family.data_source, content, {"labels": numbers}))
    return built


def _with_one_label(texts: Iterable[Labelled], built: Built) -> list[Labelled]:
    """Each text once, compared without case and white space; texts with two labels are dropped."""
    found: dict[str, Labelled | None] = {}
    for item in texts:
        other = found.setdefault(plain(item.text).casefold(), item)
        if other is None or other.label != item.label:
            found[plain(item.text).casefold()] = None
    distinct = [item for item in found.values() if item]
    built.dropped["texts with two labels"] = len(found) - len(distinct)
    return distinct


def _all_labels_shown(groups: list[list[int]], pool: Sequence[Labelled]) -> set[str]:
    """The labels that have an example. For each label that chance left out, an example is added to the first chunk."""
    shown = {pool[index].label for group in groups for index in group}
    for index in range(groups[-1][-1] + 1, len(pool)):
        if pool[index].label not in shown:
            shown.add(pool[index].label)
            groups[0].append(index)
    return shown
