"""What a run would cost, before it is started: calls, tokens, USD, and what its number of questions can show.

The cost of a chunk, a fork, an answer and a call of the judge is what the run's folder shows, once it holds FEWEST of them,
else what a dry run shows (dry_run.py). It is multiplied by the number that is still to come. Replies that the user's cache
may hold are not deducted.
"""

from __future__ import annotations

import dataclasses
import random
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from memeval.dry_run import ANSWER, KINDS, WRITING_SHARE, Costs, DryRun, costs, dry_run, models
from memeval.judging.judge import family_of
from memeval.judging.prompts import judge_calls
from memeval.judging.scorer import scorer_name
from memeval.models import prices, registry
from memeval.models.completion import ModelSpec, Usage
from memeval.records.folder import RunFolder
from memeval.records.memory import MemoryFolder
from memeval.records.rows import OperationRow, Spent
from memeval.runs.plan import Planned
from memeval.runs.prepare import PackedContext
from memeval.stats import detectable_effect, half_width
from memeval.task import ContextRef
from memeval.wording import counted

FEWEST = 8
"""Chunks, forks, answers or calls of the judge in the run's folder from which their cost is taken from there."""
STREAMS, STREAM_TOKENS, QUESTIONS = 16, 400_000, 6
"""Limits of a dry run: streams, their tokens together (one stream is read, however long it is), questions of each stream."""
BUILD_TOKENS = 2_000_000
"""Tokens of stream that are built to learn their size. The streams beyond count as the mean of those."""
FEW = 100
"""Questions below which a table ranks nothing."""


@dataclass(frozen=True, slots=True)
class Role:
    """What is still to be called of one role. usd: None where the price is not known. guessed: the lengths of its replies
    are a guess, without thinking."""

    model: str
    calls: int
    prompt: int
    completion: int
    usd: float | None
    guessed: bool


@dataclass(frozen=True, slots=True)
class Estimate:
    """What is left of one run. questions: asked in all; n: those behind the headline (answerable ones). answers, streams,
    chunks: still to give, to read and to show, repeats included. roles: what is left to call, and its sums. half_width: of
    the 95 % interval at a rate of one half; detectable_effect: the smallest paired difference seen with 80 % power
    (fractions; None without questions)."""

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
    """Calls, tokens and USD of several roles together. usd: None where one price is not known."""
    found = list(roles)
    usd = [role.usd for role in found if role.usd is not None]
    sums = {key: sum(getattr(role, key) for role in found) for key in ("calls", "prompt", "completion")}
    return {**sums, "usd": sum(usd) if len(usd) == len(found) else None}


def estimate(planned: Planned, before: Sequence[Planned] = ()) -> Estimate:
    """before: runs of the same command that go first. Raises UsageError where the run itself would. Makes no model call,
    and writes nothing."""
    spec = planned.spec
    operations = MemoryFolder(spec.memory).operations() if spec.memory else []
    left = list(_left_over(planned, before, operations))
    verdicts, given = _verdicts(planned)
    refs = list(dict.fromkeys(item.ref for item in left)) or (planned.task.refs(planned.question_ids) if verdicts else [])
    sizes, sampled = _measured(planned, refs)
    answered = [row for row in RunFolder(spec.folder).samples() if row.failure is None]
    each = costs(operations, answered, given)
    number = _number(left, sizes, verdicts, each["fork"].rebuilt)
    missing = {piece for piece in each if number[piece] and each[piece].units < FEWEST}
    dry = dry_run(planned, sampled) if missing else None
    if dry is not None:
        each |= {piece: dry.costs[piece] for piece in missing}
        number = _number(left, sizes, verdicts, each["fork"].rebuilt)
    bill: defaultdict[tuple[str, str], float] = defaultdict(float)
    guessed: set[str] = set()
    for piece, found in each.items():
        for key, value in found.bill.items():
            bill[key] += value * number[piece] / max(1, found.units)
            if dry is not None and piece in missing and not dry.substitutes[key[0]].exact:
                guessed.add(key[0])
    roles = {}
    for role, model in models(planned).items():
        calls, prompt, completion, cached = (round(bill[role, key]) for key in ("calls", *KINDS))
        usd = prices.cost(Usage(prompt, completion, cached), prices.price(model.name, model.base_url), calls)
        if calls:
            roles[role] = Role(model.name, calls, prompt, completion, usd, role in guessed)
    answerable = {question.id: question.answerable for question in planned.task.golds()}
    n = sum(answerable.get(question, True) for question in planned.question_ids)
    notes = (*_about_work(planned, left, sizes, n), *_about_costs(each, number, roles, dry))
    return Estimate(
        agent=spec.agent.typed,
        params=dict(spec.agent.params),
        task=spec.task_typed,
        path=spec.shown,
        questions=len(planned.question_ids),
        n=n,
        answers=sum(item.answers for item in left),
        streams=0 if spec.agent.is_control else sum(item.unread(sizes[item.ref]) > 0 for item in left),
        chunks=0 if spec.agent.is_control else round(number["chunk"]),
        roles=roles,
        **totals(roles.values()),
        half_width=half_width(n) if n else None,
        detectable_effect=detectable_effect(n) if n else None,
        notes=notes,
    )


# -- what is left to do -----------------------------------------------------------------------------------------------


class Size(NamedTuple):
    """Of one context. chunks: of the stream, up to the last position; own: chunks that forks read for themselves; earlier:
    positions before the last."""

    chunks: float
    own: float
    earlier: float


def size(prepared: PackedContext) -> Size:
    *earlier, last = prepared.points
    own = sum(len(point.chunks) - point.shared for point in earlier)
    return Size(len(last.chunks), own, len(earlier))


class Left(NamedTuple):
    """One context in one repeat: answers still to get. chunks, forks: those that its memory holds already. shared: a run
    that goes before this one builds the memory."""

    ref: ContextRef
    answers: int
    chunks: int
    forks: int
    shared: bool

    def unread(self, size: Size) -> float:
        return 0.0 if self.shared else max(0.0, size.chunks - self.chunks)


def _left_over(planned: Planned, before: Sequence[Planned], operations: Sequence[OperationRow]) -> Iterator[Left]:
    """The contexts with answers that the run's folder does not hold yet."""
    spec = planned.spec
    finished = RunFolder(spec.folder).finished()
    elsewhere = {
        (question, repeat)
        for other in before
        if spec.memory is not None and other.spec.memory == spec.memory
        for question in other.question_ids
        for repeat in range(other.spec.repeats)
    }
    read: defaultdict[tuple[str, int], set[str]] = defaultdict(set)
    forked: defaultdict[tuple[str, int], set[int]] = defaultdict(set)
    for row in operations:
        if row.chunk_tokens and row.position is not None:
            forked[row.context_id, row.repeat].add(row.position)
        elif row.chunk_tokens:
            read[row.context_id, row.repeat].add(row.chunk)
    for repeat in range(spec.repeats):
        for ref in planned.task.refs(planned.question_ids):
            key = (f"{ref.context_id}?{ref.visible_question}" if ref.visible_question else ref.context_id, repeat)
            wanted = ((question, repeat, answer) for question in ref.question_ids for answer in range(spec.answer_repeats))
            if answers := sum(sample not in finished for sample in wanted):
                shared = elsewhere.issuperset((question, repeat) for question in ref.question_ids)
                yield Left(ref, answers, len(read[key]), len(forked[key]), shared)


def _number(left: Sequence[Left], sizes: Mapping[ContextRef, Size], verdicts: int, rebuilt: bool) -> dict[str, float]:
    """How many of each piece are still to come. rebuilt: the agent cannot be forked."""
    wholes = [(item, sizes[item.ref].earlier if rebuilt else sizes[item.ref].own) for item in left if not item.shared]
    return {
        "chunk": sum(item.unread(sizes[item.ref]) for item in left),
        "fork": sum(max(0.0, whole - item.forks) for item, whole in wholes),
        "answer": sum(item.answers for item in left),
        "verdict": verdicts,
    }


def _verdicts(planned: Planned) -> tuple[int, Spent]:
    """Calls for the verdicts that the judge of the run has not given yet, and what those took that it has."""
    spec, task, judge = planned.spec, planned.spec.task, planned.judge
    if judge is None:
        return 0, Spent()
    family = family_of(task.judge, task.source)
    scorer = scorer_name(judge, family, planned.judge_prompt)
    folder, wanted = RunFolder(spec.folder), set(planned.question_ids)
    ruled = Counter(row.question_id for row in folder.scores(scorer) if row.verdict != "failed")
    left = sum(
        len(judge_calls(family, question, "", planned.judge_prompt))
        * max(0, spec.repeats * spec.answer_repeats - ruled[question.id])
        for question in planned.task.golds()
        if question.id in wanted
    )
    header = folder.judge_header(scorer)
    return left, Spent(calls={"judge": header.calls}, tokens={"judge": header.tokens}) if header else Spent()


def _measured(planned: Planned, refs: Sequence[ContextRef]) -> tuple[dict[ContextRef, Size], list[PackedContext]]:
    """The size of each context, and the streams for a dry run with a few of their questions. The order is random, because
    kinds of question may take turns."""
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


def _about_work(planned: Planned, left: Sequence[Left], sizes: Mapping[ContextRef, Size], n: int) -> Iterator[str]:
    spec = planned.spec
    wanted = len(planned.question_ids) * spec.repeats * spec.answer_repeats
    if done := wanted - sum(item.answers for item in left):
        yield f"{done} of {counted(wanted, 'answer')} are in {spec.shown} already"
    if (shared := sum(item.shared for item in left)) and not spec.agent.is_control:
        of = f"{shared} of {counted(len(left), 'stream')}"
        yield f"the memories of {of} are another run's: read, not built and paid for again"
    if n < FEW:
        yield f"n below {FEW}: checks the harness, ranks nothing"
    alone_in_cluster = spec.task.cluster == "question" or (spec.task.cluster == "context" and len(sizes) == n)
    if not alone_in_cluster:
        yield f"several questions to a {spec.task.cluster}: the interval will be wider than that of {n} independent ones"


def _about_costs(
    each: Mapping[str, Costs], number: Mapping[str, float], roles: Mapping[str, Role], dry: DryRun | None
) -> Iterator[str]:
    if dry is None and roles:
        seen = ", ".join(counted(found.units, piece) for piece, found in each.items() if number[piece])
        yield f"tokens as measured so far ({seen})"
    if dry is not None:
        yield f"dry run on {counted(dry.streams, 'stream')}"
        if dry.failures:
            answers = dry.costs["answer"].units
            yield f"WARNING: {len(dry.failures)} of {counted(answers, 'answer')} failed in the dry run: {dry.failures[0]}"
        for role, model in dry.substitutes.items():
            if model.overflows:
                too_long = counted(model.overflows, "prompt")
                yield f"WARNING: too long for the window of {model.spec.name} in the dry run: {too_long} of {role}"
        if guessed := [role for role, found in roles.items() if found.guessed]:
            counters = ", ".join(sorted({dry.substitutes[role].counter.name for role in guessed}))
            yield (
                f"the lengths of replies are guessed (~): {WRITING_SHARE:.0%} of their limit while reading, "
                f"else as long as the gold answers (or {ANSWER} tokens), no thinking; prompts counted with {counters}. "
                f"Run the same with --limit {FEWEST}, which is kept, and estimate again: then they are measured"
            )
    unpriced = sorted({role.model for role in roles.values() if role.usd is None})
    if unpriced := [name for name in unpriced if not registry.runs_here(ModelSpec(name))]:
        yield f"no price known for {', '.join(unpriced)}: USD stays blank; {prices.remedy(unpriced[0])}"
    if each["fork"].rebuilt:
        calls = sum(value for (_, what), value in each["fork"].bill.items() if what == "calls")
        again = calls * number["fork"] / each["fork"].units
        yield f"the agent cannot fork: at every earlier position it reads the stream anew ({again:,.0f} of the calls)"
