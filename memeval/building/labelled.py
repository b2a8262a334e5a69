"""Streams of numbered examples, and texts to be classed after them: TREC, NLU, banking77, CLINC150, PubMed-RCT.

After Mem-alpha's process_data.py (`process_ttl_train_dataset`, `process_pubmed_rct_dataset`): ten dialogues of examples,
every label among them (those that chance left out are added to the first), then 100 held-out texts. Labels are numbers:
their names in alphabetical order. No test file is read (upstream's TREC-C and NLU questions are MemoryAgentBench's).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from memeval import tokens
from memeval.building import utterances
from memeval.building.chunking import JOINT
from memeval.building.dialogue import LABELLED_OPENINGS, told
from memeval.building.instances import MOST_QUESTIONS, Built, Instance, Recipe
from memeval.building.utterances import Reader, Utterance
from memeval.errors import UsageError
from memeval.tasks import Settings

CHUNKS = 10


@dataclass(frozen=True, slots=True)
class Family:
    """data_source: as published, which is what cards select by. tokens: of one chunk, least and most; of its texts alone, or
    (`whole`) of the examples with their marks. reuse: whether an example may be in several streams."""

    reader: Reader
    data_source: str
    tokens: tuple[int, int]
    whole: bool = False
    reuse: bool = True


FAMILIES = {
    "trec-c": Family(utterances.trec_coarse, "icl_trec_coarse_6600shot_balance", (200, 200)),
    "trec-f": Family(utterances.trec_fine, "icl_trec_fine_6400shot_balance", (200, 200)),
    "nlu": Family(utterances.nlu, "icl_nlu_8296shot_balance", (200, 200)),
    "banking77": Family(utterances.banking77, "icl_banking77_5900shot_balance", (400, 400)),
    "clinc150": Family(utterances.clinc150, "icl_clinic150_7050shot_balance", (400, 400)),
    "pubmed-rct": Family(utterances.pubmed_rct, "pubmed-rct", (1024, 2048), whole=True, reuse=False),
}


def build(name: str, settings: Settings, recipe: Recipe, *, instances: int = 20, questions: int = MOST_QUESTIONS) -> Built:
    """instances: streams at most (fewer where examples may not be used twice and run out). questions: per stream. Raises
    UsageError when the split has too few texts for one stream."""
    family = FAMILIES[name]
    found, facts = family.reader(settings)
    numbers = {label: str(position) for position, label in enumerate(sorted({item.label for item in found}))}
    side = [item for item in found if recipe.takes(item.group)]
    rest = recipe.random(name).sample(side, len(side))
    count = tokens.counter(recipe.tokenizer)
    made: list[Instance] = []
    unasked = 0
    for position in range(instances):
        draw = recipe.random(name, position)
        pool = draw.sample(side, len(side)) if family.reuse else rest
        asked, (chunks, rest) = pool[:questions], _examples(pool[questions:], family, numbers, count, draw)
        if len(chunks) < CHUNKS:
            break
        shown = {item.label for chunk in chunks for item in chunk}
        fair = [item for item in asked if item.label in shown]
        unasked += len(asked) - len(fair)
        texts = [JOINT.join(_example(item, numbers) for item in chunk) for chunk in chunks]
        made.append(
            Instance(
                chunks=tuple(told(text, day, draw, LABELLED_OPENINGS) for day, text in enumerate(texts)),
                questions=tuple(_question(item, numbers) for item in fair),
                data_source=family.data_source,
                content=tuple(item.text for item in (*asked, *(item for chunk in chunks for item in chunk))),
                facts={"labels": numbers},
            )
        )
    if not made:
        raise UsageError(f"{name}: the {len(side)} texts of the {recipe.split} split are too few for one stream")
    filters = {
        "texts with two labels": "dropped",
        "questions whose label has no example": f"dropped {unasked} of {questions * len(made)} questions",
        "texts of a test file": "none read",
    }
    return Built(name, recipe, tuple(made), filters, (facts,))


def _examples(
    pool: Sequence[Utterance], family: Family, numbers: Mapping[str, str], count: Callable[[str], int], draw: Random
) -> tuple[list[list[Utterance]], list[Utterance]]:
    """The examples of each chunk, taken from the front of the pool, and what is left of it. Labels that are missing then are
    added to the first chunk, one example each, where the pool has one."""
    chunks: list[list[Utterance]] = []
    taken = 0
    while len(chunks) < CHUNKS and taken < len(pool):
        target, used = draw.randint(*family.tokens), 0
        chunks.append([])
        while taken < len(pool):
            used += count(f"{_example(pool[taken], numbers)}{JOINT}" if family.whole else pool[taken].text)
            if used > target and chunks[-1]:
                break
            chunks[-1].append(pool[taken])
            taken += 1
    rest = list(pool[taken:])
    missing = set(numbers) - {item.label for chunk in chunks for item in chunk}
    added: dict[str, int] = {}
    for index, item in enumerate(rest):
        if len(added) == len(missing):
            break
        if item.label in missing:
            added.setdefault(item.label, index)
    if chunks:
        chunks[0].extend(rest[index] for index in added.values())
    for index in sorted(added.values(), reverse=True):
        del rest[index]
    return chunks, rest


def _example(item: Utterance, numbers: Mapping[str, str]) -> str:
    return f"Sentence: {item.text}\nLabel: {numbers[item.label]}"


def _question(item: Utterance, numbers: Mapping[str, str]) -> dict[str, str]:
    return {"question": f"Sentence: {item.text}\nWhich label does this sentence have?", "answer": numbers[item.label]}
