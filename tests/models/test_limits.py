"""How many calls at once, how often again, and when to stop, by the product's own policy and a clock that jumps."""

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import format_datetime
from itertools import pairwise

import pytest
from faster import faster

from memeval.models.completion import Completion, Usage
from memeval.models.faults import EndpointDown, EndpointRefused, Fault, outcome, retry_after
from memeval.models.limits import Limiter, Policy, Trace, trace

pytestmark = pytest.mark.usefixtures("clock", "whole_waits")
FAST = faster(1000)  # time-out and wait 0.6 s, at the start 0.12 s
OK = Completion("ok")
REFUSED = Completion(error="HTTP 400: odd", finish_reason="error")


def timed_out(message="no connection"):
    return Fault(message, cost=0, responded=False)


def slow_down(**more):
    return Fault("HTTP 429", cost=0, slower=True, postponed=True, **more)


class Script:
    """An attempt that goes through a list of outcomes: an exception is raised, anything else returned; the last for ever."""

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


def run(attempt, policy=FAST, **options):
    return asyncio.run(Limiter("http://x/v1", policy=policy).run(attempt, **options))


def gathered(limiter, attempts, **options):
    return asyncio.gather(*(limiter.run(attempt, **options) for attempt in attempts), return_exceptions=True)


# -- repetition -------------------------------------------------------------------------------------------------------


def test_a_fault_is_repeated_until_it_works_and_attempts_are_counted():
    async def main():
        counter = Trace()
        trace.set(counter)
        completion = await Limiter("x", policy=FAST).run(Script(Fault("HTTP 500"), Fault("HTTP 500"), OK))
        return completion, counter.attempts

    assert asyncio.run(main()) == (OK, 3)


def test_a_call_is_given_up_after_its_attempts():
    attempt = Script(Fault("HTTP 500: trouble"))
    assert run(attempt).error == "HTTP 500: trouble (given up after 8 attempts)"
    assert len(attempt.times) == 8


@pytest.mark.parametrize(
    ("fault", "waits"), [(Fault("HTTP 500"), [1, 2, 4, 5, 5]), (timed_out(), [1, 2, 4, 4, 4])], ids=["responded", "silent"]
)
@pytest.mark.parametrize(("chance", "share"), [(max, 1.0), (min, 0.5)])
def test_waits_double_up_to_the_longest_and_chance_shortens_them_by_at_most_half(monkeypatch, fault, waits, chance, share):
    monkeypatch.setattr("memeval.models.limits.uniform", chance)
    attempt = Script(*[fault] * 5, OK)
    assert run(attempt, Policy(first_wait=1.0, longest_wait=5.0)) is OK
    assert [later - earlier for earlier, later in pairwise(attempt.times)] == pytest.approx([share * wait for wait in waits])


def test_an_attempt_has_one_clock_which_starts_when_it_is_sent():
    """Eight calls of half its time, one after the other: queueing is not counted, nor what others took."""

    async def main():
        return await gathered(Limiter("x", cap=1, policy=FAST), [Script(OK, seconds=0.05)] * 8, seconds=0.1)

    assert asyncio.run(main()) == [OK] * 8


def test_a_time_out_counts_twice():
    attempt = Script(OK, seconds=60)
    assert run(attempt, replace(FAST, wait=60, wait_at_start=60), seconds=0.005).error.startswith("no reply within 0.005 s")
    assert len(attempt.times) == 4


def test_a_time_out_names_its_flag_but_not_where_a_card_says_how_long():
    for seconds, flag in ((None, " (--timeout)"), (0.006, "")):
        policy = replace(FAST, timeout=0.005, wait=60, wait_at_start=60)
        said = run(Script(OK, seconds=60), policy, seconds=seconds).error
        assert said.startswith(f"no reply within {seconds or 0.005} s{flag} (")


def test_bugs_pass_at_once():
    attempt = Script(ValueError("bug"))
    with pytest.raises(ValueError, match="bug"):
        run(attempt)
    assert len(attempt.times) == 1


# -- how many at once -------------------------------------------------------------------------------------------------


def test_concurrency_never_exceeds_the_cap_and_uses_it():
    async def main():
        limiter, now, widest = Limiter("x", cap=5, policy=FAST), 0, 0

        async def attempt():
            nonlocal now, widest
            now += 1
            widest = max(widest, now)
            await asyncio.sleep(0.002)
            now -= 1
            return OK

        await gathered(limiter, [attempt] * 50)
        return widest

    assert asyncio.run(main()) == 5


@pytest.mark.parametrize(
    "fault", [Fault("HTTP 503", slower=True), Fault("the connection was lost", responded=False, slower=True), "time-out"]
)
def test_congestion_halves_what_is_in_flight_once_per_round_trip_and_replies_recover_it_one_by_one(fault):
    async def main():
        limiter = Limiter("x", cap=16, policy=replace(FAST, wait_at_start=60))
        sent = 0

        async def slow_at_first():
            nonlocal sent
            sent += 1
            await asyncio.sleep(60 if sent <= 16 else 0.01)
            return OK

        scripts = [slow_at_first if fault == "time-out" else Script(fault, OK, seconds=0.05) for _ in range(16)]
        calls = [asyncio.create_task(limiter.run(script, seconds=0.2)) for script in scripts]
        while limiter.places.limit == 16:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        cut = limiter.places.limit
        await asyncio.gather(*calls)
        rounds = 0
        while limiter.places.limit < 16:
            await gathered(limiter, [Script(OK)] * int(limiter.places.limit))
            rounds += 1
        return cut, rounds

    cut, rounds = asyncio.run(main())
    assert cut == 8
    assert 5 <= rounds <= 8  # from about 10, after the replies to the 16


def test_concurrency_stays_at_one_at_least():
    async def main():
        limiter = Limiter("x", cap=4, policy=FAST)
        await limiter.run(Script(*[slow_down()] * 10, OK))
        return limiter.places.limit

    assert asyncio.run(main()) == 2.0  # halved to 1, and one reply


def test_a_healthy_server_with_one_slot_that_takes_60_s_a_call_finishes_a_run_with_the_defaults():
    """The product's policy a thousand times faster: 0.06 s a call, 0.6 s an attempt, 16 calls at once."""

    async def main():
        slot = asyncio.Lock()
        served = 0

        async def attempt():
            nonlocal served
            async with slot:
                await asyncio.sleep(0.06)
                served += 1
                return OK

        async def health():
            return True

        return await gathered(Limiter("x", policy=FAST), [attempt] * 48, health=health), served

    outcomes, served = asyncio.run(main())
    assert outcomes == [OK] * 48
    assert served == 48


@pytest.mark.parametrize(
    ("limits", "tokens"), [({"rpm": 6000}, 0), ({"tpm": 60_000}, 10), ({"rpm": 6000, "tpm": 60_000}, 10)]
)
def test_requests_and_tokens_a_minute_are_kept(limits, tokens):
    """20 calls, 100 a second."""

    async def main():
        script = Script(OK)
        await gathered(Limiter("x", policy=replace(FAST, **limits)), [script] * 20, tokens=tokens)
        return script.times[-1] - script.times[0]

    assert asyncio.run(main()) == pytest.approx(0.19)


def test_tokens_that_were_written_count_as_well():
    async def main():
        script = Script(Completion("ok", usage=Usage(5, 100)))
        limiter = Limiter("x", cap=1, policy=replace(FAST, tpm=60_000))
        await gathered(limiter, [script] * 3)
        return script.times[-1] - script.times[0]

    assert asyncio.run(main()) == pytest.approx(0.2, abs=0.02)


# -- put off ----------------------------------------------------------------------------------------------------------


def test_being_put_off_uses_up_no_attempt():
    assert run(Script(*[slow_down()] * 12, OK)) is OK
    assert run(Script(*[Fault("HTTP 503: Loading model", cost=0, postponed=True)] * 12, OK)) is OK


def test_retry_after_pauses_everybody():
    async def main():
        limiter = Limiter("x", cap=8, policy=FAST)
        first = Script(slow_down(retry_after=0.15), OK)
        begun = time.monotonic()
        call = asyncio.create_task(limiter.run(first))
        await asyncio.sleep(0.02)
        other = Script(OK)
        await asyncio.gather(call, *(limiter.run(other) for _ in range(3)))
        return [at - begun for at in [first.times[1], *other.times]]

    assert asyncio.run(main()) == pytest.approx([0.15] * 4)


def test_of_two_pauses_that_a_server_asks_for_the_longer_one_is_kept():
    async def main():
        limiter = Limiter("x", cap=8, policy=FAST)
        begun = time.monotonic()
        asked = [limiter.run(Script(slow_down(retry_after=seconds), OK, seconds=0.01)) for seconds in (0.15, 0.05)]
        calls = asyncio.gather(*asked)
        await asyncio.sleep(0.02)
        other = Script(OK)
        await limiter.run(other)
        await calls
        return other.times[0] - begun

    assert asyncio.run(main()) == pytest.approx(0.16)


def test_a_server_that_asks_to_come_back_at_once_is_asked_after_growing_waits_all_the_same():
    attempt = Script(*[slow_down(retry_after=0.0)] * 3, OK)
    assert run(attempt, replace(FAST, first_wait=0.01)) is OK
    waits = [later - earlier for earlier, later in pairwise(attempt.times)]
    assert waits == pytest.approx([0.01, 0.02, 0.03])  # the last is the longest that the policy has


def test_a_server_that_asks_to_wait_longer_than_may_be_waited_stops_the_run():
    with pytest.raises(EndpointDown, match=r"asks to wait 86400 s, longer than --wait allows"):
        run(Script(slow_down(retry_after=86_400.0)))


def test_a_server_that_puts_every_call_off_is_given_up_as_a_whole():
    async def main():
        return await gathered(Limiter("x", policy=replace(FAST, wait=0.1)), [Script(slow_down())] * 5)

    outcomes = asyncio.run(main())
    assert {type(outcome) for outcome in outcomes} == {EndpointDown}
    assert "put every call off" in str(outcomes[0])


def test_one_call_that_is_put_off_for_ever_is_given_up_alone():
    async def main():
        limiter = Limiter("x", cap=4, policy=replace(FAST, wait=0.1))
        bad = asyncio.create_task(limiter.run(Script(slow_down())))
        while not bad.done():
            await limiter.run(Script(OK, seconds=0.01))
        return bad.result()

    assert asyncio.run(main()).error.startswith("HTTP 429 (given up after ")


def test_while_another_call_is_in_flight_one_that_is_put_off_is_given_up_alone():
    async def main():
        limiter = Limiter("x", cap=4, policy=replace(FAST, wait=0.1))
        slow = asyncio.create_task(limiter.run(Script(OK, seconds=0.5)))
        bad = await limiter.run(Script(Fault("HTTP 503: Loading model", cost=0, postponed=True)))
        assert not slow.done()
        return bad.error, await slow

    error, slow = asyncio.run(main())
    assert error.startswith("HTTP 503: Loading model (given up after ")
    assert slow is OK


def test_a_repeated_attempt_goes_before_new_calls():
    async def main():
        limiter, order = Limiter("x", cap=1, policy=FAST), []

        def named(name, *outcomes):
            script = Script(*outcomes, seconds=0.02)

            async def attempt():
                order.append(name)
                return await script()

            return limiter.run(attempt)

        await asyncio.gather(named("a", Fault("HTTP 500"), OK), *(named(name, OK) for name in "bcd"))
        return "".join(order)

    assert asyncio.run(main()) == "abacd"


# -- down -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("responded", [False, True])
def test_an_endpoint_from_which_nothing_comes_is_given_up_as_a_whole_and_no_call_fails(responded):
    async def main():
        limiter = Limiter("http://x/v1", cap=3, policy=FAST)
        if responded:
            await limiter.run(Script(OK))
        begun = time.monotonic()
        outcomes = await gathered(limiter, [Script(timed_out())] * 10)
        seconds = time.monotonic() - begun
        with pytest.raises(EndpointDown):
            await limiter.run(Script(OK))
        return outcomes, seconds

    outcomes, seconds = asyncio.run(main())
    assert {type(outcome) for outcome in outcomes} == {EndpointDown}
    assert (0.6 if responded else 0.12) <= seconds < 0.7
    message = str(outcomes[0])
    assert "http://x/v1: nothing has come from it: no connection" in message
    assert "\n" not in message


def test_calls_that_time_out_at_one_moment_all_end_where_nothing_has_come():
    async def main():
        limiter = Limiter("x", policy=FAST)
        return await gathered(limiter, [Script(OK, seconds=60)] * 3, seconds=0.2)

    assert {(type(outcome), str(outcome)) for outcome in asyncio.run(main())} == {
        (EndpointDown, "x: nothing has come from it: no reply within 0.2 s; check the server and the URL")
    }


def test_a_server_that_comes_back_in_time_costs_no_call():
    async def main():
        limiter = Limiter("x", policy=FAST)
        await limiter.run(Script(OK))
        back = time.monotonic() + 0.3  # more attempts than a call has, less than `wait`

        async def attempt():
            if time.monotonic() < back:
                raise timed_out()
            return OK

        return await gathered(limiter, [attempt] * 20)

    assert asyncio.run(main()) == [OK] * 20


@pytest.mark.parametrize("calls", [1, 4])
def test_an_endpoint_that_hangs_is_given_up_before_its_attempts_time_out(calls):
    async def main():
        async def health():
            return False

        begun = time.monotonic()
        limiter = Limiter("x", policy=FAST)
        return await gathered(limiter, [Script(OK, seconds=60)] * calls, seconds=30, health=health), time.monotonic() - begun

    outcomes, seconds = asyncio.run(main())
    assert {type(outcome) for outcome in outcomes} == {EndpointDown}
    assert 0.12 <= seconds < 0.14


class Answers:
    """A health route that answers. asked: how often it was."""

    asked = 0

    async def __call__(self):
        self.asked += 1
        return True


def test_an_endpoint_whose_health_route_answers_is_slow_and_not_down():
    health = Answers()
    completion = run(Script(OK, seconds=0.4), seconds=30, health=health)
    assert completion is OK  # it took far longer than `wait_at_start`
    assert health.asked > 1


def test_the_health_route_is_asked_of_a_silent_endpoint_alone_and_no_longer_than_there_are_calls():
    async def main():
        health = Answers()
        limiter = Limiter("x", cap=2, policy=FAST)
        slow = asyncio.create_task(limiter.run(Script(OK, seconds=0.3), seconds=30, health=health))
        while not slow.done():
            await limiter.run(Script(OK, seconds=0.005), health=health)
        await asyncio.sleep(0)
        return health.asked, len(asyncio.all_tasks())

    assert asyncio.run(main()) == (0, 1)


def test_time_without_calls_and_pauses_that_the_server_asked_for_are_no_silence():
    async def main():
        limiter = Limiter("x", policy=replace(FAST, wait=0.3))
        await limiter.run(Script(OK))
        await asyncio.sleep(0.4)
        await limiter.run(Script(timed_out(), OK))
        return await limiter.run(
            Script(slow_down(retry_after=0.25), timed_out(), slow_down(retry_after=0.25), timed_out(), OK, seconds=0.1)
        )

    assert asyncio.run(main()) is OK


# -- refused ----------------------------------------------------------------------------------------------------------


def test_a_refusal_before_any_reply_stops_everything_at_once():
    attempt = Script(EndpointRefused("x: HTTP 401; check the key"))
    with pytest.raises(EndpointRefused, match="x: HTTP 401; check the key"):
        run(attempt)
    assert len(attempt.times) == 1


def test_calls_of_any_kind_that_wait_when_the_run_is_stopped_are_stopped_as_well():
    async def main():
        limiter = Limiter("x", cap=1, policy=FAST)
        await limiter.run(Script(OK), "chat")
        refused = limiter.run(Script(EndpointRefused("HTTP 401"), seconds=0.01), "tools")
        waiting = [limiter.run(Script(OK), "chat") for _ in range(3)]
        return await asyncio.gather(refused, *waiting, return_exceptions=True)

    refused, under_way, *others = asyncio.run(main())
    assert under_way is OK  # it was given the place when the refused call had left it
    assert {type(outcome) for outcome in (refused, *others)} == {EndpointRefused}


def test_a_call_in_flight_when_the_run_is_stopped_ends_at_once_for_the_same_reason():
    async def main():
        limiter = Limiter("x", policy=replace(FAST, attempts=2))
        hanging = limiter.run(Script(OK, seconds=60), seconds=30)
        refused = limiter.run(Script(EndpointRefused("HTTP 401"), seconds=0.01))
        begun = time.monotonic()
        return await asyncio.gather(hanging, refused, return_exceptions=True), time.monotonic() - begun

    outcomes, seconds = asyncio.run(main())
    assert [(type(outcome), str(outcome)) for outcome in outcomes] == [(EndpointRefused, "x: HTTP 401")] * 2
    assert seconds == pytest.approx(0.01)


def test_refusals_beside_calls_that_are_in_flight_do_not_stop_the_run():
    async def main():
        limiter = Limiter("x", cap=4, policy=FAST)
        slow = asyncio.create_task(limiter.run(Script(OK, seconds=0.3)))
        await asyncio.sleep(0.01)
        refused = [(await limiter.run(Script(REFUSED))).error for _ in range(5)]
        assert not slow.done()
        return refused, await slow

    assert asyncio.run(main()) == (["HTTP 400: odd"] * 5, OK)


def test_a_call_that_was_cancelled_while_it_waited_does_not_hinder_the_end_of_the_others():
    async def main():
        limiter = Limiter("x", cap=1, policy=FAST)
        refused = asyncio.create_task(limiter.run(Script(EndpointRefused("HTTP 401"), seconds=0.02)))
        waiting = [asyncio.create_task(limiter.run(Script(OK))) for _ in range(3)]
        await asyncio.sleep(0.01)
        waiting[2].cancel()
        return await asyncio.gather(refused, *waiting, return_exceptions=True)

    refused, under_way, last, cancelled = map(type, asyncio.run(main()))
    assert (refused, cancelled, last) == (EndpointRefused, asyncio.CancelledError, EndpointRefused)
    assert under_way is Completion  # it was given the place when the refused call had left it


def test_after_replies_a_refusal_is_one_calls_until_the_next_ones_are_refused_as_well():
    async def main():
        limiter = Limiter("x", policy=FAST)
        refused = Script(EndpointRefused("HTTP 403"))
        outcomes = []
        for attempt in (Script(OK), refused, Script(OK), refused, refused):
            outcomes.append((await limiter.run(attempt)).error)
        with pytest.raises(EndpointRefused, match=r"HTTP 403 \(3 calls in a row"):
            await limiter.run(refused)
        return outcomes

    assert asyncio.run(main()) == [None, "HTTP 403", None, "HTTP 403", "HTTP 403"]


def test_calls_that_are_all_refused_stop_the_run_after_the_first_few_whatever_the_reason():
    async def main():
        limiter = Limiter("x", policy=FAST)
        first = [(await limiter.run(Script(REFUSED), "tools")).error for _ in range(2)]
        assert (await limiter.run(Script(OK), "chat")) is OK  # calls of another kind say nothing about these
        with pytest.raises(EndpointRefused, match="HTTP 400: odd"):
            await limiter.run(Script(REFUSED), "tools")
        return first

    assert asyncio.run(main()) == ["HTTP 400: odd"] * 2


def test_a_few_bad_calls_among_good_ones_fail_alone():
    async def main():
        limiter = Limiter("x", cap=4, policy=FAST)
        attempts = [Script(Fault("HTTP 500") if number % 10 == 0 else OK, seconds=0.002) for number in range(100)]
        return await gathered(limiter, attempts)

    outcomes = asyncio.run(main())
    assert [outcome.error is None for outcome in outcomes] == [number % 10 != 0 for number in range(100)]


@pytest.mark.parametrize(("cap", "lost"), [(4, 15), (32, 31)])  # one less than MANY, or than are in flight at once
def test_an_endpoint_that_answers_nothing_but_errors_is_given_up(cap, lost):
    async def main():
        limiter = Limiter("x", cap=cap, policy=replace(FAST, attempts=2))
        await limiter.run(Script(OK))
        return await gathered(limiter, [Script(Fault("HTTP 500: engine is dead"))] * 40)

    outcomes = asyncio.run(main())
    assert {type(outcome) for outcome in outcomes} == {Completion, EndpointRefused}
    assert sum(isinstance(outcome, Completion) for outcome in outcomes) == lost


# -- cancelling -------------------------------------------------------------------------------------------------------


def test_a_cancelled_call_gives_its_place_back():
    async def main():
        limiter = Limiter("x", cap=2, policy=FAST)
        calls = [asyncio.create_task(limiter.run(Script(OK, seconds=60))) for _ in range(6)]
        await asyncio.sleep(0.01)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        return await asyncio.wait_for(gathered(limiter, [Script(OK, seconds=0.001)] * 4), 5)

    assert asyncio.run(main()) == [OK] * 4


def test_a_call_cancelled_at_the_moment_it_gets_its_place_gives_it_back():
    async def main():
        limiter = Limiter("x", cap=1, policy=FAST)
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


@pytest.mark.parametrize(
    ("status", "headers", "cost", "slower", "postponed"),
    [
        *((500, {}, 1, False, False), (503, {}, 1, True, False), (529, {}, 0, True, True), (429, {}, 0, True, True)),
        *((500, {"retry-after": "7"}, 0, False, True), (503, {"retry-after": "0"}, 0, True, True)),
    ],
)
def test_what_an_error_costs_a_call_and_says_of_the_rate(status, headers, cost, slower, postponed):
    with pytest.raises(Fault, match="trouble") as caught:
        outcome(status, headers, ": trouble", "trouble", tools=False)
    fault = caught.value
    assert (fault.cost, fault.slower, fault.postponed) == (cost, slower, postponed)


def test_the_headers_that_say_when_to_come_back():
    now = time.time()
    soon, before = (format_datetime(datetime.fromtimestamp(now + wait, UTC), usegmt=True) for wait in (900, -900))
    assert retry_after({"retry-after": "7"}) == 7.0
    assert retry_after({"retry-after": "0.5"}) == 0.5
    assert retry_after({"retry-after": "0"}) == 0.0
    assert retry_after({"retry-after": "7", "retry-after-ms": "250"}) == 0.25
    assert retry_after({"retry-after": soon}) == pytest.approx(900, abs=60)
    assert retry_after({"retry-after": before}) == 0.0
    assert retry_after({}) is None
    for nothing in ("", "-3", "nan", "inf", "soon", "Wed, 99 Foo"):
        assert retry_after({"retry-after": nothing}) is None
