"""The three splits share no entity, no word of a name or value, and no question template."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from test_semantics import content

from memeval.synth import generator, world
from memeval.synth.language import SPLITS, Lexicon, Phrases, endings, language
from memeval.synth.names import Names
from memeval.synth.relations import RELATIONS

PAIRS = list(itertools.combinations(SPLITS, 2))


def questions(phrases: Phrases) -> Iterator[str]:
    yield from (*phrases.questions, *phrases.paraphrases, *phrases.yes_no, *phrases.descriptions)
    yield from (template for template, _ in phrases.comparisons)


def skeleton(text: str) -> str:
    """A template or a question without its names and punctuation: what two splits must not have in common."""
    return " ".join(re.findall(r"[a-z]+", re.sub(r"\{\w+\}", " ", text).lower()))


@pytest.mark.parametrize(("left", "right"), PAIRS)
def test_no_question_template_is_shared(left: str, right: str) -> None:
    templates = [
        {skeleton(text) for item in language(split).phrases.values() for text in questions(item)} for split in (left, right)
    ]
    assert not templates[0] & templates[1]


@functools.cache
def shapes(split: str) -> frozenset[str]:
    """Skeletons of questions as they are asked."""
    found = set()
    for number in range(60):
        built = generator.neighbourhood(split, 5, number)
        names = {document.entity for document in built.documents}
        for item in built.items:
            text = item.text
            for name in sorted(names, key=len, reverse=True):
                text = text.replace(name, " ")
            found.add(skeleton(re.sub(r"(?<!^)\b[A-Z][\w-]+", " ", text)))  # names that are values
    return frozenset(found)


@pytest.mark.parametrize(("left", "right"), PAIRS)
def test_no_asked_question_has_the_shape_of_one_in_another_split(left: str, right: str) -> None:
    assert not shapes(left) & shapes(right)
    assert min(len(shapes(left)), len(shapes(right))) > 60


@pytest.mark.parametrize(("left", "right"), PAIRS)
def test_no_word_of_a_name_or_value_is_shared(left: str, right: str) -> None:
    words = []
    for split in (left, right):
        names = Names(split, 3)
        found: set[str] = set()
        for number in range(40):
            circle = world.circle(names, number, language(split).prose.nouns)
            values = [fact.value for history in circle.facts.values() for fact in history]
            texts = [*circle.entities, *(value.text for value in values if value.type not in ("date", "year", "count"))]
            found.update(word for text in texts for word in re.split(r"[ -]", text))
        words.append(found - {"The"})
    assert not (words[0] & words[1])


def test_the_partition_holds_for_every_name_that_can_be_coined() -> None:
    syllables = [language(split).lexicon.syllables for split in SPLITS]
    assert all(len(syllable) == 3 for group in syllables for syllable in group)
    assert len({syllable for group in syllables for syllable in group}) == sum(map(len, syllables))


@pytest.mark.parametrize(("left", "right"), PAIRS)
def test_no_english_word_of_the_lexicons_is_shared(left: str, right: str) -> None:
    words = []
    for split in (left, right):
        entries = [entry for field in fields(Lexicon) for entry in getattr(language(split).lexicon, field.name)]
        assert len(set(entries)) == len(entries)
        words.append({word.lower() for entry in entries for word in entry.split()})
    assert not words[0] & words[1]


def test_a_word_of_one_type_is_never_a_word_of_another() -> None:
    middle = [first + last for first in endings("town_middle") for last in endings("town")]
    types = {"given": (*endings("female"), *endings("male")), "surname": endings("surname"), "town": middle}
    types |= {
        "organisation": endings("organisation"),
        "river": endings("river"),
        "prize": endings("prize"),
        "book": endings("book"),
    }
    for left, right in itertools.combinations(types.values(), 2):
        assert not set(left) & set(right)


@pytest.mark.parametrize("split", SPLITS)
def test_a_paraphrase_shares_no_content_word_with_any_statement(split: str) -> None:
    for name, phrases in language(split).phrases.items():
        for question, statement in itertools.product(phrases.paraphrases, (*phrases.statements, *phrases.changes)):
            texts = [re.sub(r"\{\w+\}", " ", text) for text in (question, statement)]
            assert not content(texts[0]) & content(texts[1]), (name, question, statement)


@pytest.mark.parametrize("split", SPLITS)
def test_every_relation_can_be_worded_in_more_than_one_way(split: str) -> None:
    phrases = language(split).phrases
    assert set(phrases) == set(RELATIONS)
    for name, relation in RELATIONS.items():
        item = phrases[name]
        assert len(set(item.questions)) >= 2
        assert len(set(item.statements)) >= (2 if relation.changing else 3)
        assert len(set(item.changes)) >= (3 if relation.changing else 0)
        assert item.paraphrases or relation.changing
        assert all("{x}" in text for text in (*item.statements, *item.changes, *item.questions, *item.paraphrases))


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("lap", [0, 200_000, 40_000_000])
def test_names_never_repeat(split: str, lap: int) -> None:
    names = Names(split, 8)
    numbers = range(lap, lap + 3000)
    for make in (lambda i: names.person(i).name, names.town, names.organisation, names.book):
        assert len({make(number) for number in numbers}) == len(numbers)
    assert not {names.town(number) for number in range(3000)} & {names.town(number) for number in range(3000, 6000)}


def test_the_generator_knows_nothing_of_models_and_agents() -> None:
    package = Path(generator.__file__).parent
    for path in [*package.glob("*.py"), package.parent / "tasks" / "synth.py"]:
        imported = re.findall(r"^\s*(?:from|import)\s+([\w.]+)", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert not [name for name in imported if re.match(r"memeval\.(models|agents|memory|metrics|prompts)", name)], path
