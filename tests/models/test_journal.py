import json
import os
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from memeval.config import cache_folder
from memeval.errors import UsageError
from memeval.models.cache import Cache
from memeval.models.completion import Completion, Row, ToolCall, Usage
from memeval.models.journal import APPLICATION, Journal, encode
from memeval.models.run_journal import RunJournal

KEY = bytes(32)
FULL = Completion(
    "Paris\ud83d",
    "hm",
    (ToolCall("f", {"a": [1, None, "é"]}, '{"a": 1}', None, "call-1"), ToolCall("", None, "x", "not JSON")),
    Usage(1, 2, 3, 4),
    "length",
    None,
    Row((1, 2), (3,), (-0.5,)),
)


def test_a_completion_comes_back_as_it_was(tmp_path):
    journal = Journal(tmp_path / "deep" / "calls.sqlite")
    assert journal.get(KEY) is None
    journal.put(KEY, "m", FULL)
    assert journal.get(KEY) == FULL
    journal.close()
    again = Journal(tmp_path / "deep" / "calls.sqlite")
    assert (again.get(KEY), len(again)) == (FULL, 1)


def test_the_first_reply_stays_and_errors_are_not_stored(tmp_path):
    journal = Journal(tmp_path / "calls.sqlite")
    journal.put(KEY, "m", Completion(error="HTTP 500"))
    assert journal.get(KEY) is None
    journal.put(KEY, "m", Completion("first"))
    journal.put(KEY, "m", Completion("second"))
    assert journal.get(KEY) == Completion("first")


def test_how_the_file_is_set_up(tmp_path):
    journal = Journal(tmp_path / "calls.sqlite")
    pragmas = [
        journal._database.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "application_id")
    ]
    assert pragmas == ["wal", 1, APPLICATION]


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
    ],
)
def test_a_damaged_or_foreign_file_is_set_aside_with_one_notice(tmp_path, spoil):
    path, notices = tmp_path / "calls.sqlite", []
    for number in (1, 2):
        path.unlink(missing_ok=True)
        spoil(path)
        before = path.read_bytes()
        journal = Journal(path, notices.append)
        journal.put(KEY, "m", FULL)
        assert journal.get(KEY) == FULL
        journal.close()
        assert (tmp_path / f"calls.sqlite.set-aside-{number}").read_bytes() == before
        assert len(notices) == number
        assert "set aside" in notices[-1]
        assert "\n" not in notices[-1]


def test_damage_found_later_is_set_aside_as_well(tmp_path):
    path, notices = tmp_path / "calls.sqlite", []
    first = Journal(path)
    for number in range(2000):
        first.put(number.to_bytes(32, "big"), "m", FULL)
    first.close()
    raw = bytearray(path.read_bytes())
    raw[4096:] = b"\xff" * (len(raw) - 4096)  # every page but the first
    path.write_bytes(raw)
    journal = Journal(path, notices.append)
    assert journal.get(KEY) is None
    journal.put(KEY, "m", FULL)
    assert journal.get(KEY) == FULL
    assert len(notices) == 1


def test_a_row_that_cannot_be_read_is_called_again(tmp_path):
    journal = Journal(tmp_path / "calls.sqlite")
    odd = [{"tool_calls": [{"unknown": 1}]}, {"text": 5}, {"finish_reason": None}]
    for value in ("{", "[]", '{"text": "only"}', *(json.dumps({**FULL.to_json(), **change}) for change in odd)):
        journal._database.execute("INSERT INTO calls VALUES (?, 'm', 0, ?)", (KEY, value))
        assert journal.get(KEY) is None
        journal.put(KEY, "m", FULL)
        assert journal.get(KEY) == FULL
        journal._database.execute("DELETE FROM calls")


def test_a_file_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "calls.sqlite").mkdir()
    with pytest.raises(UsageError, match=r"calls\.sqlite: cannot be opened"):
        Journal(tmp_path / "calls.sqlite")
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot create the folder"):
        Journal(tmp_path / "file" / "calls.sqlite")
    journal = Journal(tmp_path / "full.sqlite")
    journal._database.execute("PRAGMA max_page_count = 1")
    with pytest.raises(UsageError, match="full"):
        journal.put(KEY, "m", Completion("x" * 100_000))


WRITER = """
import sys
from pathlib import Path
from memeval.models.completion import Completion
from memeval.models.journal import Journal
from memeval.models.run_journal import RunJournal
path, first, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
journal = (RunJournal if "run" in sys.argv else Journal)(path)
for number in range(first, first + count):
    journal.put(number.to_bytes(32, "big"), "m", Completion("x" * (number % 5000)))
    print(number, flush=True)
    if number % 7 == 0:
        journal.settle()
"""


@pytest.mark.parametrize("kind", [Journal, RunJournal])
def test_what_was_acknowledged_survives_sigkill(tmp_path, kind):
    path = tmp_path / "calls.sqlite"
    last = -1
    for _ in range(3):  # each process goes on where the killed one stopped
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, path, str(last + 1), "1000000", "run" if kind is RunJournal else "user"],
            stdout=subprocess.PIPE,
            text=True,
        )
        for line in writer.stdout:
            last = int(line)
            if last % 150 == 149:
                break
        os.kill(writer.pid, signal.SIGKILL)
        last = max([last, *(int(line) for line in writer.stdout.read().splitlines())])
        writer.wait()
        writer.stdout.close()
    journal = kind(path, pytest.fail)
    assert [number for number in range(last + 1) if journal.get(number.to_bytes(32, "big")) is None] == []
    assert last + 1 <= len(journal) <= last + 4  # one more per kill, committed but not yet acknowledged
    assert journal._database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_several_processes_may_begin_and_fill_one_file(tmp_path):
    path = tmp_path / "calls.sqlite"
    arguments = [[sys.executable, "-c", WRITER, path, str(first), "100"] for first in (0, 50, 100, 150)]
    writers = [subprocess.Popen(each, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for each in arguments]
    assert [writer.communicate()[1] for writer in writers] == [b""] * 4
    assert len(Journal(path)) == 250
    assert list(tmp_path.glob("*set-aside*")) == []


def test_processes_that_find_the_same_damage_set_it_aside_once(tmp_path):
    path, notices = tmp_path / "calls.sqlite", []
    for _ in range(20):
        path.write_bytes(b"damage" * 1000)
        with ThreadPoolExecutor(4) as pool:
            journals = list(pool.map(lambda number: Journal(path, notices.append), range(4)))
        for journal in journals:
            journal.put(os.urandom(32), "m", FULL)
        assert len(journals[0]) == 4
        for journal in journals:
            journal.close()
        path.unlink()
    assert len(notices) == 20


def test_the_users_cache_lies_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("MEMEVAL_CACHE", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.delenv("MEMEVAL_CACHE")
    assert cache_folder() == tmp_path / "xdg" / "memeval"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "memeval"


def test_a_cache_that_cannot_be_used_turns_itself_off_with_one_notice(tmp_path):
    (tmp_path / "file").write_text("")
    notices = []
    cache = Cache(tmp_path / "file", notices.append)
    cache.put_text(KEY, "m", encode(FULL))
    assert cache.get(KEY) is None
    cache.close()
    assert len(notices) == 1
    assert notices[0].startswith("the cache is off: ")

    cache = Cache(tmp_path / "cache", notices.append)
    cache.put_text(KEY, "m", encode(FULL))
    assert cache.get(KEY) == FULL
    assert len(cache._store) == 0
    cache.flush()
    assert (cache.get(KEY), len(cache._store)) == (FULL, 1)
    cache._store._database.execute("DROP TABLE calls")
    assert cache.get(KEY) is None
    assert cache.get(KEY) is None
    assert len(notices) == 2
