"""One line of each file of a run folder or a memory folder, as frozen data.

Unknown fields are ignored when a row is read, so that a later version can add some; a field that may be absent has a
default.
"""

from __future__ import annotations

import operator
from typing import Any

import msgspec
from msgspec.structs import astuple

from memeval.task import Evidence, Question

FINISH, READ = "finish", "read"
"""`chunk` of the rows that end a reading: of the prefix up to a position; of a context, once all that was asked of it has
its recall."""
UNANSWERABLE = "unanswerable"
"""The kind under which questions without an answer are reported."""


class Usage(msgspec.Struct, frozen=True):
    """Tokens of one or more calls, as the server reports them (estimated with the task's tokenizer where it does not).

    `cached` counts the part of `prompt` that the server read from its prefix cache; `reasoning` the part of `completion`
    spent on thinking.
    """

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    reasoning: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(*map(operator.add, astuple(self), astuple(other)))


class EvidenceRow(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of gold evidence: its text, the titles of its documents, the units that hold it, and the chunks that hold one
    of these units."""

    text: str
    titles: tuple[str, ...] = ()
    units: tuple[int, ...] = ()
    chunks: tuple[str, ...] = ()


class QuestionRow(msgspec.Struct, frozen=True, kw_only=True):
    """questions.jsonl: a question with its golds, and facts of its stream. With it a run can be scored, shown and compared
    where the data set is not at hand.

    digest: of the context's units and of this question with its golds (first 16 hex digits of a sha256); a finished sample
    is used again only while it agrees. stream: the digest of the units alone, as operation rows have it. Sizes are in tokens
    of the task's tokenizer. prefix_chunks: chunks of the visible prefix, the last `own_chunks` (0 or 1) of which end where
    the prefix ends and are no chunk of the whole stream. lost: numbers of `meta` that JSON cannot hold, written as null.
    rank: its place in the order of the task, from 0, by which `--limit` takes the first.
    """

    question_id: str
    context_id: str
    digest: str = ""
    stream: str = ""
    cluster: str
    kind: str = ""
    answerable: bool = True
    text: str
    time: str | None = None
    options: tuple[str, ...] | None = None
    answers: tuple[str, ...] = ()
    position: int | None = None
    evidence: tuple[EvidenceRow, ...] = ()
    keypoints: tuple[str, ...] = ()
    stream_tokens: int = 0
    stream_units: int = 0
    stream_chunks: int = 0
    prefix_chunks: int = 0
    own_chunks: int = 0
    meta: dict[str, Any] = {}
    lost: int = 0
    rank: int = 0

    @property
    def place(self) -> int | None:
        """The position as operation rows have it: None also where a number says the end of the stream."""
        return None if self.position == self.stream_units else self.position

    @property
    def reported_kind(self) -> str:
        """The kind that results are given by: questions without an answer are one kind."""
        return self.kind if self.answerable else UNANSWERABLE

    def question(self) -> Question:
        """The question as metrics and judges take it."""
        return Question(
            id=self.question_id,
            text=self.text,
            answers=self.answers,
            kind=self.kind,
            time=self.time,
            options=self.options or None,
            position=self.position,
            answerable=self.answerable,
            evidence=tuple(Evidence(piece.text, piece.units) for piece in self.evidence),
            keypoints=self.keypoints,
        )


class RecallRow(msgspec.Struct, frozen=True, kw_only=True):
    """One recalled item that the reader saw. `text` names a line of texts.jsonl. kind: the type of memory that it is of."""

    text: str
    chunks: tuple[str, ...] = ()
    id: str | None = None
    score: float | None = None
    tokens: int = 0
    kind: str | None = None


class ServiceRow(msgspec.Struct, frozen=True, kw_only=True):
    """What a service with a price of its own took, as the agent reported it (`session.spend`). usd: None where one of the
    reports named no price."""

    calls: int = 0
    tokens: int = 0
    usd: float | None = 0.0


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """Logical calls and tokens by model role, and what services took beside them."""

    calls: dict[str, int] = {}
    tokens: dict[str, Usage] = {}
    services: dict[str, ServiceRow] = {}


class CallFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the notes of a run must know of its calls; each number counts calls.

    estimated: the usage is ours, because the server's is missing or cannot be true. undercounted: the prompt has more than
    1,000 tokens, and the server counts fewer than half of them. unreadable: the offline model found nothing in the prompt
    that it can read. offered: the model was offered tools; uncalled: of these, whole replies without a call. served: role ->
    name under which the server says that it answered -> calls.
    """

    estimated: int = 0
    undercounted: int = 0
    unreadable: int = 0
    offered: int = 0
    uncalled: int = 0
    served: dict[str, dict[str, int]] = {}

    def __add__(self, other: CallFacts) -> CallFacts:
        served = {role: dict(names) for role, names in self.served.items()}
        for role, names in other.served.items():
            mine = served.setdefault(role, {})
            for name, calls in names.items():
                mine[name] = mine.get(name, 0) + calls
        return CallFacts(
            estimated=self.estimated + other.estimated,
            undercounted=self.undercounted + other.undercounted,
            unreadable=self.unreadable + other.unreadable,
            offered=self.offered + other.offered,
            uncalled=self.uncalled + other.uncalled,
            served=served,
        )


class SampleRow(msgspec.Struct, frozen=True, kw_only=True):
    """samples.jsonl: one answer, with deterministic facts only, no clock.

    failure: why no reply was obtained; None for a reply of any kind. The reader saw `recall_tokens`; `recall_lost` tokens,
    and `recall_dropped` whole items, were beyond the budget. memory_tokens: held when asked, None where the agent does not
    say. calls, tokens, services, facts: of this answer, with those of the recall in answer repeat 0; recalling: the
    recall's alone. evidence_held: whether the memory held each piece of the evidence when asked (metrics/held.py; pieces
    that are in no chunk are left out); None where the agent does not list what it holds.
    query_used: None where the question was not offered while reading. not_applicable: why a control has no answer here.
    """

    question_id: str
    context_id: str
    repeat: int
    answer_repeat: int = 0
    position: int | None = None
    query: str = ""
    answer: str | None
    failure: str | None
    finish_reason: str | None = None
    recall: tuple[RecallRow, ...] = ()
    recall_tokens: int = 0
    recall_dropped: int = 0
    recall_lost: int = 0
    memory_tokens: int | None = None
    calls: dict[str, int] = {}
    tokens: dict[str, Usage] = {}
    services: dict[str, ServiceRow] = {}
    facts: CallFacts = CallFacts()
    recalling: Spent | None = None
    evidence_held: tuple[bool | None, ...] | None = None
    query_used: bool | None = None
    not_applicable: str | None = None

    @property
    def key(self) -> tuple[str, int, int]:
        """(question id, repeat, answer repeat)"""
        return self.question_id, self.repeat, self.answer_repeat


class ToolRow(msgspec.Struct, frozen=True, kw_only=True):
    """One memory operation, as the agent recorded it (`memeval.agent.ToolResult`)."""

    name: str
    arguments: dict[str, Any] = {}
    status: str
    message: str = ""
    effect: dict[str, Any] | None = None


class OperationRow(msgspec.Struct, frozen=True, kw_only=True):
    """operations.jsonl of a memory: one step of reading. `chunk` is a chunk's id, or `begin`, FINISH or READ.

    position: of the fork that read it, None for the agent itself. digest: of the context. attempt: how often this step was
    made before, with another outcome; readers take the last. units: first and last unit of the chunk. held: tokens held
    afterwards, by type. unusable: replies that were cut off, filtered or never sent, by finish reason. reply: the first
    reply to a chunk of which nothing was stored, shortened; None where something was, or nothing says. lost: numbers that
    JSON cannot hold, written as null. rebuilt: what of the agent cannot be copied, where a new agent read the prefix of this
    position from its start; empty for the agent itself and for forks. Chunks read in all, divided by those of rows that are
    not rebuilt and the own chunks of rebuilt positions (QuestionRow), is what it costs.
    """

    context_id: str
    digest: str = ""
    attempt: int = 0
    repeat: int
    position: int | None = None
    chunk: str
    chunk_tokens: int = 0
    units: tuple[int, ...] = ()
    results: tuple[ToolRow, ...] = ()
    held: dict[str, int] | None = None
    calls: dict[str, int] = {}
    tokens: dict[str, Usage] = {}
    services: dict[str, ServiceRow] = {}
    unusable: dict[str, int] = {}
    facts: CallFacts = CallFacts()
    reply: str | None = None
    lost: int = 0
    rebuilt: str = ""

    @property
    def key(self) -> tuple[str, int, int | None, str]:
        return self.context_id, self.repeat, self.position, self.chunk


class TextRow(msgspec.Struct, frozen=True, kw_only=True):
    """texts.jsonl: a long text, kept once. `sha`: the first 16 hex digits of its sha256."""

    sha: str
    text: str


class ScoreRow(msgspec.Struct, frozen=True, kw_only=True):
    """scores/<scorer>.jsonl: what a scorer makes of one sample.

    metrics: those that apply, each from 0 to 1. verdict: `right`, `partly`, `wrong`, `failed`, or `n/a` (a control without a
    result here), with the reason where one is due. reply: what a judge wrote, None where none was asked; counts: what it
    counted in a summary; points: its scores of the items of a rubric; order: its items as the answer puts them in order (0:
    none of them). scorer: digest of the rules that made the row; where they have changed, the score is made anew.
    """

    question_id: str
    repeat: int
    answer_repeat: int = 0
    metrics: dict[str, float] = {}
    verdict: str
    reason: str | None = None
    reply: str | None = None
    counts: dict[str, int] = {}
    points: tuple[float, ...] = ()
    order: tuple[int, ...] = ()
    scorer: str = ""

    @property
    def key(self) -> tuple[str, int, int]:
        """(question id, repeat, answer repeat), as of the sample."""
        return self.question_id, self.repeat, self.answer_repeat


class CallRow(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="call"):
    """events.jsonl: one logical call. phase: `ingest`, `recall` or `answer`, empty for embeddings. source: `model`,
    `stored` (by the run or its memory), `cache` (the user's), `shared` (an equal call in flight) or `window` (the
    prompt does not fit, nothing was sent). seconds: waits included. attempts: sent, retries included. status: `ok`, or the
    error."""

    at: float = 0.0
    phase: str = ""
    model: str = ""
    source: str
    seconds: float = 0.0
    attempts: int = 0
    status: str = "ok"
    finish_reason: str = ""
    prompt: int = 0
    completion: int = 0


class TimesRow(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="times"):
    """events.jsonl: seconds that the methods of a context's agent took, waits for its models included. What was answered
    from a store says nothing of time and is left out. observe: per chunk; tokens: of these chunks; ingest: all of reading;
    recall: per question; answer: per answer that an agent gave by itself (the reader's calls have rows of their own)."""

    at: float = 0.0
    context_id: str = ""
    repeat: int = 0
    observe: tuple[float, ...] = ()
    tokens: int = 0
    ingest: float = 0.0
    recall: tuple[float, ...] = ()
    answer: tuple[float, ...] = ()


class TroubleRow(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="trouble"):
    """events.jsonl: what went wrong without changing a result, such as an agent's `close` that raised."""

    at: float = 0.0
    context_id: str = ""
    what: str


class StoppedRow(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="stopped"):
    """events.jsonl: why a run stopped itself."""

    at: float = 0.0
    reason: str


class InvocationRow(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="invocation"):
    """events.jsonl: what an invocation took, in seconds. Written every second as far as it has come, so that a killed
    process loses little: of rows with the same `id` the last counts. adapted: what servers wanted sent otherwise. differing:
    steps of reading that came out otherwise than the memory folder has them."""

    at: float = 0.0
    id: str = ""
    seconds: float = 0.0
    build_seconds: float = 0.0
    wall: float = 0.0
    requests: int = 0
    adapted: tuple[str, ...] = ()
    differing: int = 0


EventRow = CallRow | TimesRow | TroubleRow | StoppedRow | InvocationRow
"""A line of events.jsonl, which says what it is by its `event`."""
