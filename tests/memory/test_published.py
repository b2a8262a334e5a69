"""Mem-alpha's own statuses, as its functions.py and memory.py have them at 9c0e1f6. (Outside of this project random calls
were given to that code itself, with the same statuses and memories.)"""

from __future__ import annotations

import pytest
from contents import contents

from memeval import tokens
from memeval.memory import published, tools
from memeval.memory.store import MemoryStore
from memeval.models.completion import ToolCall

S, E, C = "semantic_memory", "episodic_memory", "core_memory"
CALLS = [
    # tool, arguments ({id}: of the one entry, "old"), status, semantic texts after it
    ("new_memory_insert", {"memory_type": S, "content": "new"}, "ok", ["old", "new"]),
    ("new_memory_insert", {"memory_type": S, "content": "old"}, "skipped", ["old"]),
    ("new_memory_insert", {"memory_type": "semantic", "content": "new"}, "error", ["old"]),
    ("new_memory_insert", {"memory_type": C, "content": "new"}, "error", ["old"]),
    ("new_memory_insert", {"memory_type": S, "content": ""}, "ok", ["old", ""]),
    ("new_memory_insert", {"memory_type": S, "content": {"a": 1}}, "ok", ["old", "{'a': 1}"]),
    ("new_memory_insert", {"memory_type": S}, "error", ["old"]),
    ("new_memory_insert", {"content": "new"}, "error", ["old"]),
    ("memory_update", {"memory_type": S, "memory_id": "{id}", "new_content": "new"}, "ok", ["new"]),
    ("memory_update", {"memory_type": S, "memory_id": "[{id}]", "new_content": "new"}, "error", ["old"]),
    ("memory_update", {"memory_type": S, "new_content": "new"}, "error", ["old"]),
    ("memory_update", {"memory_type": "semantic", "memory_id": "{id}", "new_content": "new"}, "error", ["old"]),
    ("memory_update", {"memory_type": C, "new_content": "new"}, "ok", ["old"]),
    ("memory_update", {"memory_type": C, "new_content": 7}, "error", ["old"]),
    ("memory_delete", {"memory_type": S, "memory_id": "{id}"}, "ok", []),
    ("memory_delete", {"memory_type": "semantic", "memory_id": "{id}"}, "ok", []),
    ("memory_delete", {"memory_type": S, "memory_id": "zzzz"}, "ok", ["old"]),
    ("memory_delete", {"memory_type": S}, "ok", ["old"]),
    ("memory_delete", {"memory_type": "other", "memory_id": "{id}"}, "error", ["old"]),
    ("search_memory", {"memory_type": S, "query": "old"}, "error", ["old"]),
]


@pytest.mark.parametrize(("tool", "arguments", "status", "texts"), CALLS)
def test_statuses_and_memory_are_those_of_the_official_code(tool: str, arguments: dict, status: str, texts: list) -> None:
    store = MemoryStore(len)
    name = store.insert("semantic", "old", "c0")["id"]
    given = {key: value.format(id=name) if isinstance(value, str) else value for key, value in arguments.items()}
    result = tools.execute(store, ToolCall(tool, given), "c1", published.OPERATIONS)
    assert result.status == status
    assert list(contents(store.items()).get("semantic", {}).values()) == texts


def test_a_type_that_is_off_is_an_error() -> None:
    store = MemoryStore(len, ["semantic"])
    for tool, key in (("new_memory_insert", "content"), ("memory_update", "new_content"), ("memory_delete", "memory_id")):
        call = ToolCall(tool, {"memory_type": E, key: "x", "memory_id": "y"})
        assert tools.execute(store, call, "c1", published.OPERATIONS).status == "error"


def test_a_core_text_beyond_the_cap_loses_its_last_words() -> None:
    count = tokens.counter("o200k_base")
    text = "one  two\nthree " * 300
    cut = published.cut_words(text, 512, " [cut]")
    words = text.split()
    kept = cut.removesuffix(" [cut]").split(" ")
    assert (kept, count(" ".join(kept)) <= 512 - count(" [cut]")) == (words[: len(kept)], True)
    assert count(" ".join(words[: len(kept) + 1])) > 512 - count(" [cut]")
    assert published.cut_words("one  two", 512, " [cut]") == "one  two"
