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
from click.testing import CliRunner

from memeval.cli import main
from memeval.commands import cache as command
from memeval.errors import UsageError
from memeval.models.completion import Completion
from memeval.models.store import Store, open_cache
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


def stats() -> Any:
    return json.loads(command.stats("json"))


def test_no_cache_yet(folder: Path) -> None:
    assert command.stats().startswith(f"{folder / 'calls.sqlite'}: 0 replies, ")
    assert command.clear(yes=True).startswith("removed 0 replies, 0 left")
    assert (stats()["entries"], stats()["models"], stats()["data"]["entries"]) == (0, [], 0)
    assert not folder.exists()


@pytest.mark.parametrize("calls", [0, 3])
def test_records_of_data_files_are_shown_and_cleared_and_nothing_else_in_their_folder(folder: Path, calls: int) -> None:
    if calls:
        fill(folder, [0.0] * calls)
    ours = [folder / "data" / name for name in (f"{'a' * 32}.jsonl", f"{'b' * 32}.jsonl.4711.99")]
    others = [folder / "data" / name for name in ("notes.txt", f"{'a' * 31}.jsonl", f"{'c' * 32}.jsonl/mine")]
    for path in (*ours, *others):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("12345")
    assert stats()["data"] == {"path": str(folder / "data"), "entries": 2, "bytes": 10}
    assert f"{folder / 'data'}: the records of 2 data files" in command.stats()
    with pytest.raises(UsageError, match=rf"removes all {calls} replies from .* the records of 2 data files; add --yes"):
        command.clear()
    command.prune(1.0)
    assert all(path.exists() for path in ours)
    assert command.clear(yes=True).endswith("removed the records of 2 data files")
    assert [path.exists() for path in (*ours, *others)] == [False, False, True, True, True]
    assert left(folder) == []


@pytest.mark.parametrize("verb", [command.stats, lambda: command.clear(True), lambda: command.prune(1.0)])
def test_what_is_no_cache_is_left_alone_and_named(folder: Path, verb: Any) -> None:
    folder.write_text("mine")
    with pytest.raises(UsageError, match="cache: not a folder; move it away, or set MEMEVAL_CACHE"):
        verb()
    assert folder.read_text() == "mine"
    folder.unlink()
    (folder / "calls.sqlite").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"calls\.sqlite: not a file; move it away"):
        verb()


def test_stats_by_model(folder: Path) -> None:
    fill(folder, [3, 1], "x" * 1000)
    store = Store(folder / "calls.sqlite")
    put(store, 50, Completion("é"))
    store.close()
    (folder / "calls.sqlite.set-aside-1").write_text("not ours")
    found = stats()
    assert (found["entries"], found["set_aside"]) == (3, ["calls.sqlite.set-aside-1"])
    assert [(row["model"], row["entries"]) for row in found["models"]] == [("http://h/v1 m", 2), ("small", 1)]
    value = as_text(Completion("x" * 1000))
    assert found["models"][0]["bytes"] == 2 * (len(value) + len("http://h/v1 m") + 72)
    assert found["models"][1]["bytes"] == len(as_text(Completion("é")).encode()) + len("small") + 72
    assert found["models"][0]["newest"] - found["models"][0]["oldest"] == pytest.approx(2 * 86_400, abs=5)
    assert found["file_bytes"] > found["bytes"]
    table = command.stats()
    assert "3 replies" in table
    assert "| http://h/v1 m |" in table
    assert "never read again: calls.sqlite.set-aside-1" in table


def test_clear_needs_a_yes(folder: Path) -> None:
    fill(folder, [0] * 30, "x" * 50_000)
    with pytest.raises(UsageError, match="this removes all 30 replies from .*; add --yes"):
        command.clear()
    assert len(left(folder)) == 30
    assert command.clear(yes=True).startswith("removed 30 replies, 0 left")
    assert stats()["file_bytes"] < 100_000
    assert left(folder) == []


def test_prune_by_age(folder: Path) -> None:
    fill(folder, [10, 5, 2.1, 1.9, 0])
    assert "removed 3 replies, 2 left" in command.prune(2)
    assert left(folder) == [3, 4]
    assert "removed 0 replies, 2 left" in command.prune(2)
    assert "removed 2 replies, 0 left" in command.prune(0)


def test_many_entries_go_in_small_transactions(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(folder, [1] * 2500 + [0] * 3)
    store = Store(folder / "calls.sqlite")
    assert (store.prune(time.time() - 3600), len(store)) == (2500, 3)
    store.close()


@pytest.mark.parametrize("days", [["--older-than", "-1"], ["--older-than", "nan"], ["--older-than", "inf"], []])
def test_wrong_limits(folder: Path, days: list[str]) -> None:
    fill(folder, [1])
    assert CliRunner().invoke(main, ["cache", "prune", *days]).exit_code == 2
    assert "did you mean 'prune'?" in CliRunner().invoke(main, ["cache", "prun", *days]).output
    assert left(folder) == [0]


def test_a_damaged_cache_is_set_aside(folder: Path) -> None:
    folder.mkdir()
    (folder / "calls.sqlite").write_bytes(b"not a database at all, but long enough to be looked at as one" * 20)
    found = stats()
    assert (found["entries"], found["set_aside"]) == (0, ["calls.sqlite.set-aside-1"])


# -- beside runs ------------------------------------------------------------------------------------------------------

RUN = """
import asyncio, os, sys
from memeval.models.store import open_cache
from memeval.models.completion import Completion

cache = open_cache()

async def put(number):
    await cache.put(number.to_bytes(32, "big"), "m", Completion(f"reply {number}" + "x" * 2000))

async def main():
    number, hits, misses = 0, 0, 0
    print("going", flush=True)
    while not (hits and misses and os.path.exists(sys.argv[1])):
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
"""


def test_safe_beside_processes_that_use_the_cache(folder: Path, tmp_path: Path) -> None:
    """Two processes fill and read the cache while it is cleared and pruned over and over: nobody fails, nobody reads another
    reply than was stored, and what is stored afterwards stays."""
    enough = tmp_path / "enough"
    program = [sys.executable, "-c", RUN, str(enough)]
    runs = [
        subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in runs:
        assert process.stdout is not None
        assert process.stdout.readline() == "going\n"
    removed = rounds = 0
    while rounds < 10 or not removed:
        for text in (command.clear(yes=True), command.prune(0.0)):
            removed += int(text.split()[1].replace(",", ""))
        rounds += 1
    enough.touch()
    for process in runs:
        assert process.stdout is not None
        assert process.stdout.readline() == "done\n"
    command.clear(yes=True)
    for process in runs:
        out, err = process.communicate("\n")
        assert (process.returncode, err) == (0, "")
        number, hits, misses = map(int, out.split())
        assert hits > 0
        assert misses > 0
    database = sqlite3.connect(folder / "calls.sqlite")
    assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    (entries,) = database.execute("SELECT count(*) FROM calls").fetchone()
    assert 10 <= entries <= 20  # the last ten of each, which may be the same
    database.close()
    assert not list(folder.glob("*.set-aside-*"))
    assert number > 0


def test_a_run_that_is_going_misses_and_goes_on(folder: Path) -> None:
    cache = open_cache()
    put(cache, 1, Completion("one"))
    assert command.clear(yes=True).startswith("removed 1 reply,")
    assert get(cache, 1) is None
    put(cache, 1, Completion("again"))
    cache.close()
    again = open_cache()
    assert get(again, 1) == Completion("again")
    again.close()


def test_space_that_cannot_be_given_back_is_said(folder: Path, monkeypatch: Any) -> None:
    fill(folder, [1] * 5)
    monkeypatch.setattr(Store, "compact", lambda self: False)
    assert "which is in use and could not be made smaller now" in command.clear(yes=True)
