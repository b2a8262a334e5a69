"""The journal of a run: what is appended before it is filed, killed at any moment."""

from __future__ import annotations

import errno
import json
import os
import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memeval.errors import UsageError
from memeval.models.completion import Completion, Row, ToolCall, Usage
from memeval.models.journal import Journal
from memeval.models.run_journal import JournalReader, RunJournal

KEY, OTHER, THIRD = (bytes([number] * 32) for number in range(3))
FULL = Completion(
    "line\nline \u2028 ünïcode",
    "thought",
    (ToolCall("insert", {"a": [1, None, "]\n["]}, '{"a":', None, "id"),),
    Usage(1, 2, 3, 4),
    "tool_calls",
    None,
    Row((1, 2), (3,), (-0.5,)),
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run" / "calls.sqlite"


ENDLESS = b'["00", "m", 1%s, {}]' % (b"0" * 400)


def tail(path):
    return path.with_name("calls.tail.jsonl")


def rows(path):
    return len(Journal(path))


def test_what_is_put_is_there_at_once_and_filed_later(path):
    journal = RunJournal(path)
    journal.put(KEY, 'm "x"\n', FULL)
    assert journal.get(KEY) == FULL
    assert json.loads(tail(path).read_text().strip())[:2] == [KEY.hex(), 'm "x"\n']
    assert rows(path) == 0
    journal.settle()
    assert (journal.get(KEY), rows(path), tail(path).read_bytes()) == (FULL, 1, b"")
    journal.put(OTHER, "m", FULL)
    journal.close()
    assert (rows(path), tail(path).exists()) == (2, False)
    (holding,) = [each for each in Journal(path).contents() if each.model != "m"]
    assert (holding.model, holding.entries) == ('m "x"\n', 1)


def test_the_first_reply_stays_filed_or_not_and_errors_are_not_taken(path):
    journal = RunJournal(path)
    for filed in (False, True):
        journal.put(KEY, "m", Completion("first"))
        if filed:
            journal.settle()
        journal.put(KEY, "m", Completion("second"))
        assert journal.get(KEY) == Completion("first")
    journal.put(OTHER, "m", Completion(error="HTTP 500"))
    assert journal.get(OTHER) is None
    assert len(journal) == 1


def test_what_a_killed_process_had_appended_is_filed(path):
    killed = RunJournal(path)
    killed.put(KEY, "m", FULL)
    killed.put(OTHER, "m", Completion("other"))
    whole = tail(path).read_bytes()
    for length in range(len(whole) + 1):  # torn anywhere
        path.unlink(missing_ok=True)
        tail(path).write_bytes(whole[:length])
        again = RunJournal(path)
        there = [key for key in (KEY, OTHER) if again.get(key) is not None]
        assert there == [KEY, OTHER][: len(there)]
        assert again.get(KEY) in (None, FULL)
        assert len(again) == len(there)
        again.put(THIRD, "m", FULL)
        again.close()
        assert (rows(path), tail(path).exists()) == (len(there) + 1, False)
    assert there == [KEY, OTHER]


def test_a_kill_between_filing_and_emptying_doubles_nothing(path):
    journal = RunJournal(path)
    journal.put(KEY, "m", FULL)
    appended = tail(path).read_bytes()
    journal.close()
    tail(path).write_bytes(appended)
    again = RunJournal(path)
    assert (len(again), again.get(KEY)) == (1, FULL)


@given(
    junk=st.lists(
        st.one_of(
            st.binary(max_size=40),
            st.sampled_from([b"[]", b"{}", b'["zz", "m", 1, {}]', b'["00", "\\ud800", 1, {}]', ENDLESS, b"[" * 9000]),
        ),
        max_size=6,
    )
)
@settings(max_examples=60, deadline=None)
def test_junk_in_the_tail_is_passed_over(tmp_path_factory, junk):
    path = tmp_path_factory.mktemp("junk") / "calls.sqlite"
    good = json.dumps([KEY.hex(), "m", 1.5, FULL.to_json()]).encode()
    tail(path).write_bytes(b"\n".join([*junk, good, *junk]))
    journal = RunJournal(path)
    assert journal.get(KEY) == FULL
    journal.close()


@pytest.mark.parametrize("kind", ["folder", "link", "pipe"])
def test_a_tail_that_is_no_plain_file_is_left_alone(path, kind):
    RunJournal(path).close()
    other = path.with_name("other")
    other.write_text("precious")
    {"folder": os.mkdir, "link": lambda tail: os.symlink(other, tail), "pipe": os.mkfifo}[kind](tail(path))
    with pytest.raises(UsageError, match=r"calls\.tail\.jsonl: cannot be used \(not a plain file\)"):
        RunJournal(path)
    with pytest.raises(sqlite3.Error):
        JournalReader(path)
    assert other.read_text() == "precious"


def test_it_knows_what_it_lacks_without_looking(path):
    RunJournal(path).put(KEY, "m", FULL)
    journal = RunJournal(path)
    asked = []
    journal._database.set_trace_callback(asked.append)
    assert journal.get(OTHER) is None
    assert asked == []
    assert journal.get(KEY) == FULL


def test_a_row_that_cannot_be_read_is_called_again(path):
    journal = RunJournal(path)
    journal.put(KEY, "m", FULL)
    journal.settle()
    journal._database.execute("UPDATE calls SET value = '{'")
    assert journal.get(KEY) is None
    journal.put(KEY, "m", Completion("anew"))
    journal.close()
    assert RunJournal(path).get(KEY) == Completion("anew")


def test_nothing_that_waits_is_lost_when_the_file_turns_out_damaged(path):
    notices = []
    journal = RunJournal(path, notices.append)
    for number in range(500):
        journal.put(number.to_bytes(32, "big"), "m", FULL)
    journal.close()
    raw = bytearray(path.read_bytes())
    raw[8192:] = b"\xff" * (len(raw) - 8192)  # every page but those that say what is where
    path.write_bytes(raw)
    tail(path).write_text(json.dumps([OTHER.hex(), "m", 1.5, FULL.to_json()]))
    journal = RunJournal(path, notices.append)
    journal.put(THIRD, "m", FULL)
    journal.close()
    assert len(notices) == 1
    again = RunJournal(path)
    assert again.get(OTHER) == again.get(THIRD) == FULL


@pytest.mark.parametrize("reason", ["full", "half"])
def test_a_full_disk_is_one_line_and_half_a_line_is_no_entry(path, monkeypatch, reason):
    journal = RunJournal(path)
    journal.put(KEY, "m", FULL)
    write = os.write

    def full(file, data):
        if reason == "full":
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, data[: len(data) // 2])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(UsageError, match=r"calls\.tail\.jsonl: cannot be used \(No space left on device\); make room"):
        journal.put(OTHER, "m", FULL)
    monkeypatch.undo()
    assert journal.get(OTHER) is None
    journal.put(THIRD, "m", FULL)
    reader = JournalReader(path)
    assert [reader.get(key) for key in (KEY, OTHER, THIRD)] == [FULL, None, FULL]


def test_another_run_reads_what_is_filed_and_what_a_killed_one_left(path):
    journal = RunJournal(path)
    journal.put(KEY, "m", FULL)
    reader = JournalReader(path)
    assert reader.get(KEY) == FULL
    journal.put(OTHER, "m", FULL)
    assert reader.get(OTHER) is None
    journal.settle()
    assert reader.get(OTHER) == FULL
    reader.close()
    with pytest.raises(sqlite3.Error):
        JournalReader(path.with_name("missing.sqlite"))
