"""A foreign agent as the engine sees it: each method is one message, and its reply."""

from __future__ import annotations

import copy
import secrets
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from msgspec import Meta

from memeval.agent import Answer, Chunk, MemoryStats, Query, Recall, Session
from memeval.agents.foreign.line import Line, Wire
from memeval.agents.foreign.messages import Answered, Begun, Held, Recalled, Reply, Shape
from memeval.errors import ForeignFailed, UsageError
from memeval.typed import typed

Seconds = Annotated[float, Meta(gt=0)]
TIMEOUT = 600.0
"""Seconds for one reply."""


class Foreign(ABC):
    """An agent that is a program or a server. Subclasses say how its messages get there.

    timeout: seconds for one reply. params: settings that `begin` carries, for the agent itself.
    """

    is_foreign: ClassVar = True
    """Its class is built in and it is not: it has a thread, and its methods have a time limit."""
    replayable: ClassVar = False
    version: str | None = None
    """Of a server, as it was planned."""
    folder: ClassVar[Path | None] = None
    """Of the card that names it, else the working directory of when it was planned."""

    def __init__(self, timeout: float = TIMEOUT, params: Mapping[str, Any] | None = None) -> None:
        self.timeout: float = typed(timeout, Seconds, self.name, "timeout")
        if not isinstance(params or {}, Mapping):
            raise UsageError(f"{self.name}: params is {params!r:.60}, expected a mapping, as in --set 'params={{k: 3}}'")
        self.params = dict(params or {})
        self.methods: tuple[str, ...] = ()

    @classmethod
    def beside(cls, folder: Path) -> type[Self]:
        """The class for a card in `folder`."""
        return type(cls.__name__, (cls,), {"folder": folder, "__doc__": cls.__doc__, "__module__": cls.__module__})

    def files(self) -> dict[str, Path]:
        """Label -> file, of what its answers follow from besides its class."""
        return {}

    def found(self) -> dict[str, Any]:
        """Parameters that only the agent itself knows, found out before the run. Raises UsageError."""
        return {}

    @property
    @abstractmethod
    def name(self) -> str:
        """How messages call it."""

    @abstractmethod
    def wire(self, session: Session) -> Wire:
        """How its messages get there, for one context."""

    async def begin(self, session: Session) -> None:
        self.session = session
        self.context = f"{session.seed:012x}-{secrets.token_hex(4)}"  # a server may remember those of other runs
        self.line = Line(self.name, self.wire(session), session.models, self.timeout)
        try:
            await self.line.join()
            begun = await self._ask("begin", Begun, **self._facts(session))
            version = str(begun.version)
            if self.version is not None and version not in ("", self.version):
                raise ForeignFailed(f"{self.name}: its version is '{version}', and the run is of '{self.version}'")
        except BaseException:  # the engine closes only what has begun
            await self.line.leave()
            raise
        self.methods = begun.methods

    def _facts(self, session: Session) -> dict[str, Any]:
        """What `begin` says of the context. It may show the question; whether the agent reads it cannot be known then."""
        query = session.query
        return {
            "seed": session.seed,
            "budget": session.budget,
            "workdir": str(session.workdir),
            "base_url": self.line.proxy.base_url,
            "api_key": self.line.proxy.token,
            "models": [*session.models],
            "params": self.params,
            "prompts": dict(session.prompts),
            **({} if query is None else {"query": asdict(query)}),
        }

    async def observe(self, chunk: Chunk) -> None:
        await self._ask("observe", Reply, chunk=asdict(chunk))

    def has(self, method: str) -> bool:
        """Whether the engine may call it: a copy and an end are always asked for."""
        return method in ("fork", "close", *self.methods)

    async def finish(self) -> None:
        await self._ask("finish", Reply)

    async def recall(self, query: Query) -> Recall:
        recalled = await self._ask("recall", Recalled, query=asdict(query))
        return Recall([entry.item() for entry in recalled.items], recalled.order)

    async def answer(self, query: Query, recall: Recall) -> Answer:
        if "answer" not in self.methods:
            raise ForeignFailed(f"{self.name}: its track is 'native', but its reply to begin names no method 'answer'")
        recalled = [asdict(item) for item in recall.items]
        return Answer((await self._ask("answer", Answered, query=asdict(query), items=recalled)).text)

    async def memory(self) -> MemoryStats:
        held = await self._ask("memory", Held)
        entries = None if held.entries is None else [entry.item() for entry in held.entries]
        tokens = held.tokens
        if tokens is None:
            tokens = {"entries": sum(self.session.count(entry.text) for entry in entries or ())}
        return MemoryStats(tokens, entries)

    async def fork(self, session: Session) -> Foreign | None:
        """A copy that its program makes; None where it does not name the method."""
        if "fork" not in self.methods:
            return None
        twin = copy.copy(self)
        twin.session, twin.context = session, f"{self.context}-{secrets.token_hex(4)}"
        await self._ask("fork", Reply, to=twin.context, workdir=str(session.workdir))
        await self.line.join()
        return twin

    async def close(self) -> None:
        try:
            if "close" in self.methods:
                await self._ask("close", Reply)
        finally:
            await self.line.leave()

    async def _ask(self, method: str, shape: type[Shape], **facts: Any) -> Shape:
        reply = await self.line.ask(method, shape, context=self.context, **facts)
        for spent in getattr(reply, "spent", ()):
            self.session.spend(tokens=spent.tokens, usd=spent.usd, role=spent.role)
        return reply
