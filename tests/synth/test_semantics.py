"""Do the questions mean what they claim? Checked by a reader that parses the finished text, not the generator's records."""

from __future__ import annotations

import datetime
import functools
import re
from collections import defaultdict
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memeval.synth import generator
from memeval.synth.documents import Document
from memeval.synth.language import SPLITS, language
from memeval.synth.questions import KINDS, Item
from memeval.synth.relations import RELATIONS
from memeval.tasks.synth import world_zero

MONTH = "January|February|March|April|May|June|July|August|September|October|November|December"
NAME = r"[A-Z][a-z]+(?:-[A-Z][a-z]+)*"
DATE = rf"(?:\d+ (?:{MONTH}) \d{{4}}|(?:{MONTH}) \d+, \d{{4}}|the \d+(?:st|nd|rd|th) of (?:{MONTH}) \d{{4}})"
SUBJECT = r"The [a-z]+|[A-Z][\w-]*(?: (?:of )?[A-Z][\w-]*)*"  # a common noun, or a name, a title, a pronoun
TYPES = {"town": NAME, "river": NAME, "person": f"{NAME} {NAME}", "prize": f"{NAME} {NAME}", "date": DATE}
TYPES |= {"year": r"\d{4}", "count": r"\d+|[a-z-]+"}
WORDS = {"profession": "professions", "product": "products", "trade": "trades"}
SMALL = (
    "three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
)


class Statement(NamedTuple):
    entity: str
    relation: str
    value: str


class Reader:
    """Recognises the sentences that state a fact, from the templates and the types of their values alone."""

    def __init__(self, split: str) -> None:
        self.rules: list[tuple[str, str, re.Pattern[str]]] = []
        for name, phrases in language(split).phrases.items():
            kind = TYPES.get(RELATIONS[name].value) or "|".join(getattr(language(split).lexicon, WORDS[name]))
            slots = {"x": f"(?P<x>{SUBJECT})", "v": f"(?P<v>{kind})", "av": f"an? (?P<v>{kind})", "old": f"(?:{kind})"}
            slots |= {"since": r"\d{4}", "date": rf"(?:{MONTH}) \d{{4}}"}
            for template in (*phrases.statements, *phrases.changes):
                parts = re.split(r"\{(\w+)\}", template)
                pattern = "".join(slots[part] if at % 2 else re.escape(part) for at, part in enumerate(parts))
                literal = max(parts[::2], key=len)
                self.rules.append((name, literal, re.compile(pattern)))

    def read(self, document: Document, shorts: dict[str, set[str]]) -> list[Statement]:
        return [item for sentence in sentences(document.text) for item in self.parse(sentence, document.entity, shorts)]

    def parse(self, sentence: str, entity: str, shorts: dict[str, set[str]]) -> list[Statement]:
        found = []
        for relation, literal, pattern in self.rules:
            match = pattern.fullmatch(sentence) if literal in sentence else None
            if match:
                subject = entity if match["x"] in shorts[entity] else match["x"]
                found.append(Statement(subject, relation, match["v"]))
        return found


def sentences(text: str) -> list[str]:
    return re.split(r"(?<=\.) (?=[A-Z])", text)


@functools.cache
def reader(split: str) -> Reader:
    return Reader(split)


def short_names(documents: tuple[Document, ...]) -> dict[str, set[str]]:
    nouns = {"It", "She", "He", "The book", "The firm", "The town", "The volume", "The enterprise", "The place"}
    nouns |= {"The work", "The business", "The municipality"}
    return {document.entity: {document.entity.split()[-1], *nouns} for document in documents}


def tokens(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def holds(text: str, phrase: str) -> bool:
    return f" {' '.join(tokens(phrase))} " in f" {' '.join(tokens(text))} "


def ordinal(value: str) -> int:
    """What a written date, year or count stands for, on a scale of its own type."""
    if value in SMALL.split():
        return SMALL.split().index(value) + 3
    if value.isdigit():
        return int(value)
    year, month = re.search(r"\d{4}", value), re.search(MONTH, value)
    day = re.search(r"\b(\d{1,2})(?:st|nd|rd|th)?\b", value)
    assert year, value
    assert month, value
    assert day, value
    return datetime.date(int(year[0]), MONTH.split("|").index(month[0]) + 1, int(day[1])).toordinal()


def wanted(question: str) -> str:
    """Which end of the scale a comparison asks for: the smaller number (an earlier date) or the larger."""
    if "in business longer" in question:
        return "least"
    least = re.search(r"\b(earlier|first|fewer|shorter)\b", question)
    most = re.search(r"\b(later|more|longer|younger|after the other)\b", question)
    assert bool(least) != bool(most), question
    return "least" if least else "most"


def check(item: Item, documents: tuple[Document, ...], split: str, stating: dict[tuple[str, str], set[str]]) -> None:
    """stating: key -> titles of all documents in which the reader finds a value of it."""
    shorts = short_names(documents)
    read = reader(split)
    own = {document.title for document in item.own}
    assert len(own) == len(item.own)
    assert not own & item.exclude
    for key in item.keys:  # no other document states, and so none contradicts, what is asked
        assert stating[key] <= own | item.exclude, (item.text, key)
    assert item.evidence
    for index, sentence in item.evidence:
        assert sentence in sentences(item.own[index].text)
    subjects = [name for name, _ in item.keys]
    for (_, sentence), name in zip(item.evidence, subjects, strict=True):
        assert holds(sentence, name)  # evidence makes sense by itself
    key = item.keys[-1]
    if item.kind == "unanswerable":
        assert not stating[key]
        assert item.answers == ()
        assert any(holds(document.text, key[0]) for document in item.own)
        return
    assert item.answers
    assert len(set(item.answers)) == len(item.answers)
    found = [
        next(
            fact
            for fact in read.parse(sentence, item.own[index].entity, shorts)
            if (fact.entity, fact.relation) == item.keys[place]
        )
        for place, (index, sentence) in enumerate(item.evidence)
    ]
    if item.kind == "yes-no":
        rules = [re.escape(rule) for rule in language(split).phrases[key[1]].yes_no]
        claims = [rule.replace(r"\{x\}", re.escape(key[0])) for rule in rules]
        claims = [rule.replace(r"\{v\}", "(.+)").replace(r"\{av\}", "an? (.+)") for rule in claims]
        claim = next(match[1] for rule in claims if (match := re.fullmatch(rule, item.text)))
        assert item.answers == ("yes" if claim == found[0].value else "no",)
    elif item.kind == "comparison":
        values = [ordinal(fact.value) for fact in found]
        assert values[0] != values[1]
        best = (min if wanted(item.text) == "least" else max)(values)
        assert item.answers == (subjects[values.index(best)],)
        assert all(holds(item.text, name) for name in subjects)
        assert len({index for index, _ in item.evidence}) == 2
    else:
        assert found[-1].value in item.answers
        assert not any(holds(item.text, answer) for answer in item.answers)
    if item.kind == "two-hop":
        first, second = found
        assert first.value == second.entity
        assert not holds(item.text, first.value)  # the bridge
        assert [index for index, _ in item.evidence] == [0, 1]
    if item.kind == "latest-value":
        told = sorted((document.time, fact.value) for document in item.own for fact in read.read(document, shorts)
                      if (fact.entity, fact.relation) == key)  # fmt: skip
        assert 2 <= len(told) == len(item.own) == len({value for _, value in told}) == len({time for time, _ in told})
        assert told[-1][1] == item.answers[0]
        assert item.own[item.evidence[0][0]].time == told[-1][0]
        assert stating[key] == own
    elif RELATIONS[key[1]].changing:
        pytest.fail(f"{item.kind} asks for a fact that changes: {item.text}")
    if item.kind == "paraphrased":
        assert not content(item.text, key[0]) & content(item.evidence[0][1], key[0])


STOPWORDS = frozenset(
    re.findall(
        r"\w+",
        """a an the of in on at to for from by with and or as is was were be been has have had does do did what which who
        whom whose when where how many much since it its that this one can there""",
    )
)


def content(text: str, name: str = "") -> set[str]:
    """Stems of the words that carry meaning, the entity's name left out."""
    words = tokens(text.replace(name, " ")) if name else tokens(text)
    return {word[:4] for word in words if word not in STOPWORDS}


def index(split: str, documents: tuple[Document, ...]) -> dict[tuple[str, str], set[str]]:
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    shorts = short_names(documents)
    for document in documents:
        for fact in reader(split).read(document, shorts):
            found[fact.entity, fact.relation].add(document.title)
    return found


circles = {"split": st.sampled_from(SPLITS), "seed": st.integers(0, 10**6), "number": st.integers(0, 10**5)}


@given(**circles)
@settings(deadline=None, max_examples=60, derandomize=True)
def test_every_question_follows_from_its_documents_and_from_no_other(split: str, seed: int, number: int) -> None:
    built = generator.neighbourhood(split, seed, number)
    assert tuple(item.kind for item in built.items) == KINDS
    stating = index(split, built.documents)
    for item in built.items:
        check(item, built.documents, split, stating)


@pytest.mark.parametrize(
    "split", [split if split == "test" else pytest.param(split, marks=pytest.mark.slow) for split in SPLITS]
)
def test_no_document_of_the_whole_pool_states_what_is_asked(split: str) -> None:
    world = world_zero(split, 1)
    documents = tuple(document for built in world for document in built.documents)
    assert len({document.title.casefold() for document in documents}) == len(documents)
    stating = index(split, documents)
    for built in world:
        for item in built.items:
            for key in item.keys:
                assert stating[key] <= {document.title for document in item.own} | item.exclude
            if item.kind == "two-hop":  # neither document suffices
                assert not any(holds(f"{item.own[0].title} {item.own[0].text}", answer) for answer in item.answers)
                assert item.own[1].title not in stating[item.keys[0]]
    assert any(item.exclude for built in world for item in built.items)  # some facts are stated twice


@given(**circles)
@settings(deadline=None, max_examples=25, derandomize=True)
def test_the_text_states_what_the_records_say(split: str, seed: int, number: int) -> None:
    documents = generator.neighbourhood(split, seed, number).documents
    shorts = short_names(documents)
    for document in documents:
        assert sentences(document.text) == [sentence.text for sentence in document.sentences]
        recorded = [key for sentence in document.sentences for key in sentence.states]
        assert [(fact.entity, fact.relation) for fact in reader(split).read(document, shorts)] == recorded


@given(**circles)
@settings(deadline=None, max_examples=25, derandomize=True)
def test_documents_are_articles_that_speak_of_the_past(split: str, seed: int, number: int) -> None:
    for document in generator.neighbourhood(split, seed, number).documents:
        written = datetime.date.fromisoformat(document.time)
        assert 3 <= len(document.sentences) <= 8
        assert holds(document.title, document.entity)
        assert holds(document.sentences[0].text, document.entity)
        assert "{" not in document.text
        assert len({sentence.text for sentence in document.sentences}) == len(document.sentences)
        for year in re.findall(r"\b\d{4}\b", document.text):
            assert int(year) <= written.year
        for month, year in re.findall(rf"\b({MONTH}) (\d{{4}})", document.text):
            assert (int(year), MONTH.split("|").index(month) + 1) <= (written.year, written.month)


def test_yes_and_no_and_both_sides_of_a_comparison_are_balanced() -> None:
    items = [item for built in world_zero("test", 1) for item in built.items]
    verdicts = [item.answers[0] for item in items if item.kind == "yes-no"]
    assert all(abs(verdicts[:n].count("yes") - verdicts[:n].count("no")) <= 1 for n in range(len(verdicts)))
    compared = [item for item in items if item.kind == "comparison"]
    first = sum(item.answers[0] == item.keys[0][0] for item in compared) / len(compared)
    assert 0.4 < first < 0.6


def test_all_relations_are_asked_for_and_no_kind_asks_for_one_alone() -> None:
    asked: dict[str, set[str]] = defaultdict(set)
    for built in world_zero("test", 1):
        for item in built.items:
            asked[item.kind].add(item.keys[-1][1])
    assert set().union(*asked.values()) == set(RELATIONS)
    assert asked["unanswerable"] == set(RELATIONS)  # what cannot be answered cannot be told from the question
    assert all(len(relations) >= 4 for relations in asked.values())
