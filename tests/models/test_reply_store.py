import asyncio
import errno
import json
import os
import signal
import sqlite3
import subprocess
import sys
from functools import partial
from pathlib import Path

import msgspec
import pytest

from memeval.config import cache_folder
from memeval.errors import UsageError
from memeval.models import store_file
from memeval.models.completion import Completion, Row, ToolCall, Usage
from memeval.models.store import Store, open_cache
from memeval.models.store_file import APPLICATION, SCHEMA

KEY = bytes(32)
FULL = Completion(
    "Paris",
    "hm",
    (ToolCall("f", {"a": [1, None, "é"]}, '{"a": 1}', None, "call-1"), ToolCall("", None, "x", "not JSON")),
    Usage(1, 2, 3, 4),
    "length",
    None,
    Row((1, 2), (3,), (-0.5,)),
)


def get(store, key=KEY):
    return asyncio.run(store.get(key))


def put(store, completion, key=KEY):
    asyncio.run(store.put(key, "m", completion))


@pytest.fixture
def opened(tmp_path):
    """`opened(path)`: a store that is closed after the test."""
    stores = []

    def make(path=None):
        stores.append(Store(path or tmp_path / "calls.sqlite"))
        return stores[-1]

    yield make
    for store in stores:
        store.close()


def test_a_completion_comes_back_as_it_was(tmp_path, opened):
    store = opened(tmp_path / "deep" / "calls.sqlite")
    assert get(store) is None
    put(store, FULL)
    assert get(store) == FULL
    store.close()
    again = opened(tmp_path / "deep" / "calls.sqlite")
    assert (get(again), len(again)) == (FULL, 1)


def test_the_first_reply_stays_and_errors_are_not_stored(opened):
    store = opened()
    put(store, Completion(error="HTTP 500"))
    assert get(store) is None
    put(store, Completion("first"))
    assert asyncio.run(store.put(KEY, "m", Completion("second"))) == Completion("first")  # what its caller goes on with
    assert get(store) == Completion("first")


def test_many_replies_at_once_are_all_committed_when_their_calls_go_on(tmp_path, opened):
    store = opened()

    async def one(number):
        key = number.to_bytes(32, "big")
        await store.put(key, "m", Completion(str(number)))
        with sqlite3.connect(tmp_path / "calls.sqlite") as other:  # another connection sees what is committed, and no more
            return other.execute("SELECT count(*) FROM calls WHERE key = ?", (key,)).fetchone()[0]

    async def main():
        return await asyncio.gather(*map(one, range(100)))

    assert asyncio.run(main()) == [1] * 100


def test_a_caller_that_is_cancelled_leaves_the_others_of_its_round_their_replies(opened):
    store = opened()

    async def main():
        calls = [asyncio.create_task(store.put(bytes([number] * 32), "m", FULL)) for number in range(3)]
        await asyncio.sleep(0)  # all three wait for one transaction
        calls[0].cancel()
        async with asyncio.timeout(30):
            return await asyncio.gather(*calls, return_exceptions=True)

    cancelled, *others = asyncio.run(main())
    assert isinstance(cancelled, asyncio.CancelledError)
    assert others == [FULL, FULL]
    assert len(store) == 3  # its reply was paid for


def test_how_the_file_is_set_up(tmp_path, opened):
    opened()
    with sqlite3.connect(tmp_path / "calls.sqlite") as other:
        assert [other.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "application_id")] == [
            "wal",
            APPLICATION,
        ]


def test_what_was_put_just_before_the_store_is_closed_is_committed(tmp_path, opened):
    store = opened()

    async def main():
        put_now = asyncio.create_task(store.put(KEY, "m", FULL))
        await asyncio.sleep(0)
        store.close()
        async with asyncio.timeout(30):
            return await put_now

    assert asyncio.run(main()) == FULL
    assert get(opened()) == FULL


def test_a_closed_store_takes_nothing(opened):
    store = opened()
    store.close()
    store.close()
    with pytest.raises(RuntimeError, match="closed"):
        get(store)
    with pytest.raises(RuntimeError, match="closed"):
        len(store)


def later_version(path):
    store = Store(path)
    store.close()
    with sqlite3.connect(path) as other:
        other.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    other.close()


def foreign_database(path):
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE theirs (a)")
    other.commit()
    other.close()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b"not a database, though long enough to look at" * 40),
        lambda path: path.write_text("{}"),
        foreign_database,
        later_version,
    ],
)
def test_a_damaged_or_foreign_file_is_set_aside_with_one_notice(tmp_path, opened, spoil, capsys):
    path = tmp_path / "calls.sqlite"
    for number in (1, 2):
        path.unlink(missing_ok=True)
        spoil(path)
        before = path.read_bytes()
        store = opened(path)
        put(store, FULL)
        assert get(store) == FULL
        store.close()
        assert (tmp_path / f"calls.sqlite.set-aside-{number}").read_bytes() == before
        (notice,) = capsys.readouterr().err.splitlines()
        assert "set aside" in notice


def test_a_damaged_file_that_another_process_has_set_aside_meanwhile_is_set_aside_once(tmp_path, opened, monkeypatch):
    path = tmp_path / "calls.sqlite"
    path.write_bytes(b"not a database, though long enough to look at" * 40)
    connected, others = store_file.connected, []

    def late(path, shared):
        try:
            return connected(path, shared)
        except sqlite3.DatabaseError:
            if not others:
                others.append(None)  # the other one finds the damage too, and is quicker
                put(opened(path), FULL)
            raise

    monkeypatch.setattr(store_file, "connected", late)
    assert get(opened(path)) == FULL
    assert [each.name for each in tmp_path.glob("*set-aside*")] == ["calls.sqlite.set-aside-1"]


@pytest.mark.parametrize("optional", [False, True])
def test_a_file_that_another_program_keeps_writing_is_one_line(tmp_path, monkeypatch, capsys, optional):
    path = tmp_path / "calls.sqlite"
    set_aside = store_file.set_aside

    def written_again(path, tried, reason):
        set_aside(path, tried, reason)
        foreign_database(path)

    monkeypatch.setattr(store_file, "set_aside", written_again)
    foreign_database(path)
    if optional:
        Store(path, optional=True).close()
        said = capsys.readouterr().err.splitlines()[-1]
    else:
        with pytest.raises(UsageError) as caught:
            Store(path)
        said = str(caught.value)
    assert "calls.sqlite: cannot be used (not a file of this version of memeval, 3 times in a row: does another" in said
    assert len(list(tmp_path.glob("*set-aside*"))) == 2


def test_damage_found_later_is_set_aside_as_well(tmp_path, opened, capsys):
    path = tmp_path / "calls.sqlite"
    first = opened(path)

    async def fill():
        await asyncio.gather(*(first.put(number.to_bytes(32, "big"), "m", FULL) for number in range(2000)))

    asyncio.run(fill())
    first.close()
    raw = bytearray(path.read_bytes())
    raw[4096:] = b"\xff" * (len(raw) - 4096)  # every page but the first
    path.write_bytes(raw)
    store = opened(path)
    assert get(store) is None
    put(store, FULL)
    assert get(store) == FULL
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_row_that_cannot_be_read_is_called_again(tmp_path, opened):
    store = opened()
    odd = [{"tool_calls": [{"arguments": {}}]}, {"text": 5}, {"finish_reason": None}]
    halved = json.dumps(msgspec.to_builtins(FULL)).encode() + b"\xff"  # half a character, as on a damaged disk
    for value in ("{", "[]", halved, *(json.dumps({**msgspec.to_builtins(FULL), **change}) for change in odd)):
        other = sqlite3.connect(tmp_path / "calls.sqlite", isolation_level=None)
        other.execute("DELETE FROM calls")
        other.execute("INSERT INTO calls VALUES (?, 'm', 0, CAST(? AS TEXT))", (KEY, value))
        other.close()
        assert get(store) is None
        put(store, FULL)
        assert get(store) == FULL


def test_a_file_that_cannot_be_written_is_one_line(tmp_path, opened):
    (tmp_path / "calls.sqlite").mkdir()
    with pytest.raises(UsageError, match=r"calls\.sqlite: cannot be used"):
        opened()
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be used"):
        opened(tmp_path / "file" / "calls.sqlite")
    store = opened(tmp_path / "full.sqlite")
    store._do(lambda: store._database.execute("PRAGMA max_page_count = 1"))
    with pytest.raises(UsageError, match="full"):
        put(store, Completion("x" * 100_000))


WRITER = """
import asyncio, sys
from pathlib import Path
from memeval.models.completion import Completion
from memeval.models.store import Store
path, first, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
store = Store(path)
async def main():
    for number in range(first, first + count):
        await store.put(number.to_bytes(32, "big"), "m", Completion("x" * (number % 5000)))
        print(number, flush=True)
asyncio.run(main())
store.close()
"""


def test_what_was_acknowledged_survives_sigkill(tmp_path, opened, capsys):
    path = tmp_path / "calls.sqlite"
    last = -1
    for _ in range(3):  # each process goes on where the killed one stopped
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, path, str(last + 1), "1000000"], stdout=subprocess.PIPE, text=True
        )
        for line in writer.stdout:
            last = int(line)
            if last % 150 == 149:
                break
        os.kill(writer.pid, signal.SIGKILL)
        last = max([last, *(int(line) for line in writer.stdout.read().splitlines())])
        writer.wait()
        writer.stdout.close()
    store = opened(path)
    assert capsys.readouterr().err == ""
    assert [number for number in range(last + 1) if get(store, number.to_bytes(32, "big")) is None] == []
    assert last + 1 <= len(store) <= last + 4  # one more per kill, committed but not yet acknowledged
    with sqlite3.connect(path) as other:
        assert other.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_several_processes_may_begin_and_fill_one_file(tmp_path, opened):
    path = tmp_path / "calls.sqlite"
    arguments = [[sys.executable, "-c", WRITER, path, str(first), "100"] for first in (0, 50, 100, 150)]
    writers = [subprocess.Popen(each, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for each in arguments]
    assert [writer.communicate()[1] for writer in writers] == [b""] * 4
    assert len(opened(path)) == 250
    assert list(tmp_path.glob("*set-aside*")) == []


def test_a_file_that_another_process_holds_does_not_hold_up_the_event_loop(tmp_path, opened):
    store = opened()
    put(store, FULL)
    other = sqlite3.connect(tmp_path / "calls.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")  # it writes; who reads need not wait

    async def use():
        written = asyncio.create_task(store.put(bytes([1] * 32), "m", FULL))
        await asyncio.sleep(0.05)
        assert await store.get(KEY) == FULL
        assert not written.done()
        other.execute("COMMIT")
        other.close()
        assert await written == FULL

    asyncio.run(use())
    assert len(store) == 2


def test_who_reads_back_many_replies_lets_others_go_on(opened):
    store = opened()
    put(store, FULL)

    async def use():
        async def read():
            for _ in range(100):
                assert await store.get(KEY) == FULL

        reading, turns = asyncio.create_task(read()), 0
        while not reading.done():
            await asyncio.sleep(0)
            turns += 1
        assert turns > 50  # Ctrl-C needs one

    asyncio.run(use())


class WithoutMaps(sqlite3.Connection):
    """On a file system that maps no shared memory: a file can be opened only by one process that has it for itself."""

    alone = False

    def execute(self, text, *rest):
        self.alone = self.alone or text == "PRAGMA locking_mode = EXCLUSIVE"
        if text == "BEGIN" and not self.alone:
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMMAP
            raise error
        return super().execute(text, *rest)


def test_without_shared_memory_replies_are_read_by_the_thread_that_writes(tmp_path, opened, monkeypatch):
    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=WithoutMaps))
    store = opened()
    put(store, FULL)
    assert get(store) == FULL
    assert get(store, bytes([1] * 32)) is None
    store.close()
    assert [path.name for path in tmp_path.iterdir()] == ["calls.sqlite"]


class ReadOnly(sqlite3.Connection):
    """A file that another user may write."""

    def execute(self, text, *rest):
        if text == "BEGIN IMMEDIATE":
            error = sqlite3.OperationalError("attempt to write a readonly database")
            error.sqlite_errorcode = sqlite3.SQLITE_READONLY
            raise error
        return super().execute(text, *rest)


def test_a_file_that_may_only_be_read_is_one_line_and_stays_where_it_is(tmp_path, opened, monkeypatch):
    put(opened(), FULL)
    opened().close()
    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=ReadOnly))
    store = opened()
    assert get(store) == FULL
    with pytest.raises(UsageError, match=r"calls\.sqlite: cannot be used \(attempt to write a readonly database\)"):
        put(store, FULL, bytes([1] * 32))
    with pytest.raises(UsageError, match="cannot be used"):
        opened(tmp_path / "new.sqlite")  # the table cannot be made
    assert list(tmp_path.glob("*set-aside*")) == []


def test_without_file_locks_a_run_keeps_its_replies_and_the_shared_cache_is_off(opened, own_cache, monkeypatch, capsys):
    fcntl = pytest.importorskip("fcntl")

    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", refuse)
    store, cache = opened(), open_cache()
    for each in (store, cache):
        put(each, FULL)
    assert (get(store), get(cache)) == (FULL, None)
    cache.close()
    (notice,) = capsys.readouterr().err.splitlines()
    assert notice.startswith("the cache is off: ")
    assert "no file locks here" in notice


def test_the_users_cache_lies_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("MEMEVAL_CACHE", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.delenv("MEMEVAL_CACHE")
    assert cache_folder() == tmp_path / "xdg" / "memeval"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "memeval"


def test_a_cache_that_cannot_be_used_turns_itself_off_with_one_notice(own_cache, capsys):
    own_cache.write_text("")
    cache = open_cache()
    put(cache, FULL)
    assert get(cache) is None
    cache.close()
    (notice,) = capsys.readouterr().err.splitlines()
    assert notice.startswith("the cache is off: ")

    own_cache.unlink()
    cache = open_cache()
    put(cache, FULL)
    cache._do(lambda: cache._database.execute("PRAGMA max_page_count = 1"))
    put(cache, Completion("x" * 100_000), key=bytes([1] * 32))
    assert get(cache) is None  # nor is it read from now on
    cache.close()
    (notice,) = capsys.readouterr().err.splitlines()
    assert "full" in notice

    cache = open_cache()
    assert (get(cache), len(cache)) == (FULL, 1)
    with sqlite3.connect(cache.path) as other:
        other.execute("DROP TABLE calls")
    assert get(cache) is None
    assert get(cache) is None
    assert len(capsys.readouterr().err.splitlines()) == 1
    cache.close()
