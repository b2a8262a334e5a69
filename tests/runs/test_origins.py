"""A run's stored replies are of one model: what its server lists when it starts again says whether it still is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from faulty_server import FaultyServer, in_thread
from msgspec.structs import replace
from test_notes import BM25, MEMALPHA, Place, body, codes, counted, place, texts  # noqa: F401

from memeval.models.completion import Usage
from memeval.records.files import write_rows
from memeval.records.folder import RunFolder
from memeval.records.manifest import Origin
from memeval.runs.origins import difference

ONE = {"id": "m", "object": "model", "root": "/ckpt/100"}
TWO = {"id": "m", "object": "model", "root": "/ckpt/200"}
GGUF, OTHER_GGUF = {"id": "a.gguf", "meta": {"n_ctx": 4096}}, {"id": "b.gguf", "meta": {"n_ctx": 4096}}


class Server(FaultyServer):
    """Answers as it counts, and lists `models`."""

    def __init__(self, models: Any = None) -> None:
        super().__init__(body=lambda asked: body("Arlen", counted(asked)), models=models and list(models))


def command(server: FaultyServer, *words: str, limit: int = 2) -> tuple[str, ...]:
    return (*BM25, "--model", "m", "--base-url", server.url, "--limit", str(limit), *words)


def origins(run: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(run["path"], "manifest.json").read_text())["origins"]
    return found


def refused(place: Place, words: tuple[str, ...]) -> str:  # noqa: F811
    code, out, err = place.run(*words)
    assert (code, out) == (2, ""), err
    (line,) = err.splitlines()
    return line


CHANGED = [([ONE], [TWO]), ([GGUF], [OTHER_GGUF]), ([ONE], [{"id": "other"}])]


@pytest.mark.parametrize(("before", "after"), CHANGED)
@pytest.mark.parametrize("limit", [2, 4])
def test_another_model_at_the_same_url_stops_the_run(place: Place, before: Any, after: Any, limit: int) -> None:  # noqa: F811
    """Whether the run is finished or is to be made larger."""
    with in_thread(Server(before)) as server:
        run = place.result(*command(server))
        assert origins(run)["reader"][0]["url"] == server.url
        server.models[:] = after
        line = refused(place, command(server, limit=limit))
        assert all(flag in line for flag in ("--tag", "--fresh", "--same-model", run["path"]))
        assert "--fresh-memory" not in line
        assert len(server.seen) == 2  # nothing was asked


def test_a_tag_files_the_new_model_apart(place: Place) -> None:  # noqa: F811
    with in_thread(Server([ONE])) as server:
        run = place.result(*command(server))
        server.models[:] = [TWO]
        tagged = place.result(*command(server, "--tag", "step-200"))
        assert tagged["path"] != run["path"]
        assert "read-back" not in codes(tagged)
        assert tagged["requests"] == 2


def test_fresh_asks_the_new_model(place: Place) -> None:  # noqa: F811
    """Also where the user's cache holds replies of the old one under the same name and URL."""
    with in_thread(Server([ONE])) as server:
        cached = [word for word in command(server) if word != "--no-cache"]
        run_words = ("run", "--task", "own.yaml", "--format", "json", "--quiet", *cached)
        assert place.call(*run_words)[0] == 0
        server.models[:] = [TWO]
        assert place.call(*run_words)[0] == 2
        code, out, _ = place.call(*run_words, "--fresh")
        (run,) = json.loads(out)["runs"]
        assert (code, run["requests"], len(server.seen)) == (0, 2, 4)
        assert origins(run)["reader"][-1]["root"] == "/ckpt/200"
        assert place.call(*run_words)[0] == 0


def test_the_same_model_under_another_listing_is_remembered(place: Place) -> None:  # noqa: F811
    with in_thread(Server([ONE])) as server:
        run = place.result(*command(server))
        server.models[:] = [TWO]
        assert place.result(*command(server, "--same-model"))["requests"] == 0
        assert [origin["root"] for origin in origins(run)["reader"]] == ["/ckpt/100", "/ckpt/200"]
        larger = place.result(*command(server, limit=4))
        assert (larger["requests"], codes(larger) & {"read-back"}) == (2, set())
        server.models[:] = [ONE]
        assert place.result(*command(server))["requests"] == 0
        server.models[:] = [{**ONE, "root": "/ckpt/300"}]
        assert "/ckpt/300" in refused(place, command(server))


def writing(asked: dict[str, Any]) -> Any:
    arguments = json.dumps({"memory_type": "semantic", "content": "Ann lives in Arlen."})
    call = {"id": "1", "type": "function", "function": {"name": "new_memory_insert", "arguments": arguments}}
    tools = asked.get("tools")
    return body(None if tools else "Arlen", counted(asked), message={"tool_calls": [call]} if tools else {})


def test_a_memory_of_another_model_names_its_own_flag(place: Place) -> None:  # noqa: F811
    """Also for another run that reads the memory, and where the run that built it is gone."""
    with in_thread(FaultyServer(body=writing, models=[ONE])) as server:
        words = (*MEMALPHA, "--memory", f"m@{server.url}", "--reader", "offline", "--limit", "2")
        run = place.result(*words)
        memory = json.loads(Path(run["memory"], "manifest.json").read_text())
        assert [origin["root"] for origin in memory["origins"]["memory"]] == ["/ckpt/100"]
        server.models[:] = [TWO]
        other = (*words, "--answer-budget", "50")
        assert "--fresh-memory" in refused(place, words)
        assert "--fresh-memory" in refused(place, other)
        assert place.call("remove", run["path"])[0] == 0
        assert "--fresh-memory" in refused(place, other)
        anew = place.result(*other, "--fresh-memory")
        assert (len(server.seen), anew["memory"] != run["memory"]) == (4, True)
        place.result(*other)
        assert len(server.seen) == 4


def test_the_same_model_is_remembered_for_its_memory(place: Place) -> None:  # noqa: F811
    with in_thread(FaultyServer(body=writing, models=[ONE])) as server:
        words = (*MEMALPHA, "--memory", f"m@{server.url}", "--reader", "offline", "--limit", "2")
        place.result(*words)
        server.models[:] = [TWO]
        place.result(*words, "--same-model", "--answer-budget", "20")  # a run that reads the memory, and built nothing
        for more in ((), ("--answer-budget", "50")):
            assert place.result(*words, *more)["status"] == "complete"
        assert len(server.seen) == 2


def test_other_models_come_and_go(place: Place) -> None:  # noqa: F811
    with in_thread(Server([ONE])) as server:
        place.result(*command(server))
        server.models[:] = [{"id": "new"}, ONE]
        again = place.result(*command(server))
        assert (again["requests"], codes(again) & {"read-back"}) == (0, set())


SAYS = re.compile(r"read back, made by (\S+) on (\d{4}-\d\d-\d\d) \(reader\); --fresh asks again")


def test_a_server_that_moved_is_paid_nothing_twice(place: Place) -> None:  # noqa: F811
    with in_thread(Server([ONE])) as first, in_thread(Server([ONE])) as second:
        run = place.result(*command(first))
        larger = place.result(*command(second, limit=4))
        assert (larger["path"], larger["requests"], len(second.seen)) == (run["path"], 2, 2)
        (text,) = texts(larger, "read-back")
        found = SAYS.fullmatch(text)
        assert found is not None
        assert found[1] == first.url
        assert text in place.run(*command(second, limit=4), form="table")[1]
        assert len(origins(larger)["reader"]) == 2
        with in_thread(Server([TWO])) as third:
            refused(place, command(third))


def test_a_server_without_a_list_is_nothing_to_compare(place: Place) -> None:  # noqa: F811
    with in_thread(Server()) as server:
        assert "read-back" not in codes(place.result(*command(server)))
        (text,) = texts(place.result(*command(server)), "read-back")
        assert SAYS.fullmatch(text)
        larger = place.result(*command(server, limit=4))
        assert texts(larger, "read-back") == [text]
        assert f"note: {text}" in place.call("show", larger["path"])[1]


def test_a_finished_run_is_read_back_without_its_server(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    with in_thread(Server([ONE])) as server:
        run = place.result(*command(server))
    again = place.result(*command(server))  # it is down now
    assert (again["requests"], again["headline"]) == (0, run["headline"])
    assert SAYS.fullmatch(texts(again, "read-back")[0])
    with in_thread(Server([ONE])) as other:  # and was not forgotten meanwhile
        assert "read-back" in codes(place.result(*command(other)))


def test_a_list_that_never_comes_is_not_waited_for(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    import asyncio

    from aiohttp import web

    class Silent(Server):
        async def _list(self, request: web.Request) -> web.Response:
            await asyncio.sleep(3600)
            raise AssertionError

    monkeypatch.setattr("memeval.runs.origins.PATIENCE", 0.2)
    with in_thread(Silent([ONE])) as server:
        assert place.result(*command(server))["status"] == "complete"


def test_models_on_this_machine_need_no_network(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    def never(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr("memeval.runs.origins.read_of", never)
    monkeypatch.setattr("socket.socket.connect", never)
    place.write("rules.jsonl", json.dumps({"contains": "", "reply": "Arlen"}) + "\n")
    assert place.result(*BM25)["status"] == "complete"
    assert place.result(*BM25, "--model", "scripted:rules.jsonl")["read_back"] == []


def test_roles_that_were_not_called_are_not_compared(place: Place) -> None:  # noqa: F811
    """bm25 has no use for a memory model."""
    with in_thread(Server([ONE])) as server, in_thread(Server([ONE])) as unused:
        words = command(server, "--memory", f"other@{unused.url}")
        place.result(*words)
        unused.models[:] = [OTHER_GGUF]
        assert place.result(*words)["requests"] == 0


def test_a_server_that_answered_nothing_made_nothing(place: Place) -> None:  # noqa: F811
    """Its calls failed: the next server is asked all of them."""
    with in_thread(Server([ONE])) as server:
        folder = Path(place.result(*command(server))["path"])
    failed = {"answer": None, "failure": "reader: no reply", "finish_reason": "error", "tokens": {"reader": Usage()}}
    write_rows(folder / "samples.jsonl", [replace(row, **failed) for row in RunFolder(folder).samples()])
    (folder / "calls.sqlite").unlink()
    with in_thread(Server([TWO])) as other:
        run = place.result(*command(other))
        assert (run["requests"], run["notes"]) == (2, place.result(*command(other, "--runs-dir", "anew"))["notes"])
        assert [origin["url"] for origin in origins(run)["reader"]] == [other.url]


def test_a_run_that_another_server_answered_is_no_candidate(place: Place) -> None:  # noqa: F811
    """The checkpoint behind the name may be a new one: nothing was asked of it."""
    with in_thread(Server([ONE])) as server:
        run = place.result(*command(server))
        words = ("gate", "--baseline", run["path"], "--candidate", run["path"], "--within-stream")
        assert place.call(*words)[0] == 0
    with in_thread(Server([ONE])) as other:
        assert place.result(*command(other))["requests"] == 0
        code, out, _ = place.call(*words)
        assert (code, f"made by {server.url}" in out, f"not by {other.url}" in out) == (3, True, True)
        tagged = place.result(*command(other, "--tag", "step-200"))
        assert place.call(*words[:3], "--candidate", tagged["path"], "--within-stream")[0] == 0
        place.result(*command(other, "--fresh"))
        assert place.call(*words)[0] == 0


LISTED = Origin(url="u", ids=("m",), root="/ckpt/100")


@pytest.mark.parametrize(
    ("before", "now", "phrase"),
    [
        (Origin(url="u"), LISTED, None),
        (LISTED, Origin(url="v"), None),
        (LISTED, LISTED, None),
        (LISTED, Origin(url="u", ids=("m",)), None),  # it says less than before
        (LISTED, Origin(url="u", ids=("m",), root="/ckpt/200"), "the server has '/ckpt/200' as 'm', not '/ckpt/100'"),
        (Origin(url="u", ids=("a", "b")), Origin(url="u", ids=("b", "c")), None),  # listed nowhere; the others come and go
        (Origin(url="u", ids=("a", "b")), Origin(url="u", ids=("c", "d")), "the server lists 'c', 'd', not 'a', 'b'"),
        (Origin(url="u", ids=("a.gguf",)), Origin(url="u", ids=("b.gguf",)), "the server lists 'b.gguf', not 'a.gguf'"),
        (LISTED, Origin(url="u", ids=("a", "b", "c", "d")), "the server lists 'a', 'b', 'c', ..., not 'm'"),
    ],
)
def test_what_tells_two_models_apart(before: Origin, now: Origin, phrase: str | None) -> None:
    assert difference(before, now, "m") == phrase
