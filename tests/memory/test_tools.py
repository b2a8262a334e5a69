"""The memory tools: published names and enums, and every way a model can get a call wrong."""

from __future__ import annotations

import json

import pytest
from contents import contents
from hypothesis import given, settings
from hypothesis import strategies as st

from memeval.memory import tools
from memeval.memory.store import MemoryStore
from memeval.models.completion import ToolCall
from memeval.prompts import several


def words(text: str) -> int:
    return len(text.split())


def call(name: str, **arguments: object) -> ToolCall:
    return ToolCall(name, arguments, json.dumps(arguments))


def schemas(*given: object) -> list[dict]:
    return tools.schemas(several("memalpha", "tools"), *given)


def functions(including: tuple[str, ...]) -> dict[str, dict]:
    return {tool["function"]["name"]: tool["function"]["parameters"] for tool in schemas(including)}


def test_schemas_have_the_published_names_parameters_and_enums() -> None:
    # official memory.py: names, order, enums and required parameters
    found = functions(("core", "semantic", "episodic"))
    assert list(found) == ["new_memory_insert", "memory_update", "memory_delete"]
    everything = ["core_memory", "semantic_memory", "episodic_memory"]
    insert, update, delete = found.values()
    assert insert["properties"]["memory_type"]["enum"] == everything[1:]
    assert insert["required"] == ["memory_type", "content"]
    assert update["properties"]["memory_type"]["enum"] == delete["properties"]["memory_type"]["enum"] == everything
    assert (update["required"], delete["required"]) == (["memory_type", "new_content"], ["memory_type"])
    assert [list(tool["properties"]) for tool in found.values()] == [
        ["memory_type", "content"],
        ["memory_type", "new_content", "memory_id"],
        ["memory_type", "memory_id"],
    ]
    assert all(each["type"] == "string" for tool in found.values() for each in tool["properties"].values())
    assert all(tool["type"] == "function" for tool in schemas())


@pytest.mark.parametrize("left_out", ["core", "semantic", "episodic"])
def test_a_type_that_is_left_out_is_named_nowhere(left_out: str) -> None:
    kept = [kind for kind in ("core", "semantic", "episodic") if kind != left_out]
    assert left_out not in json.dumps(schemas(kept))
    assert all(kind in json.dumps(schemas(kept)) for kind in kept)


def test_a_core_only_memory_has_no_insert_and_no_ids() -> None:
    found = functions(("core",))
    assert list(found) == ["memory_update", "memory_delete"]
    assert all("memory_id" not in tool["properties"] for tool in found.values())


@pytest.mark.parametrize("spelling", ["semantic", "semantic_memory"])
def test_both_spellings_of_a_type_work(spelling: str) -> None:
    store = MemoryStore(words)
    made = tools.execute(store, call("new_memory_insert", memory_type=spelling, content="a fact"), "c1")
    assert made.status == "ok"
    name = made.effect["id"]
    changed = tools.execute(
        store, call("memory_update", memory_type=spelling, memory_id=f"[{name}]", new_content="a better fact"), "c2"
    )
    assert changed.effect == {
        "op": "put",
        "type": "semantic",
        "id": name,
        "text": "a better fact",
        "chunks": ["c1", "c2"],
    }
    removed = tools.execute(store, call("memory_delete", memory_type=spelling, memory_id=name), "c2")
    assert (removed.status, removed.effect) == ("ok", {"op": "delete", "type": "semantic", "id": name})
    assert contents(store.items()) == {}


@pytest.mark.parametrize("front", ["[{id}] ", " [{id}]", "[{id}]\n"])
def test_the_id_of_an_entry_in_front_of_a_new_text_is_no_part_of_it(front: str) -> None:
    store = MemoryStore(words)
    old = tools.execute(store, call("new_memory_insert", memory_type="semantic", content="Ann flies"), "c1").effect["id"]
    shown = front.format(id=old)
    made = tools.execute(store, call("new_memory_insert", memory_type="episodic", content=f"{shown}it rained"), "c2")
    assert made.effect["text"] == "it rained"
    update = call("memory_update", memory_type="semantic", memory_id=old, new_content=f"{shown}Ann sails")
    assert tools.execute(store, update, "c2").effect["text"] == "Ann sails"
    same = tools.execute(store, call("new_memory_insert", memory_type="semantic", content=f"{shown}Ann sails"), "c3")
    assert same.status == "skipped"
    assert tools.execute(store, call("new_memory_insert", memory_type="semantic", content=shown), "c3").status == "error"
    other = "[beef] is meat" if old != "beef" else "[bead] is glass"  # the id of no entry
    assert (
        tools.execute(store, call("new_memory_insert", memory_type="semantic", content=other), "c3").effect["text"] == other
    )


def test_a_text_under_the_other_tools_name_counts() -> None:
    store = MemoryStore(words)
    made = tools.execute(store, call("new_memory_insert", memory_type="episodic", new_content="it rained"), "c1")
    assert (made.status, made.effect["text"]) == ("ok", "it rained")
    update = call("memory_update", memory_type="core", content="x")
    assert tools.execute(store, update, "c1").effect["text"] == "x"
    both = call("new_memory_insert", memory_type="episodic", content="a", new_content="b")
    assert tools.execute(store, both, "c1").effect["text"] == "a"


def test_core_is_written_and_cleared_without_an_id() -> None:
    store = MemoryStore(words)
    assert tools.execute(store, call("memory_update", memory_type="core_memory", new_content="x y"), "c1").status == "ok"
    ignored = tools.execute(store, call("memory_update", memory_type="core", memory_id="zz", new_content="z"), "c1")
    assert (ignored.status, store.core.text) == ("ok", "z")
    assert tools.execute(store, call("memory_delete", memory_type="core_memory"), "c1").status == "ok"
    assert store.core is None


def test_a_duplicate_is_skipped_and_has_no_effect() -> None:
    store = MemoryStore(words)
    again = call("new_memory_insert", memory_type="episodic_memory", content="it rained")
    assert tools.execute(store, again, "c1").status == "ok"
    result = tools.execute(store, again, "c2")
    assert (result.status, result.effect) == ("skipped", None)


WRONG = {
    "unreadable": (ToolCall("new_memory_insert", None, "{", "not valid JSON"), "not valid JSON"),
    "unexplained": (ToolCall("new_memory_insert", None, "7"), "not a JSON object"),
    "unknown tool": (call("memory_inserts", memory_type="semantic", content="x"), "unknown tool 'memory_inserts'"),
    "no type": (call("new_memory_insert", content="x"), "'memory_type' is missing"),
    "no content": (call("new_memory_insert", memory_type="semantic"), "'content' is missing"),
    "no new content": (call("memory_update", memory_type="core"), "'new_content' is missing"),
    "no id": (call("memory_update", memory_type="semantic", new_content="x"), "'memory_id' is missing"),
    "no id to delete": (call("memory_delete", memory_type="semantic"), "'memory_id' is missing"),
    "number": (call("new_memory_insert", memory_type="semantic", content=7), "'content' is int, expected a string"),
    "list": (call("new_memory_insert", memory_type=["semantic"], content="x"), "'memory_type' is list"),
    "null": (call("memory_delete", memory_type="semantic", memory_id=None), "'memory_id' is NoneType"),
    "empty": (call("new_memory_insert", memory_type="semantic", content=" \n"), "'content' is empty"),
    "type": (call("new_memory_insert", memory_type="procedural", content="x"), "no memory type 'procedural'"),
    "core insert": (call("new_memory_insert", memory_type="core_memory", content="x"), "core memory takes no insert"),
    "unknown id": (call("memory_delete", memory_type="semantic", memory_id="beef"), "no semantic entry has the id 'beef'"),
}


@pytest.mark.parametrize(("wrong", "reason"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_call_is_an_error_with_its_reason_and_changes_nothing(wrong: ToolCall, reason: str) -> None:
    store = MemoryStore(words)
    store.insert("semantic", "kept", "c1")
    store.update("core", "", "kept", "c1")
    before = contents(store.items())
    result = tools.execute(store, wrong, "c2")
    assert (result.status, result.effect) == ("error", None)
    assert reason in result.message
    assert "\n" not in result.message
    assert contents(store.items()) == before


def test_half_a_surrogate_pair_reaches_neither_memory_nor_log() -> None:
    store = MemoryStore(words)
    broken = json.loads(r'{"memory_type": "semantic", "content": "caf\ud800", "no\udc00te": [1]}')
    result = tools.execute(store, ToolCall("new_memory_insert", broken), "c1")
    assert result.status == "ok"
    json.dumps([result.arguments, result.effect, contents(store.items())], ensure_ascii=False).encode("utf-8")
    assert result.arguments["no�te"] == "<list>"
    assert result.effect["text"] == "caf�"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=4,
)
keys = st.sampled_from(["memory_type", "content", "new_content", "memory_id", "other"])
values = st.sampled_from(["core", "core_memory", "semantic_memory", "episodic", "a text", "", "0000"]) | json_values


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["new_memory_insert", "memory_update", "memory_delete", "search_memory"]),
            st.none() | st.dictionaries(keys, values, max_size=5),
        ),
        max_size=8,
    )
)
def test_nothing_raises_and_a_call_without_effect_changes_nothing(calls: list[tuple[str, dict | None]]) -> None:
    store = MemoryStore(words)
    for name, arguments in calls:
        before = contents(store.items())
        result = tools.execute(store, ToolCall(name, arguments), "c1")
        assert result.status in ("ok", "skipped", "error")
        assert (result.effect is not None) == (result.status == "ok")
        if result.status != "ok":
            assert result.message
            assert contents(store.items()) == before
