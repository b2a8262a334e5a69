"""A foreign agent as the engine sees it: each method sends one message and returns the reply."""

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
from memeval.agents.foreign.connection import Connection, Transport
from memeval.agents.foreign.messages import Answered, Begun, Held, Recalled, Reply, Shape
from memeval.errors import ForeignFailed, UsageError
from memeval.typed import typed

Seconds = Annotated[float, Meta(gt=0)]
TIMEOUT = 600.0
"""How many seconds one reply may take."""


class Foreign(ABC):
    """An agent that is a program or a server. Subclasses define how messages are sent.

    timeout: seconds for one reply. params: settings that `begin` carries, for the agent itself.
    """

    is_foreign: ClassVar = True
    """The class is built in but the agent is not: it gets a thread, and its methods have a time limit."""
    replayable: ClassVar = False
    version: str | None = None
    """The version that the server reported when the run was planned."""
    folder: ClassVar[Path | None] = None
    """The folder of the card that names the agent, else the working directory when the run was planned."""

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
        """Label -> file, for the files besides its class that determine its answers."""
        return {}

    def reported_params(self) -> dict[str, Any]:
        """Parameters that the agent itself reports before the run. Raises UsageError where it does not answer."""
        return {}

    @property
    @abstractmethod
    def name(self) -> str:
        """The name of the agent in error messages."""

    @abstractmethod
    def transport(self, session: Session) -> Transport:
        """The transport of messages for one context."""

    async def begin(self, session: Session) -> None:
        self.session = session
        self.context = f"{session.seed:012x}-{secrets.token_hex(4)}"  # unique: a server may remember contexts of other runs
        self.connection = Connection(self.name, self.transport(session), session.models, self.timeout)
        try:
            await self.connection.join()
            begun = await self._ask("begin", Begun, **self._facts(session))
            version = str(begun.version)
            if self.version is not None and version not in ("", self.version):
                raise ForeignFailed(f"{self.name}: its version is '{version}', and the run is of '{self.version}'")
        except BaseException:  # the engine closes only agents that have begun
            await self.connection.leave()
            raise
        self.methods = begun.methods

    def _facts(self, session: Session) -> dict[str, Any]:
        """What `begin` tells about the context. It includes the question, where the session shows it, even if the agent does
        not read it."""
        query = session.query
        return {
            "seed": session.seed,
            "budget": session.budget,
            "workdir": str(session.workdir),
            "base_url": self.connection.proxy.base_url,
            "api_key": self.connection.proxy.token,
            "models": [*session.models],
            "params": self.params,
            "prompts": dict(session.prompts),
            **({} if query is None else {"query": asdict(query)}),
        }

    async def observe(self, chunk: Chunk) -> None:
        await self._ask("observe", Reply, chunk=asdict(chunk))

    def has(self, method: str) -> bool:
        """Whether the engine may call an optional method; `fork` and `close` may always be called."""
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
        """A copy, which the program or server makes; None where it does not have the method."""
        if "fork" not in self.methods:
            return None
        twin = copy.copy(self)
        twin.session, twin.context = session, f"{self.context}-{secrets.token_hex(4)}"
        await self._ask("fork", Reply, to=twin.context, workdir=str(session.workdir))
        await self.connection.join()
        return twin

    async def close(self) -> None:
        try:
            if "close" in self.methods:
                await self._ask("close", Reply)
        finally:
            await self.connection.leave()

    async def _ask(self, method: str, shape: type[Shape], **facts: Any) -> Shape:
        reply = await self.connection.ask(method, shape, context=self.context, **facts)
        for spent in getattr(reply, "spent", ()):
            self.session.spend(tokens=spent.tokens, usd=spent.usd, role=spent.role)
        return reply
