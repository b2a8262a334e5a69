import asyncio
import re

import pytest
from call_counts import Counts, counts
from faulty_server import FaultyServer, always, first
from gateways import gateway, stored
from scripts import ScriptedModel

from memeval.errors import UsageError
from memeval.models.calls import CallSettings
from memeval.models.completion import Completion, ModelSpec, Request, Usage
from memeval.models.faults import EndpointDown, EndpointRefused
from memeval.models.gateway import Gateway
from memeval.models.limits import Policy

QUICK = Policy(first_wait=0.002, longest_wait=0.02, wait_at_start=0.2)
SPEC = ModelSpec("m", "http://127.0.0.1:1/v1")


def asked(text, **params):
    return Request([{"role": "user", "content": text}], None, params)


def echo(request):
    return Completion(f"echo: {request.messages[-1]['content']}", usage=Usage(3, 2))


class Slow(ScriptedModel):
    """Answers after a moment, and knows whether it was closed and how many calls were cancelled."""

    closed = False
    cancelled = 0

    async def complete(self, request):
        try:
            await asyncio.sleep(0.02)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return await super().complete(request)

    async def close(self):
        self.closed = True


def counted(model, store=None, **options):
    """A gateway to one model. `rows`: of its calls."""
    rows = []
    door = gateway(store, model, on_call=rows.append, **options)
    door.rows = rows
    return door


def test_store_then_cache_then_model(tmp_path, own_cache):
    async def main():
        model = ScriptedModel(echo)
        one = counted(model, tmp_path / "one.sqlite", cache=True)
        assert (await one.call(SPEC, asked("a"))).text == "echo: a"
        begun = one.first_call_at
        assert (await one.call(SPEC, asked("a"))).text == "echo: a"
        other = counted(model, tmp_path / "two.sqlite", cache=True)
        await other.call(SPEC, asked("a"))
        without_cache = counted(model, tmp_path / "two.sqlite")
        await without_cache.call(SPEC, asked("a"))
        assert len(model.requests) == 1
        rows = [*one.rows, *other.rows, *without_cache.rows]
        assert [row.source for row in rows] == ["model", "stored", "cache", "stored"]
        assert [row.attempts for row in rows] == [1, 0, 0, 0]
        assert counts(one.rows) == Counts(calls=2, cached=1, requests=1, failures=0, prompt=6, fresh=3)
        assert one.requests == 1
        assert begun is not None
        assert one.first_call_at == begun
        row = rows[0]
        assert (row.model, row.status, row.finish_reason) == ("scripted", "ok", "stop")
        assert (row.prompt, row.completion) == (3, 2)
        for door in (one, other, without_cache):
            await door.close()

    asyncio.run(main())


def test_identical_concurrent_calls_are_sent_once():
    async def main():
        model = Slow(echo)
        door = counted(model)
        texts = [completion.text for completion in await asyncio.gather(*(door.call(SPEC, asked(t)) for t in "aabaab"))]
        await door.call(SPEC, asked("a"))  # no journal, no cache: once it is here it is asked again
        return texts, len(model.requests), counts(door.rows)

    texts, sent, counters = asyncio.run(main())
    assert texts == [f"echo: {t}" for t in "aabaab"]
    assert sent == 3
    assert (counters.calls, counters.cached, counters.requests) == (7, 4, 3)


def test_two_processes_that_make_one_call_at_once_go_on_with_the_reply_that_was_stored_first(tmp_path):
    async def main():
        model = Slow([Completion("one"), Completion("two")])
        doors = [counted(model, tmp_path / "calls.sqlite") for _ in range(2)]
        replies = await asyncio.gather(*(door.call(SPEC, asked("a")) for door in doors))
        for door in doors:
            await door.close()
        assert len(model.requests) == 2
        return {reply.text for reply in replies}

    assert len(asyncio.run(main())) == 1


def test_equal_calls_of_other_samples_and_repeats_are_other_calls():
    async def main():
        model = Slow(lambda request: "x")
        door = counted(model)
        requests = [Request([], None, {}, repeat, sample) for repeat in (0, 1) for sample in (0, 1)]
        await asyncio.gather(*(door.call(SPEC, request) for request in requests))
        return len(model.requests)

    assert asyncio.run(main()) == 4


def test_a_bug_in_a_model_fails_its_call_and_names_the_place(tmp_path):
    def bug(request):
        raise IndexError("bug") if request == asked("a") else UsageError("stop it all")

    door = counted(ScriptedModel(bug), tmp_path / "calls.sqlite")
    completion = asyncio.run(door.call(SPEC, asked("a")))
    assert re.fullmatch(r"the model raised IndexError\(bug\) at test_gateway.py:\d+", completion.error)
    assert (counts(door.rows).failures, stored(tmp_path / "calls.sqlite")) == (1, 0)
    with pytest.raises(UsageError, match="stop it all"):
        asyncio.run(door.call(SPEC, asked("b")))


@pytest.mark.usefixtures("clock")
def test_a_caller_that_is_cancelled_takes_no_reply_from_the_others():
    async def main():
        model = Slow(echo)
        door = counted(model)
        calls = [asyncio.create_task(door.call(SPEC, asked("a"))) for _ in range(3)]
        await asyncio.sleep(0.005)
        calls[0].cancel()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)  # the next in line has sent it
        assert isinstance(outcomes[0], asyncio.CancelledError)
        assert [outcome.text for outcome in outcomes[1:]] == ["echo: a"] * 2

        alone = asyncio.create_task(door.call(SPEC, asked("b")))
        await asyncio.sleep(0.005)
        alone.cancel()
        fresh = asyncio.create_task(door.call(SPEC, asked("b")))
        await asyncio.gather(alone, return_exceptions=True)
        assert (await fresh).text == "echo: b"
        assert (model.cancelled, len(model.requests)) == (2, 2)

    asyncio.run(main())


def test_errors_are_handed_out_counted_and_never_kept(tmp_path, own_cache):
    async def main():
        model = ScriptedModel([Completion(error="HTTP 500"), Completion("now")])
        door = counted(model, tmp_path / "calls.sqlite", cache=True)
        assert (await door.call(SPEC, asked("a"))).error == "HTTP 500"
        assert (await door.call(SPEC, asked("a"))).text == "now"
        assert (counts(door.rows).failures, door.requests) == (1, 2)

    asyncio.run(main())


def test_an_overflow_is_journalled_but_not_kept_for_other_runs(tmp_path, own_cache):
    async def main():
        file = tmp_path / "calls.sqlite"
        model = ScriptedModel([Completion(finish_reason="overflow"), Completion("the window was widened")])
        assert (await gateway(file, model, cache=True).call(SPEC, asked("a"))).finish_reason == "overflow"
        assert (await gateway(file, model, cache=True).call(SPEC, asked("a"))).finish_reason == "overflow"
        assert (await gateway(None, model, cache=True).call(SPEC, asked("a"))).text == "the window was widened"

    asyncio.run(main())


def test_models_that_cost_nothing_do_not_fill_the_users_cache(tmp_path, own_cache):
    script = tmp_path / "rules.jsonl"
    script.write_text('{"reply": "yes"}\n')

    async def main():
        door = gateway(tmp_path / "calls.sqlite", cache=True)
        await door.call(ModelSpec(f"scripted:{script}"), asked("a"))
        await door.close()

    asyncio.run(main())
    assert (stored(tmp_path / "calls.sqlite"), stored(own_cache / "calls.sqlite")) == (1, 0)


def test_defaults_of_the_spec_are_sent_and_part_of_the_key():
    async def main():
        model = ScriptedModel(echo)
        door = counted(model)
        spec = ModelSpec(SPEC.name, SPEC.base_url, {"temperature": 0.7, "max_tokens": 10})
        await door.call(spec, asked("a", temperature=0.0))
        return dict(model.requests[0].params)

    assert asyncio.run(main()) == {"temperature": 0.0, "max_tokens": 10}


def test_retries_are_counted_as_requests_and_models_of_one_endpoint_share_its_limit():
    async def main():
        async with FaultyServer(first(2, "500"), latency=0.01) as server:
            events = []
            door = gateway(concurrency=3, policy=QUICK, on_call=events.append)
            specs = [ModelSpec(name, server.url) for name in ("m", "n")]
            await asyncio.gather(*(door.call(spec, asked(f"{spec.name} {n}")) for spec in specs for n in range(10)))
            await door.close()
            return counts(events), events, server.widest

    counters, events, widest = asyncio.run(main())
    assert (counters.calls, counters.requests, counters.cached) == (20, 60, 0)
    assert {event.attempts for event in events} == {3}
    assert widest == 3


def test_endpoints_that_are_down_or_refuse_stop_the_run(tmp_path):
    async def main():
        file = tmp_path / "calls.sqlite"
        async with FaultyServer(always("401")) as server:
            door = gateway(file, policy=QUICK)
            with pytest.raises(EndpointRefused):
                await door.call(ModelSpec("m", server.url), asked("a"))
            assert door.requests == 1
            await door.close()
        door = gateway(file, policy=QUICK)
        calls = (door.call(ModelSpec("m", "http://127.0.0.1:9/v1"), asked(str(n))) for n in range(5))
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {EndpointDown}
        await door.close()
        assert stored(file) == 0

    asyncio.run(main())


def test_unknown_names_are_a_usage_error():
    with pytest.raises(UsageError, match="did you mean 'offline'"):
        asyncio.run(gateway().call(ModelSpec("ofline"), asked("a")))


@pytest.mark.usefixtures("clock")
def test_close_cancels_what_is_in_flight_and_closes_the_models(recwarn):
    async def main():
        model = Slow(echo)
        door = counted(model)
        calls = [asyncio.create_task(door.call(SPEC, asked(str(n)))) for n in range(5)]
        await asyncio.sleep(0.005)
        await door.close()
        assert all(
            isinstance(outcome, asyncio.CancelledError) for outcome in await asyncio.gather(*calls, return_exceptions=True)
        )
        assert (model.cancelled, model.closed) == (5, True)
        with pytest.raises(RuntimeError, match="closed"):
            await door.call(SPEC, asked("late"))

    asyncio.run(main())
    assert [str(warning.message) for warning in recwarn] == []


def test_a_model_that_cannot_be_closed_is_named_when_all_others_are_closed(tmp_path):
    class Broken(ScriptedModel):
        async def close(self):
            raise OSError("the server does not end")

    async def main():
        models = {"broken": Broken(echo), "slow": Slow(echo)}
        settings = CallSettings(use_cache=False)
        door = Gateway(settings, {"": tmp_path / "calls.sqlite"}, opener=lambda spec, limiter: models[spec.name])
        for name in models:
            await door.call(ModelSpec(name, SPEC.base_url), asked(name))
        with pytest.raises(OSError, match="the server does not end"):
            await door.close()
        return models["slow"].closed

    assert asyncio.run(main())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["calls.sqlite"]  # closed as well: no log is beside it


def test_a_run_that_is_resumed_repeats_no_finished_call(tmp_path):
    async def main(stop_after):
        async with FaultyServer(latency=0.002) as server:
            door = gateway(tmp_path / "calls.sqlite", concurrency=4)
            spec = ModelSpec("m", server.url)  # a server that moved: another port in each run
            calls = [asyncio.create_task(door.call(spec, asked(str(n)))) for n in range(60)]
            for done in asyncio.as_completed(calls):
                await done
                stop_after -= 1
                if not stop_after:
                    break
            await door.close()
            await asyncio.gather(*calls, return_exceptions=True)
            return server.served

    first_run = asyncio.run(main(20))
    second_run = asyncio.run(main(60))
    assert 20 <= len(first_run) < 60
    # every call once, but for those that were in flight when the first run was stopped
    assert set(first_run) | set(second_run) == {str(n) for n in range(60)}
    assert len(set(first_run) & set(second_run)) <= 4


def test_the_url_is_in_the_users_cache_alone_and_the_tag_everywhere(tmp_path, own_cache):
    async def main():
        model = ScriptedModel(lambda request: str(len(model.requests)))
        here, moved = ModelSpec("m", "http://one/v1"), ModelSpec("m", "http://two/v1")
        tagged = ModelSpec("m", "http://one/v1", tag="step-100")

        def door(stores):
            return Gateway(CallSettings(), stores, opener=lambda spec, limiter: Named(spec.base_url, model))

        run = door({"": tmp_path / "calls.sqlite"})
        assert [(await run.call(spec, asked("a"))).text for spec in (here, moved, tagged)] == ["1", "1", "2"]
        other = door({})
        assert [(await other.call(spec, asked("a"))).text for spec in (here, tagged)] == ["1", "2"]
        assert (await other.call(moved, asked("a"))).text == "3"  # another server's model may be another one
        await run.close()
        await other.close()

    asyncio.run(main())


def test_a_model_is_opened_once_for_each_of_its_settings():
    async def main():
        opened = []

        def opener(spec, limiter):
            opened.append(dict(spec.backend))
            return ScriptedModel(echo)

        door = Gateway(CallSettings(), {}, opener=opener)
        settings = [{"dtype": "float32"}, {"dtype": "bfloat16"}, {"dtype": "float32"}]
        for number, backend in enumerate(settings):
            await door.call(ModelSpec(SPEC.name, SPEC.base_url, backend=backend), asked(str(number)))
        await door.close()
        return opened

    assert asyncio.run(main()) == [{"dtype": "float32"}, {"dtype": "bfloat16"}]


class Named:
    """A model with an identity of its own."""

    def __init__(self, identity, model):
        self.identity = identity
        self.complete = model.complete

    async def close(self):
        pass


def test_the_phase_says_in_which_store_a_reply_is_kept(tmp_path):
    async def main():
        memory, run = tmp_path / "memory.sqlite", tmp_path / "run.sqlite"
        model = ScriptedModel(echo)
        door = counted(model, {"ingest": memory, "recall": memory, "answer": run})
        for phase in ("ingest", "recall", "answer"):
            await door.call(SPEC, Request([{"role": "user", "content": phase}], phase=phase))
        await door.call(SPEC, Request([{"role": "user", "content": "recall"}], phase="ingest"))  # the same call, one store
        await door.close()
        assert (stored(memory), stored(run), len(model.requests)) == (2, 1, 3)

    asyncio.run(main())
