"""HotpotQA as Mem-alpha builds it: the gold paragraphs of consecutive questions, about 10,000 tokens to a stream.

After process_data.py (`process_hotpotqa_dataset`), from the train file only: a stream takes questions until their paragraphs
would exceed the length; paragraphs are told in chunks of random size; short golds that a model does not know without the
text. A question counts for a split only when all its paragraphs do, so no paragraph is on both sides; others are dropped.
"""

from __future__ import annotations

from collections.abc import Sequence

from memeval import tokens
from memeval.building.chunking import JOINT, chunked
from memeval.building.closed_book import Ask, unknown
from memeval.building.dialogue import told
from memeval.building.instances import Built, Instance, Recipe, capped, find
from memeval.data import records
from memeval.data.fields import published
from memeval.tasks import Settings
from memeval.tasks.multihop import parse
from memeval.tasks.pool import Passage
from memeval.tasks.streams import Example

MOST_CHUNKS = 20


def build(
    settings: Settings,
    recipe: Recipe,
    *,
    names: Sequence[str] = ("hotpotqa/hotpot_train_v1.1.json",),
    stream_tokens: int = 10_000,
    least_before: int = 30,
    least_after: int = 10,
    closed_book: Ask | None = None,
) -> Built:
    """names: files in the data folder, best first; never dev. stream_tokens: of the paragraphs of one stream. least_before,
    least_after, closed_book: as for SQuAD."""
    hub = [("hotpotqa/hotpot_qa", "fullwiki/train-*.parquet"), ("hotpotqa/hotpot_qa", "distractor/train-*.parquet")]
    loaded = records.read(find(settings, names, hub))
    count = tokens.counter(recipe.tokenizer)
    draw = recipe.random("hotpotqa")
    complete = across = 0
    streams: list[tuple[list[Passage], list[Example]]] = []
    size = 0
    for place, row in loaded.rows():
        with published(place):
            _, example = parse(row, "")
        if not example.evidence:
            continue
        complete += 1
        gold = [example.own[index] for index, _ in example.evidence]
        if not all(recipe.takes(item.title) for item in gold):
            across += any(recipe.takes(item.title) for item in gold)
            continue
        new = [item for item in gold if not streams or item not in streams[-1][0]]
        if not streams or size + sum(count(told_as(item)) for item in new) > stream_tokens:
            streams.append(([], []))
            new, size = gold, 0
        streams[-1][0].extend(new)
        streams[-1][1].append(example)
        size += sum(count(told_as(item)) for item in new)
    asked = [[_question(example) for example in examples] for _, examples in streams]
    kept, filters = unknown(asked, count, least_before, least_after, closed_book, most_after=200)
    filters["paragraphs all on one side of the split"] = f"dropped {across} of {complete} questions"
    instances, long = [], 0
    for (passages, _), questions in zip(streams, kept, strict=True):
        if questions:
            groups = chunked([told_as(item) for item in passages], draw, count)
            if len(groups) > MOST_CHUNKS:
                long += 1
                continue
            texts = [JOINT.join(told_as(passages[index]) for index in group) for group in groups]
            chunks = tuple(told(text, day, draw) for day, text in enumerate(texts))
            content = tuple(item.text for item in passages)
            instances.append(Instance(chunks, capped(questions, draw), "hotpotqa", content))
    filters[f"streams of at most {MOST_CHUNKS} chunks"] = f"dropped {long} streams"
    return Built("hotpotqa", recipe, tuple(instances), filters, (loaded.facts,))


def told_as(passage: Passage) -> str:
    return f"Title: {passage.title}\n{passage.text}"


def _question(example: Example) -> dict[str, object]:
    """The evidence is each gold paragraph whole: sentences of it need not stand side by side."""
    gold = [[example.own[index].title, example.own[index].text] for index, _ in example.evidence]
    return {"question": example.question.text, "answer": example.question.answers[0], "evidence": gold}
