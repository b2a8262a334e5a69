"""Fetching from a fake hub on loopback: huggingface_hub itself is real, only its server is a fake."""

from __future__ import annotations

import gzip
import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from memeval.data import fetch, files
from memeval.data.files import DataFile
from memeval.errors import NoData, UsageError

REVISION = "89abcdef0123456789abcdef0123456789abcdef"
ROWS = [{"id": "a", "text": "zwei – ü"}, {"id": "b", "text": "x"}]


@dataclass
class Hub:
    """repositories: name -> path -> content. faults: part of a path -> status, or seconds of silence."""

    url: str
    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    silent: threading.Event | None = None
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
            if hub.silent and path.startswith("/api/"):
                hub.silent.wait(600)  # longer than a test may take
            for part, fault in hub.faults.items():
                if part in f"{self.command} {path}":
                    if fault == 403:
                        self.answer(403, b"", {"X-Error-Code": "GatedRepo"})
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
    monkeypatch.delenv("MEMEVAL_DATA", raising=False)
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
    monkeypatch.setattr(fetch, "SECONDS", 0.5)
    yield found
    server.shutdown()
    server.server_close()


def got(file: DataFile, data_dir: Path | None = None, to: Path | None = None) -> tuple[list[fetch.Fetched], list[str]]:
    said: list[str] = []
    return fetch.fetch(file, data_dir, to, said.append), said


def refused(file: DataFile, data_dir: Path | None = None, to: Path | None = None) -> str:
    with pytest.raises(UsageError) as caught:
        got(file, data_dir, to)
    message = str(caught.value)
    assert "\n" not in message
    return message


FILE = DataFile(("set/dev.json",), ("org/name/part/dev.json",))


def test_into_the_hubs_cache_where_tasks_find_it_offline(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.repositories["org/name"] = {"part/dev.json": b"[]", "README.md": b"x"}
    (item,), said = got(FILE)
    assert item.origin == f"org/name@{REVISION}/part/dev.json"
    assert "org/name/part/dev.json" in said[0]
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    (found,) = files.find(FILE, None, "toy")
    assert (found.path, found.revision) == (item.path, REVISION)
    assert files.at_hand(FILE, None) == fetch.from_hub("org/name/part/*.json") == (found,)
    assert not any("README" in path for path in hub.asked)
    assert fetch.in_cache("org/name/other.json") == ()


def test_what_is_pinned_and_cached_asks_no_network(hub: Hub) -> None:
    hub.repositories["org/name"] = {"part/dev.json": b"[]"}
    pinned = DataFile(("set/dev.json",), (f"org/name@{REVISION}/part/dev.json",))
    got(pinned)
    hub.asked.clear()
    assert files.find(pinned, None, "toy")[0].revision == REVISION
    assert hub.asked == []


def test_the_cached_copy_serves_where_the_hub_does_not_answer(hub: Hub) -> None:
    hub.repositories["org/name"] = {"part/dev.json": b"[]"}
    (item,), _ = got(FILE)
    hub.silent = threading.Event()
    assert files.find(FILE, None, "toy")[0].path == item.path
    hub.silent.set()


def test_a_run_downloads_what_is_missing(hub: Hub) -> None:
    hub.repositories["org/name"] = {"part/dev.json": b"[]"}
    assert files.find(FILE, None, "toy")[0].hub == "org/name"
    with pytest.raises(NoData, match="'toy': no data; put set/no.json .* no such data set on the hub.* run a bundled"):
        files.find(DataFile(("set/no.json",), ("org/no/no.json",)), None, "toy")


def test_laid_out_as_a_data_folder(hub: Hub, tmp_path: Path) -> None:
    hub.repositories["org/name"] = {
        "dev.json": b"[]",
        "a/validation-0.parquet": b"PAR1",
        "a/validation-1.parquet": b"PAR1",
        "zipped.jsonl.gz": gzip.compress(b"{}"),
    }
    to = tmp_path / "data"
    (item,), _ = got(DataFile(("one/other.json", "one/dev.json"), ("org/name/dev.json",)), to=to)
    assert item.path == to / "one/dev.json"
    shards = DataFile(("six/validation-*.parquet",), ("org/name/a/validation-*.parquet",))
    assert [item.path.name for item in got(shards, to=to)[0]] == ["validation-0.parquet", "validation-1.parquet"]
    assert len(files.local(shards, to)) == 2
    zipped = DataFile(("seven/zipped.jsonl",), ("org/name/zipped.jsonl.gz",))
    assert got(zipped, to=to)[0][0].path == to / "seven/zipped.jsonl.gz"
    renamed = DataFile(("eight/questions.csv",), ("org/name/dev.json",))
    assert "dev.json is not among eight/questions.csv (plain or .gz); fetch without --to" in refused(renamed, to=to)
    assert not list(to.rglob("*.part"))


def test_the_next_place_is_tried(hub: Hub) -> None:
    hub.repositories["org/second"] = {"dev.json": b"[]"}
    (item,), _ = got(DataFile(("set/dev.json",), ("org/first/dev.json", "org/second/dev.json")))
    assert item.origin.startswith("org/second@")


def test_what_the_hub_refuses(hub: Hub) -> None:
    assert "no such data set on the hub" in refused(FILE)
    hub.repositories["org/name"] = {"other.json": b"[]"}
    assert "org/name: has no file part/dev.json" in refused(FILE)
    hub.faults["/api/"] = 403
    assert "accept its terms at https://huggingface.co/datasets/org/name and set HF_TOKEN" in refused(FILE)
    hub.faults["/api/"] = 500
    assert "the hub cannot be reached" in refused(FILE)


def test_offline_says_so(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE forbids the download" in refused(FILE)
    assert hub.asked == []


def upstream(hub: Hub, name: str, data: bytes, sha256: str = "") -> DataFile:
    hub.repositories["up/stream"] = {name: data}
    return DataFile(("set/rows.jsonl",), url=f"{hub.url}/up/stream/resolve/main/{name}", sha256=sha256)


def test_from_upstreams_address(hub: Hub, tmp_path: Path) -> None:
    data = gzip.compress(b'{"a": 1}\n')
    file = upstream(hub, "rows.jsonl.gz", data, hashlib.sha256(data).hexdigest())
    (item,), said = got(file, data_dir=tmp_path)
    assert (item.path, item.path.read_bytes(), item.origin) == (tmp_path / "set/rows.jsonl.gz", data, file.url)
    assert file.url in said[0]
    assert files.local(file, tmp_path)
    assert got(file, data_dir=tmp_path, to=tmp_path / "other")[0][0].path == tmp_path / "other/set/rows.jsonl.gz"
    assert "needs a place to go to, --to DIR or --data-dir DIR" in refused(file)


def test_an_upstream_file_that_is_another_or_cut_or_gone(hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = upstream(hub, "rows.jsonl", b"{}", "0" * 64)
    assert "not the published file (sha256 is " in refused(file, tmp_path)
    hub.faults["rows.jsonl"] = 404
    assert "cannot be fetched (HTTPError" in refused(file, tmp_path)
    hub.faults["rows.jsonl"] = 3.0
    assert "cannot be fetched" in refused(file, tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_files_never_leave_the_data_folder(hub: Hub, tmp_path: Path) -> None:
    hub.repositories["org/name"] = {"part/dev.json": b"[]"}
    file = DataFile(("../dev.json",), ("org/name/part/dev.json",))
    assert "'../dev.json' is not the name of a file within" in refused(file, to=tmp_path / "data")
    assert not (tmp_path / "dev.json").exists()


def test_what_has_no_place_is_put_there_by_hand() -> None:
    message = refused(DataFile(("set/mine.json",), note="from your own notes"))
    assert message == "set/mine.json: cannot be fetched (from your own notes); put it into the data folder"
