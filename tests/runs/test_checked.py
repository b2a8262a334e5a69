"""What agents hand over: wrong types are one context's failure with a line that names the field, never a crashed run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from toys import Diary, simple

from memeval import Answer, Item, MemoryStats, Recall, ToolResult
from memeval.runs import handed_over as checked

ITEM = Item("a")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("text", "recall returned str, expected memeval.Recall"),
        (None, "recall returned NoneType, expected memeval.Recall"),  # of a method that forgot to return
        ([ITEM], "recall returned list, expected memeval.Recall"),
        (Recall([ITEM], order="newest"), "recall returned order 'newest', expected 'rank' or 'stream'"),
        (Recall("abc"), "recall returned items as str, expected a list"),
        (Recall(item for item in [ITEM]), "recall returned items as generator, expected a list"),
        (Recall([ITEM, "b"]), r"recall returned items\[1\] as str, expected memeval.Item"),
        (Recall([Item(None)]), r"recall returned items\[0\]\.text as NoneType, expected a string"),
        (Recall([Item("a", chunks="c00001")]), r"items\[0\]\.chunks as 'c00001', expected a tuple of chunk ids"),
        (Recall([Item("a", chunks=(1,))]), r"items\[0\]\.chunks as \(1,\), expected a tuple of chunk ids"),
        (Recall([Item("a", id=7)]), r"items\[0\]\.id as int, expected a string"),
        (Recall([Item("a", score="high")]), r"items\[0\]\.score as 'high', expected a number"),
        (Recall([Item("a", score=float("nan"))]), r"items\[0\]\.score as nan, expected a number"),
        (Recall([Item("a", score=10**400)]), r"items\[0\]\.score as 1000000"),
    ],
)
def test_recalls_that_are_none(value: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        checked.recall(value)


def test_recalls_that_are_some() -> None:
    assert checked.recall(Recall()) == Recall()
    found = Recall([Item("a", ["c00001"], "id", np.float32(0.5)), Item("b", (), None, 3)], order="stream")
    assert checked.recall(found) is found


def test_answers_and_sizes() -> None:
    assert checked.answer(Answer("x")) == checked.answer("x") == "x"
    assert checked.memory(MemoryStats({"notes": np.int64(5)})) == MemoryStats({"notes": 5})
    for value, message in ((None, "answer returned NoneType"), (Answer(5), "answer returned int")):
        with pytest.raises(TypeError, match=message):
            checked.answer(value)
    for value, message in (
        (5, "memory returned int, expected memeval.MemoryStats"),
        (MemoryStats(5), "memory returned tokens as int, expected a mapping"),
        (MemoryStats({"a": 1.5}), r"memory returned tokens\['a'\] = 1.5, expected a whole number"),
        (MemoryStats({"a": -1}), r"memory returned tokens\['a'\] = -1"),
    ):
        with pytest.raises(TypeError, match=message):
            checked.memory(value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"op": "put"}, "record was given dict, expected memeval.ToolResult"),
        (ToolResult("f", None, "ok"), "a ToolResult with arguments NoneType, expected a mapping"),
        (ToolResult("f", {"a": {1}}, "ok"), "a ToolResult whose arguments cannot be written as JSON"),
        (ToolResult("f", {}, "ok", "", {"op": object()}), "a ToolResult whose effect cannot be written as JSON"),
    ],
)
def test_events_that_are_none(value: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        checked.event(value)


def test_events_that_are_some() -> None:
    for event in (ToolResult("f", {"a": [1, {"b": None}]}, "ok"), ToolResult("f", {}, "ok", "", {"chunks": ["c"]})):
        assert checked.event(event) is event


@pytest.mark.parametrize("method", ["recall", "memory", "observe"])
def test_a_run_goes_on_without_the_context(toy: Any, method: str) -> None:
    class Careless(Diary):
        def observe(self, chunk: Any) -> None:
            super().observe(chunk)
            if method == "observe" and "Person1" in chunk.text:
                self.session.record({"name": "note"})

        def memory(self) -> Any:
            return MemoryStats({"all": "many" if method == "memory" and self.hit else 1})

        def recall(self, query: Any) -> Recall:
            return Recall([Item(5)]) if method == "recall" and self.hit else super().recall(query)

        @property
        def hit(self) -> bool:
            return any("Person1" in chunk.text for chunk in self.chunks)

    events = toy.events(toy.planned(Careless, [simple(0), simple(1), simple(2)]))
    failures = {event["question_id"]: event["failure"] for event in events if event["event"] == "sample"}
    assert failures["q0"] is failures["q2"] is None
    assert {"recall": "items[0].text as int", "memory": "'many'", "observe": "record was given dict"}[method] in failures[
        "q1"
    ]
