"""What was recorded rebuilds what was held."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from contents import contents
from hypothesis import given, settings
from hypothesis import strategies as st

from memeval.errors import UsageError
from memeval.memory import tools
from memeval.memory.replay import replayed_items
from memeval.memory.store import MemoryStore
from memeval.models.completion import ToolCall


def words(text: str) -> int:
    return len(text.split())


kinds = st.sampled_from(["core_memory", "semantic_memory", "episodic", "core"])
texts = st.sampled_from(["a", "b", "c d", "e f g"]) | st.text(max_size=10)
steps = st.lists(st.tuples(st.sampled_from("iiiuuds"), kinds, texts, st.integers(0, 9)), max_size=40)


@settings(max_examples=120, deadline=None, derandomize=True)
@given(steps, st.integers(0, 40))
def test_replayed_effects_equal_the_store_at_every_position(operations: list[tuple], position: int) -> None:
    store = MemoryStore(words, seed=9)
    recorded: list[str] = []
    then = contents(store.items())
    for number, (operation, kind, text, at) in enumerate(operations, start=1):
        names = [name for entries in contents(store.items()).values() for name in entries] or ["none"]
        name = names[at % len(names)]
        call = {
            "i": ToolCall(tools.INSERT, {"memory_type": kind, "content": text}),
            "u": ToolCall(tools.UPDATE, {"memory_type": kind, "memory_id": name, "new_content": text}),
            "d": ToolCall(tools.DELETE, {"memory_type": kind, "memory_id": name}),
            "s": ToolCall("search_memory", None, error="no such tool"),
        }[operation]
        recorded.append(json.dumps(asdict(tools.execute(store, call, f"c{number:05d}"))))
        if number <= position:
            then = contents(store.items())
    results = [json.loads(line)["effect"] for line in recorded]
    for held, effects in ((contents(store.items()), results), (then, results[:position])):
        again = contents(replayed_items(effects))
        assert again == held
        assert {kind: list(names) for kind, names in again.items()} == {kind: list(names) for kind, names in held.items()}


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.sampled_from(["core", "semantic", "episodic"]), texts, st.integers(0, 3)), max_size=20))
def test_replayed_items_are_those_that_the_store_lists(writes: list[tuple[str, str, int]]) -> None:
    store = MemoryStore(words, seed=9)
    effects = []
    for number, (kind, text, at) in enumerate(writes):
        names = list(contents(store.items()).get(kind, {}))
        if kind == "core" or (names and at == 0):
            effects.append(store.update(kind, names[0] if names else "core", text, f"c{number}"))
        else:
            effects.append(store.insert(kind, text, f"c{number}"))
    replayed, listed = replayed_items(effects), store.items()
    assert {(item.id, item.text, item.chunks) for item in replayed} == {(item.id, item.text, item.chunks) for item in listed}
    assert len(replayed) == len(listed)


def test_results_without_effect_are_passed_over() -> None:
    put = {"op": "put", "type": "core", "id": "core", "text": "x", "chunks": ["c1"]}
    gone = {"op": "delete", "type": "core", "id": "core"}
    assert contents(replayed_items([None, None, put])) == {"core": {"core": "x"}}
    assert contents(replayed_items([put, gone, gone])) == {}


@pytest.mark.parametrize(
    "effect",
    [{}, [], "put", {"op": "move", "type": "core", "id": "x"}, {"op": "put", "type": "core"}, {"op": "put", "type": []}],
)
def test_a_damaged_effect_is_named_by_its_number(effect: object) -> None:
    with pytest.raises(UsageError, match="operation 2: "):
        replayed_items([None, effect])
