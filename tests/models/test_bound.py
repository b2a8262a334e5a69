"""A bound model is called from wherever an agent runs: the driver's loop, a thread, or a loop of the agent's own."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from memeval.errors import StopRun
from memeval.models import usage
from memeval.models.bound import BoundModel, close_route, open_route
from memeval.models.completion import Completion, Request, Row, Usage
from memeval.models.usage import Ledger, booking


async def from_a_loop_of_its_own(call: Any, work: Any) -> Any:
    """`work(model)` in a thread with its own event loop, while the driver's loop, this one, goes on."""
    route = open_route(call, asyncio.get_running_loop())
    model = BoundModel("m", "memory", route)
    try:
        return await asyncio.to_thread(lambda: asyncio.run(work(model)))
    finally:
        close_route(route)


def test_a_call_from_another_loop_is_made_on_the_drivers_and_booked_where_the_agent_books() -> None:
    ledgers = [Ledger("ingest"), Ledger("recall")]
    places: list[tuple[str, str]] = []

    async def main() -> None:
        driver = threading.current_thread().name

        async def call(request: Request) -> Completion:
            assert threading.current_thread().name == driver
            places.append((usage.current.get().phase, request.phase))
            await asyncio.sleep(0)
            return Completion(str(request.messages[0]["content"]), usage=Usage(1, 1), row=Row((1,), (2,)))

        async def one(model: BoundModel, ledger: Ledger) -> str:
            usage.current.set(ledger)
            return (await model.generate([{"role": "user", "content": ledger.phase}])).text

        async def work(model: BoundModel) -> list[str]:
            return await asyncio.gather(*(asyncio.create_task(one(model, ledger)) for ledger in ledgers))

        assert await from_a_loop_of_its_own(call, work) == ["ingest", "recall"]

    asyncio.run(main())
    assert sorted(places) == [("ingest", "ingest"), ("recall", "recall")]
    for ledger in ledgers:
        assert ledger.calls == {"memory": 1}
        ((role, completion),) = ledger.completions
        assert (role, completion.row) == ("memory", Row((1,), (2,)))


def test_an_agent_on_its_own_loop_cannot_swallow_what_stops_the_run() -> None:
    async def call(request: Request) -> Completion:
        raise StopRun("no credit")

    async def work(model: BoundModel) -> None:
        with booking(Ledger("ingest")):
            try:
                await model.generate([])
            except Exception:  # an agent that catches everything
                return

    with pytest.raises(StopRun, match="no credit"):
        asyncio.run(from_a_loop_of_its_own(call, work))


def test_a_call_that_an_agent_cancels_is_cancelled_on_the_drivers_loop() -> None:
    ended = threading.Event()

    async def call(request: Request) -> Completion:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()
        return Completion()

    async def work(model: BoundModel) -> None:
        usage.current.set(Ledger("ingest"))
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(model.generate([]), 0.05)

    asyncio.run(from_a_loop_of_its_own(call, work))
    assert ended.wait()
