"""`memeval cache`: what it says, what it removes, and that runs may go on beside it."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memeval.errors import UsageError
from memeval.models.cache import Cache
from memeval.models.cache_command import cache_command, size_in_bytes
from memeval.models.completion import Completion
from memeval.models.journal import Journal, encode


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MEMEVAL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


def fill(folder: Path, ages: list[float], text: str = "x" * 1000, model: str = "http://h/v1 m") -> None:
    """Replies made so many days ago, numbered from 0."""
    journal = Journal(folder / "calls.sqlite")
    journal.put_rows([(key(n), model, time.time() - age * 86_400, encode(Completion(text))) for n, age in enumerate(ages)])
    journal.close()


def left(folder: Path) -> list[int]:
    journal = Journal(folder / "calls.sqlite")
    found = [n for n in range(100) if journal.get(key(n)) is not None]
    journal.close()
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
    journal = Journal(folder / "calls.sqlite")
    journal.put(key(50), "small", Completion("é"))
    journal.close()
    (folder / "calls.sqlite.set-aside-1").write_text("not ours")
    found = said(capsys, "stats", form="json")
    assert (found["entries"], found["set_aside"]) == (3, ["calls.sqlite.set-aside-1"])
    assert [(row["model"], row["entries"]) for row in found["models"]] == [("http://h/v1 m", 2), ("small", 1)]
    value = encode(Completion("x" * 1000))
    assert found["models"][0]["bytes"] == 2 * (len(value) + len("http://h/v1 m") + 72)
    assert found["models"][1]["bytes"] == len(encode(Completion("é")).encode()) + len("small") + 72
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


def test_prune_by_size_keeps_the_newest(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(folder, [5, 1, 4, 2, 3])
    one = said(capsys, "stats", form="json")["bytes"] // 5
    assert said(capsys, "prune", max_size=f"{3 * one}", form="json")["removed"] == 2
    assert left(folder) == [1, 3, 4]
    assert said(capsys, "prune", max_size=f"{2 * one}B", older_than=2.5, form="json")["removed"] == 1
    assert left(folder) == [1, 3]
    assert said(capsys, "prune", max_size="1GB", form="json")["removed"] == 0


@settings(deadline=None, max_examples=40, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 300)), max_size=20), st.integers(0, 51), st.integers(0, 4000))
def test_what_prune_leaves(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, int]], before: int, keep: int
) -> None:
    """The longest run of newest entries that fits, of those that are not too old."""
    journal = Journal(tmp_path_factory.mktemp("prune") / "calls.sqlite")
    values = [encode(Completion("x" * length)) for _, length in rows]
    journal.put_rows([(key(n), "m", float(created), values[n]) for n, (created, _) in enumerate(rows)])
    expected, size = set(), 0
    for n in sorted(range(len(rows)), key=lambda n: (rows[n][0], n), reverse=True):
        size += len(values[n]) + 1 + 72
        if size <= keep and rows[n][0] >= before:
            expected.add(n)
    removed = journal.prune(before, keep)
    assert {n for n in range(len(rows)) if journal.get(key(n)) is not None} == expected
    assert removed == len(rows) - len(expected)
    journal.close()


def test_many_entries_go_in_small_transactions(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memeval.models.journal._BATCH", 7)
    fill(folder, [1] * 50)
    journal = Journal(folder / "calls.sqlite")
    sizes = []
    remove = journal._remove
    monkeypatch.setattr(journal, "_remove", lambda some: sizes.append(len(some)) or remove(some))
    assert journal.prune(time.time()) == 50
    assert sizes == [7] * 7 + [1]
    journal.close()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"verb": "prune"}, "say what to remove, --older-than DAYS or --max-size SIZE"),
        ({"verb": "prune", "older_than": -1.0}, "--older-than -1.0: expected days"),
        ({"verb": "prune", "older_than": float("nan")}, "--older-than nan: expected days"),
        ({"verb": "prune", "max_size": "much"}, "--max-size much: expected a size such as 500MB"),
        ({"verb": "prun", "older_than": 1.0}, "no such verb; did you mean 'prune'?"),
    ],
)
def test_wrong_limits(folder: Path, call: dict[str, Any], message: str) -> None:
    fill(folder, [1])
    with pytest.raises(UsageError) as caught:
        cache_command(**call)
    assert message in str(caught.value)
    assert left(folder) == [0]


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("1000000", 10**6), ("500MB", 5 * 10**8), ("1.5 GiB", 3 * 2**29), (" 2gb ", 2 * 10**9), ("10kb", 10_000)],
)
def test_sizes(text: str, size: int) -> None:
    assert size_in_bytes(text) == size


def test_a_damaged_cache_is_set_aside(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder.mkdir()
    (folder / "calls.sqlite").write_bytes(b"not a database at all, but long enough to be looked at as one" * 20)
    found = said(capsys, "stats", form="json")
    assert (found["entries"], found["set_aside"]) == (0, ["calls.sqlite.set-aside-1"])


# -- beside runs ------------------------------------------------------------------------------------------------------

RUN = """
import sys, time
from memeval.models.cache import Cache
from memeval.models.completion import Completion
from memeval.models.journal import encode

notices = []
cache = Cache(notice=notices.append)
end, number, hits, misses = time.monotonic() + float(sys.argv[1]), 0, 0, 0
print("going", flush=True)
while time.monotonic() < end:
    number += 1
    key = number.to_bytes(32, "big")
    cache.put_text(key, "m", encode(Completion(f"reply {number}" + "x" * 2000)))
    if number % 5 == 0:
        cache.flush()
    for earlier in range(max(1, number - 20), number + 1):
        found = cache.get(earlier.to_bytes(32, "big"))
        if found is None:
            misses += 1
        else:
            assert found.text.startswith(f"reply {earlier}x"), found
            hits += 1
cache.flush()
for last in range(number, number + 10):
    cache.put_text(last.to_bytes(32, "big"), "m", encode(Completion(f"reply {last}" + "x" * 2000)))
print("done", flush=True)
sys.stdin.readline()
cache.flush()
cache.close()
assert not notices, notices
print(number, hits, misses)
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
        removed += said(capsys, "prune", max_size="20kB", form="json")["removed"]
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
    cache = Cache()
    cache.put_text(key(1), "m", encode(Completion("one")))
    cache.flush()
    assert said(capsys, "clear", yes=True, form="json")["removed"] == 1
    assert cache.get(key(1)) is None
    cache.put_text(key(1), "m", encode(Completion("again")))
    cache.close()
    assert Cache().get(key(1)) == Completion("again")


def test_room_that_cannot_be_given_back_is_said(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    fill(folder, [1] * 5)
    monkeypatch.setattr(Journal, "compact", lambda self: False)
    assert "it is in use, so it could not be made smaller now" in said(capsys, "clear", yes=True)


@pytest.mark.skipif(os.name != "posix", reason="locks of SQLite as on POSIX")
def test_compacting_gives_up_on_a_file_in_use(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(folder, [1] * 5)
    other = sqlite3.connect(folder / "calls.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    journal = Journal(folder / "calls.sqlite")
    execute = journal._database.execute

    class Hasty:
        """The same connection with less patience."""

        def execute(self, text: str) -> Any:
            return execute(text.replace("busy_timeout = 5000", "busy_timeout = 50"))

    monkeypatch.setattr(journal, "_database", Hasty())
    assert journal.compact() is False
    other.execute("COMMIT")
    assert journal.compact() is True
    other.close()
