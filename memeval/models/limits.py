"""The limiter between many callers and one endpoint: how many calls at once, how often each is repeated, when the run stops.

Concurrency starts at the cap; a time-out, a lost connection, 429 and 503 halve it (once per round trip), and replies let it
grow again, by one per round trip. A failed attempt is repeated after a growing, jittered wait; `Retry-After` pauses every
caller. The run stops (`EndpointDown`, `EndpointRefused`) when nothing at all, be it a reply, an error or the health route,
has come from the endpoint for a long time, or when calls in a row are refused and none gets a reply.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from random import uniform

from memeval.models.completion import Completion
from memeval.models.faults import EndpointDown, EndpointError, EndpointRefused, Fault

FEW = 3
"""Calls in a row that may be refused before the run stops, where none has got a reply yet."""
MANY = 16
"""The same where some have, or others are in flight."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Seconds, unless said otherwise. They concern the transport alone and are in no identity.

    timeout: for one attempt, from when it is sent. wait: how long an endpoint may be silent, and how long it may put calls
    off; wait_at_start: the same while nothing has ever come from it. attempts: per call; a time-out counts twice.
    first_wait, longest_wait: between attempts, doubling. look: how often the health route of a silent endpoint is asked.
    rpm, tpm: requests and tokens a minute at most (0: no limit). fold_system: system text is sent in the user message.
    """

    timeout: float = 600.0
    wait: float = 600.0
    wait_at_start: float = 120.0
    attempts: int = 8
    first_wait: float = 0.5
    longest_wait: float = 30.0
    look: float = 15.0
    rpm: float = 0.0
    tpm: float = 0.0
    fold_system: bool = False


@dataclass
class Trace:
    """Attempts sent for one logical call. The gateway sets it in `trace`; the limiter counts."""

    attempts: int = 0


trace: ContextVar[Trace | None] = ContextVar("memeval_trace", default=None)
Attempt = Callable[[], Awaitable[Completion]]
Health = Callable[[], Awaitable[bool]]


class Limiter:
    """One per endpoint, shared by everything that calls it, on one event loop.

    `limit` is the concurrency allowed now (1 to `cap`). `label` is the URL or provider, for messages. `heard`: whether
    anything has ever come from the endpoint.
    """

    def __init__(self, label: str, cap: int = 16, policy: Policy | None = None) -> None:
        self.label = label
        self.cap = max(1, cap)
        self.policy = policy or Policy()
        self.limit = float(self.cap)
        self.down: EndpointError | None = None
        self._calls = 0  # begun and not ended
        self._in_flight: set[asyncio.Timeout] = set()  # the clocks of the attempts that have been sent
        self._queue: deque[tuple[asyncio.Future[None], int]] = deque()  # a call that waits, and the tokens of its prompt
        self._places = 0  # that are taken
        self._resume_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._cut_at = 0.0
        self.heard = False
        self._heard_at = self._replied_at = 0.0
        self._replied: set[str] = set()  # kinds of calls that have got a reply
        self._lost: Counter[str] = Counter()  # kind -> calls given up since the last reply to a call of this kind

    async def run(
        self,
        attempt: Attempt,
        kind: str = "",
        seconds: float | None = None,
        health: Health | None = None,
        tokens: int = 0,
    ) -> Completion:
        """Run `attempt` until it returns, within the policy. It raises `Fault` to be repeated and EndpointRefused where the
        configuration is wrong; anything else is raised at once. kind: refusals are counted per kind of call (with tools or
        without). seconds: for one attempt, in place of the policy's. health: asks whether the endpoint answers at all.
        tokens: of the prompt, about.

        Returns a Completion with `error` when the call had to be given up. Raises EndpointDown, EndpointRefused.
        """
        if not self._calls:
            self._heard_at = self._replied_at = time.monotonic()
        self._calls += 1
        if health is not None and self._watcher is None:
            self._watcher = asyncio.create_task(self._watch(health))
        try:
            return await self._repeated(attempt, kind, self.policy.timeout if seconds is None else seconds, tokens)
        finally:
            self._calls -= 1
            if not self._calls and self._watcher is not None:
                self._watcher.cancel()
                self._watcher = None

    async def _repeated(self, attempt: Attempt, kind: str, seconds: float, tokens: int) -> Completion:
        sent, left = 0, self.policy.attempts
        put_off_at: float | None = None
        while True:
            await self._acquire(first=not sent, tokens=tokens)
            started = time.monotonic()
            sent += 1
            try:
                completion = await self._send(attempt, seconds)
            except EndpointRefused as refused:
                self._heard_something()
                return self._give_up(kind, str(refused), FEW if kind in self._replied else 1)
            except Fault as failed:
                fault = failed
            else:
                self._heard_something()
                if completion.error is None:
                    self._reply(kind)
                    return completion
                return self._give_up(kind, completion.error, self._few(kind))
            if fault.heard:
                self._heard_something()
            elif down := self._silent_too_long(str(fault)):
                raise down
            if fault.slower:
                self._slow_down(started)
            left -= fault.cost
            now = time.monotonic()
            put_off_at = (put_off_at or now) if fault.put_off else None
            put_off = put_off_at is not None and now - put_off_at >= self.policy.wait
            if put_off:
                self._stop_if_all_are_put_off(fault)
            if left <= 0 or put_off:
                return self._give_up(kind, f"{fault} (given up after {sent} attempts)", self._few(kind))
            await asyncio.sleep(self._wait(sent, fault))

    async def _send(self, attempt: Attempt, seconds: float) -> Completion:
        """One attempt, in the place that the caller has acquired."""
        counter = trace.get()
        if counter is not None:
            counter.attempts += 1
        clock = asyncio.timeout(seconds)
        try:
            async with clock:
                self._in_flight.add(clock)
                completion = await attempt()
                self._pace(completion.usage.completion, requests=0)
                return completion
        except TimeoutError:
            if self.down is not None:
                raise self.down from None
            flag = " (--timeout)" if seconds == self.policy.timeout else ""  # a card may have a time of its own
            raise Fault(f"no reply within {seconds:.3g} s{flag}", cost=2, heard=False, slower=True) from None
        finally:
            self._in_flight.discard(clock)
            self._places -= 1
            self._wake()

    # -- what has come ------------------------------------------------------------------------------------------------

    def _heard_something(self) -> None:
        self.heard = True
        self._heard_at = max(self._heard_at, time.monotonic())

    def _reply(self, kind: str) -> None:
        self._replied_at = time.monotonic()
        self._replied.add(kind)
        del self._lost[kind]
        self.limit = min(float(self.cap), self.limit + 1.0 / self.limit)

    def _slow_down(self, started: float) -> None:
        if started >= self._cut_at:  # an attempt that was sent before the last cut tells nothing of the rate after it
            self.limit = max(1.0, self.limit / 2)
            self._cut_at = time.monotonic()

    # -- when to stop -------------------------------------------------------------------------------------------------

    def _few(self, kind: str) -> int:
        """Lost calls in a row after which the run stops. Others in flight may still get a reply."""
        alone = kind not in self._replied and not self._in_flight
        return FEW if alone else max(MANY, self.cap)

    def _give_up(self, kind: str, error: str, few: int) -> Completion:
        self._lost[kind] += 1
        if self._lost[kind] >= few:
            calls = f" ({self._lost[kind]} calls in a row without a reply)" if few > 1 else ""
            raise self._end(EndpointRefused(f"{self.label}: {error.removeprefix(f'{self.label}: ')}{calls}"))
        return Completion(error=error, finish_reason="error")

    def _silent_too_long(self, said: str) -> EndpointError | None:
        """The end of the run, where nothing has come for longer than the policy waits."""
        silence = time.monotonic() - self._heard_at
        if silence < (self.policy.wait if self.heard else self.policy.wait_at_start):
            return None
        flag = f", waited {silence:.0f} s (--wait)" if silence >= 1 else ""
        return self._end(EndpointDown(f"{self.label}: nothing has come from it: {said}{flag}; check the server and the URL"))

    def _stop_if_all_are_put_off(self, fault: Fault) -> None:
        silence = time.monotonic() - self._replied_at
        if silence >= self.policy.wait and not self._in_flight:
            raise self._end(EndpointDown(f"{self.label}: has put every call off for {silence:.0f} s (--wait): {fault}"))

    def _end(self, error: EndpointError) -> EndpointError:
        """Every call raises `error` from now on; the attempts in flight are ended."""
        if self.down is None:
            self.down = error
            for clock in self._in_flight:
                if not clock.expired():
                    clock.reschedule(0.0)
            self._wake()
        return self.down

    async def _watch(self, health: Health) -> None:
        """Ask the health route of a silent endpoint, so that a slow one is not taken for a dead one."""
        while self.down is None:
            await asyncio.sleep(self.policy.look)
            if self._in_flight and time.monotonic() - self._heard_at >= self.policy.look:
                if await health():
                    self._heard_something()
                else:
                    self._silent_too_long("no reply")

    # -- waiting and places -------------------------------------------------------------------------------------------

    def _wait(self, sent: int, fault: Fault) -> float:
        """Seconds until the next attempt. A pause that the server asks for holds for all callers. Raises EndpointDown where
        it is longer than the policy allows."""
        policy = self.policy
        if fault.retry_after is not None:
            if fault.retry_after > max(policy.wait, policy.wait_at_start):
                seconds = f"{fault.retry_after:.0f} s"
                raise self._end(EndpointDown(f"{self.label}: {fault}; it asks to wait {seconds}, longer than --wait allows"))
            self._pause_until(time.monotonic() + fault.retry_after)
            if fault.retry_after >= policy.first_wait:
                return fault.retry_after
        longest = policy.longest_wait if fault.heard else policy.first_wait * 4
        wait = min(longest, policy.first_wait * 2.0 ** min(sent - 1, 30))
        return wait * uniform(0.5, 1.0)  # so that calls that failed together are not repeated together

    def _pause_until(self, when: float) -> None:
        self._resume_at = max(self._resume_at, when)
        self._heard_at = max(self._heard_at, when)  # the server asked for this silence

    def _pace(self, tokens: int, requests: int = 1) -> None:
        """Keep to requests and tokens a minute: the next request waits for as long as these take at that rate."""
        policy = self.policy
        by_requests = 60.0 * requests / policy.rpm if policy.rpm else 0.0
        by_tokens = 60.0 * tokens / policy.tpm if policy.tpm else 0.0
        if by_requests or by_tokens:
            self._resume_at = max(self._resume_at, time.monotonic()) + max(by_requests, by_tokens)

    async def _acquire(self, first: bool, tokens: int) -> None:
        """Wait for a place in flight. A repeated attempt goes before calls that have not been sent yet."""
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if first:
            self._queue.append((place, tokens))
        else:
            self._queue.appendleft((place, tokens))
        self._wake()
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.exception() is None:
                self._places -= 1  # it was given the place just now
                self._wake()
            raise

    def _wake(self) -> None:
        """Give the free places to the calls that wait."""
        if self.down is not None:
            for place, _ in self._queue:
                if not place.done():
                    place.set_exception(self.down)
            self._queue.clear()
            return
        while self._queue and self._places < int(self.limit):
            pause = self._resume_at - time.monotonic()
            if pause > 0:
                if self._timer is None:
                    self._timer = asyncio.get_running_loop().call_later(pause, self._resume)
                return
            place, tokens = self._queue.popleft()
            if not place.done():
                self._places += 1
                place.set_result(None)
                self._pace(tokens)

    def _resume(self) -> None:
        self._timer = None
        self._wake()
