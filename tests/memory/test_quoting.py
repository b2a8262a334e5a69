"""Quoting lines instead of copying them, and a memory with a cap: what is stored, what fails, what falls out, and replay."""

from __future__ import annotations

from contents import contents
from hypothesis import given
from hypothesis import strategies as st

from memeval.memory import tools
from memeval.memory.quoting import ChunkLines, numbered
from memeval.memory.replay import replayed_items
from memeval.memory.store import SEMANTIC, MemoryStore
from memeval.models.completion import ToolCall

CHUNK = "Bade owns fika\nBafi likes gohu\n\n  Bago owns lemi  "


def insert(content: str) -> ToolCall:
    return ToolCall("new_memory_insert", {"memory_type": "semantic_memory", "content": content})


def store(capacity: int = 0) -> MemoryStore:
    return MemoryStore(lambda text: len(text.split()), (SEMANTIC,), capacity=capacity)


def statuses(results) -> list[str]:
    return [result.status for result in results]


def test_a_word_stores_every_line_that_holds_it_and_each_line_once() -> None:
    held, lines = store(), ChunkLines(CHUNK, "word")
    assert statuses(tools.execute_all(held, insert("@owns"), "c1", lines)) == ["ok", "quoted"]
    assert list(contents(held.items())["semantic"].values()) == ["Bade owns fika", "Bago owns lemi"]
    [again] = tools.execute_all(held, insert("@lemi"), "c1", lines)
    assert (again.status, again.effect) == ("error", None)
    assert "'lemi'" in again.message
    [part] = tools.execute_all(held, insert("@like"), "c1", lines)  # whole words only
    assert part.status == "error"


def test_a_number_stores_its_line() -> None:
    held, lines = store(), ChunkLines(CHUNK, "line")
    assert numbered(CHUNK).splitlines()[2] == "Bago owns lemi [3]"
    assert statuses(tools.execute_all(held, insert("@3"), "c1", lines)) == ["ok"]
    assert statuses(tools.execute_all(held, insert("@3"), "c1", lines)) == ["error"]
    assert statuses(tools.execute_all(held, insert("@4"), "c1", lines)) == ["error"]
    assert list(contents(held.items())["semantic"].values()) == ["Bago owns lemi"]


def test_without_quoting_the_sign_is_text() -> None:
    held = store()
    assert statuses(tools.execute_all(held, insert("@owns"), "c1")) == ["ok"]
    assert list(contents(held.items())["semantic"].values()) == ["@owns"]


def test_a_full_memory_drops_its_oldest_entries_and_says_so() -> None:
    held = store(capacity=4)
    assert statuses(tools.execute_all(held, insert("a b"), "c1")) == ["ok"]
    assert statuses(tools.execute_all(held, insert("c d"), "c1")) == ["ok"]
    results = tools.execute_all(held, insert("e f"), "c2")
    assert statuses(results) == ["ok", "dropped"]
    assert results[1].effect["op"] == "delete"
    assert list(contents(held.items())["semantic"].values()) == ["c d", "e f"]
    assert statuses(tools.execute_all(held, insert("one entry beyond the cap"), "c3")) == ["ok", "dropped", "dropped"]
    assert list(contents(held.items())["semantic"].values()) == ["one entry beyond the cap"]


@given(st.lists(st.text("abc ", min_size=1, max_size=12)), st.integers(1, 6))
def test_replay_equals_a_memory_with_a_cap(texts: list[str], capacity: int) -> None:
    held = store(capacity)
    results = [result for text in texts for result in tools.execute_all(held, insert(text), "c1")]
    assert contents(replayed_items(result.effect for result in results)) == contents(held.items())
    assert held.stats().total <= capacity or len(held.items()) == 1
