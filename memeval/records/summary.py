"""summary.json: the numbers of a run, as they are written, read back, and printed by `--format json`.

Rates are fractions 0..1, sizes tokens of the task's tokenizer, times seconds, prices USD. None: unknown, or nothing to
average; an unknown price is never 0.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from memeval.records.averages import Average, MetricAverage
from memeval.records.judgements import CalibrationFacts
from memeval.records.manifest import AgentFiles
from memeval.records.rows import CallFacts, ServiceRow, Usage
from memeval.records.verdicts import Status


class Note(msgspec.Struct, frozen=True):
    """A note for readers of the numbers. code: for programs; text: one line."""

    code: str
    text: str


class Sizes(msgspec.Struct, frozen=True):
    mean: float | None = None
    max: int | None = None


class StreamSizes(msgspec.Struct, frozen=True):
    min: int | None = None
    mean: float | None = None
    max: int | None = None
    tokenizer: str = ""


class QueryFacts(msgspec.Struct, frozen=True):
    """Whether the question was offered while the stream was read, and whether the agent read it."""

    offered: bool = False
    used: bool = False


class Chunks(msgspec.Struct, frozen=True):
    """Chunks shown to the agent in one repeat, and their number if the stream were read anew for every question."""

    shown: int = 0
    without_sharing: int = 0


class RepeatValue(msgspec.Struct, frozen=True):
    """The headline of one repeat."""

    repeat: int
    answer_repeat: int
    value: float


class Abstention(msgspec.Struct, frozen=True):
    """Declining to answer, over all samples: precision, recall and F1."""

    precision: float | None = None
    recall: float | None = None
    f1: float | None = None


class Contamination(msgspec.Struct, frozen=True, kw_only=True):
    """mark: `leaked` (a model was trained on this split, or on questions of this run) or `in-domain` (on this family of
    data). by: these models; notes: details. known: how many of the `asked` questions a model was trained on, None
    without hashes; others: the headline on the other questions."""

    mark: Literal["leaked", "in-domain"]
    by: tuple[str, ...]
    notes: tuple[str, ...] = ()
    asked: int = 0
    known: int | None = None
    others: MetricAverage | None = None


class TokenSums(msgspec.Struct, frozen=True):
    """Tokens of all calls, including those of a judge."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0


class PriceFacts(msgspec.Struct, frozen=True):
    """USD per million tokens. source: `memeval.yaml` or `litellm`."""

    prompt: float
    completion: float
    cached: float
    source: str


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """The cost of a run, as if every call had been sent once.

    usd_per_right: the cost without the judge, divided by the number of right samples. ..._per_stream: building one
    memory; ..._per_answer: recalling and answering once; ..._per_question: at 1, 10 and 100 questions per stream.
    cached_share: of the prompt tokens of roles whose server reported any. read_amplification: prompt tokens, without
    the judge's, per token of the streams. ingest_tokens_per_1k: prompt and completion tokens of ingest per 1000 tokens
    of stream that were read. unpriced: roles whose calls have no known price.
    """

    usd: float | None = None
    usd_by_role: dict[str, float | None] = {}
    usd_by_phase: dict[str, float | None] = {}
    usd_per_right: float | None = None
    usd_per_stream: float | None = None
    usd_per_answer: float | None = None
    usd_per_question: dict[str, float | None] = {}
    tokens_per_stream: float | None = None
    tokens_per_answer: float | None = None
    tokens_per_question: dict[str, float | None] = {}
    cached_share: float | None = None
    read_amplification: float | None = None
    ingest_tokens_per_1k: float | None = None
    prices: dict[str, PriceFacts] = {}
    unpriced: tuple[str, ...] = ()


class Latency(msgspec.Struct, frozen=True):
    """Seconds of a method, including waits for its models: 50 % and 95 % of `n` take at most this long."""

    p50: float
    p95: float
    n: int


class Operations(msgspec.Struct, frozen=True, kw_only=True):
    """The outcomes of the memory operations of a run. counts: status -> number: `ok`, `skipped`, `error` and other
    statuses that agents record; `cut`: replies that were cut off or never ended their thinking; `no call`: complete
    replies without a call, of models that write by calls. reasons: status -> the five most frequent reasons. chunks:
    chunks that a model read; unstored: chunks among these from which nothing was stored; reply: the first reply to one
    of them, shortened."""

    counts: dict[str, int] = {}
    reasons: dict[str, dict[str, int]] = {}
    chunks: int = 0
    unstored: int = 0
    reply: str = ""


class Rebuilt(msgspec.Struct, frozen=True):
    """An agent that cannot fork. why: the attribute that cannot be copied; factor: chunks read, divided by the number
    with forks."""

    why: tuple[str, ...]
    factor: float


class ReadBack(msgspec.Struct, frozen=True):
    """Stored replies of a role that were used although the model behind them may have changed. url: of the server that
    made them; since: the day of the first; asked: the server that the command named."""

    role: str
    url: str
    since: str
    asked: str = ""


class Limits(msgspec.Struct, frozen=True):
    """A value with its 95 % limits."""

    value: float
    low: float
    high: float


class JudgeCost(msgspec.Struct, frozen=True):
    calls: int
    requests: int
    tokens: Usage


class JudgeSummary(Average, frozen=True, kw_only=True):
    """A judge's scores of a run: its average over answerable questions, where failed samples count 0.

    parts: further shares that the judge reports. kinds: per kind; `unanswerable`: the share that was rightly declined.
    published_kinds: the same by the published rule, if that is another one. overall: the average over all questions,
    which LongMemEval prints. failed: samples without a verdict. corrected: by Rogan and Gladen; if None, `uncorrected`
    says why; calibration: its source. served: model name that the judge's server reported -> calls.
    """

    scorer: str
    judge: str
    family: str
    prompt_hash: str
    own_prompt: bool = False
    related: tuple[str, ...] = ()
    status: Status
    failed: int = 0
    samples: int = 0
    verdicts: dict[str, int] = msgspec.field(default_factory=dict)
    reasons: dict[str, int] = msgspec.field(default_factory=dict)
    parts: dict[str, Average] = msgspec.field(default_factory=dict)
    kinds: dict[str, Average] = msgspec.field(default_factory=dict)
    published_kinds: dict[str, Average] = msgspec.field(default_factory=dict)
    overall: Average = Average()
    failure_bounds: tuple[float, float] | None = None
    calibration: CalibrationFacts | None = None
    corrected: Limits | None = None
    uncorrected: str | None = None
    trained_on: Contamination | None = None
    cost: JudgeCost
    served: dict[str, int] = msgspec.field(default_factory=dict)


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of a run: of all finished questions of its folder, or of those that a command asked for.

    path: the run folder; memory: the memory folder, None for a control; replayable: whether the memory follows from
    stored replies. agent, task: as typed; params: of the agent. answer_budget: most tokens that the reader saw, if a
    variant or --answer-budget sets a limit. model: role `memory`, else `reader`; embedder: None if nothing was
    embedded. n: questions; failed: samples without a reply; failure_bounds: the headline with all of them wrong, and
    with all of them right. headline: over answerable questions (`judge` if the task needs a judge and was judged).
    reasons: the five most frequent reasons why samples failed or count as wrong; unread: the same for calls while
    reading. calls: logical, by role; services: calls of services by role, as agents report them; requests: sent by this
    invocation, including retries. seconds: from the first model call to the last sample, over all invocations;
    build_seconds: of building streams. latency: of `observe`, `recall` and `answer`, without stored replies;
    ingest_seconds_per_1k: of reading, per 1000 tokens of stream. facts: of all calls. empty_memory: answers given while
    the memory was empty. adapted: what was changed in requests because a server refused them. differing: steps of
    reading with another outcome when they were repeated from stored replies. trouble: problems that changed no result,
    such as an agent's `close` that raised -> how often. lost_numbers: written as null, because JSON cannot hold them.
    read_back: by this command; service_read_back: the result depends on a service that was not asked again. window: the
    reader's, in tokens, if it leaves less room (recall_budget) than the task. basis: digest of the inputs of the
    summary.
    """

    path: str = ""
    memory: str | None = None
    replayable: bool = True
    agent: str = ""
    params: dict[str, Any] = {}
    task: str = ""
    answer_budget: int | None = None
    model: str | None = None
    reader: str | None = None
    embedder: str | None = None
    judge_family: str = ""
    status: Status
    n: int
    failed: int
    failure_bounds: tuple[float, float] | None = None
    reasons: dict[str, int] = {}
    unread: dict[str, int] = {}
    verdicts: dict[str, int] = {}
    headline: MetricAverage
    metrics: dict[str, Average] = {}
    kinds: dict[str, MetricAverage] = {}
    abstention: Abstention | None = None
    repeats: tuple[RepeatValue, ...] = ()
    judge: JudgeSummary | None = None
    trained_on: Contamination | None = None
    with_evidence: int = 0
    query: QueryFacts = QueryFacts()
    chunks: Chunks = Chunks()
    memory_tokens: Sizes = Sizes()
    recall_tokens: Sizes = Sizes()
    recall_dropped: int = 0
    stream_tokens: StreamSizes = StreamSizes()
    calls: dict[str, int] = {}
    requests: int = 0
    tokens: TokenSums = TokenSums()
    tokens_by_role: dict[str, Usage] = {}
    tokens_by_phase: dict[str, Usage] = {}
    cost: Cost = Cost()
    seconds: float = 0.0
    build_seconds: float = 0.0
    latency: dict[str, Latency] = {}
    ingest_seconds_per_1k: float | None = None
    operations: Operations = Operations()
    empty_memory: int = 0
    facts: CallFacts = CallFacts()
    services: dict[str, ServiceRow] = {}
    adapted: tuple[str, ...] = ()
    differing: int = 0
    trouble: dict[str, int] = {}
    rebuilt: Rebuilt | None = None
    lost_numbers: int = 0
    agent_files: AgentFiles = AgentFiles()
    read_back: tuple[ReadBack, ...] = ()
    service_read_back: bool = False
    window: int | None = None
    recall_budget: int | None = None
    notes: tuple[Note, ...] = ()
    basis: str = ""
