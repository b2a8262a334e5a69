"""The memory store: what its operations do, and what may never happen to its ids, counts and index."""

from __future__ import annotations

import re

import pytest
from contents import contents
from hypothesis import given, settings
from hypothesis import strategies as st

from memeval import tokens
from memeval.bm25 import BM25Index
from memeval.memory.store import CUT_MARK, MemoryFault, MemoryStore, cut_to


def words(text: str) -> int:
    return len(text.split())


def ids(effects: list[dict | None]) -> list[str]:
    return [effect["id"] for effect in effects if effect]


def test_inserted_entries_are_kept_in_order_with_provenance() -> None:
    store = MemoryStore(words)
    first = store.insert("semantic", "Ann is a pilot", "c00001")
    second = store.insert("semantic", "Bob is a cook", "c00002")
    store.insert("episodic", "On 3 May Ann flew", "c00002")
    assert first == {"op": "put", "type": "semantic", "id": first["id"], "text": "Ann is a pilot", "chunks": ["c00001"]}
    assert list(contents(store.items())["semantic"].items()) == [
        (first["id"], "Ann is a pilot"),
        (second["id"], "Bob is a cook"),
    ]
    assert store.stats().tokens == {"core": 0, "semantic": 8, "episodic": 5}


def test_an_exact_duplicate_of_the_same_type_changes_nothing() -> None:
    store = MemoryStore(words)
    store.insert("semantic", "Ann is a pilot", "c1")
    assert store.insert("semantic", "Ann is a pilot", "c2") is None
    assert store.insert("semantic", "Ann is a pilot ", "c2") is not None
    assert store.insert("episodic", "Ann is a pilot", "c2") is not None
    assert store.size("semantic") == 2


def test_a_text_may_come_back_once_it_was_changed_or_removed() -> None:
    store = MemoryStore(words)
    (name,) = ids([store.insert("semantic", "old", "c1")])
    store.update("semantic", name, "new", "c2")
    assert store.insert("semantic", "new", "c3") is None
    (again,) = ids([store.insert("semantic", "old", "c3")])
    store.delete("semantic", again)
    assert store.insert("semantic", "old", "c4") is not None


def test_a_text_that_two_entries_came_to_have_is_there_until_both_are_gone() -> None:
    store = MemoryStore(words)
    first, second = ids([store.insert("semantic", text, "c1") for text in ("one", "two")])
    store.update("semantic", first, "two", "c2")
    store.delete("semantic", first)
    assert store.insert("semantic", "two", "c3") is None
    store.delete("semantic", second)
    assert store.insert("semantic", "two", "c3") is not None


def test_update_keeps_id_and_place_and_adds_provenance() -> None:
    store = MemoryStore(words)
    first, second = ids([store.insert("episodic", text, "c1") for text in ("one", "two")])
    effect = store.update("episodic", first, "one and a half", "c2")
    assert (effect["id"], effect["chunks"]) == (first, ["c1", "c2"])
    assert store.update("episodic", first, "one and a bit", "c2")["chunks"] == ["c1", "c2"]
    assert list(contents(store.items())["episodic"]) == [first, second]
    assert [name for name, _ in store.recent("episodic", 1)] == [second]
    assert store.search("episodic", "bit", 1)[0][:2] == (first, dict(store.recent("episodic", 2))[first])


def test_core_is_one_text_that_update_replaces_and_delete_clears() -> None:
    store = MemoryStore(words)
    with pytest.raises(MemoryFault, match="no insert"):
        store.insert("core", "text", "c1")
    store.update("core", "ignored", "a summary", "c1")
    effect = store.update("core", "", "a longer summary", "c2")
    assert (effect["text"], effect["chunks"]) == ("a longer summary", ["c1", "c2"])
    assert store.core.text == "a longer summary"
    assert store.delete("core", "") == {"op": "delete", "type": "core", "id": "core"}
    assert (store.core, contents(store.items()), store.stats().total) == (None, {}, 0)


@pytest.mark.parametrize("name", ["ffff", "", "core"])
def test_an_unknown_id_is_an_error_that_names_valid_ones(name: str) -> None:
    store = MemoryStore(words, seed=1)
    known = ids([store.insert("semantic", f"fact {n}", "c1") for n in range(7)])
    for operation in (lambda: store.update("semantic", name, "x", "c2"), lambda: store.delete("semantic", name)):
        with pytest.raises(MemoryFault) as caught:
            operation()
        assert all(shown in str(caught.value) for shown in known[-5:])
        assert "7 entries" in str(caught.value)
    with pytest.raises(MemoryFault, match="no entries"):
        store.delete("episodic", known[0])


def test_a_type_that_is_left_out_does_not_exist() -> None:
    store = MemoryStore(words, including=["semantic"])
    for kind in ("core", "episodic", "procedural"):
        with pytest.raises(MemoryFault, match="this memory has semantic"):
            store.delete(kind, "0000")
    assert store.stats().tokens == {"semantic": 0}


def test_ids_are_four_hex_digits_seeded_and_never_used_twice() -> None:
    stores = [MemoryStore(words, seed=seed) for seed in (7, 7, 8)]
    issued = [[store._new_id() for _ in range(66_000)] for store in stores]
    assert issued[0] == issued[1] != issued[2]
    for names in issued:
        assert len(set(names)) == 66_000
        assert all(re.fullmatch("[0-9a-f]{4}", name) for name in names[:65_536])
        assert all(re.fullmatch("[0-9a-f]{5}", name) for name in names[65_536:])
    assert issued[0][:200] != sorted(issued[0][:200])


def test_an_id_is_not_issued_again_after_delete() -> None:
    store = MemoryStore(words)
    seen = set()
    for step in range(500):
        (name,) = ids([store.insert("semantic", f"fact {step}", "c1")])
        assert name not in seen
        seen.add(name)
        store.delete("semantic", name)


def test_a_copy_goes_on_like_the_original_and_apart_from_it() -> None:
    store = MemoryStore(words, seed=3)
    (name,) = ids([store.insert("semantic", "Ann is a pilot", "c1")])
    store.update("core", "", "about Ann", "c1")
    twin = store.copy()
    before = contents(store.items())
    made = twin.insert("semantic", "Bob is a cook", "c2")
    twin.update("semantic", name, "Ann is a judge", "c2")
    twin.update("core", "", "about Ann and Bob", "c2")
    assert contents(store.items()) == before
    assert store.stats().tokens == {"core": 2, "semantic": 4, "episodic": 0}
    assert [found for found, _, _ in store.search("semantic", "judge cook", 5)] == [name]
    assert store.insert("semantic", "Bob is a cook", "c2") == made  # the same id, as if the twin had never been
    assert [found for found, _, _ in twin.search("semantic", "judge", 1)] == [name]
    twin.insert("episodic", "Ann met Bob", "c3")  # the next id is another than the original's
    store.insert("semantic", "Cleo is a vet", "c3")
    (last,) = ids([twin.insert("semantic", "Dora is a vet", "c3")])
    assert [found for found, _, _ in twin.search("semantic", "Dora vet", 1)] == [last]


class Golden:
    """Words by the official rule: drop words from the end until the rest and the mark fit (memory.py)."""

    @staticmethod
    def cut(text: str, limit: int) -> str:
        count, kept = tokens.counter("o200k_base"), text.split(" ")
        while count(" ".join(kept) + CUT_MARK) > limit:
            kept.pop()
        return " ".join(kept) + CUT_MARK


def test_core_over_its_cap_is_cut_between_words_and_marked() -> None:
    count = tokens.counter("o200k_base")
    text = " ".join(f"Person{n} lives in Town{n % 7}," for n in range(200))
    assert count(text) > 512
    store = MemoryStore(words)
    effect = store.update("core", "", text, "c1")
    assert effect["text"] == store.core.text == Golden.cut(text, 512)
    assert 500 < count(store.core.text) <= 512
    assert store.stats().tokens["core"] == words(store.core.text)


def test_a_text_of_exactly_the_cap_is_left_alone() -> None:
    count = tokens.counter("o200k_base")
    text = "a" + " a" * 511
    assert count(text) == 512
    assert cut_to(text, 512) == text
    assert cut_to(text + " a", 512).endswith(CUT_MARK)
    assert cut_to(text, 1) == CUT_MARK.strip()  # there is room for nothing else


def test_text_without_blanks_is_cut_between_characters() -> None:
    count = tokens.counter("o200k_base")
    text = "東京は日本の首都であり、" * 200
    cut = cut_to(text, 100)
    assert 90 < count(cut) <= 100
    assert text.startswith(cut.removesuffix(CUT_MARK))
    assert len(cut) > len(CUT_MARK) + 20


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.text(alphabet="ab \n東ß!", max_size=400), st.integers(16, 60))
def test_cut_text_always_fits_and_is_a_prefix(text: str, limit: int) -> None:
    count = tokens.counter("o200k_base")
    cut = cut_to(text, limit)
    assert count(cut) <= limit
    assert cut == text if count(text) <= limit else text.startswith(cut.removesuffix(CUT_MARK))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(st.sampled_from("iiud"), st.sampled_from(["semantic", "episodic"]), st.integers(0, 9), st.integers(0, 12)),
        max_size=60,
    )
)
def test_counts_and_index_stay_in_step(steps: list[tuple[str, str, int, int]]) -> None:
    store = MemoryStore(words, seed=2)
    texts = [f"fact {'very ' * n}number{n}" for n in range(13)]
    for operation, kind, at, text in steps:
        names = list(contents(store.items()).get(kind, {}))
        if operation == "i":
            store.insert(kind, texts[text], "c1")
        elif names and operation == "u":
            store.update(kind, names[at % len(names)], texts[text], "c2")
        elif names:
            store.delete(kind, names[at % len(names)])
    for kind in ("semantic", "episodic"):
        held = contents(store.items()).get(kind, {})
        assert store.stats().tokens[kind] == sum(map(words, held.values()))
        listed = {item.id: item for item in store.stats().entries if item.id in held}
        assert {name: item.text for name, item in listed.items()} == held
        assert all(item.chunks in (("c1",), ("c1", "c2")) for item in listed.values())
        fresh = BM25Index()
        for text in held.values():
            fresh.add(text)
        expected = [(list(held)[number], score) for number, score in fresh.search("very number3 fact", 20)]
        found = [(name, score) for name, _, score in store.search(kind, "very number3 fact", 20)]
        assert [name for name, _ in found] == [name for name, _ in expected]
        assert [score for _, score in found] == pytest.approx([score for _, score in expected], rel=1e-9)
