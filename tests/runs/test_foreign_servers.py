"""Agents that are servers: with the messages of memeval, and with an API of their own."""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import preloaded
import pytest
import yaml
from folders import read_lines, run_folders
from hypothesis import given
from hypothesis import strategies as st
from toys import simple

from memeval.agents.foreign.routes import Routes, address, check_routes, filled
from memeval.agents.foreign.server import Server
from memeval.errors import UsageError
from memeval.runs.run import run
from memeval.typed import typed

PAGE = (Path(__file__).parents[2] / "docs" / "foreign.md").read_text(encoding="utf-8")
RUN = ["run", "--task", "synth-10k", "--limit", "2", "--model", "offline", "--format", "json", "--quiet"]


class Made(ThreadingHTTPServer):
    """Gives each request to `reply(method, path, body)`, which returns a status and a JSON value. `seen`: the requests."""

    daemon_threads = True

    def __init__(self, reply: Any) -> None:
        self.reply, self.seen, self.keys = reply, [], []
        self.lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65536  # head and body in one packet
    server: Made

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with self.server.lock:
            self.server.seen.append((self.command, self.path))
            self.server.keys.append(self.headers.get("Authorization"))
            status, value = self.server.reply(self.command, self.path, json.loads(body) if body else None)
        raw = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    do_GET = do_POST = do_DELETE = handle_any

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextlib.contextmanager
def served(reply: Any) -> Iterator[Made]:
    server = Made(reply)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Keeper:
    """A server that keeps every chunk. begin: what it adds to its reply to `begin`."""

    def __init__(self, **begin: Any) -> None:
        self.begin = {"methods": ["memory", "fork", "close"], **begin}
        self.notes: dict[str, list[Any]] = {}
        self.methods: list[str] = []

    def __call__(self, verb: str, path: str, m: Any) -> tuple[int, Any]:
        method = path.rpartition("/")[2]
        assert (verb, method) == ("POST", m["method"])
        self.methods.append(method)
        notes = self.notes.setdefault(m["context"], [])
        reply: dict[str, Any] = {"id": m["id"]}
        if method == "begin":
            reply |= self.begin
        elif method == "observe":
            notes.append({"text": m["chunk"]["text"], "chunks": [m["chunk"]["id"]]})
            reply["spent"] = [{"tokens": 10, "usd": 0.5}]
        elif method == "recall":
            reply |= {"items": notes, "order": "stream"}
        elif method == "memory":
            reply["entries"] = notes
        elif method == "close":
            del self.notes[m["context"]]
        return 200, reply


def test_a_server_gets_the_messages_of_each_context_under_its_own_name(project: Path) -> None:
    keeper = Keeper()
    with served(keeper) as server:
        done = preloaded.run([*RUN, "--agent", f"http:{server.url}/agent"], project)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["runs"]
    assert (row["n"], row["failed"]) == (2, 0)
    assert row["headline"]["value"] > 0.2  # it recalls the whole stream
    assert keeper.notes == {}  # all were closed, the one that was asked for the version too
    assert keeper.methods.count("begin") == keeper.methods.count("close") == 3
    assert {path for _, path in server.seen} == {
        f"/agent/{name}" for name in ("begin", "observe", "memory", "recall", "close")
    }
    services = [line["services"]["service"] for line in _operations(project) if line["chunk_tokens"]]
    assert {(one["calls"], one["tokens"], one["usd"]) for one in services} == {(1, 10, 0.5)}


def _operations(project: Path) -> list[dict[str, Any]]:
    (folder,) = run_folders(project / "runs")
    manifest = json.loads((folder / "manifest.json").read_text())
    return read_lines((folder / manifest["memory"]).resolve() / "operations.jsonl")


@pytest.mark.slow
def test_the_version_of_a_server_is_part_of_the_run(project: Path) -> None:
    keeper = Keeper(version="1.0")
    with served(keeper) as server:
        words = [word for word in RUN if word != "--quiet"] + ["--agent", server.url]
        first = json.loads(preloaded.run(words, project).stdout)["runs"][0]
        asked = keeper.methods.count("recall")
        preloaded.run(words, project)
        assert keeper.methods.count("recall") == asked  # read back
        keeper.begin["version"] = "2.0"
        third = preloaded.run(words, project)
    assert first["params"]["version"] == "1.0"
    assert "agent.params.version changed since" in third.stderr
    assert keeper.methods.count("recall") == 2 * asked
    with served(keeper) as server:
        other = preloaded.run([*RUN, "--agent", server.url, "--set", "version=3.0"], project)
    assert other.returncode == 3
    assert "its version is '2.0', and the run is of '3.0'" in (
        read_lines(_newest(project) / "samples.jsonl")[0]["failure"] or ""
    )


def _newest(project: Path) -> Path:
    return max(run_folders(project / "runs"), key=lambda path: (path / "manifest.json").stat().st_mtime)


def test_without_a_version_it_is_read_back_with_a_note(toy: Any, tmp_path: Path) -> None:
    with served(Keeper()) as server:
        for params, noted in (({"url": server.url}, True), ({"url": server.url, "version": "1"}, False)):
            made = toy.planned(Server.beside(tmp_path), [simple(0)], params=params)
            assert run(made, quiet=True).summary.service_read_back is False
            assert run(made, quiet=True).summary.service_read_back is noted


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (500, b"out of\nmemory", "observe: POST /observe: HTTP 500: out of memory"),
        (302, b"", "observe: POST /observe: HTTP 302: "),
        (200, b"<html>", "observe: sent what is not JSON: <html>"),
        (200, b"", "observe: sent null, expected a JSON object"),
        (200, b'{"id": "\\u001b[31m"}', 'observe: replied with id "\\u001b[31m", expected 2'),
    ],
)
def test_what_it_does_wrong_fails_the_context(toy: Any, tmp_path: Path, status: int, body: bytes, said: str) -> None:
    keeper = Keeper()

    def reply(verb: str, path: str, message: Any) -> tuple[int, Any]:
        return (status, body) if path.endswith("/observe") else keeper(verb, path, message)

    with served(reply) as server:
        failure = failed(toy, tmp_path, {"url": server.url})
    assert failure.startswith(f"ingest: 127.0.0.1:{server.server_address[1]}: {said}")
    assert keeper.methods == ["begin"]


def failed(toy: Any, folder: Path, params: dict[str, Any]) -> str:
    """Why the only question of a run has failed."""
    made = toy.planned(Server.beside(folder), [simple(0)], params=params)
    run(made, quiet=True)
    (sample,) = read_lines(made.spec.folder / "samples.jsonl")
    return str(sample["failure"])


# -- a server with an API of its own ----------------------------------------------------------------------------------


class Letta:
    """The routes of a Letta server that the card of the page uses, as its public API reference has them."""

    def __init__(self) -> None:
        self.agents: dict[str, list[dict[str, Any]]] = {}
        self.made: list[Any] = []

    def __call__(self, verb: str, path: str, body: Any) -> tuple[int, Any]:
        parts = urlsplit(path)
        if (verb, parts.path) == ("POST", "/v1/agents/"):
            agent = f"agent-{len(self.made)}"
            self.agents[agent] = []
            self.made.append(body)
            return 200, {"id": agent, "name": body["name"]}
        agent, _, rest = parts.path.removeprefix("/v1/agents/").partition("/")
        if agent not in self.agents:
            return 404, {"detail": "no such agent"}
        passages, query = self.agents[agent], parse_qs(parts.query)
        if (verb, rest) == ("POST", "archival-memory"):
            passages.append({"id": f"passage-{len(passages)}", "text": body["text"], "tags": body["tags"]})
            return 200, passages[-1:]
        if (verb, rest) == ("GET", "archival-memory/search"):
            words = set(query["query"][0].split())
            best = sorted(passages, key=lambda one: -len(words & set(one["text"].split())))[: int(query["top_k"][0])]
            found = [{"id": one["id"], "content": one["text"], "timestamp": "2026", "tags": one["tags"]} for one in best]
            return 200, {"count": len(found), "results": found}
        if (verb, rest) == ("GET", "archival-memory"):
            return 200, passages
        if (verb, rest) == ("DELETE", ""):
            del self.agents[agent]
            return 200, {"message": "deleted"}
        return 405, {"detail": f"{verb} {path}"}


def card(url: str) -> str:
    found = [block for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) if "routes:" in block]
    assert len(found) == 1
    return str(found[0]).replace("http://127.0.0.1:8283", url)


def test_the_card_of_the_page_reads_and_asks_a_server_with_these_routes(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    letta = Letta()
    monkeypatch.setenv("LETTA_KEY", "sk-letta")
    with served(letta) as server:
        (project / "letta.yaml").write_text(card(server.url).replace("  routes:", "  key: LETTA_KEY\n  routes:"))
        done = preloaded.run([*RUN, "--agent", "letta.yaml"], project)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["runs"]
    assert (row["n"], row["failed"]) == (2, 0)
    assert row["headline"]["value"] > 0.2
    assert row["memory_tokens"]["mean"] > 5000
    assert row["cost"]["usd"] is None  # what the server spends is not known
    assert letta.agents == {}  # deleted at the end
    names = {made["name"] for made in letta.made}
    assert len(names) == len(letta.made) == 2  # one namespace for each context
    assert letta.made[0]["include_base_tools"] is False
    assert set(server.keys) == {"Bearer sk-letta"}
    assert "sk-letta" not in (_newest(project) / "manifest.json").read_text()
    (sample, *_) = read_lines(_newest(project) / "samples.jsonl")
    assert all(re.fullmatch(r"c\d+", chunk) for item in sample["recall"] for chunk in item["chunks"])


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("{text}&top_k", "{txt}&top_k", "routes.recall: no value for '{txt}'; did you mean 'text'? (known: "),
        ("tags.0\n    memory", "tags.0\n      colour: red\n    memory", "unknown key 'routes.recall.colour'"),
        ("send: GET /v1/agents/{agent}/archival-memory/search", "send: FETCH /v1", "'routes.recall.send' is 'FETCH /v1"),
        ("keep: {agent: id}", "keep: {agnt: id}", "routes.observe: no value for '{agent}'; did you mean 'agnt'?"),
        ("    observe:", "    observes:", "routes"),
    ],
)
def test_a_card_that_cannot_work_is_said_before_the_run(project: Path, old: str, new: str, said: str) -> None:
    text = card("http://127.0.0.1:1")
    assert old in text
    (project / "letta.yaml").write_text(text.replace(old, new, 1))
    done = preloaded.run([*RUN, "--agent", "letta.yaml"], project)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ({"count": 0}, "recall: its reply has nothing at 'results'"),
        ({"results": "none"}, "recall: its reply has no list at 'results'"),
        ({"results": [{"id": 1}]}, "recall: its reply has nothing at 'content'"),
        ({"results": [{"id": [], "content": "a", "tags": ["c"]}]}, "recall: sent a reply that does not fit: "),
    ],
)
def test_a_reply_of_another_shape_fails_the_question(toy: Any, tmp_path: Path, reply: Any, said: str) -> None:
    letta = Letta()

    def wrong(verb: str, path: str, body: Any) -> tuple[int, Any]:
        return (200, reply) if "/search" in path else letta(verb, path, body)

    with served(wrong) as server:
        assert said in failed(toy, tmp_path, yaml.safe_load(card(server.url))["params"])


@given(st.text(), st.text())
def test_a_value_is_one_part_of_an_address_whatever_it_holds(text: str, other: str) -> None:
    text, other = (value.encode("utf-8", "replace").decode() for value in (text, other))
    path = address("/agents/{name}/search?query={text}&k={k}", {"name": text, "text": other, "k": 3})
    assert path.isascii()
    before, _, query = path.partition("?")
    assert [unquote(part) for part in before.split("/")] == ["", "agents", text, "search"]
    assert [unquote(part.partition("=")[2]) for part in query.split("&")] == [other, "3"]


def test_templates_only_replace_names() -> None:
    values = {"text": "{k} {{text}} {text.__class__}", "k": 3, "many": [1]}
    body = {"a {k}": ["{text}", "{k}", "k: {k}", "{many}", 5, None], "literal": "{{k}} {0.real} {k!r}"}
    assert filled(body, values) == {
        "a 3": ["{k} {{text}} {text.__class__}", 3, "k: 3", [1], 5, None],
        "literal": "{k} {0.real} {k!r}",
    }


def test_the_key_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with pytest.raises(UsageError, match="the environment has no variable NO_SUCH_KEY"):
        Server("http://127.0.0.1:1", key="NO_SUCH_KEY")


def test_a_route_may_use_what_params_give() -> None:
    routes = typed({"observe": {"send": "POST /{room}"}, "recall": {"send": "GET /"}}, Routes, "card")
    check_routes(routes, {"room": 1}, "card")
    with pytest.raises(UsageError, match="room"):
        check_routes(routes, {}, "card")
