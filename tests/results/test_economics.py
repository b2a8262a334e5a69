"""Memory economics, from the rows of a run folder; worked by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from made_runs import Asked
from msgspec.structs import replace

from memeval.records.files import write_rows
from memeval.records.rows import FINISH, OperationRow, ToolRow
from memeval.records.summary import Sizes
from memeval.results.economics import Changes, Economics, Held, economics, lines
from memeval.results.load import find_run

Make = Callable[..., Path]


def put(name: str, kind: str = "semantic") -> ToolRow:
    effect = {"op": "put", "type": kind, "id": name, "text": name, "chunks": []}
    return ToolRow(name="insert", status="ok", effect=effect)


def delete(name: str) -> ToolRow:
    return ToolRow(name="delete", status="ok", effect={"op": "delete", "type": "semantic", "id": name})


def step(stream: str, number: int, held: dict[str, int] | None, *results: ToolRow, tokens: int = 100) -> OperationRow:
    return OperationRow(
        context_id=stream,
        digest=stream,
        repeat=0,
        chunk=f"c{number:05}",
        chunk_tokens=tokens,
        units=(number, number),
        results=results,
        held=held,
    )


LONG = (
    step("stream-long", 0, {"core": 1, "semantic": 10}, put("a"), put("b")),
    step("stream-long", 1, {"core": 1, "semantic": 30}, put("a"), put("a", "core")),
    step("stream-long", 2, {"core": 1, "semantic": 7}, delete("a"), ToolRow(name="delete", status="error", message="no x")),
    step("stream-long", 3, {"core": 1, "semantic": 9}, put("a")),
    OperationRow(context_id="stream-long", digest="stream-long", repeat=0, chunk=FINISH),
)
SHORT = (
    step("stream-short", 0, {"core": 0, "semantic": 2}, tokens=50),
    step("stream-short", 1, {"core": 0, "semantic": 4}, tokens=50),
)


def test_worked_by_hand(make_run: Make) -> None:
    asked = [Asked("long", memory_tokens=10, operations=LONG), Asked("short", memory_tokens=4, operations=SHORT)]
    found = economics(find_run(make_run(asked, agent="memalpha")))
    assert found.memories == 2
    assert found.changes == Changes(writes=4, updates=1, deletes=1)  # `a` of another type, and `a` written again, are new
    assert found.peak == Sizes((31 + 4) / 2, 31)
    assert found.end == Sizes(7.0, 10)
    assert found.along == (  # chunk 1, 2, 3, 4 of four, beside 1, 1, 2, 2 of two
        Held(0.25, 75.0, {"core": 0.5, "semantic": 6.0}),
        Held(0.5, 125.0, {"core": 0.5, "semantic": 16.0}),
        Held(0.75, 200.0, {"core": 0.5, "semantic": 5.5}),
        Held(1.0, 250.0, {"core": 0.5, "semantic": 6.5}),
    )
    assert found.operations.counts == {"ok": 6, "error": 1}
    assert found.operations.reasons == {"error": {"no x": 1}}
    assert msgspec.json.decode(msgspec.json.encode(found), type=Economics) == found
    assert lines(found)[:3] == [
        "memory tokens at the end 7, at the peak 18 (most 31)",
        "  by type core 0, semantic 6",
        "memory entries written 4, replaced 1, deleted 1",
    ]


def test_a_memory_is_followed_to_its_last_question(make_run: Make) -> None:
    """The amounts do not include what other runs that share the memory have since read of the stream."""
    path = make_run([Asked("long", memory_tokens=31, operations=LONG)])
    run = find_run(path)
    write_rows(path / "questions.jsonl", [replace(row, position=2, stream_units=4) for row in run.questions.values()])
    found = economics(find_run(path))
    assert [point.tokens["semantic"] for point in found.along] == [10, 30]
    assert found.changes == Changes(writes=3, updates=1)


def test_long_streams_have_a_bounded_curve(make_run: Make) -> None:
    steps = tuple(step("stream-q", number, {"semantic": number}) for number in range(1000))
    along = economics(find_run(make_run([Asked("q", operations=steps)]))).along
    assert len(along) == 50
    assert (along[0].share, along[0].tokens, along[-1].tokens) == (0.02, {"semantic": 19.0}, {"semantic": 999.0})


@pytest.mark.parametrize("control", [True, False])
def test_what_is_not_known_is_left_out(make_run: Make, control: bool) -> None:
    silent = tuple(step("stream-q", number, None) for number in range(3))
    found = economics(find_run(make_run([Asked("q", operations=silent)], control=control)))
    assert (found.along, found.changes, found.peak) == ((), None, Sizes())
    assert not any("peak" in line for line in lines(found))
