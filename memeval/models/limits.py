"""The limiter between many callers and one endpoint: it repeats calls, and decides when the run stops.

A time-out, a lost connection, 429 and 503 halve the calls in flight, and replies let them grow again (places.py). A
failed attempt is repeated after a growing, jittered wait; `Retry-After` pauses every caller. The run stops
(`EndpointDown`, `EndpointRefused`) if the endpoint has sent nothing, be it a reply, an error or a response of the
health route, for a long time, or if several calls in a row are refused and none gets a reply.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from random import uniform

from memeval.models.completion import Completion
from memeval.models.faults import EndpointDown, EndpointError, EndpointRefused, Fault
from memeval.models.places import Places

FEW = 3
"""Consecutive refused calls after which the run stops, if no call has got a reply yet."""
MANY = 16
"""The same number if some calls have got replies, or others are in flight."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Seconds, unless noted otherwise. These settings concern only the transport and are in no identity.

    timeout: for one attempt, from when it is sent. wait: how long an endpoint may send nothing, and how long it may
    postpone calls; wait_at_start: the same before it has sent anything. attempts: per call; a time-out counts twice.
    first_wait, longest_wait: between attempts, doubling. look: interval between requests to the health route of a
    silent endpoint. rpm, tpm: most requests and tokens per minute (0: no limit). fold_system: system text is sent in
    the user message.
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
    """The limiter of one endpoint, shared by all its callers, on one event loop.

    label: the URL or provider, for messages. cap: most calls in flight. responded: whether the endpoint has ever sent
    anything. down: why every call is refused from now on.
    """

    def __init__(self, label: str, cap: int = 16, policy: Policy | None = None) -> None:
        self.label = label
        self.policy = policy or Policy()
        self.places = Places(max(1, cap), self.policy.rpm, self.policy.tpm)
        self.down: EndpointError | None = None
        self._calls = 0  # started and not finished
        self._in_flight: set[asyncio.Timeout] = set()  # the time-outs of the attempts that have been sent
        self._watcher: asyncio.Task[None] | None = None
        self.responded = False
        self._responded_at = self._replied_at = 0.0
        self._replied: set[str] = set()  # kinds of calls that have received a reply
        self._lost: Counter[str] = Counter()  # kind -> calls given up since the last reply to a call of this kind

    async def run(
        self,
        attempt: Attempt,
        kind: str = "",
        seconds: float | None = None,
        health: Health | None = None,
        tokens: int = 0,
    ) -> Completion:
        """Run `attempt` until it returns, within the policy. It raises `Fault` to be repeated, and EndpointRefused if
        the configuration is wrong; any other exception is raised at once. kind: refusals are counted per kind of call
        (with tools or without). seconds: for one attempt, instead of the policy's. health: asks whether the endpoint
        responds at all. tokens: approximate size of the prompt.

        Returns a Completion with `error` if the call had to be given up. Raises EndpointDown, EndpointRefused.
        """
        if not self._calls:
            self._responded_at = self._replied_at = time.monotonic()
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
        postponed_at: float | None = None
        while True:
            try:
                async with self.places.taken(tokens, again=sent > 0):
                    started = time.monotonic()
                    sent += 1
                    completion = await self._send(attempt, seconds)
            except EndpointRefused as refused:
                if refused is self.down:
                    raise
                self._note_response()
                return self._give_up(kind, str(refused), FEW if kind in self._replied else 1)
            except Fault as failed:
                fault = failed
            else:
                self._note_response()
                if completion.error is None:
                    self._reply(kind)
                    return completion
                return self._give_up(kind, completion.error, self._few(kind))
            if fault.responded:
                self._note_response()
            elif down := self._silent_too_long(str(fault)):
                raise down
            if fault.slower:
                self.places.cut(started)
            left -= fault.cost
            now = time.monotonic()
            postponed_at = (postponed_at or now) if fault.postponed else None
            postponed = postponed_at is not None and now - postponed_at >= self.policy.wait
            if postponed:
                self._stop_if_all_are_postponed(fault)
            if left <= 0 or postponed:
                return self._give_up(kind, f"{fault} (given up after {sent} attempts)", self._few(kind))
            await asyncio.sleep(self._wait(sent, fault))

    async def _send(self, attempt: Attempt, seconds: float) -> Completion:
        """Run one attempt."""
        counter = trace.get()
        if counter is not None:
            counter.attempts += 1
        clock = asyncio.timeout(seconds)
        try:
            async with clock:
                self._in_flight.add(clock)
                completion = await attempt()
                self.places.pace(completion.usage.completion)
                return completion
        except TimeoutError:
            if self.down is not None:
                raise self.down from None
            flag = " (--timeout)" if seconds == self.policy.timeout else ""  # a card may set its own time-out
            raise Fault(f"no reply within {seconds:.3g} s{flag}", cost=2, responded=False, slower=True) from None
        finally:
            self._in_flight.discard(clock)

    # -- what has come ------------------------------------------------------------------------------------------------

    def _note_response(self) -> None:
        self.responded = True
        self._responded_at = max(self._responded_at, time.monotonic())

    def _reply(self, kind: str) -> None:
        self._replied_at = time.monotonic()
        self._replied.add(kind)
        del self._lost[kind]
        self.places.grow()

    # -- when to stop -------------------------------------------------------------------------------------------------

    def _few(self, kind: str) -> int:
        """Consecutive lost calls after which the run stops. Others in flight may still get a reply."""
        alone = kind not in self._replied and not self._in_flight
        return FEW if alone else max(MANY, self.places.cap)

    def _give_up(self, kind: str, error: str, few: int) -> Completion:
        self._lost[kind] += 1
        if self._lost[kind] >= few:
            calls = f" ({self._lost[kind]} calls in a row without a reply)" if few > 1 else ""
            raise self._end(EndpointRefused(f"{self.label}: {error.removeprefix(f'{self.label}: ')}{calls}"))
        return Completion(error=error, finish_reason="error")

    def _silent_too_long(self, said: str) -> EndpointError | None:
        """The error that ends the run, if the endpoint has sent nothing for longer than the policy allows."""
        silence = time.monotonic() - self._responded_at
        if silence < (self.policy.wait if self.responded else self.policy.wait_at_start):
            return None
        flag = f", waited {silence:.0f} s (--wait)" if silence >= 1 else ""
        return self._end(EndpointDown(f"{self.label}: nothing has come from it: {said}{flag}; check the server and the URL"))

    def _stop_if_all_are_postponed(self, fault: Fault) -> None:
        silence = time.monotonic() - self._replied_at
        if silence >= self.policy.wait and not self._in_flight:
            raise self._end(EndpointDown(f"{self.label}: has put every call off for {silence:.0f} s (--wait): {fault}"))

    def _end(self, error: EndpointError) -> EndpointError:
        """Make every call raise `error` from now on, and end the attempts in flight."""
        if self.down is None:
            self.down = error
            for clock in self._in_flight:
                if not clock.expired():
                    clock.reschedule(0.0)
            self.places.close(error)
        return self.down

    async def _watch(self, health: Health) -> None:
        """Ask the health route of a silent endpoint, so that a slow endpoint is not taken for a dead one."""
        while self.down is None:
            await asyncio.sleep(self.policy.look)
            if self._in_flight and time.monotonic() - self._responded_at >= self.policy.look:
                if await health():
                    self._note_response()
                else:
                    self._silent_too_long("no reply")

    def _wait(self, sent: int, fault: Fault) -> float:
        """Seconds until the next attempt. A pause that the server requests holds for all callers. Raises EndpointDown
        if it is longer than the policy allows."""
        policy = self.policy
        if fault.retry_after is not None:
            if fault.retry_after > max(policy.wait, policy.wait_at_start):
                seconds = f"{fault.retry_after:.0f} s"
                raise self._end(EndpointDown(f"{self.label}: {fault}; it asks to wait {seconds}, longer than --wait allows"))
            resume_at = time.monotonic() + fault.retry_after
            self.places.pause_until(resume_at)
            self._responded_at = max(self._responded_at, resume_at)  # the server asked for this silence
            if fault.retry_after >= policy.first_wait:
                return fault.retry_after
        longest = policy.longest_wait if fault.responded else policy.first_wait * 4
        wait = min(longest, policy.first_wait * 2.0 ** min(sent - 1, 30))
        return wait * uniform(0.5, 1.0)  # so that calls that failed together are not repeated together
