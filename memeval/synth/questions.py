"""The questions about a circle: one of every kind.

`plan` selects the facts before the documents are written, because these depend on it: the fact that an unanswerable question
asks for is withheld, and sentences that state an asked fact name its subject in full. `phrase` then words the questions, and
finds the documents and the evidence of each.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from memeval.synth.documents import Document
from memeval.synth.language import Language, Phrases
from memeval.synth.names import Names
from memeval.synth.relations import RELATIONS, of
from memeval.synth.values import Value
from memeval.synth.world import Circle, Key, town_names

KINDS = ("one-hop", "two-hop", "comparison", "yes-no", "latest-value", "long-gap", "paraphrased", "unanswerable")

Statement = tuple[Document, str]
"""(a document, its sentence that states a fact)"""


@dataclass(frozen=True, slots=True)
class Ask:
    """The plan of a question. keys: the facts that it needs, in order of the hops. claim: the value that a yes-no question
    claims."""

    kind: str
    keys: tuple[Key, ...]
    claim: Value | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """A question with its documents.

    keys: see Ask; their values are stated only in `own` and in documents titled as in `exclude`. type: of the answer
    (values.py, or yes-no). own: all documents that the answer depends on, including every statement of a value that changes.
    evidence: (index into own, supporting sentence); all of it is needed. clues: strings, besides the answers, that would
    give the answer away.
    """

    kind: str
    text: str
    type: str
    answers: tuple[str, ...]
    keys: tuple[Key, ...]
    own: tuple[Document, ...]
    evidence: tuple[tuple[int, str], ...]
    exclude: frozenset[str]
    clues: tuple[str, ...] = ()

    @property
    def answerable(self) -> bool:
        return self.kind != "unanswerable"


def plan(circle: Circle, names: Names, language: Language, rng: random.Random) -> tuple[Ask, ...]:
    """Plan one question of every kind, in the order of KINDS; no two use the same fact."""
    static = [key for key in circle.facts if not RELATIONS[key[1]].changing]
    asks: dict[str, Ask] = {}
    used: set[Key] = set()

    def ask(kind: str, *keys: Key, claim: Value | None = None) -> None:
        asks[kind] = Ask(kind, keys, claim)
        used.update(keys)

    def free(keys: Iterable[Key]) -> list[Key]:
        return [key for key in keys if key not in used]

    ask("latest-value", _any(rng, [key for key in circle.facts if RELATIONS[key[1]].changing]))
    ask("long-gap", _any(rng, [key for key in static if key[0] in circle.early and key not in circle.second]))
    ask("two-hop", *rng.choice([chain for chain in _chains(circle, language) if not used.intersection(chain)]))
    comparable = [key for key in free(static) if language.phrases[key[1]].comparisons]
    first = _any(rng, [key for key in comparable if sum(other[1] == key[1] for other in comparable) > 1])
    ask("comparison", first, rng.choice([key for key in comparable if key[1] == first[1] and key != first]))
    claimable = _any(rng, [key for key in free(static) if language.phrases[key[1]].yes_no])
    truth = (circle.index + names.seed) % 2 == 0
    value = circle.value(claimable)
    ask("yes-no", claimable, claim=value if truth else _other(circle, names, language, claimable, rng))
    ask("one-hop", _any(rng, free(static)))
    ask("paraphrased", _any(rng, free(static)))
    every = [(name, relation) for name, entity in circle.entities.items() for relation in _relations(entity.kind)]
    ask("unanswerable", _any(rng, free(every)))
    return tuple(asks[kind] for kind in KINDS)


def phrase(
    asks: Sequence[Ask], circle: Circle, documents: Sequence[Document], language: Language, rng: random.Random
) -> list[Item]:
    """Word the questions in the language of the split, with their documents and evidence."""
    stated: dict[Key, list[Statement]] = {}
    for document in documents:
        for sentence in document.sentences:
            for key in sentence.states:
                stated.setdefault(key, []).append((document, sentence.text))
    return [_item(ask, circle, documents, stated, language, rng) for ask in asks]


def _item(
    ask: Ask,
    circle: Circle,
    documents: Sequence[Document],
    stated: Mapping[Key, Sequence[Statement]],
    language: Language,
    rng: random.Random,
) -> Item:
    key = ask.keys[-1]
    words = language.phrases[key[1]]
    support = [_primary(name, stated[name]) for name in ask.keys if name in stated]
    own = [document for document, _ in support]
    subject, templates = key[0], words.questions
    if ask.kind == "two-hop":
        start, link = ask.keys[0]
        subject = rng.choice(language.phrases[link].descriptions).format(x=start)
    elif ask.kind == "latest-value":
        statements = sorted(stated[key], key=lambda item: item[0].time)
        own, support = [document for document, _ in statements], statements[-1:]
    elif ask.kind == "long-gap":
        own += [item for item in documents if item.title in circle.early and item not in own]
    elif ask.kind == "paraphrased":
        templates = words.paraphrases
    elif ask.kind == "unanswerable":
        own = [document for document in documents if document.entity == subject][:2]
        support = [(own[0], own[0].sentences[0].text)]
    if ask.kind == "comparison":
        text, kind, answers, clues = _comparison(ask, circle, words, rng)
    elif ask.claim is not None:
        text = rng.choice(words.yes_no).format(x=subject, v=ask.claim.text, av=ask.claim.with_article())
        kind, answers, clues = "yes-no", ("yes" if ask.claim == circle.value(key) else "no",), (circle.value(key).text,)
    else:
        text, kind = rng.choice(templates).format(x=subject), RELATIONS[key[1]].value
        answers = circle.value(key).accepted(RELATIONS[key[1]].unit) if key in stated else ()
        clues = (key[0],) if ask.kind == "two-hop" else ()
    evidence = tuple((own.index(document), sentence) for document, sentence in support)
    elsewhere = {document.title for name in ask.keys for document, _ in stated.get(name, ()) if document not in own}
    return Item(ask.kind, text, kind, answers, ask.keys, tuple(own), evidence, frozenset(elsewhere), clues)


def _comparison(
    ask: Ask, circle: Circle, words: Phrases, rng: random.Random
) -> tuple[str, str, tuple[str, ...], tuple[str, ...]]:
    """(text, type, answers, clues) of a comparison."""
    first, second = (name for name, _ in ask.keys)
    template, wanted = rng.choice(words.comparisons)
    chosen = (min if wanted == "least" else max)(ask.keys, key=lambda key: circle.value(key).key)[0]
    return template.format(a=first, b=second), circle.entities[first].kind, (chosen,), (first, second)


def _primary(key: Key, statements: Sequence[Statement]) -> Statement:
    """The statement in a document about the subject itself, not a repetition in another entity's document."""
    return next(item for item in statements if item[0].entity == key[0])


def _any(rng: random.Random, keys: Sequence[Key]) -> Key:
    """A random key of a random relation, so that kinds with many entities do not dominate."""
    relation = rng.choice(sorted({relation for _, relation in keys}))
    return rng.choice([key for key in keys if key[1] == relation])


def _relations(kind: str) -> tuple[str, ...]:
    return of(kind) + of(kind, changing=True)


def _chains(circle: Circle, language: Language) -> list[tuple[Key, Key]]:
    """Chains of two facts: the value of the first is the subject of the second. The answer is the value of no other fact
    about the first subject, so that its document cannot give the answer away; nor is it a count, because small numbers occur
    everywhere."""
    chains = []
    for first, history in circle.facts.items():
        bridge = circle.entities.get(history[-1].value.text)
        if bridge is None or not language.phrases[first[1]].descriptions:
            continue
        near = {fact.value.text for key, facts in circle.facts.items() if key[0] == first[0] for fact in facts}
        chains += [
            (first, (bridge.name, relation))
            for relation in of(bridge.kind)
            if RELATIONS[relation].value != "count" and circle.value((bridge.name, relation)).text not in near
        ]
    return chains


def _other(circle: Circle, names: Names, language: Language, key: Key, rng: random.Random) -> Value:
    """A wrong value of the same type, taken from other values of the world."""
    right = circle.value(key)
    words = language.lexicon
    pools: dict[str, Sequence[str]] = {
        "profession": words.professions,
        "trade": words.trades,
        "product": words.products,
        "birthplace": town_names(names, circle.index),
        "setting": town_names(names, circle.index),
        "river": [names.river(rng) for _ in range(8)],
        "mentor": [circle.value(other).text for other in circle.facts if other[1] == "mentor"],
    }
    options = pools.get(key[1]) or [entity.name for entity in circle.of_kind(right.type)]
    return Value(right.type, rng.choice([text for text in options if text != right.text]))
