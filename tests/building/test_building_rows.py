"""What every builder shares: the split by content, the published schema, the form of a chunk, the filters."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memeval import building, plugins
from memeval.building import TRAIN, VALIDATION, Built, Recipe
from memeval.building.chunking import chunked
from memeval.building.closed_book import unknown
from memeval.building.dialogue import ACKNOWLEDGEMENTS, LABELLED_OPENINGS, OPENINGS, told
from memeval.building.instances import Instance, capped
from memeval.errors import UsageError
from memeval.tasks import Settings
from memeval.tasks.memalpha import MemAlphaSets

PROPERTY = settings(deadline=None, max_examples=80, derandomize=True)


def words(text: str) -> int:
    return len(text.split())


@PROPERTY
@given(st.text(max_size=40), st.integers(0, 5), st.sampled_from([0.1, 0.5]))
def test_every_text_is_on_exactly_one_side_blanks_and_case_aside(text: str, seed: int, share: float) -> None:
    sides = [Recipe(split, share, seed).takes(text) for split in (TRAIN, VALIDATION)]
    assert sum(sides) == 1
    plain = f"  {text.upper()}\n" if text.upper().casefold() == text.casefold() else f" {text}\n"
    assert [Recipe(split, share, seed).takes(plain) for split in (TRAIN, VALIDATION)] == sides


def test_the_share_of_the_validation_side() -> None:
    texts = [f"text {number}" for number in range(4000)]
    assert 340 < sum(Recipe(VALIDATION, 0.1).takes(text) for text in texts) < 460  # 400 +- 3 standard deviations
    other = [text for text in texts if Recipe(VALIDATION, 0.1, seed=1).takes(text)]
    assert 20 < sum(Recipe(VALIDATION, 0.1).takes(text) for text in other) < 60  # another seed splits anew


@pytest.mark.parametrize("changes", [{"split": "test"}, {"share": 0.0}, {"share": 1.0}])
def test_a_recipe_that_makes_no_sense(changes: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Recipe(**changes)


def built(count: int = 2) -> Built:
    instances = tuple(
        Instance(
            chunks=(f"Chunk {n} one. Ada met Bo.", f"Chunk {n} two."),
            questions=(
                {"question": "Whom did Ada meet?", "answer": "Bo", "evidence": [["Ada", "Ada met Bo."]]},
                {"question": "Which?", "answer": ["one", "two"]},
            ),
            data_source="squad",
            content=(f"paragraph {n}", "Shared  Paragraph"),
            facts={"labels": {"a": "0"}},
        )
        for n in range(count)
    )
    filters = {"short golds": "dropped 3 of 5 questions", "closed book": "not applied"}
    return Built("squad", Recipe(), instances, filters, ({"name": "a.json", "sha256": "0f", "bytes": 1, "records": 1},))


def test_rows_are_in_the_published_schema_and_say_how_they_were_made() -> None:
    first, second = built().rows()
    assert list(first) == [
        *("instance_id", "prompt", "chunks", "questions_and_answers"),
        *("data_source", "metadata", "num_chunks", "num_questions"),
    ]
    assert (second["instance_id"], second["num_chunks"], second["num_questions"]) == (1, 2, 2)
    assert all(isinstance(first[key], str) for key in ("chunks", "questions_and_answers", "metadata"))
    metadata = json.loads(first["metadata"])
    assert metadata["seed"] == 42
    assert metadata["split"] == "train"
    assert metadata["filters"] == {"short golds": "dropped 3 of 5 questions", "closed book": "not applied"}
    assert metadata["files"] == [{"name": "a.json", "sha256": "0f"}]
    assert metadata["labels"] == {"a": "0"}
    assert len(metadata["content"]) == 2
    assert set(metadata["content"]) & set(json.loads(second["metadata"])["content"])  # the shared paragraph


def test_the_source_of_the_published_rows_reads_them(tmp_path: Path) -> None:
    assert building.write([built(), built(1)], tmp_path / "memalpha" / "test.parquet") == 3
    task = MemAlphaSets().load(plugins.find_task("memalpha-squad"), Settings(data_dir=tmp_path))
    assert sorted(task.order) == ["0-0", "0-1", "1-0", "1-1", "2-0", "2-1"]
    (ref,) = task.refs(["1-0"])
    context = task.context(ref)
    assert [unit.text for unit in context.units] == ["Chunk 1 one. Ada met Bo.", "Chunk 1 two."]
    assert context.questions[1].answers == ("one", "two")
    assert context.questions[0].evidence[0].units == (0,)


def test_nothing_built_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to write"):
        building.write([built(0)], tmp_path / "train.parquet")
    assert not (tmp_path / "train.parquet").exists()


def test_shared_content_is_found() -> None:
    assert len(building.shared_content(built(1), built(2))) == 2
    assert building.shared_content(built(1), built(0)) == set()


def test_an_unknown_family() -> None:
    with pytest.raises(UsageError, match=r"no builder for 'squat'; did you mean 'squad'\?"):
        building.build("squat", Settings(), Recipe())


def test_a_chunk_is_a_dated_dialogue() -> None:
    text = told("Ada met Bo.", 31, random.Random(1))
    assert re.fullmatch(
        r"\[Dialogue between User and Assistant on 2024-02-01 00:00\]\n<User>(.*)\nAda met Bo\.\n<Assistant>(.*)", text
    )
    assert (len(set(OPENINGS)), len(set(LABELLED_OPENINGS)), len(set(ACKNOWLEDGEMENTS))) == (20, 20, 19)


@PROPERTY
@given(st.lists(st.integers(1, 40), max_size=30), st.integers(0, 9))
def test_chunks_hold_every_text_once_within_their_size(sizes: list[int], seed: int) -> None:
    texts = [" ".join(["w"] * size) for size in sizes]
    groups = chunked(texts, random.Random(seed), words, least=10, most=30)
    assert [index for group in groups for index in group] == list(range(len(texts)))
    assert all(group for group in groups)
    for group in groups:
        assert len(group) == 1 or sum(sizes[index] for index in group) <= 30


def test_at_most_a_hundred_questions_in_their_order() -> None:
    questions = [{"question": str(number)} for number in range(250)]
    kept = [int(item["question"]) for item in capped(questions, random.Random(3))]
    assert len(kept) == len(set(kept)) == 100
    assert kept == sorted(kept)
    assert capped(questions[:100], random.Random(3)) == tuple(questions[:100])


def asked(*golds: str) -> list[dict[str, Any]]:
    return [{"question": f"{gold}?", "answer": gold} for gold in golds]


def test_filters_in_order_and_on_record() -> None:
    streams = [asked("a", "b", "one two three four five", "c"), asked("a"), asked("d", "e")]

    def model(questions: Any) -> list[str]:
        assert questions == ["a?", "b?", "c?", "d?", "e?"]  # long golds are not asked, nothing is asked twice
        return ["It is A!", "none", "none", "none", "the E"]

    kept, report = unknown(streams, words, least_before=2, least_after=1, ask=model)
    assert [[item["answer"] for item in questions] for questions in kept] == [["b", "c"], [], ["d"]]
    assert list(report.values()) == [
        "dropped 1 of 3 streams",
        "dropped 1 of 6 questions",
        "dropped 2 of 5 questions",
        "dropped 0 of 2 streams",
    ]
    kept, report = unknown(streams, words, least_before=2, least_after=3, ask=None)
    assert [len(questions) for questions in kept] == [3, 0, 0]
    assert report["golds that a model does not know without the text"] == "not applied"
    kept, _ = unknown(streams, words, least_before=1, least_after=1, ask=None, most_after=2)
    assert [len(questions) for questions in kept] == [0, 1, 2]
    with pytest.raises(UsageError, match="closed_book gave 1 answers to 5 questions"):
        unknown(streams, words, 2, 1, lambda questions: ["x"])
