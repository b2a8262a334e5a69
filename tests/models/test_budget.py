"""A command's budget: exact in calls, foresighted in USD, and nothing that was paid for is lost."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import gateways
import msgspec
import pytest
from faulty_server import FaultyServer
from hypothesis import given, settings
from hypothesis import strategies as st
from scripts import ScriptedModel

from memeval.errors import StopRun, UsageError
from memeval.models.budget import Budget, BudgetSpent, Charge
from memeval.models.completion import Completion, ModelSpec, Request, Usage
from memeval.models.gateway import Gateway
from memeval.models.prices import Price
from memeval.runs import run_context
from memeval.runs.options import Options
from memeval.runs.plan import Planned, plan
from memeval.runs.run import run

SPEC = ModelSpec("m", "http://127.0.0.1:1/v1")
DOLLAR = Price(0.01, 0.0, 0.01, "test")
"""100 prompt tokens are a dollar."""
CENT = Price(0.0, 0.01, 0.0, "test")
"""Of a token of a reply."""


def priced(max_usd: float | None = None, max_calls: int | None = None) -> Budget:
    return Budget(max_usd, max_calls, lambda name, url: DOLLAR if name == "m" else None)


def asked(text: object) -> Request:
    return Request([{"role": "user", "content": str(text)}])


def dollar(request: Request) -> Completion:
    return Completion("ok", usage=Usage(100, 0))


class Slow(ScriptedModel):
    def __init__(self, reply: Any, seconds: float = 0.02) -> None:
        super().__init__(reply)
        self.seconds = seconds

    async def complete(self, request: Request) -> Completion:
        await asyncio.sleep(self.seconds)
        return await super().complete(request)


class Widest(Slow):
    """Knows how many calls were in the air at most, but for the first."""

    flying = widest = 0

    async def complete(self, request: Request) -> Completion:
        self.flying += 1
        self.widest = max(self.widest, self.flying)
        try:
            return await super().complete(request)
        finally:
            self.flying -= 1


def gateway(model: Any, budget: Budget, store: Path | None = None) -> Gateway:
    return gateways.gateway(store, model, budget=budget)


def test_max_calls_is_exact_and_stored_calls_are_free(tmp_path: Path) -> None:
    async def main() -> None:
        model, budget = ScriptedModel(dollar), priced(max_calls=2)
        door = gateway(model, budget, tmp_path / "calls.sqlite")
        for text in "aabab":
            await door.call(SPEC, asked(text))
        with pytest.raises(BudgetSpent, match="--max-calls 2 is used up"):
            await door.call(SPEC, asked("c"))
        await door.call(SPEC, asked("a"))  # the journal has it
        assert len(model.requests) == budget.calls == 2
        assert issubclass(BudgetSpent, StopRun)

    asyncio.run(main())


def test_max_cost_stops_before_it_is_exceeded() -> None:
    async def main() -> None:
        budget = priced(max_usd=3.5)
        door = gateway(ScriptedModel(dollar), budget)
        for number in range(3):
            await door.call(SPEC, asked(number))
        with pytest.raises(
            BudgetSpent,
            match=r"--max-cost 3\.5 leaves no room for another call \(3 USD spent on 3 calls, the next may cost 1\)",
        ) as caught:
            await door.call(SPEC, asked(3))
        assert "\n" not in str(caught.value)
        assert (budget.calls, budget.usd) == (3, 3.0)

    asyncio.run(main())


def test_a_budget_that_is_met_exactly_is_not_exceeded() -> None:
    async def main() -> None:
        dime = Price(0.001, 0.0, 0.001, "test")
        budget = Budget(1.0, price=lambda name, url: dime)
        door = gateway(ScriptedModel(dollar), budget)
        for number in range(10):  # ten dimes, though 0.1 added up ten times is not 1 in binary
            await door.call(SPEC, asked(number))
        with pytest.raises(BudgetSpent):
            await door.call(SPEC, asked(10))

    asyncio.run(main())


def test_no_money_no_call() -> None:
    async def main() -> None:
        model = ScriptedModel(dollar)
        with pytest.raises(BudgetSpent):
            await gateway(model, priced(max_usd=0.0)).call(SPEC, asked("a"))
        assert model.requests == []

    asyncio.run(main())


def test_what_is_in_the_air_lands_and_is_kept(tmp_path: Path) -> None:
    """Eight callers at once, as contexts of a run are; the first refusal cancels the others, as the engine does."""

    async def main() -> None:
        model, file = Slow(dollar), tmp_path / "calls.sqlite"
        door = gateway(model, priced(max_calls=11), file)

        async def context(name: int) -> None:
            for step in range(5):
                await door.call(SPEC, asked(f"{name} {step}"))

        async def run_all() -> None:
            async with asyncio.TaskGroup() as group:
                for name in range(8):
                    group.create_task(context(name))

        with pytest.raises(ExceptionGroup) as caught:
            await run_all()
        assert all(isinstance(error, BudgetSpent) for error in caught.value.exceptions)
        await door.close()
        assert len(model.requests) == 11 == gateways.stored(file)

    asyncio.run(main())


def test_foresight_counts_the_calls_in_the_air() -> None:
    """After one call of a dollar, 4.5 dollars allow three more at a time, not as many as there are callers."""

    async def main() -> None:
        model, budget = Slow(dollar), priced(max_usd=4.5)
        door = gateway(model, budget)
        await door.call(SPEC, asked("first"))
        results = await asyncio.gather(*(door.call(SPEC, asked(n)) for n in range(10)), return_exceptions=True)
        assert Counter(type(result).__name__ for result in results) == {"Completion": 3, "BudgetSpent": 7}
        assert (budget.calls, budget.usd) == (4, 4.0)

    asyncio.run(main())


def test_many_callers_at_once_do_not_overspend_before_anything_is_known() -> None:
    async def main() -> None:
        model, budget = Slow(dollar), priced(max_usd=4.5)
        door = gateway(model, budget)
        results = await asyncio.gather(*(door.call(SPEC, asked(n)) for n in range(10)), return_exceptions=True)
        assert Counter(type(result).__name__ for result in results) == {"Completion": 4, "BudgetSpent": 6}
        assert budget.usd == 4.0

    asyncio.run(main())


@pytest.mark.usefixtures("clock")
def test_without_a_limit_in_usd_the_first_call_does_not_fly_alone() -> None:
    async def main() -> None:
        begun: list[Request] = []

        class Watched(Slow):
            async def complete(self, request: Request) -> Completion:
                begun.append(request)
                return await super().complete(request)

        door = gateway(Watched(dollar), priced(max_calls=10))
        calls = asyncio.gather(*(door.call(SPEC, asked(n)) for n in range(10)))
        await asyncio.sleep(0.005)
        assert len(begun) == 10
        await calls

    asyncio.run(main())


@pytest.mark.usefixtures("clock")
def test_a_first_call_that_is_cancelled_holds_nobody_up() -> None:
    async def main() -> None:
        door = gateway(Slow(dollar), priced(max_usd=4.5))
        first, *others = [asyncio.create_task(door.call(SPEC, asked(n))) for n in range(3)]
        await asyncio.sleep(0.005)
        first.cancel()
        assert [reply.text for reply in await asyncio.wait_for(asyncio.gather(*others), 5)] == ["ok", "ok"]

    asyncio.run(main())


def test_calls_that_may_be_long_wait_for_those_in_the_air_and_go_on_when_these_were_short() -> None:
    """A reply may have 100 tokens, a dollar, and has one. Of 2.5 dollars two calls fly at a time, after the first, and the
    last is sent when a dollar is left."""

    async def main() -> None:
        model = Widest(lambda request: Completion("ok", usage=Usage(0, 1)))
        budget = Budget(2.5, price=lambda name, url: CENT)
        door = gateway(model, budget)
        calls = (door.call(SPEC, replace(asked(n), params={"max_tokens": 100})) for n in range(200))
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert Counter(type(result).__name__ for result in results) == {"Completion": 151, "BudgetSpent": 49}
        assert budget.usd == pytest.approx(1.51)
        assert model.widest == 2
        assert "1.51 USD spent on 151 calls, the next may cost 1)" in budget.refused

    asyncio.run(main())


@settings(deadline=None, max_examples=40, derandomize=True)
@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 80)), min_size=1, max_size=40), st.floats(0.01, 20.0))
def test_calls_with_a_limit_never_cost_more_however_many_fly(sizes: list[tuple[int, int]], most: float) -> None:
    """Tokens of prompt and reply, at three tokens to the four characters that count as one."""

    async def main() -> None:
        budget = Budget(most, price=lambda name, url: Price(0.01, 0.02, 0.01, "test"))
        replies = dict(enumerate(sizes))

        def reply(request: Request) -> Completion:
            prompt, completion = replies[int(request.messages[0]["content"].strip("x "))]
            return Completion("ok", usage=Usage(3 * prompt, completion))

        door = gateway(Slow(reply, seconds=0.0), budget)
        texts = [f"{number} ".ljust(4 * prompt, "x") for number, (prompt, _) in enumerate(sizes)]
        calls = (door.call(SPEC, replace(asked(text), params={"max_tokens": 80})) for text in texts)
        await asyncio.gather(*calls, return_exceptions=True)
        first = 3 * sizes[0][0] * 0.01 + sizes[0][1] * 0.02  # its tokens are not foreseen
        assert budget.usd <= max(most, first) * (1 + 1e-9)

    asyncio.run(main())


def test_embeddings_have_no_reply_to_pay_for() -> None:
    budget = Budget(1.0, price=lambda name, url: DOLLAR)
    texts = Request([{"content": "x" * 400}, {"content": "x" * 400}])
    assert budget.charge(SPEC, replace(texts, embeds=True)) == Charge(200, 2.0)
    assert budget.charge(SPEC, texts) == Charge(200, None)
    limits = {"max_tokens": 7, "max_completion_tokens": 50}
    assert Budget(1.0, price=lambda name, url: CENT).charge(SPEC, replace(texts, params=limits)) == Charge(200, 0.07)
    assert Budget(max_calls=1).charge(SPEC, texts) == Charge()


def test_a_refusal_stands_even_if_the_calls_in_the_air_turn_out_cheap() -> None:
    async def main() -> None:
        sizes = iter([100, *[0] * 20])
        door = gateway(Slow(lambda request: Completion("ok", usage=Usage(next(sizes), 0))), priced(max_usd=3.0))
        await door.call(SPEC, asked("dear"))
        results = await asyncio.gather(*(door.call(SPEC, asked(n)) for n in range(4)), return_exceptions=True)
        assert Counter(type(result).__name__ for result in results) == {"Completion": 2, "BudgetSpent": 2}
        with pytest.raises(BudgetSpent):  # there would be money again: but the run is stopping
            await door.call(SPEC, asked("more"))

    asyncio.run(main())


@pytest.mark.usefixtures("clock")
def test_failed_and_cancelled_calls_count_as_calls_and_cost_nothing() -> None:
    async def main() -> None:
        model, budget = Slow(lambda request: Completion(error="HTTP 400", finish_reason="error")), priced(5.0, 2)
        door = gateway(model, budget)
        assert (await door.call(SPEC, asked("a"))).error
        task = asyncio.create_task(door.call(SPEC, asked("b")))
        await asyncio.sleep(0.005)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert (budget.calls, budget.usd) == (2, 0.0)
        with pytest.raises(BudgetSpent, match="--max-calls 2"):
            await door.call(SPEC, asked("c"))

    asyncio.run(main())


@settings(deadline=None, max_examples=40, derandomize=True)
@given(st.lists(st.integers(1, 1000), min_size=1, max_size=30), st.floats(0.0, 100.0))
def test_one_at_a_time_a_call_is_sent_just_when_its_mean_fits(sizes: list[int], most: float) -> None:
    """By the rule of the docstring, worked out beside it."""

    async def main() -> None:
        left = iter(sizes)
        budget = priced(max_usd=most)
        door = gateway(ScriptedModel(lambda request: Completion("ok", usage=Usage(next(left), 0))), budget)
        spent: list[float] = []
        for number in range(len(sizes)):
            mean = sum(spent) / len(spent) if spent else 0.0
            if sum(spent) < most and sum(spent) + mean <= most * (1 + 1e-9):
                await door.call(SPEC, asked(number))
                spent.append(sizes[number] * 0.01)
            else:
                with pytest.raises(BudgetSpent):
                    await door.call(SPEC, asked(number))
                break
        assert budget.usd == pytest.approx(sum(spent))

    asyncio.run(main())


@pytest.mark.parametrize("amount", [float("nan"), -1.0])
def test_an_amount_that_is_none_is_refused(amount: float) -> None:
    with pytest.raises(UsageError, match="--max-cost (nan|-1.0): expected USD, 0 or more"):
        Budget(amount)


def test_money_needs_prices() -> None:
    specs = [
        ModelSpec("offline"),
        ModelSpec("scripted:x.jsonl"),
        ModelSpec("vllm/Qwen/Qwen3-4B"),
        ModelSpec("m", "http://h/v1"),
    ]
    priced(max_usd=1.0).require_prices(specs)
    priced(max_calls=1).require_prices([ModelSpec("dear", "http://h/v1")])
    with pytest.raises(UsageError, match=r"--max-cost: the price of model 'dear' is not known; put it under 'prices:'"):
        priced(max_usd=1.0).require_prices([*specs, ModelSpec("dear", "http://h/v1")])


# -- whole runs -------------------------------------------------------------------------------------------------------


@pytest.fixture
def spending(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`spending(budget)`: the gateways of the runs that follow have this budget."""

    def use(budget: Budget) -> Budget:
        monkeypatch.setattr(run_context, "Gateway", lambda settings, *rest: Gateway(replace(settings, budget=budget), *rest))
        return budget

    return use


def planned(tmp_path: Path, url: str, runs: str) -> Planned:
    options = Options(
        agents=["memalpha"], tasks=["synth-10k"], models={"model": "echo"}, base_url=url,
        limit=6, runs_dir=tmp_path / runs, use_cache=False, quiet=True,
    )  # fmt: skip
    return plan(options)[0]


def test_a_run_that_spent_its_budget_is_finished_by_the_same_command(tmp_path: Path, spending: Any) -> None:
    """Served call by call: no reply is asked for twice, and the result is that of a run that was never stopped."""

    async def main() -> None:
        async with FaultyServer(latency=0.005) as server, FaultyServer() as other:

            def go(url: str, runs: str, budget: Budget) -> Any:
                spending(budget)
                return run(planned(tmp_path, url, runs), quiet=True)

            whole = await asyncio.to_thread(go, other.url, "whole", Budget())
            calls = sum(whole.summary.calls.values())
            assert whole.summary.status == "complete"
            first = await asyncio.to_thread(go, server.url, "stopped", Budget(max_calls=7))
            assert first.summary.status == "partial"
            assert not first.interrupted
            assert first.stopped == "--max-calls 7 is used up: raise it to go on"
            assert sum(server.served.values()) == 7
            second = await asyncio.to_thread(go, server.url, "stopped", Budget(max_calls=20))
            assert second.summary.status == "partial"
            assert sum(server.served.values()) == 27
            assert second.summary.n >= first.summary.n
            last = await asyncio.to_thread(go, server.url, "stopped", Budget(max_calls=1000))
            assert last.summary.status == "complete"
            assert set(server.served.values()) == {1}
            assert sum(server.served.values()) == sum(other.served.values()) == calls

            def facts(outcome: Any) -> dict[str, Any]:
                ignored = ("path", "memory", "seconds", "build_seconds", "requests", "latency", "ingest_seconds_per_1k")
                return {key: value for key, value in msgspec.to_builtins(outcome.summary).items() if key not in ignored}

            assert facts(last) == facts(whole)
            lines = [
                {(row["question_id"]): row for row in map(json.loads, (folder / "samples.jsonl").read_text().splitlines())}
                for folder in (last.planned.spec.folder, whole.planned.spec.folder)
            ]
            assert lines[0] == lines[1]

    asyncio.run(main())


def test_replies_are_expected_to_be_as_long_as_the_longest_so_far() -> None:
    """A model that is seen to think is given a larger limit than its calls name."""

    async def main() -> None:
        budget = Budget(10.0, price=lambda name, url: CENT)
        request = replace(asked("x"), params={"max_tokens": 10})
        charge = await budget.reserve(SPEC, request)
        assert charge.usd == pytest.approx(0.1)
        budget.settle(SPEC, charge, Usage(1, 500))
        assert budget.charge(SPEC, request).usd == pytest.approx(5.0)
        assert budget.charge(ModelSpec("other"), request).usd == pytest.approx(0.1)

    asyncio.run(main())
