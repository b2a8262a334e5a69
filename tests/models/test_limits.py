import asyncio
import contextlib
import time
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest

from memeval.models import limits
from memeval.models.completion import Completion, Usage
from memeval.models.faults import EndpointDown, EndpointRefused, Fault, retry_after
from memeval.models.limits import Limiter, Policy, Trace, trace

QUICK = Policy(first_wait=0.001, longest_wait=0.01, dead_after=0.3, dead_at_start=0.15, jitter=False)
OK = Completion("ok")


class Script:
    """An attempt that goes through a list of outcomes: an exception is raised, anything else returned."""

    def __init__(self, *outcomes, seconds=0.0):
        self.outcomes = list(outcomes)
        self.seconds = seconds
        self.times = []

    async def __call__(self):
        self.times.append(time.monotonic())
        if self.seconds:
            await asyncio.sleep(self.seconds)
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def run(attempt, policy=QUICK, **options):
    return asyncio.run(Limiter("http://x/v1", policy=policy, **options).run(attempt))


def test_a_fault_is_repeated_until_it_works_and_attempts_are_counted():
    async def main():
        counter = Trace()
        trace.set(counter)
        completion = await Limiter("x", policy=QUICK).run(Script(Fault("HTTP 500"), Fault("HTTP 500"), OK))
        return completion, counter.attempts

    assert asyncio.run(main()) == (OK, 3)


def test_a_call_is_given_up_after_its_attempts():
    attempt = Script(Fault("HTTP 500: trouble"))
    completion = run(attempt)
    assert completion.error == "HTTP 500: trouble (given up after 8 attempts)"
    assert len(attempt.times) == 8


def test_waits_double_up_to_the_longest():
    policy = Policy(first_wait=0.01, longest_wait=0.05, jitter=False)
    limiter = Limiter("x", policy=policy)
    assert [limiter._wait(sent, Fault("HTTP 500")) for sent in range(1, 6)] == [0.01, 0.02, 0.04, 0.05, 0.05]
    attempt = Script(Fault("HTTP 500"))
    run(attempt, policy)
    waits = [later - earlier for earlier, later in zip(attempt.times, attempt.times[1:], strict=False)]
    assert all(wait >= ideal for wait, ideal in zip(waits, [0.01, 0.02, 0.04, *[0.05] * 4], strict=True))


def test_jitter_shortens_the_waits_by_at_most_half_and_follows_its_seed():
    limiters = [Limiter("x", policy=Policy(first_wait=1.0), seed=seed) for seed in (1, 1, 2)]
    waits = [[limiter._wait(sent, Fault("x")) for sent in range(1, 6)] for limiter in limiters]
    assert waits[0] == waits[1] != waits[2]
    for sent, wait in enumerate(waits[0], start=1):
        assert 2.0 ** (sent - 1) / 2 <= wait <= 2.0 ** (sent - 1)


def test_an_attempt_that_hangs_is_repeated_within_the_deadline():
    async def attempt():
        starts.append(time.monotonic())
        if len(starts) == 1:
            await asyncio.sleep(60)
        return OK

    starts = []
    assert asyncio.run(Limiter("x", policy=QUICK).run(attempt, 1.0)) is OK
    assert 0.5 <= starts[1] - starts[0] < 0.9  # half of the deadline

    starts, begun = [], time.monotonic()
    completion = run(Script(OK, seconds=60), Policy(timeout=0.2, first_wait=0.001))
    assert completion.error.startswith("no reply within 0.")
    assert time.monotonic() - begun < 5


@pytest.fixture
def soon(monkeypatch):
    monkeypatch.setattr(limits, "SOON", 0.05)


@pytest.mark.parametrize("hangs", [1, 4])
def test_where_others_were_answered_fast_an_attempt_that_hangs_is_repeated_soon(hangs, soon):
    async def attempt():
        starts.append(time.monotonic())
        if len(starts) <= hangs:
            await asyncio.sleep(60)
        return OK

    async def main():
        limiter = Limiter("x", policy=QUICK)
        await limiter.run(Script(OK))
        return await limiter.run(attempt, 2.0)

    starts = []
    assert asyncio.run(main()) is OK
    assert 0.1 * hangs <= starts[-1] - starts[0] < 0.2 * hangs + 0.2


def test_an_attempt_from_before_the_first_reply_is_repeated_soon_after_it(soon):
    async def attempt():
        starts.append(time.monotonic())
        await asyncio.sleep(60 if len(starts) == 1 else 0)
        return OK

    async def main():
        limiter = Limiter("x", policy=QUICK)
        return await asyncio.gather(limiter.run(attempt, 4.0), limiter.run(Script(OK, seconds=0.01), 4.0))

    starts = []
    assert asyncio.run(main()) == [OK, OK]
    assert 0.2 <= starts[1] - starts[0] < 1.0  # a tenth of its two seconds


def test_a_call_that_is_far_slower_than_all_others_gets_half_of_what_is_allowed_in_the_end(soon):
    async def main():
        limiter = Limiter("x", policy=QUICK)
        await limiter.run(Script(OK))
        return await limiter.run(Script(OK, seconds=0.4), 1.0)

    assert asyncio.run(main()) is OK


def test_queueing_does_not_count_against_the_deadline():
    async def main():
        limiter = Limiter("x", cap=1, policy=QUICK)
        return await asyncio.gather(*(limiter.run(Script(OK, seconds=0.1), 0.5) for _ in range(8)))

    assert asyncio.run(main()) == [OK] * 8


def test_throttling_uses_up_no_attempts_but_the_deadline():
    slow = Fault("HTTP 429", throttled=True, counted=False)
    assert run(Script(*[slow] * 20, OK)) is OK
    completion = run(Script(slow), Policy(timeout=0.1, first_wait=0.001, longest_wait=0.01))
    assert completion.error.startswith("HTTP 429 (given up after ")


def test_other_errors_pass_at_once():
    for error in (EndpointRefused("no"), ValueError("bug")):
        attempt = Script(error)
        with pytest.raises(type(error)):
            run(attempt)
        assert len(attempt.times) == 1


def test_concurrency_never_exceeds_the_cap_and_uses_it():
    async def main():
        limiter, now, widest = Limiter("x", cap=5, policy=QUICK), 0, 0

        async def attempt():
            nonlocal now, widest
            now += 1
            widest = max(widest, now)
            await asyncio.sleep(0.002)
            now -= 1
            return OK

        await asyncio.gather(*(limiter.run(attempt) for _ in range(50)))
        return widest

    assert asyncio.run(main()) == 5


def test_concurrency_halves_once_per_round_trip_and_recovers_by_one_per_round_trip():
    async def main():
        limiter = Limiter("x", cap=16, policy=QUICK)
        slow = Fault("HTTP 503", throttled=True)
        await asyncio.gather(*(limiter.run(Script(slow, OK, seconds=0.02)) for _ in range(16)))
        after_burst = limiter.limit
        rounds = 0
        while limiter.limit < 16:
            await asyncio.gather(*(limiter.run(Script(OK)) for _ in range(int(limiter.limit))))
            rounds += 1
        return after_burst, rounds

    after_burst, rounds = asyncio.run(main())
    assert 8 <= after_burst < 11  # 16 refusals of one burst: halved once, then 16 successes at 8 wide
    assert 5 <= rounds <= 8


def test_concurrency_stays_at_one_at_least():
    async def main():
        limiter = Limiter("x", cap=4, policy=QUICK)
        await limiter.run(Script(*[Fault("429", throttled=True, counted=False)] * 10, OK))
        return limiter.limit

    assert asyncio.run(main()) == 2.0  # halved to 1, and one success


def test_retry_after_pauses_everybody():
    async def main():
        limiter = Limiter("x", cap=8, policy=QUICK)
        first = Script(Fault("429", throttled=True, counted=False, retry_after=0.15), OK)
        begun = time.monotonic()
        call = asyncio.create_task(limiter.run(first))
        await asyncio.sleep(0.02)
        other = Script(OK)
        await asyncio.gather(call, *(limiter.run(other) for _ in range(3)))
        return [at - begun for at in [first.times[1], *other.times]]

    assert all(0.15 <= at < 5 for at in asyncio.run(main()))


def test_retry_after_is_believed_up_to_a_cap():
    policy = Policy(first_wait=0.001, longest_pause=0.05, jitter=False)
    attempt = Script(Fault("429", throttled=True, counted=False, retry_after=86_400.0), OK)
    assert run(attempt, policy) is OK
    assert 0.05 <= attempt.times[1] - attempt.times[0] < 5


def test_a_repeated_attempt_goes_before_new_calls():
    async def main():
        limiter, order = Limiter("x", cap=1, policy=Policy(first_wait=0.001, jitter=False)), []

        def named(name, *outcomes):
            script = Script(*outcomes, seconds=0.01)

            async def attempt():
                order.append(name)
                return await script()

            return limiter.run(attempt)

        await asyncio.gather(named("a", Fault("HTTP 500"), OK), *(named(name, OK) for name in "bcd"))
        return "".join(order)

    assert asyncio.run(main()) == "abacd"


def test_an_unreachable_endpoint_is_given_up_as_a_whole_and_no_call_fails():
    async def main():
        limiter = Limiter("http://x/v1", cap=3, policy=QUICK)
        attempt = Script(Fault("Connection refused", unreachable=True))
        begun = time.monotonic()
        outcomes = await asyncio.gather(*(limiter.run(attempt) for _ in range(10)), return_exceptions=True)
        seconds = time.monotonic() - begun
        with pytest.raises(EndpointDown):
            await limiter.run(Script(OK))
        return outcomes, seconds

    outcomes, seconds = asyncio.run(main())
    assert {type(outcome) for outcome in outcomes} == {EndpointDown}
    assert 0.15 <= seconds < 5
    message = str(outcomes[0])
    assert "http://x/v1" in message
    assert "Connection refused" in message
    assert "\n" not in message


def test_a_server_that_comes_back_in_time_costs_no_call():
    async def main():
        limiter = Limiter("x", policy=QUICK)
        await limiter.run(Script(OK))
        back = time.monotonic() + 0.2  # more attempts than a call has, less than dead_after

        async def attempt():
            if time.monotonic() < back:
                raise Fault("Connection refused", unreachable=True)
            return OK

        return await asyncio.gather(*(limiter.run(attempt) for _ in range(20)))

    assert asyncio.run(main()) == [OK] * 20


def test_one_poisoned_call_fails_alone():
    async def main():
        limiter = Limiter("x", cap=4, policy=Policy(first_wait=0.02, jitter=False, dead_after=0.05, dead_at_start=0.05))
        healthy = [limiter.run(Script(OK, seconds=0.005)) for _ in range(400)]
        return await asyncio.gather(limiter.run(Script(Fault("HTTP 500"))), *healthy)

    poisoned, *healthy = asyncio.run(main())
    assert poisoned.error.startswith("HTTP 500")
    assert healthy == [OK] * 400


def test_the_last_poisoned_call_of_a_run_fails_alone():
    policy = Policy(first_wait=0.02, jitter=False, dead_after=0.05, dead_at_start=0.05)
    assert run(Script(Fault("HTTP 500")), policy).error.startswith("HTTP 500")  # 8 attempts, far longer than dead_after


@pytest.mark.parametrize("calls", [1, 4])
@pytest.mark.parametrize("answered", [False, True])
def test_an_endpoint_that_answers_nothing_but_errors_is_given_up_and_no_call_fails(calls, answered):
    async def main():
        limiter = Limiter("x", cap=4, policy=QUICK)
        if answered:
            await limiter.run(Script(OK))
        dead = Script(Fault("HTTP 500: engine is dead"))
        begun = time.monotonic()
        several = [limiter.run(dead, probe=dead) for _ in range(calls)]
        return await asyncio.gather(*several, return_exceptions=True), time.monotonic() - begun

    outcomes, seconds = asyncio.run(main())
    assert {type(outcome) for outcome in outcomes} == {EndpointDown}
    assert "engine is dead" in str(outcomes[0])
    assert 0.3 <= seconds < 5


@pytest.mark.parametrize("calls", [1, 2, 4, 20])
@pytest.mark.parametrize("cap", [1, 4, 16])
def test_calls_that_hang_are_given_up_where_the_endpoint_answers_a_probe(calls, cap):
    async def main():
        limiter, probe, counter = Limiter("x", cap, QUICK), Script(Completion("OK", usage=Usage(9, 1))), Trace()
        trace.set(counter)
        hangs = (limiter.run(Script(OK, seconds=60), 0.02, probe) for _ in range(calls))
        completions = await asyncio.gather(*hangs)
        return completions, len(probe.times), counter.attempts

    completions, probes, attempts = asyncio.run(main())
    assert all(completion.error.startswith("no reply within 0.0") for completion in completions)
    assert sum((completion.usage for completion in completions), Usage()) == Usage(9 * probes, probes)
    assert 1 <= probes <= calls
    assert 2 * calls + probes <= attempts <= 8 * calls + probes


def test_an_endpoint_that_hangs_is_probed_until_it_has_been_silent_for_long_enough():
    async def main(back):
        limiter = Limiter("x", cap=1, policy=QUICK)

        async def hang():
            await asyncio.sleep(60)
            return OK

        async def probe():
            if len(probes) < back:
                probes.append(time.monotonic())
                await asyncio.sleep(60)
            return OK

        probes, begun = [], time.monotonic()
        with contextlib.suppress(EndpointDown):
            completion = await limiter.run(hang, 0.02, probe)
            return completion, probes
        return time.monotonic() - begun, probes

    completion, probes = asyncio.run(main(back=3))
    assert completion.error.startswith("no reply")
    assert len(probes) == 3
    seconds, probes = asyncio.run(main(back=10**6))
    assert 0.3 <= seconds < 5
    assert len(probes) > 3


def test_a_slow_server_at_which_others_get_through_is_not_dead():
    """One reply in 0.2 s, which is longer than it may be silent, and the probe is last in its queue."""

    async def main():
        limiter = Limiter("x", cap=8, policy=replace(QUICK, dead_after=0.05))
        slow = [limiter.run(Script(OK, seconds=0.2 * n), 60) for n in range(1, 8)]
        poisoned = limiter.run(Script(OK, seconds=60), 0.5, Script(OK, seconds=60))
        return await asyncio.gather(poisoned, *slow)

    poisoned, *others = asyncio.run(main())
    assert poisoned.error.startswith("no reply")
    assert others == [OK] * 7


def test_the_replies_to_other_calls_do_as_well_as_a_probe():
    async def main():
        limiter, probe = Limiter("x", cap=4, policy=QUICK), Script(Fault("HTTP 500"))
        healthy = [limiter.run(Script(OK, seconds=0.005)) for _ in range(400)]
        bad, *_ = await asyncio.gather(limiter.run(Script(Fault("HTTP 500")), probe=probe), *healthy)
        return bad.error, probe.times

    error, probes = asyncio.run(main())
    assert error.startswith("HTTP 500")
    assert 1 <= len(probes) <= 2


def test_a_cancelled_call_gives_its_place_back():
    async def main():
        limiter = Limiter("x", cap=2, policy=QUICK)
        calls = [asyncio.create_task(limiter.run(Script(OK, seconds=60))) for _ in range(6)]
        await asyncio.sleep(0.01)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        return await asyncio.wait_for(asyncio.gather(*(limiter.run(Script(OK, seconds=0.001)) for _ in range(4))), 5)

    assert asyncio.run(main()) == [OK] * 4


def test_a_call_cancelled_at_the_moment_it_gets_its_place_gives_it_back():
    async def main():
        limiter = Limiter("x", cap=1, policy=QUICK)
        gate = asyncio.Event()

        async def held():
            await gate.wait()
            return OK

        first = asyncio.create_task(limiter.run(held))
        second = asyncio.create_task(limiter.run(Script(OK)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        gate.set()
        first.add_done_callback(lambda _: second.cancel())
        await asyncio.gather(first, second, return_exceptions=True)
        return await asyncio.wait_for(limiter.run(Script(OK)), 5)

    assert asyncio.run(main()) is OK


def test_the_headers_that_say_when_to_come_back():
    now = 1_700_000_000.0
    date = format_datetime(datetime.fromtimestamp(now + 90, UTC), usegmt=True)
    assert retry_after("7") == 7.0
    assert retry_after("0.5") == 0.5
    assert retry_after("7", "250") == 0.25
    assert retry_after(date, now=now) == 90.0
    assert retry_after(date, now=now + 1000) == 0.0
    for nothing in (None, "", "-3", "nan", "inf", "soon", "Wed, 99 Foo"):
        assert retry_after(nothing) is None


def test_an_endpoint_that_falls_silent_is_probed_before_its_calls_are_given_up(soon):
    async def main():
        limiter = Limiter("x", policy=QUICK)
        await limiter.run(Script(OK))
        begun = time.monotonic()
        with pytest.raises(EndpointDown, match=r"nothing has succeeded for .* \(no reply within"):
            await limiter.run(Script(OK, seconds=60), 8.0, Script(OK, seconds=60))
        return time.monotonic() - begun

    assert QUICK.dead_after <= asyncio.run(main()) < 2.0  # not eight seconds


@pytest.mark.parametrize("lasting", [False, True])
def test_whose_fault_a_refusal_is_after_replies_a_probe_decides(lasting):
    async def main():
        limiter, probe = Limiter("x", policy=QUICK), Script(EndpointRefused("HTTP 401") if lasting else OK)
        await limiter.run(Script(OK))
        refused = Script(EndpointRefused("HTTP 401"))
        try:
            return await limiter.run(refused, None, probe)
        finally:
            assert (len(refused.times), len(probe.times)) == (1, 1)

    if lasting:
        with pytest.raises(EndpointRefused):
            asyncio.run(main())
    else:
        assert asyncio.run(main()).error == "HTTP 401"
