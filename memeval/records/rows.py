"""The rows of run and memory folders: one frozen record type for each kind of line.

Unknown fields are ignored when a row is read, so later versions can add fields; an optional field has a default.
"""

from __future__ import annotations

import operator
from typing import Any

import msgspec
from msgspec.structs import astuple

from memeval.task import Evidence, Question

FINISH, READ = "finish", "read"
"""The `chunk` of rows that end a reading: of the prefix up to a position; of a context, after all its recalls."""
UNANSWERABLE = "unanswerable"
"""The kind that unanswerable questions are reported as."""


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
    """questions.jsonl: a question with its golds, and facts of its stream. With this row a run can be scored, shown and
    compared without the data set.

    digest: of the context's units and of this question with its golds (first 16 hex digits of a sha256); a finished sample
    is reused only if it agrees. stream: the digest of the units alone, as in operation rows. Sizes are in tokens of the
    task's tokenizer. prefix_chunks: chunks of the visible prefix; the last `own_chunks` (0 or 1) of them end where the
    prefix ends and are no chunks of the whole stream. lost: numbers of `meta` that JSON cannot hold, written as null. rank:
    its place in the order of the task, from 0; `--limit` selects by rank.
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
        """The position as operation rows record it: None also if the position is the end of the stream."""
        return None if self.position == self.stream_units else self.position

    @property
    def reported_kind(self) -> str:
        """The kind in results: all unanswerable questions are one kind."""
        return self.kind if self.answerable else UNANSWERABLE

    def question(self) -> Question:
        """The question in the form that metrics and judges take."""
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
    """One recalled item that the reader saw. `text` names a line of texts.jsonl. kind: its type of memory."""

    text: str
    chunks: tuple[str, ...] = ()
    id: str | None = None
    score: float | None = None
    tokens: int = 0
    kind: str | None = None


class ServiceRow(msgspec.Struct, frozen=True, kw_only=True):
    """The consumption of a service with its own price, as the agent reported it (`session.spend`). usd: None if one of
    the reports had no price."""

    calls: int = 0
    tokens: int = 0
    usd: float | None = 0.0


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """Logical calls and tokens by model role, and the consumption of services."""

    calls: dict[str, int] = {}
    tokens: dict[str, Usage] = {}
    services: dict[str, ServiceRow] = {}


class CallFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Facts about calls for the notes of a run; each number counts calls.

    estimated: the usage is estimated, because the server's is missing or impossible. undercounted: the prompt has more than
    1,000 tokens, and the server counts fewer than half of them. unreadable: the offline model found nothing in the prompt
    that it can read. offered: the model was offered tools; uncalled: complete replies without a call among these. served:
    role -> model name that the server reported -> calls.
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
    """samples.jsonl: one answer, with deterministic facts only, no times.

    failure: why no reply was obtained; None if there was any reply. The reader saw `recall_tokens`; `recall_lost` tokens
    and `recall_dropped` whole items exceeded the budget. memory_tokens: held when asked, None if the agent does not report
    it. calls, tokens, services, facts: of this answer, plus those of the recall in answer repeat 0; recalling: the recall's
    alone. evidence_held: whether the memory held each piece of the evidence when asked (metrics/held.py; pieces that are in
    no chunk are left out); None if the agent does not list its entries. query_used: None if the question was not offered
    while reading. not_applicable: why a control has no answer here.
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

    position: of the fork that made the step, None for the agent itself. digest: of the context. attempt: how often this
    step was made before with another outcome; readers take the last. units: first and last unit of the chunk. held: tokens
    held afterwards, by type. unusable: replies that were cut off, filtered or never sent, by finish reason. reply: the
    first reply to a chunk from which nothing was stored, shortened; None if something was stored or it is unknown. lost:
    numbers that JSON cannot hold, written as null. rebuilt: the attribute that cannot be copied, if a new agent read the
    prefix of this position from its start; empty for the agent itself and for forks.
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
    """texts.jsonl: a long text, stored once. `sha`: the first 16 hex digits of its sha256."""

    sha: str
    text: str


class ScoreRow(msgspec.Struct, frozen=True, kw_only=True):
    """scores/<scorer>.jsonl: the scores of one sample by one scorer.

    metrics: those that apply, each from 0 to 1. verdict: `right`, `partly`, `wrong`, `failed`, or `n/a` (a control without
    a result here), with a reason where needed. reply: the judge's reply, None without a judge; counts: what it counted in a
    summary; points: its scores of the items of a rubric; order: the items in the order of the answer (0: none of them).
    scorer: digest of the rules that made the row; if the rules have changed, the score is computed again.
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
    `stored` (by the run or its memory), `cache` (the user's), `shared` (an equal call in flight) or `window` (the prompt
    does not fit, nothing was sent). seconds: including waits. attempts: including retries. status: `ok`, or the error."""

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
    """events.jsonl: seconds that the methods of a context's agent took, including waits for its models. Replies from a
    store have no meaningful time and are left out. observe: per chunk; tokens: of these chunks; ingest: all of reading;
    recall: per question; answer: per answer that an agent gave by itself (the reader's calls have their own rows)."""

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
    """events.jsonl: the reason why a run stopped itself."""

    at: float = 0.0
    reason: str


class InvocationRow(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="invocation"):
    """events.jsonl: the duration of an invocation, in seconds. It is written every second, so that a killed process
    loses little; of rows with the same `id` the last one counts. adapted: what was changed in requests because a server
    refused them. differing: steps of reading whose outcome differs from the memory folder's."""

    at: float = 0.0
    id: str = ""
    seconds: float = 0.0
    build_seconds: float = 0.0
    wall: float = 0.0
    requests: int = 0
    adapted: tuple[str, ...] = ()
    differing: int = 0


EventRow = CallRow | TimesRow | TroubleRow | StoppedRow | InvocationRow
"""A line of events.jsonl; its `event` names the type."""
