"""The builders over running text: SQuAD, HotpotQA, PerLTQA, BookSum; made-up files, and the real slices where at hand."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from memeval import building, plugins, tokens
from memeval.building import TRAIN, VALIDATION, Built, Recipe
from memeval.errors import UsageError
from memeval.tasks import Settings
from memeval.tasks.memalpha import MemAlphaSets, parse

SPLITS = (TRAIN, VALIDATION)


def put(root: Path, name: str, content: Any) -> Settings:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if name.endswith(".jsonl"):
        path.write_text("\n".join(map(json.dumps, content)))
    else:
        path.write_text(json.dumps(content))
    return Settings(data_dir=root)


def both(family: str, settings: Settings, share: float, **options: Any) -> list[Built]:
    return [building.build(family, settings, Recipe(split, share), **options) for split in SPLITS]


def checked(parts: Sequence[Built]) -> None:
    """No source item on both sides; every row is one that the source reads; evidence stands in the chunks."""
    assert building.shared_content(*parts) == set()
    for part in parts:
        for row in part.rows():
            context = parse(row)
            assert 0 < len(context.questions) <= 100
            assert all(piece.units for question in context.questions for piece in question.evidence)


# -- SQuAD ------------------------------------------------------------------------------------------------------------


def squad(articles: int = 12, paragraphs: int = 6) -> dict[str, Any]:
    return {
        "version": "1.1",
        "data": [
            {
                "title": f"Article {a}",
                "paragraphs": [
                    {
                        "context": f" Paragraph {p} of article {a} says that town {a}-{p} has {a * 10 + p} mills. "
                        + "It rains. " * 30,
                        "qas": [
                            {
                                "id": f"{a}-{p}-{q}",
                                "question": f"How many mills has town {a}-{p} ({q})?",
                                "answers": [
                                    {"text": f"{a * 10 + p} mills", "answer_start": 1},
                                    {"text": "some", "answer_start": 0},
                                ],
                            }
                            for q in range(4)
                        ],
                    }
                    for p in range(paragraphs)
                ],
            }
            for a in range(articles)
        ],
    }


def test_squad_streams_and_split(tmp_path: Path) -> None:
    settings = put(tmp_path, "squad/train-v1.1.json", squad())
    parts = both("squad", settings, 0.4, least_before=10, least_after=5)
    checked(parts)
    titles: list[set[str]] = []
    for part in parts:
        assert part.instances
        assert all(len(item.chunks) <= 10 for item in part.instances)
        titles.append({re.findall(r"article \d+", text)[0] for item in part.instances for text in item.content})
    assert not titles[0] & titles[1]
    question = parts[0].instances[0].questions[0]
    assert re.fullmatch(r"\d+ mills", question["answer"])  # the first of the answers
    [[title, text]] = question["evidence"]
    assert title.startswith("Article")
    assert any(text in chunk for chunk in parts[0].instances[0].chunks)
    assert parts == both("squad", settings, 0.4, least_before=10, least_after=5)
    assert parts[0].filters["golds that a model does not know without the text"] == "not applied"


def test_squad_asks_only_what_a_model_does_not_know(tmp_path: Path) -> None:
    settings = put(tmp_path, "squad/train-v1.1.json", squad(5, 3))
    every, unknown = (
        building.build("squad", settings, Recipe(TRAIN, 0.1), least_before=1, least_after=1, closed_book=model)
        for model in (None, lambda asked: ["It has 21 MILLS, I think."] * len(asked))
    )
    golds = [{question["answer"] for item in part.instances for question in item.questions} for part in (every, unknown)]
    assert golds[0] - golds[1] == {"21 mills", "1 mills"}
    assert golds[1]
    assert unknown.filters["golds that a model does not know without the text"] == "dropped 8 of 48 questions"


def test_both_shapes_of_squad_are_the_same_set(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    document = squad(4, 3)
    rows = [
        {
            "id": row["id"],
            "title": article["title"],
            "context": paragraph["context"],
            "question": row["question"],
            "answers": {"text": [item["text"] for item in row["answers"]], "answer_start": [0, 0]},
        }
        for article in document["data"]
        for paragraph in article["paragraphs"]
        for row in paragraph["qas"]
    ]
    settings = put(tmp_path, "squad/train-v1.1.json", document)
    datasets.Dataset.from_list(rows).to_parquet(tmp_path / "squad" / "rows.parquet")
    options = {"least_before": 1, "least_after": 1}
    first, second = (
        building.build("squad", settings, Recipe(), names=[name], **options)
        for name in ("squad/train-v1.1.json", "squad/rows.parquet")
    )
    assert first.instances
    assert first.instances == second.instances


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "expected a JSON object"),
        ({"rows": []}, "'data' is not a list of articles"),
        ({"data": [{"title": "A"}]}, "article 1: 'paragraphs' is not a list"),
        (
            {"data": [{"title": "A", "paragraphs": [{"context": "a b", "qas": [{"question": "a?", "answers": []}]}]}]},
            "holds no text",
        ),
        ({"data": [{"title": "A", "paragraphs": [{"context": " ", "qas": [{}]}]}]}, "'context' is ' '"),
    ],
)
def test_damaged_squad_files(tmp_path: Path, content: Any, message: str) -> None:
    settings = put(tmp_path, "squad/train-v1.1.json", content)
    with pytest.raises(UsageError, match=rf"train-v1\.1\.json.*{message}"):
        building.build("squad", settings, Recipe())


def test_without_source_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UsageError, match=r"squad/train-v1\.1\.json .*rajpurkar/squad"):
        building.build("squad", Settings(data_dir=tmp_path), Recipe())


# -- HotpotQA ---------------------------------------------------------------------------------------------------------


def hotpot(n: int, complete: bool = True) -> dict[str, Any]:
    """A question over two paragraphs; the second is shared with the next question."""
    titles = [f"Person {n}", f"Town {n // 2}"]
    gold = [[title, [f"{title} is known for {n if title.startswith('P') else 'rain'}.", " It is so."]] for title in titles]
    return {
        "_id": f"h{n}",
        "type": "bridge",
        "level": "hard",
        "question": f"What is the number of Person {n} in Town {n // 2}?",
        "answer": f"number {n}",
        "supporting_facts": [[title, 0] for title in titles],
        "context": [["Other", ["Nothing."]], *(gold if complete else gold[:1])],
    }


def test_hotpotqa_takes_gold_paragraphs_of_one_side(tmp_path: Path) -> None:
    records = [hotpot(n, complete=n % 7 != 0) for n in range(60)]
    settings = put(tmp_path, "hotpotqa/hotpot_train_v1.1.json", records)
    parts = both("hotpotqa", settings, 0.5, stream_tokens=400, least_before=1, least_after=1)
    checked(parts)
    count = tokens.counter()
    asked = 0
    for part in parts:
        for item in part.instances:
            asked += len(item.questions)
            titles = [title for text in item.chunks for title in re.findall(r"Title: (.*)", text)]
            assert len(titles) == len(set(titles))  # a paragraph is told once
            assert "Other" not in titles
            for question in item.questions:
                assert {title for title, _ in question["evidence"]} <= set(titles)
            told = sum(count(f"Title: {text}") for text in item.content)
            assert told <= 450
    complete = sum(n % 7 != 0 for n in range(60))
    dropped = int(re.findall(r"dropped (\d+) of", parts[0].filters["paragraphs all on one side of the split"])[0])
    assert asked == complete - dropped
    assert 0 < dropped < complete


# -- PerLTQA ----------------------------------------------------------------------------------------------------------

MEMORY = {
    "Ada Byron": {
        "profile": {"Protagonist": "Ada Byron"},
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


def question(text: str, memory: str, answer: str = "Bo; an engine") -> dict[str, Any]:
    return {"Question": text, "Answer": answer, "Reference Memory": memory, "Memory Anchors": []}


QUESTIONS = [
    {
        "Ada Byron": {
            "profile": [question("Her gender?", "Gender")],
            "social_relationship": [{"1_0": [question("Who is Bo?", "['1_0']")]}],
            "events": [
                {"1_0_1": [question("What did Ada build?", "['1_0_1']")]},
                {"1_0_10": [question("Where?", "['1_0_10']", "Rome")]},
            ],
            "dialogues": [{"1_0_1#0": [question("What does Ada like?", "['1_0_1#0', '1_0_1']", "steam")]}],
        }
    },
    {"Nobody": {"events": []}},
]


def perltqa(root: Path, memory: Any = None, questions: Any = None) -> Settings:
    put(root, "perltqa/perltmem_en_v2.json", MEMORY if memory is None else memory)
    return put(root, "perltqa/perltqa_en_v2.json", QUESTIONS if questions is None else questions)


def side_of(name: str) -> str:
    return TRAIN if Recipe(TRAIN, 0.5).takes(name) else VALIDATION


def test_perltqa_is_one_chunk_per_event(tmp_path: Path) -> None:
    settings = perltqa(tmp_path)
    parts = both("perltqa", settings, 0.5, least=1)
    checked(parts)
    assert [len(part.instances) for part in parts] == [int(side_of("Ada Byron") == split) for split in SPLITS]
    (item,) = (item for part in parts for item in part.instances)
    assert item.chunks == (
        "What happened to the user Ada Byron on May 1, 2012.\nSummary: An engine\nContent: Ada built an engine with Bo.\n\n"
        "Dialogues about it:\n\n"
        "Dialogue at 2012-05-02 10:00\n<Ada Byron> I like steam: it is warm.\n<AI Assistant> Noted.",
        "What happened to the user Ada Byron.\nSummary: A journey\nContent: Ada left for Rome.\n\n"
        "Dialogues about it:\n\nDialogue at 2012-06-01 09:00\n<Ada Byron> Rome is hot.",
    )
    assert [(one["question"], one["answer"]) for one in item.questions] == [
        ("What did Ada build?", "Bo; an engine"),
        ("Where?", "Rome"),
        ("What does Ada like?", "steam"),
    ]
    context = parse(next(row for part in parts for row in part.rows()))
    assert [[piece.units for piece in one.evidence] for one in context.questions] == [[(0,)], [(1,)], [(0,), (0,)]]
    part = next(part for part in parts if part.instances)
    assert part.filters["memory in an event or dialogue"] == "dropped 1 of 4 questions"
    assert part.filters["answers shortened to keywords"] == "not applied"


def test_the_first_version_of_the_memory_file_is_a_list(tmp_path: Path) -> None:
    recipe = Recipe(side_of("Ada Byron"), 0.5)
    first = building.build("perltqa", perltqa(tmp_path), recipe, least=1)
    second = building.build("perltqa", perltqa(tmp_path, memory=list(MEMORY.values())), recipe, least=1)
    assert first.instances == second.instances


def test_perltqa_with_models_that_shorten_and_answer(tmp_path: Path) -> None:
    recipe = Recipe(side_of("Ada Byron"), 0.5)
    settings = perltqa(tmp_path)

    def answer(stream: str, questions: Sequence[str]) -> list[str]:
        assert "Ada left for Rome." in stream
        return ["She built AN ENGINE."] + ["I cannot tell."] * (len(questions) - 1)

    made = building.build("perltqa", settings, recipe, least=1, answer=answer)
    assert [one["answer"] for one in made.instances[0].questions] == ["an engine"]
    short = building.build("perltqa", settings, recipe, least=1, shorten=lambda question, gold: gold.upper())
    assert [one["answer"] for one in short.instances[0].questions] == ["BO; AN ENGINE", "ROME", "STEAM"]
    assert building.build("perltqa", settings, recipe, least=4).instances == ()


@pytest.mark.parametrize(
    ("memory", "questions", "message"),
    [
        ({"Ada Byron": []}, None, "'Ada Byron' is list"),
        ([{"events": {}}], None, "record 1: no 'profile'"),
        ({"Ada Byron": {"events": {"1_1": {"summary": "a"}}}}, None, "event 1_1: no field 'content'"),
        (None, [{"Ada Byron": {"events": [["q"]]}}], "'events' is not a list of objects"),
        (None, [{"Ada Byron": {"events": [{"1_0_1": [{"Question": "a?"}]}]}}], "no field 'Answer'"),
    ],
)
def test_damaged_perltqa_files(tmp_path: Path, memory: Any, questions: Any, message: str) -> None:
    settings = perltqa(tmp_path, memory, questions)
    with pytest.raises(UsageError, match=message):
        both("perltqa", settings, 0.5, least=1)


# -- BookSum ----------------------------------------------------------------------------------------------------------


def chapter(book: int, sentences: int, summary: Any = "Ada meets Bo in Rome.") -> dict[str, Any]:
    text = " ".join(
        f"Sentence {number} of book {book} tells of a long and quiet day by the sea." for number in range(sentences)
    )
    return {"book_title": f"Book {book}", "chapter_id": f"{book}.1", "text": text, "summary": summary}


def test_booksum_chapters_dates_and_golds(tmp_path: Path) -> None:
    chapters = [chapter(book, 900, [{"text": "Ada meets Bo in Rome."}]) for book in range(6)] + [
        chapter(9, 20),
        chapter(10, 4000),
    ]
    settings = put(tmp_path, "booksum/chapters.jsonl", chapters)
    parts = both("booksum", settings, 0.5)
    checked(parts)
    made = [item for part in parts for item in part.instances]
    assert len(made) == 6
    count = tokens.counter()
    for item in made:
        assert 5 <= len(item.chunks) <= 20
        dates = [re.findall(r"On (\d{4}-\d\d-\d\d) the user", text)[0] for text in item.chunks]
        assert dates[0] == "2024-01-01"
        assert dates == sorted(set(dates))
        assert all(count(text) <= 2048 + 60 for text in item.chunks)
        (one,) = item.questions
        assert one == {
            "question": f"Summarise what I read in the book from {dates[0]} to {dates[-1]}.",
            "answer": "Ada meets Bo in Rome.",
        }
        read = " ".join(re.findall(r"<User> (.*?)\n\n<System>", text, re.DOTALL)[0] for text in item.chunks)
        assert read == item.content[0]
    assert parts[0].filters["golds as keywords"].startswith("not applied")
    with_words = building.build("booksum", settings, Recipe(TRAIN, 0.5), keywords=lambda summary: ["Ada", " Rome "])
    assert [item.questions[0]["answer"] for item in with_words.instances] == [["Ada", "Rome"]] * len(parts[0].instances)


def test_damaged_booksum_files(tmp_path: Path) -> None:
    settings = put(tmp_path, "booksum/chapters.jsonl", [chapter(1, 900, summary=[])])
    split = TRAIN if Recipe(TRAIN, 0.5).takes("Book 1") else VALIDATION
    with pytest.raises(UsageError, match=":1: summary: 'text' is"):
        building.build("booksum", settings, Recipe(split, 0.5))
    settings = put(tmp_path, "booksum/chapters.jsonl", [chapter(1, 900)])
    with pytest.raises(UsageError, match="the summary gave no keyword"):
        building.build("booksum", settings, Recipe(split, 0.5), keywords=lambda summary: [" "])


# -- the real slices --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real() -> Path:
    root = Path(os.environ.get("MEMEVAL_DATA") or Path(__file__).parents[3] / "shared" / "data")
    if not (root / "squad" / "xquad.en.json").is_file():
        pytest.skip("needs the SQuAD and HotpotQA slices in MEMEVAL_DATA or ../shared/data")
    return root


def test_the_real_squad_and_hotpotqa_slices(real: Path, tmp_path: Path) -> None:
    settings = Settings(data_dir=real)
    parts = both("squad", settings, 0.4, names=["squad/xquad.en.json"])
    checked(parts)
    assert sum(len(item.questions) for item in parts[0].instances) > 100
    assert all(parts[n].instances for n in (0, 1))
    hotpot = both("hotpotqa", settings, 0.1, least_before=10)
    checked(hotpot)
    assert sum(len(item.questions) for item in hotpot[0].instances) > 40
    assert building.write([parts[1], hotpot[0]], tmp_path / "memalpha" / "test.parquet") == len(parts[1].instances) + len(
        hotpot[0].instances
    )
    for name, built in (("memalpha-squad", parts[1]), ("memalpha-hotpotqa", hotpot[0])):
        task = MemAlphaSets().load(plugins.find_task(name), Settings(data_dir=tmp_path))
        assert task.data["questions"] == sum(len(item.questions) for item in built.instances)


def test_the_real_perltqa_excerpt_has_no_character_in_both_files(real: Path) -> None:
    options = {
        "memory_names": ["perltqa/perltmem_en_v2.excerpt.json"],
        "question_names": ["perltqa/perltqa_en_v2.excerpt.json"],
    }
    for part in both("perltqa", Settings(data_dir=real), 0.5, **options):
        assert part.instances == ()
        assert part.filters["characters of both files"] == "dropped 1 of 1 characters"
