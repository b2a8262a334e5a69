"""The fixed-latency endpoint: what the model layer adds to the server's own time.

    python tests/benchmarks/bench_endpoint.py

512 independent calls of 50 ms, 64 at a time (ideal 0.40 s), and 4 chains of 40 dependent calls (ideal: 40 steps), through
the whole gateway: key, journal, cache, retries, parsing, events. A bare aiohttp loop over the same calls stands beside it.
Medians of 3, taken in turn; the server is a process of its own. Printed, never asserted; the bars of a whole run are in
bench_engine.py.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import fixed_endpoint
import pytest
from fixed_endpoint import LATENCY

from memeval.models.calls import CallSettings
from memeval.models.completion import ModelSpec, Request
from memeval.models.gateway import Gateway
from memeval.models.store import Store

CALLS, WIDTH, CHAINS, LENGTH, ROUNDS = 512, 64, 4, 40, 3
PROMPT = "A memory of a few lines that a reader is shown. " * 40
Measured = tuple[float, float]
"""(wall seconds, CPU milliseconds per call)"""
Call = Callable[[int], Awaitable[object]]
Shape = Callable[[Call], Awaitable[Measured]]


def asked(number: int) -> Request:
    return Request(
        [{"role": "user", "content": f"{PROMPT} Question {number}?"}], None, {"temperature": 0.0, "max_tokens": 64}
    )


async def timed(work: Awaitable[object], calls: int) -> Measured:
    wall, processor = time.perf_counter(), time.process_time()
    await work
    return time.perf_counter() - wall, (time.process_time() - processor) / calls * 1000


async def wide(call: Call) -> Measured:
    """512 calls by 64 workers, as 64 open contexts would make them."""
    numbers = iter(range(CALLS))

    async def worker() -> None:
        for number in numbers:
            await call(number)

    return await timed(asyncio.gather(*(worker() for _ in range(WIDTH))), CALLS)


async def chained(call: Call) -> Measured:
    async def chain(first: int) -> None:
        for number in range(LENGTH):
            await call(1_000_000 + first * LENGTH + number)

    return await timed(asyncio.gather(*(chain(first) for first in range(CHAINS))), CHAINS * LENGTH)


async def bare(url: str, shape: Shape) -> Measured:
    headers = {"Content-Type": "application/json"}
    async with aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(limit=0)) as session:

        async def call(number: int) -> object:
            body = json.dumps({"model": "m", "messages": asked(number).messages}).encode()
            async with session.post(f"{url}/chat/completions", data=body) as response:
                return json.loads(await response.read())

        return await shape(call)


async def whole(url: str, shape: Shape) -> Measured:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MEMEVAL_CACHE"] = str(Path(folder) / "cache")
        file, events = Path(folder) / "calls.sqlite", []
        gateway = Gateway(CallSettings(WIDTH), {"": file}, events.append)
        spec = ModelSpec("m", url)

        async def call(number: int) -> object:
            completion = await gateway.call(spec, asked(number))
            assert completion.text == "Paris", completion
            return completion

        measured = await shape(call)
        await gateway.close()
        store = Store(file)
        assert gateway.requests == len(events) == len(store)
        store.close()
        return measured


def main() -> None:
    works = {
        f"{name}, {shape.__name__}": (run, shape)
        for shape in (wide, chained)
        for name, run in (("bare aiohttp", bare), ("gateway", whole))
    }
    taken: dict[str, list[Measured]] = {name: [] for name in works}
    with fixed_endpoint.endpoint() as url:
        step = fixed_endpoint.latency(url)
        for _ in range(ROUNDS):
            for name, (run, shape) in works.items():
                taken[name].append(asyncio.run(run(url, shape)))
    print(f"{'':22}{'ideal s':>9}{'wall s':>9}{'ratio':>8}{'CPU ms/call':>13}")
    for name, measured in taken.items():
        ideal = LENGTH * step if name.endswith("chained") else CALLS / WIDTH * LATENCY
        wall, processor = (statistics.median(each) for each in zip(*measured, strict=True))
        print(f"{name:22}{ideal:9.2f}{wall:9.3f}{wall / ideal:8.3f}{processor:13.3f}")


@pytest.mark.benchmark
def test_the_model_layer() -> None:
    main()


if __name__ == "__main__":
    main()
