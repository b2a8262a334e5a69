"""What tasks need: read from their cards, and true of what their sources do."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from memeval import cards, plugins
from memeval.cards import TaskCard
from memeval.datafiles import needs
from memeval.datafiles.needs import FILLER, Need, at_hand, hub_place, in_data_folder
from memeval.errors import UsageError
from memeval.sources import Settings

REVISION = "0123456789abcdef0123456789abcdef01234567"
TASKS = [
    card.name
    for name in cards.listing(TaskCard)
    if (card := cards.find(TaskCard, name)) is not None and not card.abstract and card.source != "synth"
]


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pytest.importorskip("huggingface_hub")
    monkeypatch.delenv("MEMEVAL_DATA", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return tmp_path


def put(path: Path, data: bytes = b"[]") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_needs_follow_from_a_layout_and_the_cards_params() -> None:
    card = TaskCard("mine", "2wiki", params={"files": "a/b.json", "revision": "v1"})
    questions, corpus, filler = needs.needs(card)
    assert (questions.files, questions.hub) == (("a/b.json",), ("voidful/2WikiMultihopQA@v1/dev.json",))
    assert (corpus.files, filler.files) == (("2wikimultihopqa/*_corpus*.json",), (FILLER,))
    assert [item.required for item in (questions, corpus, filler)] == [True, False, False]


def test_needs_follow_from_places_on_the_hub() -> None:
    card = TaskCard("mine", "locomo", params={"files": ["a/b.json", "c.json"], "hub": ["org/name@v1/b.json"]})
    assert needs.needs(card) == (Need(("a/b.json", "c.json"), ("org/name@v1/b.json",)),)


def test_a_jsonl_card_needs_the_file_beside_it(offline: Path) -> None:
    path = put(offline / "cards" / "mine.yaml", b"source: jsonl\nparams: {file: notes.jsonl}\n")
    card = plugins.find_task(str(path))
    assert [found.files for found in at_hand(card, Settings())] == [()]
    inside = put(offline / "data" / "notes.jsonl.gz")
    assert [found.files[0].path for found in at_hand(card, Settings(offline / "data"))] == [inside]
    beside = put(offline / "cards" / "notes.jsonl")
    assert [found.files[0].path for found in at_hand(card, Settings(offline / "data"))] == [beside]


def test_a_jsonl_card_may_name_a_file_of_ones_home(offline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(offline / "home"))
    card = plugins.find_task(str(put(offline / "mine.yaml", b"source: jsonl\nparams: {file: ~/notes.jsonl}\n")))
    put(offline / "data" / "notes.jsonl")
    home = put(offline / "home" / "notes.jsonl", b'{"units": ["a"], "questions": [{"text": "?", "answers": ["a"]}]}')
    assert [found.files[0].path for found in at_hand(card, Settings(offline / "data"))] == [home]
    assert plugins.source(card)().load(card, Settings(offline / "data")).data["files"][0]["bytes"] == home.stat().st_size


def test_a_task_that_makes_its_data_needs_nothing() -> None:
    card = plugins.find_task("synth-10k")
    assert needs.needs(card) == ()
    assert in_data_folder(card, Settings()) == ()


def test_files_of_the_data_folder_are_all_or_none(offline: Path) -> None:
    card = TaskCard("mine", "2wiki", params={"corpus": "2wikimultihopqa/more_?.json"})
    snapshot = offline / "hub/datasets--voidful--2WikiMultihopQA"
    put(snapshot / "refs/main", REVISION.encode())
    put(snapshot / "snapshots" / REVISION / "dev.json")
    more = put(offline / "data/2wikimultihopqa/more_1.json.gz")
    assert at_hand(card, Settings(offline / "data"))[0].files[0].hub == "voidful/2WikiMultihopQA"
    assert in_data_folder(card, Settings(offline / "data")) is None
    dev = put(offline / "data/2wikimultihopqa/dev.json")
    filler = [put(offline / f"data/wiki_pool/corpus-{n}.jsonl") for n in (1, 2)]
    found = in_data_folder(card, Settings(offline / "data"))
    assert found is not None
    assert [file.path for file in found] == [dev, more, *filler]


def test_the_data_folder_comes_before_the_hubs_cache(offline: Path) -> None:
    card = plugins.find_task("hotpotqa-10k")
    snapshot = offline / "hub/datasets--hotpotqa--hotpot_qa"
    put(snapshot / "refs/main", REVISION.encode())
    cached = put(snapshot / "snapshots" / REVISION / "distractor/validation-00000-of-00001.parquet", b"12345")
    found = at_hand(card, Settings(offline))[0]
    assert [(file.path, file.revision) for file in found.files] == [(cached, REVISION)]
    assert found.bytes == 5
    second = put(offline / "hotpotqa/hotpot_dev_fullwiki_v1.json.gz")
    assert at_hand(card, Settings(offline))[0].files[0].path == second
    first = put(offline / "hotpotqa/hotpot_dev_distractor_v1.json")
    assert at_hand(card, Settings(offline))[0].files[0].path == first


def test_only_the_file_that_is_read_is_named(offline: Path) -> None:
    for position in (0, 4):
        put(offline / f"nq/nq-open-10_total_documents_gold_at_{position}.jsonl")
    (found, *_) = at_hand(TaskCard("nq", "nq"), Settings(offline))
    assert [file.path.name for file in found.files] == ["nq-open-10_total_documents_gold_at_0.jsonl"]


def test_a_file_of_several_sets_has_the_strictest_licence_of_them() -> None:
    (need,) = needs.needs(plugins.find_task("memalpha-squad"))
    assert need.licence.startswith("CC BY-NC 4.0")
    (need,) = needs.needs(plugins.find_task("memalpha-mab-nlu"))
    assert need.licence == ""


def test_places_on_the_hub() -> None:
    assert hub_place("org/name/a/b.json") == ("org/name", None, "a/b.json")
    assert hub_place("org/name@v1/b*.json") == ("org/name", "v1", "b*.json")
    for place in ("name/b.json", "org/name", "/name/b", "org/@v1/b"):
        with pytest.raises(UsageError, match="is no place on the hub"):
            hub_place(place)


def test_params_of_a_wrong_type() -> None:
    for key, value in (("files", 3), ("hub", [3]), ("corpus", {"a": 1})):
        with pytest.raises(UsageError, match=f"mine: 'params.{key}' is .*expected a text or a list of texts"):
            needs.needs(TaskCard("mine", "2wiki", params={key: value}))


@pytest.mark.parametrize("name", TASKS)
def test_what_a_task_says_it_needs_is_what_it_misses(name: str, offline: Path) -> None:
    card = plugins.find_task(name)
    found = at_hand(card, Settings(offline))
    assert found
    assert not any(item.files for item in found)
    with pytest.raises(UsageError) as caught:
        plugins.source(card)().load(card, Settings(offline))
    message = str(caught.value)
    required = [item.need for item in found if item.need.required]
    assert all(file in message for file in required[0].files)
    assert all(hub_place(place)[0] in message for place in required[0].hub)


@pytest.mark.parametrize("source", sorted({plugins.find_task(name).source for name in TASKS}))
def test_what_a_task_says_it_needs_is_what_it_reads(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(os.environ.get("MEMEVAL_DATA") or Path(__file__).parents[3] / "shared" / "data")
    if not root.is_dir():
        pytest.skip("needs real data in MEMEVAL_DATA or ../shared/data")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    settings = Settings(root)
    for card in map(plugins.find_task, TASKS):
        found = at_hand(card, settings)
        if card.source == source and all(item.files or not item.need.required for item in found):
            break
    else:
        pytest.skip(f"no data for {source} in {root}")
    task = plugins.source(card)().load(card, settings)
    read = {facts["name"] for facts in task.data["files"]}
    named = {file.name for item in found for file in item.files}
    assert read <= named
    assert {file.name for item in found if item.need.required for file in item.files} <= read
    assert json.loads(json.dumps(task.data)) == task.data
