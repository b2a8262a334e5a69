"""Finding and reading data files, and what is said about damaged ones."""

from __future__ import annotations

import gzip
import hashlib
import json
import socket
import threading
import time
from pathlib import Path

import pytest

from memeval.datafiles import files
from memeval.datafiles.files import DataFile
from memeval.errors import UsageError
from memeval.sources import Settings

ROWS = [{"a": "one"}, {"a": "zwei – ü"}, {"a": "three"}]


def put(folder: Path, name: str, data: bytes | str) -> DataFile:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return DataFile(name.removesuffix(".gz"), path)


def one_line(file: DataFile) -> str:
    with pytest.raises(UsageError) as caught:
        files.read(file)
    message = str(caught.value)
    assert "\n" not in message
    assert str(file.path) in message
    return message


def test_plain_and_gzipped_files_are_the_same_data(tmp_path: Path) -> None:
    text = json.dumps(ROWS, ensure_ascii=False).encode()
    plain = files.read(put(tmp_path, "a.json", text))
    zipped = files.read(put(tmp_path, "b/a.json.gz", gzip.compress(text)))
    assert [row for _, row in plain.rows] == ROWS
    assert plain.rows == zipped.rows
    assert plain.facts == {"name": "a.json", "sha256": hashlib.sha256(text).hexdigest(), "bytes": len(text), "records": 3}
    assert {**zipped.facts, "name": "a.json"} == plain.facts


def test_three_containers_one_content(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    lines = "\n".join(map(json.dumps, ROWS)) + "\n\n"
    read = [
        files.read(put(tmp_path, "a.json", "\ufeff" + json.dumps(ROWS))),
        files.read(put(tmp_path, "a.jsonl", lines)),
        files.read(put(tmp_path, "a.jsonl.gz", gzip.compress(("\ufeff" + lines).encode()))),
        files.read(DataFile("a.parquet", tmp_path / "a.parquet")),
    ]
    assert all([row for _, row in one.rows] == ROWS for one in read)


def test_the_data_folder_is_searched_plain_first_then_gz_then_flat(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    assert files.find(settings, "set/x.json") is None
    put(tmp_path, "x.json.gz", b"")
    found = files.find(settings, "set/x.json")
    assert found is not None
    assert (found.name, found.path) == ("x.json", tmp_path / "x.json.gz")
    put(tmp_path, "set/x.json.gz", b"")
    put(tmp_path, "set/x.json", b"")
    found = files.find(settings, "set/x.json")
    assert found is not None
    assert (found.name, found.path) == ("set/x.json", tmp_path / "set" / "x.json")


def test_a_folder_or_a_dead_link_in_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "set" / "a.json").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"set/a\.json: is a folder, expected a file; put the file itself there"):
        files.find(Settings(tmp_path), "set/a.json")
    (tmp_path / "set" / "b.json.gz").symlink_to(tmp_path / "gone")
    with pytest.raises(UsageError, match=r"set/b\.json\.gz: is a link that leads nowhere"):
        files.find(Settings(tmp_path), "set/b.json")
    (tmp_path / "longmemeval_s").mkdir()  # one of the hub's files has a name without an ending
    assert files.find(Settings(tmp_path), "longmemeval/longmemeval_s") is None


def test_patterns_find_each_file_once_in_order(tmp_path: Path) -> None:
    for name in ("corpus-2.jsonl.gz", "corpus-1.jsonl", "corpus-1.jsonl.gz", "corpus-3.jsonl.bak", "other.jsonl"):
        put(tmp_path, f"wiki_pool/{name}", b"")
    found = files.matching(Settings(data_dir=tmp_path), "wiki_pool/corpus-*.jsonl")
    assert [(file.name, file.path.name) for file in found] == [
        ("wiki_pool/corpus-1.jsonl", "corpus-1.jsonl"),
        ("wiki_pool/corpus-2.jsonl", "corpus-2.jsonl.gz"),
    ]


def test_the_environment_names_the_data_folder_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMEVAL_DATA", str(tmp_path))
    assert files.data_folder(Settings()) == tmp_path
    assert files.data_folder(Settings(data_dir=tmp_path / "..")) == tmp_path / ".."
    monkeypatch.delenv("MEMEVAL_DATA")
    assert files.data_folder(Settings()) is None
    assert files.find(Settings(), "a/b.json") is None
    assert files.matching(Settings(), "a/*.json") == []


def test_a_data_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"data folder .*nowhere does not exist"):
        files.data_folder(Settings(data_dir=tmp_path / "nowhere"))


def test_a_cut_gzip(tmp_path: Path) -> None:
    data = gzip.compress(json.dumps(ROWS * 100).encode())
    assert "damaged or cut gzip" in one_line(put(tmp_path, "a.json.gz", data[: len(data) // 2]))
    assert "damaged or cut gzip" in one_line(put(tmp_path, "b.json.gz", b"[]"))
    broken = bytearray(data)
    broken[len(data) // 2] ^= 0xFF
    assert "damaged or cut gzip" in one_line(put(tmp_path, "c.json.gz", bytes(broken)))


def test_invalid_json_names_the_record(tmp_path: Path) -> None:
    assert "record 3: not valid JSON" in one_line(put(tmp_path, "a.json", '[{"a": 1},\n {"a": ","}, {"a": }]'))
    assert "record 2: not valid JSON" in one_line(put(tmp_path, "b.json", '[{"a": 1}, {"a": 2'))
    assert "line 2: not valid JSON" in one_line(put(tmp_path, "c.jsonl", '{"a": 1}\n{"a": \n'))
    assert "not valid JSON" in one_line(put(tmp_path, "d.json", ""))
    assert "not valid JSON" in one_line(put(tmp_path, "e.json", "[" * 100_000))


def test_invalid_utf8_names_the_record(tmp_path: Path) -> None:
    assert "record 2: not UTF-8" in one_line(put(tmp_path, "a.json", b'[{"a": 1}, {"a": "\xff"}, {"a": 1}]'))
    assert "line 2: not UTF-8" in one_line(put(tmp_path, "b.jsonl", b'{"a": 1}\n{"a": "\xe4"}\n'))


def test_nan_and_half_characters(tmp_path: Path) -> None:
    assert "line 1: not valid JSON (NaN" in one_line(put(tmp_path, "a.jsonl", '{"a": NaN}'))
    assert "record 2: holds half of a surrogate pair" in one_line(
        put(tmp_path, "b.json", '[{"a": "\\ud83d\\ude00"}, {"a": "\\ud83d"}]')
    )
    assert "line 1: holds half of a surrogate pair" in one_line(put(tmp_path, "c.jsonl", '{"a": "\\udc00"}'))
    assert files.read(put(tmp_path, "d.json", '[{"a": "\\ud83d\\ude00"}]')).rows == [(1, {"a": "\U0001f600"})]


def test_not_an_array_and_not_an_object(tmp_path: Path) -> None:
    assert "expected a JSON array of records" in one_line(put(tmp_path, "a.json", '{"a": 1}'))
    loaded = files.read(put(tmp_path, "b.json", '[{"a": 1}, [2]]'))
    with pytest.raises(UsageError, match=r"b\.json: record 2: expected an object"):
        list(loaded.objects())


def test_a_damaged_parquet_file(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    assert "damaged parquet" in one_line(put(tmp_path, "a.parquet", b"PAR1 and nothing more"))


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    assert "cannot be read" in one_line(DataFile("a.json", tmp_path / "a.json"))


REVISION = "0123456789abcdef0123456789abcdef01234567"


def hub_copy(cache: Path, repository: str, name: str, data: bytes) -> None:
    """A file as the hub's cache lays it out."""
    folder = cache / f"datasets--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True, exist_ok=True)
    (folder / "refs" / "main").write_text(REVISION)
    path = folder / "snapshots" / REVISION / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pytest.importorskip("huggingface_hub")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def test_the_hubs_cache_offline(hub_cache: Path) -> None:
    hub_copy(hub_cache, "org/name", "part/validation-00000-of-00001.json", b'[{"a": 1}]')
    found, reason = files.from_hub("org/name", "part/validation-*.json")
    assert reason == ""
    assert [(file.name, file.hub, file.revision) for file in found] == [
        ("part/validation-00000-of-00001.json", "org/name", REVISION)
    ]
    facts = files.read(found[0]).facts
    assert (facts["hub"], facts["revision"], facts["records"]) == ("org/name", REVISION, 1)
    assert files.from_hub("org/name", "part/validation-*.json", REVISION)[0] == found


def test_what_the_cache_does_not_hold(hub_cache: Path) -> None:
    assert files.from_hub("org/name", "*.json") == ([], "offline")
    hub_copy(hub_cache, "org/name", "a.txt", b"")
    assert files.from_hub("org/name", "*.json") == ([], "no *.json in the cached copy")


def test_a_network_that_does_not_answer_is_given_up_soon(hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = socket.create_server(("127.0.0.1", 0))
    taken = []
    threading.Thread(target=lambda: taken.append(server.accept()), daemon=True).start()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
    monkeypatch.setattr(files, "HUB_SECONDS", 0.3)
    hub_copy(hub_cache, "org/name", "a.json", b"[]")
    started = time.monotonic()
    found, _ = files.from_hub("org/name", "a.json")
    missing, reason = files.from_hub("org/other", "a.json")
    assert time.monotonic() - started < 5
    assert [file.revision for file in found] == [REVISION]  # the cached copy serves
    assert missing == []
    assert "imeout" in reason or "timed out" in reason
    server.close()


def test_files_that_would_do_in_words() -> None:
    assert files.named(["a/dev.json", "dev.json"]) == "a/dev.json or dev.json (plain or .gz)"
    assert files.named(["train.parquet"]) == "train.parquet"  # compressed in itself, and not read when zipped
