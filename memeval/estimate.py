"""Estimate a run before it starts: calls, tokens, USD, and the precision of its number of questions.

The cost of a chunk, a fork and an answer is the mean in the run's folder, once it holds FEWEST of them, else the mean of a
dry run (dry_run.py). It is multiplied by the number still to come. The cost of a judge's call is the mean in the folder,
else the size of its prompt with the gold answer as the reply. Replies that the user's cache may hold are not deducted.
"""

from __future__ import annotations

import dataclasses
import itertools
import random
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from memeval import process
from memeval.costs import added
from memeval.dry_run import KINDS, SHARE, Piece, Substitute, counter, dry_run, pieces
from memeval.judging.judge import family_of
from memeval.judging.prompts import judge_calls
from memeval.judging.scorer import scorer_name
from memeval.models import prices, registry
from memeval.models.completion import ModelSpec, Request, Usage
from memeval.records.folder import RunFolder
from memeval.records.memory import MemoryFolder
from memeval.records.rows import OperationRow, Spent
from memeval.runs.notes import FEW
from memeval.runs.plan import Planned
from memeval.runs.prepare import PackedContext
from memeval.stats import detectable_effect, half_width
from memeval.task import ContextRef
from memeval.wording import counted

FEWEST = 8
"""Number of chunks, forks, answers or calls of the judge in the run's folder from which on their measured cost is used."""
STREAMS, STREAM_TOKENS, QUESTIONS = 16, 400_000, 6
"""Limits of a dry run: number of streams, their total tokens (one stream is read, whatever its length), questions per
stream."""
BUILD_TOKENS = 2_000_000
"""Tokens of stream that are built to measure sizes. Further streams count as the mean of these."""
VERDICT = 64
"""Guess: tokens of a judge's reply."""


@dataclass(frozen=True, slots=True)
class Role:
    """The remaining calls of one role. usd: None if the price is unknown. guessed: the lengths of its replies are a guess,
    without thinking."""

    model: str
    calls: int
    prompt: int
    completion: int
    usd: float | None
    guessed: bool


@dataclass(frozen=True, slots=True)
class Estimate:
    """The remaining work of one run. questions: all that were requested; n: those behind the headline (answerable ones).
    answers, streams, chunks: still to give, to read and to show, including repeats. roles: remaining calls by role; the
    sums are over all roles. half_width: of the 95 % interval at a rate of one half; detectable_effect: the smallest paired
    difference found with 80 % power (fractions; None without questions)."""

    agent: str
    params: Mapping[str, Any]
    task: str
    path: str
    questions: int
    n: int
    answers: int
    streams: int
    chunks: int
    roles: Mapping[str, Role]
    calls: int
    prompt: int
    completion: int
    usd: float | None
    half_width: float | None
    detectable_effect: float | None
    notes: tuple[str, ...]


def totals(roles: Iterable[Role]) -> dict[str, Any]:
    """Total calls, tokens and USD of several roles. usd: None if one price is unknown."""
    found = list(roles)
    sums = {key: sum(getattr(role, key) for role in found) for key in ("calls", "prompt", "completion")}
    return {**sums, "usd": added(role.usd for role in found)}


def estimate(planned: Planned, before: Sequence[Planned] = ()) -> Estimate:
    """Estimate a run. before: runs of the same command that go first. Raises UsageError if the run itself would. Makes no
    model call, and writes nothing."""
    spec = planned.spec
    operations = MemoryFolder(spec.memory).operations() if spec.memory else []
    sizes, sampled = _measured(planned)
    left = _left_over(planned, before, operations, sizes)
    each = pieces(operations, [row for row in RunFolder(spec.folder).samples() if row.failure is None])
    number = _number(left, each)
    said: list[str] = []
    if missing := [piece for piece in each if number[piece] and each[piece].units < FEWEST]:
        dry, said = process.run(dry_run(planned, sampled))
        each |= {piece: dry[piece] for piece in missing}
        number = _number(left, each)
    models = dict(spec.models)
    if planned.judge is not None:
        models["judge"] = planned.judge
        each["verdict"], number["verdict"] = _verdicts(planned, planned.judge)
    roles = {role: found for role, model in models.items() if (found := _role(role, model, each, number)).calls}
    answerable = {question.id: question.answerable for question in planned.task.golds()}
    n = sum(answerable.get(question, True) for question in planned.question_ids)
    return Estimate(
        agent=spec.agent.typed,
        params=dict(spec.agent.params),
        task=spec.task_typed,
        path=spec.shown,
        questions=len(planned.question_ids),
        n=n,
        answers=round(left["answer"]),
        streams=round(left["stream"]),
        chunks=round(left["chunk"]),
        roles=roles,
        **totals(roles.values()),
        half_width=half_width(n) if n else None,
        detectable_effect=detectable_effect(n) if n else None,
        notes=(*_about_work(planned, left, len(sizes), n), *said, *_about_costs(planned, each, number, models, roles)),
    )


def _role(role: str, model: ModelSpec, each: Mapping[str, Piece], number: Mapping[str, float]) -> Role:
    """The total of a role: its share of each piece, times the number of pieces."""

    def taken(what: str) -> int:
        return round(sum(found.bill.get((role, what), 0) * number[piece] / found.units for piece, found in each.items()))

    calls, prompt, completion, cached = map(taken, ("calls", *KINDS))
    usd = prices.cost(Usage(prompt, completion, cached), prices.price(model.name, model.base_url), calls)
    guessed = registry.fills_cache(model) and any(found.guessed and (role, "calls") in found.bill for found in each.values())
    return Role(model.name, calls, prompt, completion, usd, guessed)


# -- what is left to do -----------------------------------------------------------------------------------------------


class Size(NamedTuple):
    """The size of one context. chunks: of the stream, up to the last position; own: chunks that only forks read; earlier:
    positions before the last."""

    chunks: float
    own: float
    earlier: float


def size(prepared: PackedContext) -> Size:
    *earlier, last = prepared.points
    return Size(len(last.chunks), sum(len(point.chunks) - point.shared for point in earlier), len(earlier))


def _left_over(
    planned: Planned, before: Sequence[Planned], operations: Sequence[OperationRow], sizes: Mapping[ContextRef, Size]
) -> Mapping[str, float]:
    """The number of chunks, forks and answers that the run's folder and its memory do not hold yet. rebuilt: forks of an
    agent that cannot fork. stream: streams that are not read to their end. open: contexts with open answers, including
    repeats; shared: those whose memory an earlier run of the command builds."""
    spec, left = planned.spec, defaultdict[str, float](float)
    finished = RunFolder(spec.folder).finished()
    same = [(frozenset(other.question_ids), other.spec.repeats) for other in before if other.spec.memory == spec.memory]
    held: defaultdict[tuple[str, int], set[str | int]] = defaultdict(set)
    for row in operations:
        if row.chunk_tokens:
            held[row.context_id, row.repeat].add(row.chunk if row.position is None else row.position)
    for (ref, size), repeat in itertools.product(sizes.items(), range(spec.repeats)):
        wanted = ((question, repeat, answer) for question in ref.question_ids for answer in range(spec.answer_repeats))
        if not (answers := sum(sample not in finished for sample in wanted)):
            continue
        left["answer"] += answers
        left["open"] += 1
        if spec.memory is None:  # a control reads nothing
            continue
        if any(asked.issuperset(ref.question_ids) and repeat < repeats for asked, repeats in same):
            left["shared"] += 1
            continue
        name = f"{ref.context_id}?{ref.visible_question}" if ref.visible_question else ref.context_id
        forks = sum(isinstance(step, int) for step in held[name, repeat])
        chunks = max(0.0, size.chunks - (len(held[name, repeat]) - forks))
        left["chunk"] += chunks
        left["stream"] += chunks > 0
        left["fork"] += max(0.0, size.own - forks)
        left["rebuilt"] += max(0.0, size.earlier - forks)
    return left


def _number(left: Mapping[str, float], each: Mapping[str, Piece]) -> dict[str, float]:
    """The number of each piece that is still to come."""
    return {**{piece: left[piece] for piece in each}, "fork": left["rebuilt" if each["fork"].rebuilt else "fork"]}


def _verdicts(planned: Planned, judge: ModelSpec) -> tuple[Piece, int]:
    """A call of the run's judge, and the number of calls for its missing verdicts."""
    spec, task = planned.spec, planned.spec.task
    family = family_of(task.judge, task.source)
    scorer = scorer_name(judge, family, planned.judge_prompt)
    folder, wanted = RunFolder(spec.folder), set(planned.question_ids)
    ruled = Counter(row.question_id for row in folder.scores(scorer) if row.verdict != "failed")
    substitute = Substitute(judge, task.tokenizer)
    calls = prompt = 0
    for question in planned.task.golds():
        left = spec.repeats * spec.answer_repeats - ruled[question.id]
        if question.id in wanted and left > 0:
            asked = judge_calls(family, question, "".join(question.answers[:1]), planned.judge_prompt)
            calls += left * len(asked)
            prompt += left * sum(substitute.prompt_tokens(Request(messages)) for messages in asked.values())
    header = folder.judge_header(scorer)
    if header is not None and header.calls >= FEWEST:
        return Piece([Spent(calls={"judge": header.calls}, tokens={"judge": header.tokens})], header.calls), calls
    spent = Spent(calls={"judge": calls}, tokens={"judge": Usage(prompt, calls * VERDICT)})
    return Piece([spent], calls, guessed=True), calls


def _measured(planned: Planned) -> tuple[dict[ContextRef, Size], list[PackedContext]]:
    """The size of each context, and the streams for a dry run with a few of their questions, in random order, because kinds
    of questions may alternate."""
    refs = planned.task.refs(planned.question_ids)
    sizes: dict[ContextRef, Size] = {}
    sampled: list[PackedContext] = []
    built = 0
    for ref in random.Random(0).sample(refs, len(refs)):
        if sizes and built >= BUILD_TOKENS:
            break
        prepared = planned.spec.packed(planned.task, ref)
        sizes[ref] = size(prepared)
        built += prepared.tokens
        if not sampled or (len(sampled) < STREAMS and built <= STREAM_TOKENS):
            asked = [question.id for point in prepared.points for question in point.questions]
            few = asked[::-1][:: -(-len(asked) // QUESTIONS)]  # evenly spaced by position, the last one among them
            part = dataclasses.replace(ref, question_ids=tuple(few))
            sampled.append(planned.spec.packed(planned.task, part))
    mean = Size(*map(statistics.fmean, zip(*sizes.values(), strict=True))) if sizes else Size(0, 0, 0)
    return {ref: sizes.get(ref, mean) for ref in refs}, sampled


# -- what the numbers rest on -----------------------------------------------------------------------------------------


def _about_work(planned: Planned, left: Mapping[str, float], contexts: int, n: int) -> Iterator[str]:
    spec, asked = planned.spec, len(planned.question_ids)
    wanted = asked * spec.repeats * spec.answer_repeats
    if done := round(wanted - left["answer"]):
        yield f"{spec.shown} holds {done} of {counted(wanted, 'answer')} already"
    if left["shared"]:
        of = f"{left['shared']:.0f} of {counted(round(left['open']), 'stream')}"
        yield f"the memories of {of} are another run's: read, not built and paid for again"
    if n < FEW:
        yield f"n below {FEW}: checks the harness, ranks nothing"
    cluster = spec.task.cluster
    if cluster != "question" and (cluster != "context" or contexts < asked):
        yield f"several questions to a {cluster}: the interval will be wider than that of {n} independent ones"


def _about_costs(
    planned: Planned,
    each: Mapping[str, Piece],
    number: Mapping[str, float],
    models: Mapping[str, ModelSpec],
    roles: Mapping[str, Role],
) -> Iterator[str]:
    seen = [counted(found.units, piece) for piece, found in each.items() if number[piece] and not found.guessed]
    if seen and roles:
        yield f"tokens as measured so far ({', '.join(seen)})"
    if guessed := [models[role] for role, found in roles.items() if found.guessed]:
        counters = ", ".join(sorted({counter(model, planned.spec.task.tokenizer).name for model in guessed}))
        yield (
            f"the lengths of replies are guessed (~): {SHARE:.0%} of their limit, no thinking; prompts counted with "
            f"{counters}. Run the same with --limit {FEWEST}, which is kept, and estimate again: then they are measured"
        )
    unpriced = [model for role, model in models.items() if role in roles and roles[role].usd is None]
    if names := sorted({model.name for model in unpriced if not registry.runs_here(ModelSpec(model.name))}):
        yield f"no price known for {', '.join(names)}: USD stays blank; {prices.remedy(names[0])}"
    if each["fork"].rebuilt:
        calls = sum(value for (_, what), value in each["fork"].bill.items() if what == "calls")
        again = calls * number["fork"] / each["fork"].units
        yield f"the agent cannot fork: at every earlier position it reads the stream anew ({again:,.0f} of the calls)"
