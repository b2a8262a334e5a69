"""What is at hand, what may be fetched, and what a task holds when it is loaded for real."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hubcache import REVISION, placed
from msgspec.structs import replace

from memeval import plugins
from memeval.cards import TaskCard
from memeval.data.fetch import Fetched
from memeval.data.files import DataFile
from memeval.errors import UsageError
from memeval.task import Context, ContextRef, Evidence, Question, Unit
from memeval.tasks import Settings
from memeval.tasks import verify as data

NOTES = [
    {
        "id": "one",
        "cluster": "ann",
        "units": ["one two three", "four"],
        "questions": [{"text": "a?", "answer": "x", "kind": "red"}, {"text": "b?", "answer": "x", "kind": "blue"}],
    },
    {"id": "two", "cluster": "ann", "units": ["five"], "questions": [{"text": "c?", "answerable": False}]},
    {"id": "three", "cluster": "bo", "units": ["six"], "questions": [{"text": "d?", "answer": "x", "kind": "red"}]},
]


@pytest.fixture(autouse=True)
def offline(hub_cache: Path) -> None:
    """No test here asks a network."""


def silent(line: str) -> None:
    pass


def notes(root: Path) -> TaskCard:
    (root / "notes.jsonl").write_text("\n".join(map(json.dumps, NOTES)))
    return TaskCard("notes", "jsonl", params={"file": str(root / "notes.jsonl")})


def cached(root: Path, repository: str, name: str, content: bytes) -> Path:
    """A file in the hub's cache."""
    path = placed(root / "hub", repository, name)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("licence", "name"),
    [
        ("CC BY-NC 4.0 (non-commercial; read where the user put it)", "CC BY-NC 4.0"),
        ("CC-BY-NC-SA-4.0", "CC-BY-NC-SA-4.0"),
        ("cc by-nc-nd", "cc by-nc-nd"),
        ("A licence of its own, non-commercial use only", "A licence of its own"),
        ("CC BY-SA 4.0", ""),
        ("Apache-2.0 (paragraphs are from Wikipedia, CC BY-SA)", ""),
        ("MIT", ""),
        ("", ""),
    ],
)
def test_licences_that_forbid_commercial_use(licence: str, name: str) -> None:
    assert data.restricted(licence) == name


def test_every_bundled_licence_is_judged_on_purpose() -> None:
    assert data.restricted(plugins.find_task("locomo").licence) == "CC BY-NC 4.0"
    assert data.restricted(plugins.find_task("2wiki-10k").licence) == ""


def test_nothing_non_commercial_is_fetched_before_its_licence_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = TaskCard("talk", "locomo", params={"files": ["a/b.json"], "hub": ["org/name/b.json"]}, licence="CC BY-NC 4.0 (x)")
    fetched: list[DataFile] = []

    def fetch(file: DataFile, folder: Path | None, to: Path | None, say: Any) -> list[Fetched]:
        fetched.append(file)
        return [Fetched(Path("b.json"), "org/name")]

    monkeypatch.setattr(data, "fetch", fetch)
    for accepted in ([], ["MIT"], ["CC BY 4.0"], ["CC BY-NC-SA 4.0"]):
        with pytest.raises(
            UsageError, match=r"not be used commercially \(CC BY-NC 4.0 \(x\)\).*--accept-licence 'CC BY-NC 4.0'"
        ):
            data.fetch_data(card, Settings(), None, accepted, silent)
    assert fetched == []
    for accepted in (["CC BY-NC 4.0"], ["MIT", "cc-by-nc-4.0"]):
        assert [item.origin for item in data.fetch_data(card, Settings(), None, accepted, silent)] == ["org/name"]
    own = DataFile(("a/b.json",), ("org/name/b.json",), licence="CC BY-NC 4.0")
    monkeypatch.setattr("memeval.tasks.locomo.LoCoMo.files", lambda self, card: [own])
    with pytest.raises(UsageError, match="accept-licence 'CC BY-NC 4.0'"):
        data.fetch_data(replace(card, licence="MIT"), Settings(), None, [], silent)


def test_what_is_there_is_not_fetched_again(tmp_path: Path) -> None:
    card = plugins.find_task("2wiki-10k")
    root = tmp_path / "data"
    (root / "2wikimultihopqa").mkdir(parents=True)
    (root / "2wikimultihopqa/dev.json").write_bytes(b"[]")
    (only,) = data.fetch_data(card, Settings(root), None, [], silent)  # the optional corpus and filler are left to the user
    assert (only.path, only.origin) == (root / "2wikimultihopqa/dev.json", "")


def test_the_hubs_cache_fills_a_data_folder_offline(tmp_path: Path) -> None:
    card = plugins.find_task("2wiki-10k")
    path = cached(tmp_path, "voidful/2WikiMultihopQA", "dev.json", b"[]")
    (kept,) = data.fetch_data(card, Settings(), None, [], silent)
    assert (kept.path, kept.origin) == (path, "")
    (made,) = data.fetch_data(card, Settings(), tmp_path / "new" / "data", [], silent)
    assert made.path == tmp_path / "new/data/2wikimultihopqa/dev.json"
    assert made.path.read_bytes() == b"[]"
    assert made.origin == f"voidful/2WikiMultihopQA@{REVISION}/dev.json"
    assert data.missing(card, Settings(tmp_path / "new/data")) == []


def test_offline_fetching_is_one_line_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="^task '2wiki-10k': .*HF_HUB_OFFLINE forbids the download; unset it$"):
        data.fetch_data(plugins.find_task("2wiki-10k"), Settings(), None, [], silent)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="--to .*file/data: cannot be made"):
        data.fetch_data(plugins.find_task("2wiki-10k"), Settings(), tmp_path / "file" / "data", [], silent)


def test_commands_that_get_what_is_missing(tmp_path: Path) -> None:
    def of(name: str, settings: Settings) -> str:
        card = plugins.find_task(name)
        return data.remedy(card, data.missing(card, settings)[0], settings)

    assert of("2wiki-10k", Settings()) == "memeval data fetch 2wiki-10k"
    assert of("locomo", Settings()) == "memeval data fetch locomo --accept-licence 'CC BY-NC 4.0' --to DIR"
    assert of("locomo", Settings(tmp_path)) == "memeval data fetch locomo --accept-licence 'CC BY-NC 4.0'"
    by_hand = TaskCard("mine", "jsonl", params={"file": "mine.jsonl"}, path=str(tmp_path / "cards/mine.yaml"))
    need = data.missing(by_hand, Settings(tmp_path))[0]
    expected = f"put {tmp_path}/cards/mine.jsonl or mine.jsonl (plain or .gz) into {tmp_path}"
    assert data.remedy(by_hand, need, Settings(tmp_path)) == expected


def test_verify_counts_what_is_there(tmp_path: Path) -> None:
    found = data.verify(notes(tmp_path), Settings())
    assert (found.contexts, found.clusters, found.questions, found.unanswerable, found.built) == (3, 2, 4, 1, 3)
    assert found.kinds == {"red": 2, "blue": 1, "unanswerable": 1}
    # o200k_base: each of these words is a token, "one two three" three, and the blank line between units one more
    assert found.tokens == {"min": 1, "mean": 7 / 3, "max": 5}
    (facts,) = found.files
    assert (facts["name"], facts["records"]) == ("notes.jsonl", 3)


def test_verify_counts_the_tokens_of_a_part(tmp_path: Path) -> None:
    found = data.verify(notes(tmp_path), Settings(), contexts=1)
    assert (found.contexts, found.clusters, found.built) == (3, 2, 1)  # clusters hold several contexts: all were looked at
    assert found.tokens["min"] == found.tokens["max"]


def test_verify_stops_counting_long_streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "SAMPLE_TOKENS", 2)
    assert data.verify(notes(tmp_path), Settings()).built < 3
    assert data.verify(notes(tmp_path), Settings(), contexts=0).built == 3


class Toy:
    """A task with one context, whose parts a test replaces."""

    card = TaskCard("toy", "toy")
    data: Mapping[str, Any] = {}
    order: Sequence[str] = ("q",)
    question = Question("q", "a?", ("x",), position=2, evidence=(Evidence("u", (1,)),))
    built = Context("c", (Unit("t"), Unit("u")), (question,))

    def load(self, card: TaskCard, settings: Settings) -> Toy:
        return self

    def golds(self) -> list[Question]:
        return [dataclasses.replace(self.question, evidence=())]

    def refs(self, question_ids: Sequence[str]) -> list[ContextRef]:
        return [ContextRef("c", tuple(question_ids))]

    def context(self, ref: ContextRef) -> Context:
        return self.built


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, ""),
        ({"order": ("q", "r")}, "its golds are not the questions of its order"),
        ({"question": Question("q", "a?", ())}, "a question needs answers"),
        ({"built": Context("d", (Unit("t"), Unit("u")), (Toy.question,))}, "'d' is not the one that was wanted"),
        ({"built": Context("c", (Unit("t"),), ())}, "'c' is not the one that was wanted"),
        ({"built": Context("c", (Unit(" "),), (Question("q", "a?", ("x",)),))}, "'c' has no text"),
        (
            {"built": Context("c", (Unit("t"),), (Question("q", "a?", ("x",), position=2),))},
            "its position is 2, expected a number of units from 0 to 1",
        ),
        (
            {"built": Context("c", (Unit("t"),), (Question("q", "a?", ("x",), evidence=(Evidence("t", (1,)),)),))},
            "question 'q': its evidence lies outside its 1 unit",
        ),
    ],
)
def test_a_task_that_contradicts_itself(change: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    toy = type("Changed", (Toy,), change)
    monkeypatch.setattr(plugins, "source", lambda card: toy)
    if not message:
        assert data.verify(Toy.card, Settings()).clusters == 1
        return
    with pytest.raises(UsageError, match=message):
        data.verify(Toy.card, Settings())


def test_the_real_slices(slices: Callable[[str], Path]) -> None:
    root = slices("hotpotqa/hotpot_dev_fullwiki_v1.json")
    found = data.verify(plugins.find_task("hotpotqa-100k"), Settings(root), contexts=2)
    assert (found.contexts, found.clusters, found.questions, found.built) == (169, 169, 169, 2)
    assert sum(found.kinds.values()) == 169
    assert 50_000 < found.tokens["min"] <= found.tokens["max"] < 150_000
