"""The contract between the engine and a memory agent (docs/agents.md has it with examples).

An agent is any class with `begin`, `observe` and `recall`. `finish`, `answer`, `memory`, `fork` and `close` are optional.
Each may be a plain or an `async` method. All methods of one context run in one thread with an event loop of its own, plain
ones one after the other. Nothing defined here can hold a gold answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from memeval.models.bound import BoundModel


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of the stream. `id` is opaque and rises along the stream; `tokens` counts `text` with the task's tokenizer."""

    id: str
    text: str
    time: str | None = None
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Query:
    """A question as the agent sees it."""

    text: str
    time: str | None = None
    options: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """One recalled piece of text. `chunks` is its provenance: ids of the chunks it was made from. kind: the memory type
    it belongs to, for a reader that shows the types separately (the part `reader_view` of the agent's prompts)."""

    text: str
    chunks: tuple[str, ...] = ()
    id: str | None = None
    score: float | None = None
    kind: str | None = None


@dataclass(frozen=True, slots=True)
class Recall:
    """What the agent returns for one question: `items`, best first. If a budget applies, the first items are kept.

    `order` is the order in which the reader sees the kept items: `rank` as ranked, `stream` in the order of their first
    chunk (a long-context agent ranks the newest text highest, but presents it in its original order).
    """

    items: list[Item] = field(default_factory=list)
    order: str = "rank"


@dataclass(frozen=True, slots=True)
class Answer:
    """The reply of an agent that answers by itself (track `native`)."""

    text: str


@dataclass(frozen=True, slots=True)
class MemoryStats:
    """Tokens held by the memory now, by type (`{"core": 120, "semantic": 900}`), in the task's tokenizer. entries:
    everything the memory holds, if the agent can list it."""

    tokens: Mapping[str, int] = field(default_factory=dict)
    entries: Sequence[Item] | None = None

    @property
    def total(self) -> int:
        return sum(self.tokens.values())


@dataclass(frozen=True, slots=True)
class ToolResult:
    """One memory operation, for `session.record`: rewards, curves, `memeval show` and attribution read these.

    `status` is `ok`, `skipped` (nothing to do) or `error`. `effect` is what changed, so that memory can be replayed:
    `{"op": "put" | "delete", "type": str, "id": str, "text": str (put only), "chunks": [chunk ids] (put only)}`,
    or None when nothing changed.
    """

    name: str
    arguments: Mapping[str, Any]
    status: str
    message: str = ""
    effect: Mapping[str, Any] | None = None


@dataclass
class Session:
    """Everything an agent may use: one session per context and repeat, and one per fork.

    models: role -> model of this run; every call is counted. seed: for every random choice of the agent. scratch: the
    path of `workdir`. budget: tokens that `recall` may return. An answer budget may cut the recall further; the agent
    is not told, because runs with several answer budgets share one memory. count: counts the tokens of a text with the
    task's tokenizer. record: records one operation on the memory. spend(tokens=0, usd=None, role="service"): records
    one call of a service that is not a model of the session; without `usd` the cost of the run is unknown. prompts:
    part -> text that replaces the text of the agent's class (`--prompt PART=FILE`). visible_query: the value of
    `query`. query_used: whether the agent has read it.
    """

    models: Mapping[str, BoundModel]
    seed: int
    scratch: Path
    budget: int
    count: Callable[[str], int]
    record: Callable[[ToolResult], None]
    spend: Callable[..., None] = lambda **spent: None
    prompts: Mapping[str, str] = field(default_factory=dict)
    visible_query: Query | None = None
    query_used: bool = False

    @property
    def workdir(self) -> Path:
        """This agent's own folder. It is created at the first access, copied with a fork, and deleted at the end."""
        self.scratch.mkdir(parents=True, exist_ok=True)
        return self.scratch

    @property
    def query(self) -> Query | None:
        """The visible question. Reading it is recorded: the results show `used` beside `offered`."""
        if self.visible_query is not None:
            self.query_used = True
        return self.visible_query


@runtime_checkable
class Agent(Protocol):
    """The three methods that every agent has: `begin(session)`, `observe(chunk)`, `recall(query) -> Recall`.

    Optional methods: `finish()`, called before questions are asked; `answer(query, recall) -> Answer | str`, for an
    agent that answers by itself (`track = "native"`); `memory() -> MemoryStats`; `fork(session) -> agent`, a copy that
    can be fed and asked without changing this agent; `close()`. Without `fork`, memeval uses `copy.deepcopy`. If `fork`
    is None or returns None, the agent cannot be copied, and memeval builds it anew for every position at which
    questions are asked.

    `replayable = False` declares that the memory does not follow from the models' replies alone, because it depends on
    a clock, a service or chance. Such a memory is not shared with runs of another command, and `--fresh` reads the
    stream again. `recall` must not change what later recalls return. `concurrent = True` promises that several threads
    may call recall and answer at once; then the questions of one position are asked concurrently. Each context has its
    own thread, so thread-bound handles (sqlite3), `asyncio.get_event_loop()`, `asyncio.run` and blocking code work and
    slow down only their own context. Python allows signal handlers only in the main thread.
    """

    def begin(self, session: Session) -> Any: ...

    def observe(self, chunk: Chunk) -> Any: ...

    def recall(self, query: Query) -> Any: ...
