"""What stands between many callers and one endpoint: how many at once, how often again, and when to stop.

Concurrency starts at the cap, halves on 429 and 503 (once per round trip) and recovers by one per round trip. An attempt
that fails is repeated after a growing, jittered wait; `Retry-After` pauses every caller of the endpoint. An endpoint at
which nothing succeeds for a bounded time is given up as a whole (`EndpointDown`), so that a dead server costs one clear
line instead of a run full of failed samples. Whose fault it is, the call's or the endpoint's, a probe decides: before a
call is given up, a few words are sent that no server has a reason to choke on.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass

from memeval.models.completion import Completion, Request, Usage
from memeval.models.faults import EndpointDown, EndpointRefused, Fault

PROBE = Request(({"role": "user", "content": "Say OK."},), None, {"max_tokens": 16})
"""What is asked of an endpoint that may be dead. Any reply will do, also that it does not take such a request."""

SOON = 1.0
"""Seconds that an attempt gets at least, unless half of what is allowed is less."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Seconds, unless said otherwise.

    attempts: per call, of any faults but 429 and lost connections. timeout: for one call, attempts and waits together but
    without queueing; one attempt may take half of it, and is repeated sooner where others were answered much faster.
    first_wait, longest_wait: the exponential wait. longest_pause: the most that a `Retry-After` is believed. dead_after:
    silence after which an endpoint is given up (0: at the first lost connection, and nothing is probed), dead_at_start: the
    same while no connection has ever come about. jitter: spread the waits over [half, whole].
    """

    attempts: int = 8
    timeout: float = 600.0
    first_wait: float = 0.5
    longest_wait: float = 30.0
    longest_pause: float = 120.0
    dead_after: float = 60.0
    dead_at_start: float = 15.0
    jitter: bool = True


@dataclass
class Trace:
    """Attempts sent for one logical call. The gateway sets it in `trace`; the limiter counts."""

    attempts: int = 0


trace: ContextVar[Trace | None] = ContextVar("memeval_trace", default=None)


class Limiter:
    """One per endpoint, shared by everything that calls it, on one event loop.

    `limit` is the concurrency allowed now (1 to `cap`). `label` is the URL or provider, for messages.
    """

    def __init__(self, label: str, cap: int = 16, policy: Policy | None = None, seed: int | None = None) -> None:
        self.label = label
        self.cap = max(1, cap)
        self.policy = policy or Policy()
        self.limit = float(self.cap)
        self.down = ""  # why the endpoint was given up
        self._random = random.Random(seed)
        self._flying = 0  # attempts in the air
        self._calls = 0  # calls begun and not ended
        self._asking = asyncio.Lock()  # held by the call that probes
        self._queue: deque[asyncio.Future[None]] = deque()
        self._resume_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._cut_at = 0.0
        self._idle_at = self._alive_at = time.monotonic()  # last success; moved on by the time without calls
        self.answered = False  # whether a call has ever brought a reply
        self._slowest = 0.0  # seconds, of the attempts that did
        self._first: set[asyncio.Timeout] = set()  # of attempts in the air before any did

    async def run(
        self,
        attempt: Callable[[], Awaitable[Completion]],
        seconds: float | None = None,
        probe: Callable[[], Awaitable[Completion]] | None = None,
    ) -> Completion:
        """Run `attempt` until it returns, within the policy (or `seconds` instead of its `timeout`). It raises `Fault` to be
        repeated; anything else passes. probe: sends something harmless to the same place, and fails in the same way;
        without one, lasting faults are taken for the call's own.

        Returns a Completion with `error` when the call had to be given up; its usage is the probe's. Raises EndpointDown,
        EndpointRefused.
        """
        allowed = self.policy.timeout if seconds is None else seconds
        if not self._calls:
            self._alive_at += time.monotonic() - self._idle_at
        self._calls += 1
        sent, faults, spent = 0, 0, 0.0
        lost = time.monotonic()  # the last time that no connection came about
        try:
            while True:
                await self._acquire(first=not sent)
                started = time.monotonic()
                sent += 1
                try:
                    outcome = await self._send(attempt, self._patience(allowed, spent))
                except EndpointRefused as refused:
                    if not self.answered or probe is None:
                        raise
                    used = await self._ask(probe, allowed)  # is it refused as well?
                    return Completion(usage=used, error=str(refused), finish_reason="error")
                if isinstance(outcome, Completion):
                    return outcome
                fault = outcome
                if fault.throttled:
                    self._slow_down(started)
                if fault.unreachable:  # uses up an attempt only if other calls get through meanwhile
                    self._stop_if_silent(fault)
                    faults += self._alive_at > lost
                    lost = time.monotonic()
                else:
                    faults += fault.counted
                    spent += time.monotonic() - started
                wait = self._wait(sent, fault)
                if faults >= self.policy.attempts or spent + wait >= allowed:
                    error = f"{fault} (given up after {sent} attempts)"
                    used = await self._ask(probe, allowed) if probe and self.policy.dead_after else Usage()
                    return Completion(usage=used, error=error, finish_reason="error")
                if probe and fault.counted and not fault.throttled and self._silence() >= self.policy.dead_after > 0:
                    await self._ask(probe, allowed)
                spent += wait if not fault.unreachable else 0.0
                await asyncio.sleep(wait)
        finally:
            self._calls -= 1
            self._idle_at = time.monotonic()

    def _patience(self, allowed: float, spent: float) -> float:
        """Seconds for the next attempt of a call. One that takes ten times as long as the slowest before it is probably
        lost, and is sent again, each time with more patience; the last has half of what is allowed, in case it is not."""
        half, soon = allowed / 2, max(SOON, allowed / 20, 10 * self._slowest, spent / 3)
        return soon if self.answered and spent + soon <= half else min(half, allowed - spent)

    async def _send(self, attempt: Callable[[], Awaitable[Completion]], seconds: float) -> Completion | Fault:
        """One attempt, in the place that the caller has acquired."""
        started = time.monotonic()
        counter = trace.get()
        if counter is not None:
            counter.attempts += 1
        limit = asyncio.timeout(max(0.0, seconds))
        if not self.answered:
            self._first.add(limit)
        try:
            async with limit:
                completion = await attempt()
                self._succeeded(time.monotonic() - started)
                return completion
        except Fault as fault:
            return fault
        except TimeoutError:
            return Fault(f"no reply within {time.monotonic() - started:.3g} s")
        finally:
            self._first.discard(limit)
            self._release()

    async def _ask(self, probe: Callable[[], Awaitable[Completion]], allowed: float) -> Usage:
        """Return once anything has succeeded after now, be it only the probe. Returns what the probe used. allowed: seconds
        for a call. Raises EndpointDown, EndpointRefused."""
        since, sent = time.monotonic(), 0
        seconds = min(allowed / 2, max(self._patience(allowed, 0.0), self.policy.dead_after))
        async with self._asking:
            while self._alive_at < since:
                await self._acquire(first=False)
                sent += 1
                outcome = await self._send(probe, seconds)
                if isinstance(outcome, Completion):
                    return outcome.usage
                if self._alive_at >= since:  # a slow server's queue may be longer than the probe's patience
                    break
                self._stop_if_silent(outcome)
                await asyncio.sleep(min(self._wait(sent, outcome), 4 * self.policy.first_wait))
        return Usage()

    def _succeeded(self, seconds: float) -> None:
        self._alive_at = time.monotonic()
        self._slowest = max(self._slowest, seconds)
        self.answered = True
        now = asyncio.get_running_loop().time()
        for limit in self._first:  # nobody knew how long to wait for these; half of what is allowed is left of a call
            if (when := limit.when()) is not None and not limit.expired():
                limit.reschedule(min(when, now + max(SOON, (when - now) / 10, 10 * seconds)))
        self._first.clear()
        if self.limit < self.cap:
            self.limit = min(float(self.cap), self.limit + 1.0 / self.limit)

    def _slow_down(self, started: float) -> None:
        if started >= self._cut_at:  # attempts sent before the last cut say nothing about the rate after it
            self.limit = max(1.0, self.limit / 2)
            self._cut_at = time.monotonic()

    def _silence(self) -> float:
        return time.monotonic() - self._alive_at

    def _stop_if_silent(self, fault: Fault) -> None:
        silence = self._silence()
        never = fault.unreachable and not self.answered
        if silence < (self.policy.dead_at_start if never else self.policy.dead_after):
            return
        if not self.down:
            text = f"{self.label}: nothing has succeeded for {silence:.0f} s ({fault})"
            self.down = f"{text}; check the server and the URL"
            self._wake()
        raise EndpointDown(self.down)

    def _wait(self, sent: int, fault: Fault) -> float:
        """Seconds until the next attempt, and the pause for everyone that the server asked for."""
        policy = self.policy
        if fault.retry_after is not None:
            pause = min(fault.retry_after, policy.longest_pause)
            self._resume_at = max(self._resume_at, time.monotonic() + pause)
            if pause >= policy.first_wait:
                return pause
        longest = policy.first_wait * 4 if fault.unreachable else policy.longest_wait
        wait = min(longest, policy.first_wait * 2.0 ** min(sent - 1, 30))
        return wait * self._random.uniform(0.5, 1.0) if policy.jitter else wait

    async def _acquire(self, first: bool) -> None:
        """Wait for a place in the air. A repeated attempt goes before calls that have not been sent yet."""
        if self.down:
            raise EndpointDown(self.down)
        if not self._queue and self._flying < int(self.limit) and time.monotonic() >= self._resume_at:
            self._flying += 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if first:
            self._queue.append(place)
        else:
            self._queue.appendleft(place)
        self._wake()
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.exception() is None:
                self._release()  # the place had been given to us just now
            raise

    def _release(self) -> None:
        self._flying -= 1
        self._wake()

    def _wake(self) -> None:
        if not self._queue:
            return
        if self.down:
            for place in self._queue:
                if not place.done():
                    place.set_exception(EndpointDown(self.down))
            self._queue.clear()
            return
        pause = self._resume_at - time.monotonic()
        if pause > 0:
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(pause, self._resume)
            return
        while self._queue and self._flying < int(self.limit):
            place = self._queue.popleft()
            if not place.done():
                self._flying += 1
                place.set_result(None)

    def _resume(self) -> None:
        self._timer = None
        self._wake()
