"""`memeval cache`: what it says, what it removes, and that runs may go on beside it."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from memeval.errors import UsageError
from memeval.models.cache import open_cache
from memeval.models.cache_command import cache_command
from memeval.models.completion import Completion
from memeval.models.store import Store
from memeval.records.clean import encode


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MEMEVAL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


def as_text(completion: Completion) -> str:
    return encode(completion).decode()


def get(store: Store, number: int) -> Completion | None:
    return asyncio.run(store.get(key(number)))


def put(store: Store, number: int, completion: Completion) -> None:
    asyncio.run(store.put(key(number), "small", completion))


def fill(folder: Path, ages: list[float], text: str = "x" * 1000, model: str = "http://h/v1 m") -> None:
    """Replies made so many days ago, numbered from 0."""
    Store(folder / "calls.sqlite").close()
    now, value = time.time(), as_text(Completion(text))
    with sqlite3.connect(folder / "calls.sqlite") as database:
        rows = [(key(n), model, now - age * 86_400, value) for n, age in enumerate(ages)]
        database.executemany("INSERT INTO calls VALUES (?, ?, ?, ?)", rows)
    database.close()


def left(folder: Path) -> list[int]:
    store = Store(folder / "calls.sqlite")
    found = [n for n in range(100) if get(store, n) is not None]
    store.close()
    return found


def said(capsys: pytest.CaptureFixture[str], *args: Any, **options: Any) -> Any:
    assert cache_command(*args, **options) == 0
    out = capsys.readouterr().out
    return json.loads(out) if options.get("form") == "json" else out


def test_no_cache_yet(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "stats") == f"no cache yet: {folder / 'calls.sqlite'}\n"
    assert said(capsys, "clear", yes=True).startswith("no cache yet")
    tasks = {"path": str(folder / "data"), "entries": 0, "bytes": 0}
    assert said(capsys, "stats", form="json") == {"path": str(folder / "calls.sqlite"), "entries": 0, "tasks": tasks}
    assert not folder.exists()


@pytest.mark.parametrize("calls", [0, 3])
def test_what_tasks_held_is_shown_and_cleared_and_nothing_else_in_their_folder(
    folder: Path, capsys: pytest.CaptureFixture[str], calls: int
) -> None:
    if calls:
        fill(folder, [0.0] * calls)
    ours = [folder / "data" / name for name in (f"{'a' * 32}.jsonl", f"{'b' * 32}.jsonl.4711.99")]
    others = [folder / "data" / name for name in ("notes.txt", f"{'a' * 31}.jsonl", f"{'c' * 32}.jsonl/mine")]
    for path in (*ours, *others):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("12345")
    assert said(capsys, "stats", form="json")["tasks"] == {"path": str(folder / "data"), "entries": 2, "bytes": 10}
    shown = f"the records of 2 data files ({folder / 'data'}, 0.0 MB)"
    assert shown in said(capsys, "stats")
    with pytest.raises(UsageError, match=rf"removes all {calls} replies from .* the records of 2 data files .*; add --yes"):
        cache_command("clear")
    assert shown not in said(capsys, "prune", older_than=1.0)
    assert all(path.exists() for path in ours)
    assert said(capsys, "clear", yes=True).endswith(f"removed {shown}\n")
    assert [path.exists() for path in (*ours, *others)] == [False, False, True, True, True]
    assert left(folder) == []


@pytest.mark.parametrize("verb", ["stats", "clear", "prune"])
def test_what_is_no_cache_is_left_alone_and_named(folder: Path, verb: str) -> None:
    folder.write_text("mine")
    with pytest.raises(UsageError, match="cache: not a folder; move it away, or set MEMEVAL_CACHE"):
        cache_command(verb, yes=True, older_than=1.0)
    assert folder.read_text() == "mine"
    folder.unlink()
    (folder / "calls.sqlite").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"calls\.sqlite: not a file; move it away"):
        cache_command(verb, yes=True, older_than=1.0)


def test_stats_by_model(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(folder, [3, 1], "x" * 1000)
    store = Store(folder / "calls.sqlite")
    put(store, 50, Completion("é"))
    store.close()
    (folder / "calls.sqlite.set-aside-1").write_text("not ours")
    found = said(capsys, "stats", form="json")
    assert (found["entries"], found["set_aside"]) == (3, ["calls.sqlite.set-aside-1"])
    assert [(row["model"], row["entries"]) for row in found["models"]] == [("http://h/v1 m", 2), ("small", 1)]
    value = as_text(Completion("x" * 1000))
    assert found["models"][0]["bytes"] == 2 * (len(value) + len("http://h/v1 m") + 72)
    assert found["models"][1]["bytes"] == len(as_text(Completion("é")).encode()) + len("small") + 72
    assert found["models"][0]["newest"] - found["models"][0]["oldest"] == pytest.approx(2 * 86_400, abs=5)
    assert found["file_bytes"] > found["bytes"]
    table = said(capsys, "stats")
    assert "3 replies" in table
    assert "| http://h/v1 m |" in table
    assert "never read again: calls.sqlite.set-aside-1" in table


def test_clear_needs_a_yes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(folder, [0] * 30, "x" * 50_000)
    with pytest.raises(UsageError, match="this removes all 30 replies from .*; add --yes"):
        cache_command("clear")
    assert len(left(folder)) == 30
    found = said(capsys, "clear", yes=True, form="json")
    assert (found["removed"], found["entries"], found["compacted"]) == (30, 0, True)
    assert found["file_bytes"] < 100_000
    assert left(folder) == []


def test_prune_by_age(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(folder, [10, 5, 2.1, 1.9, 0])
    assert "removed 3 replies, 2 left" in said(capsys, "prune", older_than=2)
    assert left(folder) == [3, 4]
    assert "removed 0 replies, 2 left" in said(capsys, "prune", older_than=2)
    assert "removed 2 replies, 0 left" in said(capsys, "prune", older_than=0)


def test_many_entries_go_in_small_transactions(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(folder, [1] * 2500 + [0] * 3)
    store = Store(folder / "calls.sqlite")
    assert (store.prune(time.time() - 3600), len(store)) == (2500, 3)
    store.close()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"verb": "prune"}, "say what to remove, --older-than DAYS"),
        ({"verb": "prune", "older_than": -1.0}, "--older-than -1.0: expected days"),
        ({"verb": "prune", "older_than": float("nan")}, "--older-than nan: expected days"),
        ({"verb": "prun", "older_than": 1.0}, "no such verb; did you mean 'prune'?"),
    ],
)
def test_wrong_limits(folder: Path, call: dict[str, Any], message: str) -> None:
    fill(folder, [1])
    with pytest.raises(UsageError) as caught:
        cache_command(**call)
    assert message in str(caught.value)
    assert left(folder) == [0]


def test_a_damaged_cache_is_set_aside(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder.mkdir()
    (folder / "calls.sqlite").write_bytes(b"not a database at all, but long enough to be looked at as one" * 20)
    found = said(capsys, "stats", form="json")
    assert (found["entries"], found["set_aside"]) == (0, ["calls.sqlite.set-aside-1"])


# -- beside runs ------------------------------------------------------------------------------------------------------

RUN = """
import asyncio, sys, time
from memeval.models.cache import open_cache
from memeval.models.completion import Completion

notices = []
cache = open_cache(notice=notices.append)

async def put(number):
    await cache.put(number.to_bytes(32, "big"), "m", Completion(f"reply {number}" + "x" * 2000))

async def main():
    end, number, hits, misses = time.monotonic() + float(sys.argv[1]), 0, 0, 0
    print("going", flush=True)
    while time.monotonic() < end:
        number += 1
        await put(number)
        for earlier in range(max(1, number - 20), number + 1):
            found = await cache.get(earlier.to_bytes(32, "big"))
            if found is None:
                misses += 1
            else:
                assert found.text.startswith(f"reply {earlier}x"), found
                hits += 1
    print("done", flush=True)
    sys.stdin.readline()
    for last in range(number, number + 10):
        await put(last)
    print(number, hits, misses)

asyncio.run(main())
cache.close()
assert not notices, notices
"""


def test_safe_beside_processes_that_use_the_cache(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two processes fill and read the cache while it is cleared and pruned over and over: nobody fails, nobody reads another
    reply than was stored, and what is stored afterwards stays."""
    command = [sys.executable, "-c", RUN, "2.0"]
    runs = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in runs:
        assert process.stdout is not None
        assert process.stdout.readline() == "going\n"
    removed = rounds = 0
    end = time.monotonic() + 1.8
    while time.monotonic() < end:
        removed += said(capsys, "clear", yes=True, form="json")["removed"]
        removed += said(capsys, "prune", older_than=0.0, form="json")["removed"]
        rounds += 1
    for process in runs:
        assert process.stdout is not None
        assert process.stdout.readline() == "done\n"
    said(capsys, "clear", yes=True)
    for process in runs:
        out, err = process.communicate("\n", timeout=60)
        assert process.returncode == 0, err
        number, hits, misses = map(int, out.split())
        assert hits > 0
        assert misses > 0
    assert rounds >= 2
    assert removed > 0
    database = sqlite3.connect(folder / "calls.sqlite")
    assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    (entries,) = database.execute("SELECT count(*) FROM calls").fetchone()
    assert 10 <= entries <= 20  # the last ten of each, which may be the same
    database.close()
    assert not list(folder.glob("*.set-aside-*"))
    assert number > 0


def test_a_run_that_is_going_misses_and_goes_on(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cache = open_cache()
    put(cache, 1, Completion("one"))
    assert said(capsys, "clear", yes=True, form="json")["removed"] == 1
    assert get(cache, 1) is None
    put(cache, 1, Completion("again"))
    cache.close()
    again = open_cache()
    assert get(again, 1) == Completion("again")
    again.close()


def test_room_that_cannot_be_given_back_is_said(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    fill(folder, [1] * 5)
    monkeypatch.setattr(Store, "compact", lambda self: False)
    assert "it is in use, so it could not be made smaller now" in said(capsys, "clear", yes=True)
