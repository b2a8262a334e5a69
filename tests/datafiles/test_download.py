"""Fetching, against a hub of our own on loopback: huggingface_hub itself runs, only its server is a toy."""

from __future__ import annotations

import gzip
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from memeval.datafiles import download, files, needs
from memeval.datafiles.download import fetch_need, laid_out
from memeval.datafiles.files import DataFile
from memeval.datafiles.needs import Address, Need
from memeval.errors import UsageError
from memeval.sources import Settings

REVISION = "89abcdef0123456789abcdef0123456789abcdef"
ROWS = [{"id": "a", "text": "zwei – ü"}, {"id": "b", "text": "x"}]


@dataclass
class Hub:
    """repositories: name -> path -> content. faults: part of a path -> status, or seconds of silence."""

    url: str
    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    faults: dict[str, int | float] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


def handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for key, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            hub.asked.append(f"{self.command} {path}")
            for part, fault in hub.faults.items():
                if part in f"{self.command} {path}":
                    if isinstance(fault, float):
                        time.sleep(fault)
                    elif fault == 403:
                        self.answer(403, b"", {"X-Error-Code": "GatedRepo"})
                        return
                    else:
                        self.answer(fault, b"")
                        return
            head, _, name = path.strip("/").partition("/resolve/")
            if path.startswith("/api/datasets/"):
                repository = "/".join(path.split("/")[3:5])
                content = hub.repositories.get(repository)
                if content is None:
                    self.answer(404, b"", {"X-Error-Code": "RepoNotFound"})
                    return
                if "/tree/" in path:
                    tree = [{"type": "file", "path": key, "size": len(data), "oid": "0"} for key, data in content.items()]
                    self.answer(200, json.dumps(tree).encode(), {"Content-Type": "application/json"})
                    return
                siblings = [{"rfilename": key, "size": len(value)} for key, value in content.items()]
                info = {"id": repository, "sha": REVISION, "siblings": siblings}
                self.answer(200, json.dumps(info).encode(), {"Content-Type": "application/json"})
                return
            data = hub.repositories.get(head.removeprefix("datasets/"), {}).get(name.partition("/")[2])
            if data is None:
                self.answer(404, b"", {"X-Error-Code": "EntryNotFound"})
                return
            self.answer(200, data, {"X-Repo-Commit": REVISION, "ETag": f'"{hashlib.sha1(data).hexdigest()}"'})

    return Handler


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    pytest.importorskip("huggingface_hub")
    found = Hub("")
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(found))
    found.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    for key, value in {
        "HF_HUB_CACHE": str(tmp_path / "hub"),
        "HF_HUB_OFFLINE": False,
        "ENDPOINT": found.url,
        "HUGGINGFACE_CO_URL_TEMPLATE": found.url + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_DOWNLOAD_TIMEOUT": 0.2,
    }.items():
        monkeypatch.setattr(f"huggingface_hub.constants.{key}", value)
    monkeypatch.setattr(download, "SECONDS", 0.5)
    monkeypatch.setattr(download, "SCHEMES", ("http",))
    yield found
    server.shutdown()
    server.server_close()


def fetched(need: Need, folder: Path | None = None, to: Path | None = None) -> tuple[list[download.Fetched], list[str]]:
    told: list[str] = []
    return fetch_need(need, folder, to, told.append), told


def refused(need: Need, folder: Path | None = None, to: Path | None = None) -> str:
    with pytest.raises(UsageError) as caught:
        fetched(need, folder, to)
    message = str(caught.value)
    assert "\n" not in message
    return message


def parquet(folder: Path, rows: list[dict[str, Any]]) -> bytes:
    pyarrow = pytest.importorskip("pyarrow")
    tables = pytest.importorskip("pyarrow.parquet")
    tables.write_table(pyarrow.Table.from_pylist(rows), folder / "rows.parquet")
    return (folder / "rows.parquet").read_bytes()


NEED = Need(("set/dev.json",), ("org/name/part/dev.json",))


def test_into_the_hubs_cache_where_tasks_find_it_offline(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.repositories["org/name"] = {"part/dev.json": b"[]", "README.md": b"x"}
    got, told = fetched(NEED)
    assert [(item.bytes, item.origin) for item in got] == [(2, f"org/name@{REVISION}/part/dev.json")]
    assert REVISION in told[0]
    assert "README" not in told[0]
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    found, reason = files.from_hub("org/name", "part/*.json")
    assert (reason, [file.path for file in found]) == ("", [got[0].path])
    assert files.in_hub_cache("org/name", "part/dev.json") == found
    assert not any("README" in path for path in hub.asked)


def test_what_a_run_downloaded_is_found_offline_too(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.repositories["org/name"] = {"part/dev.json": b"[]", "other.json": b"[]"}
    found, reason = files.from_hub("org/name", "part/*.json")
    assert (reason, [file.revision for file in found]) == ("", [REVISION])
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert files.from_hub("org/name", "part/*.json") == (found, "")
    assert files.in_hub_cache("org/name", "part/dev.json") == found
    assert files.in_hub_cache("org/name", "other.json") == []


@pytest.mark.slow
def test_a_download_that_stands_still_is_given_up(hub: Hub) -> None:
    hub.repositories["org/name"] = {"part/dev.json": b"[]"}
    hub.faults["GET /datasets/org/name/resolve/"] = 3.0
    started = time.monotonic()
    assert "the hub cannot be reached, or gives up" in refused(NEED)
    assert time.monotonic() - started < 30


def test_laid_out_as_a_data_folder(hub: Hub, tmp_path: Path) -> None:
    rows = json.dumps(ROWS, ensure_ascii=False).encode()
    hub.repositories["org/name"] = {
        "dev.json": rows,
        "a/validation-0.parquet": parquet(tmp_path, ROWS[:1]),
        "a/validation-1.parquet": parquet(tmp_path, ROWS[1:]),
        "plain": rows,
        "zipped.jsonl.gz": gzip.compress(b"{}"),
    }
    to = tmp_path / "data"
    settings = Settings(to)
    cases = {
        "dev.json": (Need(("one/dev.json", "one/other.json"), ("org/name/dev.json",)), "one/dev.json"),
        "renamed": (Need(("two/upstream.json",), ("org/name/dev.json",)), "two/upstream.json"),
        "no suffix": (Need(("three/upstream.json",), ("org/name/plain",)), "three/upstream.json"),
        "rows": (Need(("four/upstream.json",), ("org/name/a/validation-*.parquet",)), "four/upstream.json"),
        "lines": (Need(("five/upstream.jsonl",), ("org/name/a/validation-*.parquet",)), "five/upstream.jsonl"),
    }
    for need, name in cases.values():
        got, _ = fetched(need, to=to)
        assert [item.path for item in got] == [to / name]
        found = files.find(settings, name)
        assert found is not None
        assert [row for _, row in files.read(found).rows] == ROWS
        assert bool(got[0].changed) == ("validation" in need.hub[0])
    shards = Need(("six/validation-*.parquet",), ("org/name/a/validation-*.parquet",))
    assert [item.path.name for item in fetched(shards, to=to)[0]] == ["validation-0.parquet", "validation-1.parquet"]
    assert len(files.matching(settings, "six/validation-*.parquet")) == 2
    zipped = Need(("seven/zipped.jsonl",), ("org/name/zipped.jsonl.gz",))
    assert fetched(zipped, to=to)[0][0].path == to / "seven/zipped.jsonl.gz"
    table = Need(("eight/questions.csv",), ("org/name/a/validation-*.parquet",))
    assert "does not fit the name eight/questions.csv; fetch without --to" in refused(table, to=to)
    assert not list(to.rglob("*.part"))


def test_a_cache_that_is_filled_is_laid_out_without_network(tmp_path: Path) -> None:
    source = tmp_path / "dev.json"
    source.write_bytes(b"[]")
    (got,) = laid_out(NEED, [DataFile("part/dev.json", source, "org/name", REVISION)], tmp_path / "data")
    assert (got.path, got.origin) == (tmp_path / "data/set/dev.json", f"org/name@{REVISION}/part/dev.json")


def test_the_next_place_is_tried(hub: Hub) -> None:
    hub.repositories["org/second"] = {"dev.json": b"[]"}
    got, _ = fetched(Need(("set/dev.json",), ("org/first/dev.json", "org/second/dev.json")))
    assert got[0].origin.startswith("org/second@")


def test_what_the_hub_refuses(hub: Hub) -> None:
    assert "no such data set on the hub" in refused(NEED)
    hub.repositories["org/name"] = {"other.json": b"[]"}
    assert f"org/name at revision {REVISION}: has no file part/dev.json" in refused(NEED)
    hub.faults["/api/"] = 403
    assert "accept its terms at https://huggingface.co/datasets/org/name and set HF_TOKEN" in refused(NEED)
    hub.faults["/api/"] = 500
    assert "the hub cannot be reached, or gives up" in refused(NEED)


def test_offline_says_so(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE forbids to fetch it; unset it" in refused(NEED)
    assert hub.asked == []


def test_a_hub_that_does_not_answer_is_given_up_soon(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.repositories["org/name"] = {"part/dev.json": b"[]"}
    hub.faults["/api/"] = 3.0
    started = time.monotonic()
    assert "the hub cannot be reached" in refused(NEED)
    assert time.monotonic() - started < 2.5
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:1")
    assert "the hub cannot be reached" in refused(NEED)


def test_a_disk_that_is_too_small(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.repositories["org/name"] = {"part/dev.json": b"[]"}
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1}))
    assert "left; set HF_HOME to a larger disk" in refused(NEED)
    assert not any("resolve" in path for path in hub.asked)


def published(hub: Hub, monkeypatch: pytest.MonkeyPatch, name: str, data: bytes, sha256: str = "") -> Need:
    hub.repositories["up/stream"] = {name: data}
    address = Address(f"{hub.url}/up/stream/resolve/main/{name}", len(data), sha256)
    monkeypatch.setitem(needs.PUBLISHED, "set/rows.jsonl", address)
    return Need(("set/rows.jsonl",))


def test_from_upstreams_address(hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    data = gzip.compress(b'{"a": 1}\n')
    need = published(hub, monkeypatch, "rows.jsonl.gz", data, hashlib.sha256(data).hexdigest())
    got, told = fetched(need, folder=tmp_path)
    assert (got[0].path, got[0].bytes) == (tmp_path / "set/rows.jsonl.gz", len(data))
    assert need.address is not None
    assert need.address.url in told[0]
    assert files.find(Settings(tmp_path), "set/rows.jsonl") is not None
    assert fetched(need, folder=tmp_path, to=tmp_path / "other")[0][0].path == tmp_path / "other/set/rows.jsonl.gz"
    assert "needs a place to go to, --to DIR or --data-dir DIR" in refused(need)


def test_an_upstream_file_that_is_another_or_cut_or_gone(hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    need = published(hub, monkeypatch, "rows.jsonl", b"{}", "0" * 64)
    assert "not the published file (sha256 is " in refused(need, tmp_path)
    hub.faults["rows.jsonl"] = 404
    assert "cannot be fetched (HTTPError" in refused(need, tmp_path)
    hub.faults["rows.jsonl"] = 3.0
    started = time.monotonic()
    assert "cannot be fetched" in refused(need, tmp_path)
    assert time.monotonic() - started < 2.5
    monkeypatch.setattr(download, "SCHEMES", ("https",))
    assert "only https addresses are fetched" in refused(need, tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_files_never_leave_the_data_folder(hub: Hub, tmp_path: Path) -> None:
    hub.repositories["org/name"] = {"part/dev.json": b"[]"}
    need = Need(("../outside.json",), ("org/name/part/dev.json",))
    assert "'../outside.json' is no name of a file within" in refused(need, to=tmp_path / "data")
    assert not (tmp_path / "outside.json").exists()


def test_what_nobody_publishes_is_put_there_by_hand() -> None:
    message = refused(Need(("set/mine.json",), note="from your own notes"))
    assert message == "set/mine.json: cannot be fetched (from your own notes); put it into the data folder"
