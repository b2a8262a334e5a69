"""Where files are found in a data folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from memeval.data import files
from memeval.data.files import DataFile, Found
from memeval.errors import NoData, UsageError


def put(folder: Path, name: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_the_data_folder_is_searched_plain_first_then_gz_then_flat(tmp_path: Path) -> None:
    file = DataFile(("set/x.json", "set/second.json"))
    assert files.local(file, tmp_path) == ()
    put(tmp_path, "set/second.json")
    assert files.local(file, tmp_path) == (Found("set/second.json", tmp_path / "set/second.json"),)
    put(tmp_path, "x.json.gz")
    assert files.local(file, tmp_path) == (Found("x.json", tmp_path / "x.json.gz"),)
    put(tmp_path, "set/x.json.gz")
    put(tmp_path, "set/x.json")
    assert files.local(file, tmp_path) == (Found("set/x.json", tmp_path / "set" / "x.json"),)


def test_a_folder_or_a_dead_link_in_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "set" / "a.json").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"set/a\.json: is a folder, expected a file; put the file itself there"):
        files.local(DataFile(("set/a.json",)), tmp_path)
    (tmp_path / "set" / "b.json.gz").symlink_to(tmp_path / "gone")
    with pytest.raises(UsageError, match=r"set/b\.json\.gz: is a link that leads nowhere"):
        files.local(DataFile(("set/b.json",)), tmp_path)
    (tmp_path / "longmemeval_s").mkdir()  # one of the hub's files has a name without an ending
    assert files.local(DataFile(("longmemeval/longmemeval_s",)), tmp_path) == ()


def test_patterns_find_each_file_once_in_order(tmp_path: Path) -> None:
    for name in ("corpus-2.jsonl.gz", "corpus-1.jsonl", "corpus-1.jsonl.gz", "corpus-3.jsonl.bak", "other.jsonl"):
        put(tmp_path, f"wiki_pool/{name}")
    found = files.local(DataFile(("wiki_pool/corpus-*.jsonl",)), tmp_path)
    assert [(file.name, file.path.name) for file in found] == [
        ("wiki_pool/corpus-1.jsonl", "corpus-1.jsonl"),
        ("wiki_pool/corpus-2.jsonl", "corpus-2.jsonl.gz"),
    ]


def test_a_file_beside_a_card_needs_no_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MEMEVAL_DATA", raising=False)
    path = put(tmp_path, "own.jsonl")
    assert files.local(DataFile((str(path), "own.jsonl")), None) == (Found("own.jsonl", path),)


def test_the_environment_names_the_data_folder_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMEVAL_DATA", str(tmp_path))
    assert files.data_folder(None) == tmp_path
    assert files.data_folder(tmp_path / "..") == tmp_path / ".."
    monkeypatch.delenv("MEMEVAL_DATA")
    assert files.data_folder(None) is None
    assert files.local(DataFile(("a/b.json",)), None) == ()
    with pytest.raises(UsageError, match=r"data folder .*nowhere does not exist"):
        files.data_folder(tmp_path / "nowhere")


def test_what_is_missing_names_every_remedy(tmp_path: Path) -> None:
    file = DataFile(("nq/a.jsonl", "nq/b.jsonl"), url="https://example.org/a.jsonl")
    wanted = (
        f"task 'nq-10k': no data; put nq/a.jsonl or nq/b.jsonl (plain or .gz) into {tmp_path} "
        "from https://example.org/a.jsonl, or run `memeval data fetch nq-10k`, "
        "or run a bundled task, which needs no data (synth-10k to synth-1m)"
    )
    with pytest.raises(NoData) as caught:
        files.find(file, tmp_path, "nq-10k")
    assert str(caught.value) == wanted
    assert files.find(DataFile(("a.json",), required=False), tmp_path, "toy") == ()


@pytest.mark.parametrize(
    ("place", "parts"),
    [("o/n/a/b.json", ("o/n", None, "a/b.json")), ("o/n@v1/b-*.parquet", ("o/n", "v1", "b-*.parquet"))],
)
def test_places_on_the_hub(place: str, parts: tuple[str, str | None, str]) -> None:
    assert files.split_place(place) == parts


@pytest.mark.parametrize("place", ["", "o", "o/n", "o/n/", "/n/b.json"])
def test_what_is_no_place_on_the_hub(place: str) -> None:
    with pytest.raises(UsageError, match="is not a file on the hub, expected owner/name/file"):
        files.split_place(place)


def test_names_in_words() -> None:
    assert str(DataFile(("a/dev.json", "dev.json"))) == "a/dev.json or dev.json (plain or .gz)"
    assert str(DataFile(("train.parquet",))) == "train.parquet"  # compressed in itself, and not read when zipped
