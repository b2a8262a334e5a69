"""Callers that are woken together go on one by one, each behind what the one before has sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from memeval.models.turns import Turns


async def wake(callers: int, work: Callable[[Turns, int], object], cancelled: frozenset[int] = frozenset()) -> None:
    turns, reply = Turns(), asyncio.get_running_loop().create_future()

    async def caller(number: int) -> None:
        await reply
        await turns.mine()
        work(turns, number)

    tasks = [asyncio.create_task(caller(number)) for number in range(callers)]
    await asyncio.sleep(0)
    reply.set_result(None)
    await asyncio.sleep(0)  # all are woken, and the first has gone on
    for number in cancelled:
        tasks[number].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0)


def test_each_request_leaves_before_the_next_caller_works() -> None:
    log: list[str] = []

    async def send(number: int) -> None:
        log.append(f"sent {number}")

    tasks = []

    def work(turns: Turns, number: int) -> None:
        log.append(f"work {number}")
        tasks.append(asyncio.get_running_loop().create_task(send(number)))

    asyncio.run(wake(4, work))
    assert log == [f"{what} {number}" for number in range(4) for what in ("work", "sent")]


def test_a_turn_lasts_as_many_rounds_of_the_loop_as_a_request_needs_to_leave() -> None:
    log: list[str] = []

    async def caller(turns: Turns, number: int) -> None:
        await turns.mine()
        log.append(f"work {number}")
        for _ in range(3):  # a connection is made
            await asyncio.sleep(0)
        log.append(f"sent {number}")

    async def main(rounds: int) -> list[str]:
        log.clear()
        turns = Turns(rounds)
        await asyncio.wait_for(asyncio.gather(*(caller(turns, number) for number in range(3))), 5)
        return list(log)

    assert asyncio.run(main(5)) == [f"{what} {number}" for number in range(3) for what in ("work", "sent")]
    assert asyncio.run(main(1))[:2] == ["work 0", "work 1"]


def test_a_cancelled_caller_holds_nobody_up() -> None:
    log: list[int] = []
    asyncio.run(asyncio.wait_for(wake(5, lambda turns, number: log.append(number), frozenset({1, 3})), 5))
    assert log == [0, 2, 4]


def test_who_comes_later_finds_the_turn_free() -> None:
    async def main() -> None:
        turns = Turns()
        await asyncio.wait_for(turns.mine(), 5)
        await asyncio.sleep(0.01)
        await asyncio.wait_for(turns.mine(), 5)
        await asyncio.wait_for(turns.mine(), 5)  # in the same round: after the next one

    asyncio.run(main())
