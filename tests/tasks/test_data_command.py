"""What `memeval data list|path|fetch|verify` print."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from memeval.commands.data import data_fetch, data_list, data_path, data_verify
from memeval.errors import UsageError

NOTE = {"id": "one", "units": ["one two"], "questions": [{"text": "a?", "answer": "x", "kind": "red"}]}


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("huggingface_hub")
    monkeypatch.delenv("MEMEVAL_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.fixture
def cards(tmp_path: Path) -> tuple[str, ...]:
    """A folder with cards of our own: `sound`, `broken`, `absent` and the suite `all-three`."""
    folder = tmp_path / "cards"
    folder.mkdir()
    for name in ("sound", "broken", "absent"):
        (folder / f"{name}.yaml").write_text(f"source: jsonl\nparams: {{file: {name}.jsonl}}\nlicence: ours\n")
    (folder / "all-three.yaml").write_text("tasks: [sound, broken, absent]\n")
    (folder / "sound.jsonl").write_text(json.dumps(NOTE))
    (folder / "broken.jsonl").write_text("{")
    return (str(folder),)


def test_list_groups_tasks_that_read_the_same(tmp_path: Path) -> None:
    (tmp_path / "2wikimultihopqa").mkdir()
    path = tmp_path / "2wikimultihopqa/dev.json"
    path.write_bytes(b"[]" * 750)
    text = data_list(["2wiki-10k", "2wiki-1m", "hotpotqa-10k", "synth-10k", "locomo"], tmp_path)
    blocks = text.split("\n\n")
    assert blocks[0].startswith("2wiki-10k, 2wiki-1m\n")
    assert f"found    {path}  [data folder, 1.5 kB]" in blocks[0]
    assert "absent   wiki_pool/corpus-*.jsonl (optional: any part of BEIR" in blocks[0]
    assert "get it" not in blocks[0]
    assert "MISSING  hotpotqa/hotpot_dev_distractor_v1.json or hotpotqa/hotpot_dev_fullwiki_v1.json" in blocks[1]
    assert blocks[1].endswith("get it: memeval data fetch hotpotqa-10k")
    assert blocks[2].endswith("reads no files")
    assert "licence  CC BY-NC 4.0" in blocks[3]
    assert blocks[3].endswith("get it: memeval data fetch locomo --accept-licence 'CC BY-NC 4.0'")


def test_list_takes_every_task_and_prints_one_json_object() -> None:
    found = json.loads(data_list([], form="json"))["tasks"]
    by_name = {task["task"]: task for task in found}
    assert {"2wiki-10k", "hotpotqa-1m", "personamem-32k", "synth-100k"} <= by_name.keys()
    assert "2wiki" not in by_name  # a base for others is no task
    assert by_name["synth-100k"]["ready"]
    first = by_name["hotpotqa-1m"]
    assert not first["ready"]
    assert first["licence"] == "CC BY-SA 4.0"
    need = first["needs"][0]
    assert need["hub"] == ["hotpotqa/hotpot_qa/distractor/validation-*.parquet"]
    assert (need["required"], need["found"], need["remedy"]) == (True, [], "memeval data fetch hotpotqa-1m")
    assert [item["required"] for item in first["needs"]] == [True, False, False]


def test_path_prints_files_each_once_or_the_remedy(tmp_path: Path, cards: tuple[str, ...]) -> None:
    sound = str(tmp_path / "cards" / "sound.jsonl")
    assert data_path(["sound", "sound", "synth-10k"], None, cards) == sound
    assert data_path(["synth-10k"]) == ""
    with pytest.raises(UsageError, match="^task '2wiki-10k': no 2wikimultihopqa/dev.json; memeval data fetch 2wiki-10k$"):
        data_path(["2wiki-10k"])
    with pytest.raises(UsageError, match="task 'absent': no .*absent.jsonl; put .*absent.jsonl"):
        data_path(["all-three"], None, cards)


def test_misspelt_tasks_get_the_nearest_name() -> None:
    for verb in (data_list, data_path, data_fetch, data_verify):
        with pytest.raises(UsageError, match="did you mean '2wiki-10k'"):
            verb(["2wiki-10"])


def test_fetch_says_what_came_from_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    snapshot = tmp_path / "hub/datasets--voidful--2WikiMultihopQA"
    (snapshot / "refs").mkdir(parents=True)
    (snapshot / "refs/main").write_text("0" * 40)
    (snapshot / "snapshots" / ("0" * 40)).mkdir(parents=True)
    (snapshot / "snapshots" / ("0" * 40) / "dev.json").write_bytes(b"[]")
    text = data_fetch(["2wiki-10k", "2wiki-30k", "synth-10k"], to=tmp_path / "data")
    assert text.splitlines() == [
        f"{tmp_path}/data/2wikimultihopqa/dev.json  2 bytes  from voidful/2WikiMultihopQA@{'0' * 40}/dev.json",
        f"{tmp_path}/data/2wikimultihopqa/dev.json  2 bytes  (already there)",
        "synth-10k: reads no files",
    ]
    with pytest.raises(UsageError, match="name the tasks to fetch data for"):
        data_fetch([])
    assert capsys.readouterr().out == ""


def test_verify_prints_files_and_counts(tmp_path: Path, cards: tuple[str, ...]) -> None:
    text, code = data_verify(["sound", "synth-10k"], None, cards, contexts=2)
    assert code == 0
    assert "sound.jsonl  " in text
    assert " 1 record, sha256 " in text
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    assert rows[0] == ["task", "contexts", "clusters", "questions", "tokens min", "mean", "max", "of contexts", "kinds"]
    assert rows[2] == ["sound", "1", "1", "1", "2", "2", "2", "all", "red 1"]
    assert (rows[3][0], rows[3][7]) == ("synth-10k", "2")
    assert "o200k_base" in text


def test_verify_of_a_damaged_file_is_the_sources_own_line(cards: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match=r"broken\.jsonl:1: not valid JSON"):
        data_verify(["broken"], None, cards)
    with pytest.raises(UsageError, match="name the tasks, or pass --all"):
        data_verify([])


def test_verify_all_goes_on_and_says_what_is_damaged_and_what_is_missing(cards: tuple[str, ...]) -> None:
    text, code = data_verify(["all-three"], None, cards, everything=True)
    assert code == 2
    assert "| sound " in text
    assert "no data (memeval data list TASK says how to get them): absent" in text
    assert "DAMAGED  " in text
    assert "broken.jsonl:1: not valid JSON" in text
    found, code = data_verify(["all-three"], None, cards, form="json", everything=True)
    assert code == 2
    answer = json.loads(found)
    assert [task["task"] for task in answer["tasks"]] == ["sound"]
    assert answer["tasks"][0]["kinds"] == {"red": 1}
    assert answer["tasks"][0]["files"][0]["records"] == 1
    assert answer["missing"] == ["absent"]
    assert list(answer["damaged"]) == ["broken"]


def test_verify_all_takes_every_task_that_has_its_data() -> None:
    text, code = data_verify([], everything=True, contexts=1)
    assert code == 0
    rows = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| synth")]
    assert rows == ["synth-100k", "synth-10k", "synth-1m", "synth-30k", "synth-tiny"]
    assert "2wiki-10k" in text.splitlines()[-1]


def test_verify_all_does_not_call_a_pool_that_is_too_short_damaged(tmp_path: Path) -> None:
    (tmp_path / "nq").mkdir()
    passage = {"title": "Arlen", "text": "Arlen has two mills.", "hasanswer": True, "isgold": True}
    row = {"question": "how many mills has arlen", "answers": ["two"], "ctxs": [passage]}
    (tmp_path / "nq" / "nq-open-oracle.jsonl").write_text(json.dumps(row) + "\n")
    text, code = data_verify(["nq-10k"], tmp_path, everything=True)
    assert code == 0
    assert "TOO LITTLE DATA  task 'nq-10k': the stream of" in text
    assert "DAMAGED" not in text
    with pytest.raises(UsageError, match="needs 50 documents, but the pool gives only 1"):
        data_verify(["nq-10k"], tmp_path)
