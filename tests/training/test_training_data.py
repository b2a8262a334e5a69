"""Training data from source records: the split by content, the published schema, the form of a chunk, every family."""

from __future__ import annotations

import json
import os
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import memeval
from memeval import tokens
from memeval.training.mixture.families import (
    FAMILIES,
    Labelled,
    booksum,
    hotpotqa,
    labelled,
    perltqa,
    pubmed,
    squad,
    trec,
)
from memeval.training.mixture.streams import TRAIN, VALIDATION, Built, Split, Stream, capped, chunked, dialogues, rows

PROPERTY = settings(deadline=None, max_examples=80, derandomize=True)


def content(part: Built) -> set[str]:
    """Hashes of the source items of a split."""
    return {name for stream in part.streams for name in stream.hashes()}


def both(build: Callable[[Split], Built], share: float = 0.5) -> list[Built]:
    """The train and the validation set: equal when built again, no source item on both sides, evidence in the chunks."""
    parts = [build(Split(split, share)) for split in (TRAIN, VALIDATION)]
    assert parts == [build(Split(split, share)) for split in (TRAIN, VALIDATION)]
    assert not content(parts[0]) & content(parts[1])
    for stream in (stream for part in parts for stream in part.streams):
        assert 0 < len(stream.questions) <= 100
        for question in stream.questions:
            for _, text in question.get("evidence", ()):
                assert any(text in chunk for chunk in stream.chunks)
    return parts


# -- what the families share ------------------------------------------------------------------------------------------


@PROPERTY
@given(st.text(max_size=40), st.integers(0, 5), st.sampled_from([0.1, 0.5]))
def test_every_text_is_on_exactly_one_side_blanks_and_case_aside(text: str, seed: int, share: float) -> None:
    sides = [Split(split, share, seed).takes(text) for split in (TRAIN, VALIDATION)]
    assert sum(sides) == 1
    same = f"  {text.upper()}\n" if text.upper().casefold() == text.casefold() else f" {text}\n"
    assert [Split(split, share, seed).takes(same) for split in (TRAIN, VALIDATION)] == sides


def test_the_share_of_the_validation_side() -> None:
    texts = [f"text {number}" for number in range(4000)]
    assert 340 < sum(Split(VALIDATION, 0.1).takes(text) for text in texts) < 460  # 400 +- 3 standard deviations
    other = [text for text in texts if Split(VALIDATION, 0.1, seed=1).takes(text)]
    assert 20 < sum(Split(VALIDATION, 0.1).takes(text) for text in other) < 60  # another seed splits anew


def test_rows_are_in_the_published_schema_and_say_how_they_were_made() -> None:
    question = {"question": "Whom did Ada meet?", "answer": "Bo", "evidence": [["Ada", "Ada met Bo."]]}
    streams = [
        Stream(
            (f"Chunk {n}. Ada met Bo.", "Two."), (question,), "squad", (f"text {n}", "Shared  Text"), {"labels": {"a": "0"}}
        )
        for n in range(2)
    ]
    built = Built(streams)
    built.dropped["long golds"] = 3
    first, second = rows(built, Split(), [{"name": "a.json", "sha256": "0f"}])
    assert list(first) == [
        *("instance_id", "prompt", "chunks", "questions_and_answers"),
        *("data_source", "metadata", "num_chunks", "num_questions"),
    ]
    assert (second["instance_id"], second["num_chunks"], second["num_questions"]) == (1, 2, 1)
    assert json.loads(first["questions_and_answers"]) == [question]
    metadata = json.loads(first["metadata"])
    assert (metadata["seed"], metadata["split"], metadata["labels"]) == (42, "train", {"a": "0"})
    assert (metadata["dropped"], metadata["files"]) == ({"long golds": 3}, [{"name": "a.json", "sha256": "0f"}])
    assert len(metadata["content"]) == 2
    assert set(metadata["content"]) & set(json.loads(second["metadata"])["content"]) == content(
        Built(streams[:1])
    ) & content(Built(streams[1:]))


def test_the_source_of_the_published_rows_reads_them() -> None:
    from memeval.tasks import memalpha

    question = {"question": "Whom?", "answer": ["Bo", "Bob"], "evidence": [["Ada", "Ada met Bo."]]}
    (row,) = rows(Built([Stream(("One.", "Two. Ada met Bo."), (question,), "squad", ("x",))]), Split())
    context = memalpha.parse(row)
    assert [unit.text for unit in context.units] == ["One.", "Two. Ada met Bo."]
    assert context.questions[0].answers == ("Bo", "Bob")
    assert context.questions[0].evidence[0].units == (1,)


def test_a_chunk_is_a_dated_dialogue() -> None:
    chunks = dialogues(["Ada met Bo."] * 32, random.Random(1))
    form = r"\[Dialogue between User and Assistant on ([\d-]+) 00:00\]\n<User>(.*)\nAda met Bo\.\n<Assistant>(.*)"
    found = [re.fullmatch(form, chunk) for chunk in chunks]
    assert found[0] is not None
    assert found[31] is not None
    assert (found[0][1], found[31][1]) == ("2024-01-01", "2024-02-01")
    assert len({match[2] for match in found if match}) > 5
    assert dialogues(["x"], random.Random(1), "labelled_openings") != dialogues(["x"], random.Random(1))


@PROPERTY
@given(st.lists(st.integers(1, 40), max_size=30), st.integers(0, 9))
def test_chunks_hold_every_text_once_within_their_size(sizes: list[int], seed: int) -> None:
    texts = [" ".join(["w"] * size) for size in sizes]
    groups = chunked(texts, random.Random(seed), lambda text: len(text.split()), least=10, most=30)
    assert [index for group in groups for index in group] == list(range(len(texts)))
    for group in groups:
        assert len(group) == 1 or sum(sizes[index] for index in group) <= 30


def test_at_most_a_hundred_questions_in_their_order() -> None:
    questions = [{"question": str(number)} for number in range(250)]
    kept = [int(item["question"]) for item in capped(questions, random.Random(3))]
    assert len(kept) == len(set(kept)) == 100
    assert kept == sorted(kept)
    assert capped(questions[:100], random.Random(3)) == tuple(questions[:100])


# -- SQuAD and HotpotQA -----------------------------------------------------------------------------------------------


def article(a: int, paragraphs: int = 6) -> dict[str, Any]:
    def asked(p: int, q: int) -> dict[str, Any]:
        golds = [f"{a * 10 + p} mills" if q else "a gold of more than four tokens", "some"]
        return {"question": f"How many mills has town {a}-{p} ({q})?", "answers": [{"text": text} for text in golds]}

    contexts = [
        f" Paragraph {p} of article {a}: town {a}-{p} has {a * 10 + p} mills. " + "It rains. " * 30 for p in range(6)
    ]
    parts = [{"context": contexts[p], "qas": [asked(p, q) for q in range(4)]} for p in range(paragraphs)]
    return {"title": f"Article {a}", "paragraphs": parts}


def test_squad() -> None:
    document = {"data": [article(a) for a in range(12)]}
    parts = both(lambda split: squad(document, split, least_before=10, least_after=5), 0.4)
    titles = [{re.findall(r"article \d+", text)[0] for stream in part.streams for text in stream.content} for part in parts]
    assert len(titles[0] | titles[1]) == 12
    assert not titles[0] & titles[1]
    stream = parts[0].streams[0]
    assert len(stream.chunks) <= 10
    assert all(re.fullmatch(r"\d+ mills", question["answer"]) for question in stream.questions)  # the first, where short
    assert sum(part.dropped["questions with golds of more than 4 tokens"] for part in parts) == 72
    few = squad(document, Split(), least_before=10_000)
    assert few.streams == []
    assert few.dropped["streams with too few questions"] > 0


def hotpot(n: int) -> dict[str, Any]:
    """A question over two paragraphs; the second is shared with the next question."""
    titles = [f"Person {n}", f"Town {n // 2}"]
    context = [["Other", ["Nothing."]], *([title, [f"{title} is known for rain.", " It is so."]] for title in titles)]
    row = {"question": f"What is the number of Person {n} in Town {n // 2}?", "answer": f"number {n}"}
    return {**row, "supporting_facts": [[title, 0] for title in titles], "context": context}


def test_hotpotqa_takes_gold_paragraphs_of_one_side() -> None:
    parts = both(lambda split: hotpotqa(map(hotpot, range(60)), split, 400, least_before=1, least_after=1))
    count, asked = tokens.counter(), 0
    for part in parts:
        for stream in part.streams:
            asked += len(stream.questions)
            titles = [title for text in stream.chunks for title in re.findall(r"Title: (.*)", text)]
            assert len(titles) == len(set(titles))  # a paragraph is told once
            assert "Other" not in titles
            assert sum(map(count, stream.content)) <= 400
    (dropped,) = {part.dropped["questions with paragraphs on both sides of the split"] for part in parts}
    assert asked == 60 - dropped
    assert 0 < dropped < 60


# -- PerLTQA and BookSum ----------------------------------------------------------------------------------------------

PEOPLE = {
    "Ada Byron": {
        "events": {
            "1_0_1": {"content": "Ada built an engine with Bo.", "summary": "An engine", "Creation Time": "May 1, 2012"},
            "1_0_10": {"content": "Ada left for Rome.", "summary": "A journey", "Creation Time": ""},
        },
        "dialogues": {
            "1_0_1#0": {"contents": {"2012-05-02 10:00": ["Ada Byron: I like steam: it is warm.", "AI Assistant: Noted."]}},
            "1_0_10#0": {"contents": {"2012-06-01 09:00": [["Ada Byron: Rome is hot."]]}},
        },
    }
}


def asked(text: str, memory: str, answer: str) -> dict[str, Any]:
    return {"Question": text, "Answer": answer, "Reference Memory": memory}


QUESTIONS = {
    "Ada Byron": {
        "profile": [asked("Her gender?", "Gender", "female")],
        "social_relationship": [{"1_0": [asked("Who is Bo?", "['1_0']", "a friend")]}],
        "events": [
            {"1_0_1": [asked("What did Ada build?", "['1_0_1']", "Bo; an engine")]},
            {"1_0_10": [asked("Where?", "['1_0_10']", "Rome")]},
        ],
        "dialogues": [{"1_0_1#0": [asked("What does Ada like?", "['1_0_1#0', '1_0_1']", "steam")]}],
    },
    "Cy": {"events": []},
}


def test_perltqa_is_one_chunk_per_event() -> None:
    parts = both(lambda split: perltqa(PEOPLE, QUESTIONS, split, least=1))
    (stream,) = (stream for part in parts for stream in part.streams)
    assert stream.chunks == (
        "What happened to the user Ada Byron on May 1, 2012.\nSummary: An engine\nContent: Ada built an engine with Bo.\n\n"
        "Dialogues about it:\n\n"
        "Dialogue at 2012-05-02 10:00\n<Ada Byron> I like steam: it is warm.\n<AI Assistant> Noted.",
        "What happened to the user Ada Byron.\nSummary: A journey\nContent: Ada left for Rome.\n\n"
        "Dialogues about it:\n\nDialogue at 2012-06-01 09:00\n<Ada Byron> Rome is hot.",
    )
    assert [(one["question"], one["answer"]) for one in stream.questions] == [
        ("What did Ada build?", "Bo; an engine"),
        ("Where?", "Rome"),
        ("What does Ada like?", "steam"),
    ]
    assert [len(one["evidence"]) for one in stream.questions] == [1, 1, 2]
    assert sum(part.dropped["questions whose memory is in no event"] for part in parts) == 1
    assert parts[0].dropped["characters of one file only"] == 1


def test_booksum_chapters_dates_and_golds() -> None:
    chapters = [
        {
            "book_title": f"Book {b}",
            "chapter_id": c,
            "text": " ".join(f"Book {b} chapter {c} says that day {day} was wet." for day in range(3 + 2 * c)),
            "summary": [{"text": "All."}],
        }
        for b in range(8)
        for c in range(4)
    ]
    parts = both(lambda split: booksum(chapters, split, piece=16))
    streams = [stream for part in parts for stream in part.streams]
    assert sorted(len(stream.chunks) for stream in streams) == sorted([5, 7, 9] * 8)  # three pieces are too few
    assert sum(sum(part.dropped.values()) for part in parts) == 8
    for stream in streams:
        dates = [re.findall(r"\[On ([\d-]+) the user", chunk)[0] for chunk in stream.chunks]
        assert dates[0] == "2024-01-01"
        assert dates == sorted(set(dates))
        (question,) = stream.questions
        assert question["question"].endswith(f"from {dates[0]} to {dates[-1]}.")
        assert question["answer"] == "All."


# -- labelled texts ---------------------------------------------------------------------------------------------------


def shown(text: str) -> list[tuple[str, str]]:
    return re.findall(r"Sentence: (.*)\nLabel: (\d+)", text)


def checked(part: Built, questions: int) -> None:
    """Ten chunks; no asked text among the examples; every asked label has an example."""
    for stream in part.streams:
        assert len(stream.chunks) == 10
        examples = [pair for text in stream.chunks for pair in shown(text)]
        labels = stream.facts["labels"]
        assert list(labels) == sorted(labels)
        assert list(labels.values()) == [str(number) for number in range(len(labels))]
        texts = [re.findall(r"Sentence: (.*)\n", one["question"])[0] for one in stream.questions]
        assert len(set(texts)) == len(texts) <= questions
        assert not {text for text, _ in examples} & set(texts)
        assert {one["answer"] for one in stream.questions} <= {label for _, label in examples}


COLOURS = ("BLUE", "GREEN", "RED")
LINES = [f"{COLOURS[n % 3]}:{'deep' if n % 2 else 'pale'} What is number {n} of the café ?\n" for n in range(900)]


def test_trec_streams() -> None:
    assert {item.label for item in trec(LINES, fine=True)} == {f"{c}:{d}" for c in COLOURS for d in ("deep", "pale")}
    parts = both(lambda split: labelled(trec(LINES), "trec-c", split, streams=4, questions=20))
    gold = {f"What is number {n} of the café ?": str(n % 3) for n in range(900)}
    for part in parts:
        assert len(part.streams) == 4
        checked(part, 20)
        assert {stream.data_source for stream in part.streams} == {"icl_trec_coarse_6600shot_balance"}
        for stream in part.streams:
            assert all(gold[text] == label for chunk in stream.chunks for text, label in shown(chunk))
            for one in stream.questions:
                assert gold[re.findall(r"Sentence: (.*)\n", one["question"])[0]] == one["answer"]
    assert len({stream.chunks for stream in parts[0].streams}) == 4
    fewer = labelled(trec(LINES), "trec-c", Split(TRAIN, 0.5), streams=2, questions=20)
    assert fewer.streams == parts[0].streams[:2]


def test_every_label_is_shown_also_one_that_chance_leaves_out() -> None:
    texts = [Labelled(f"What is number {n} ?", "ALL") for n in range(4000)]
    texts += [Labelled(f"Who is rare {n} ?", "RARE") for n in range(3)]
    part = labelled(texts, "trec-c", Split(TRAIN, 0.1), streams=12, questions=10)
    checked(part, 10)
    labels = [[[label for _, label in shown(text)] for text in stream.chunks] for stream in part.streams]
    assert all("1" in {label for chunk in chunks for label in chunk} for chunks in labels)
    assert sum(chunks[0][-1] == "1" for chunks in labels) >= 6  # most are too short to hold one of three by chance


def test_chunk_sizes_follow_the_texts() -> None:
    part = labelled(trec(LINES), "trec-c", Split(TRAIN, 0.1), streams=1, questions=20)
    count = tokens.counter()
    sizes = [sum(count(text) for text, _ in shown(chunk)) for chunk in part.streams[0].chunks]
    assert all(170 <= size <= 200 for size in sizes)


def test_pubmed_uses_no_text_twice_and_splits_abstracts() -> None:
    lines = []
    for a in range(600):
        said = [f"{'METHODS' if s % 2 else 'RESULTS'}\tSentence {s} of study {a} is plain.\n" for s in range(10)]
        lines += [f"###{a}\n", *said, "\n"]
    parts = both(lambda split: labelled(pubmed(lines), "pubmed-rct", split, questions=50))
    studies = []
    for part in parts:
        checked(part, 50)
        texts = [text for stream in part.streams for text in stream.content]
        assert len(texts) == len(set(texts)) > 0
        studies.append({re.findall(r"study (\d+)", text)[0] for text in texts})
    assert not studies[0] & studies[1]


def test_texts_with_two_labels_are_left_out() -> None:
    texts = [Labelled(f"What is number {n} ?", "ALL" if n % 2 else "OTHER") for n in range(1000)]
    twice = [Labelled("what is  NUMBER 7 ?", "OTHER"), Labelled("What is number 9 ?", "ALL"), Labelled("Number 7", "X")]
    part = labelled([*texts, *twice[:2]], "trec-c", Split(TRAIN, 0.1), streams=9)
    assert part.dropped["texts with two labels"] == 1
    assert "What is number 7 ?" not in {text for stream in part.streams for text in stream.content}
    assert labelled(texts[:20], "trec-c", Split()).streams == []  # too few for one stream


def test_a_card_selects_what_each_family_makes() -> None:
    cards = "".join(path.read_text() for path in (Path(memeval.__file__).parents[1] / "tasks").glob("m*.yaml"))
    assert all(family.data_source in cards for name, family in FAMILIES.items() if name in ("trec-c", "nlu", "pubmed-rct"))


def test_the_real_slices() -> None:
    root = Path(os.environ.get("MEMEVAL_DATA") or Path(memeval.__file__).parents[2] / "shared" / "data")
    path = root / "trec" / "train_5500.label"
    if not path.is_file():
        pytest.skip(f"no {path}: set MEMEVAL_DATA to a folder with the data sets")
    parts = both(lambda split: labelled(trec(path.read_text("iso-8859-1").split("\n")), "trec-c", split, streams=2))
    for part in parts:
        assert len(part.streams) == 2
        checked(part, 100)
        assert len(part.streams[0].facts["labels"]) == 6
