"""The work of a run before it is done: what its folder does not hold yet, and how large its streams are."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from memeval import cards, tokens
from memeval.estimating.dry_run import judge_family, spread, visible
from memeval.judging.scorer import scorer_name
from memeval.records.folder import RunFolder
from memeval.runs.plan import Planned
from memeval.runs.prepare import PackedContext, prepare
from memeval.runs.siblings import siblings
from memeval.task import ContextRef

STREAMS, STREAM_TOKENS = 32, 400_000
"""How many streams are run dry, and how long they may be together (one is run whatever its length, and controls read
none)."""
QUESTIONS = 16
"""Questions asked of each in the dry run."""
BUILD_TOKENS = 4_000_000
"""Tokens of stream that are built to learn their size; the streams beyond are taken to be like their mean."""


@dataclass(frozen=True, slots=True)
class Size:
    """Of one context: tokens and chunks that are read, positions that are asked at."""

    tokens: float
    chunks: float
    positions: float


@dataclass(frozen=True, slots=True)
class Left:
    """One context in one repeat: samples still to get, and tokens of its stream that were read already. shared: another run
    holds its memory, or will before this one comes to it, with what is recalled from it."""

    ref: ContextRef
    answers: int
    read: int
    shared: bool


def left_over(planned: Planned, before: Sequence[Planned] = ()) -> Iterator[Left]:
    """What the folder does not hold yet, nor the folders of its siblings. before: runs of the same command that go first."""
    spec = planned.spec
    with_memory = not spec.agent.is_arm
    finished = RunFolder(spec.folder).finished(with_memory)
    ingest = cards.digest(spec.ingest_identity())
    folders = [] if spec.agent.is_arm else list(siblings(spec.folder, ingest))
    elsewhere = {(question, repeat) for folder in folders for question, repeat, _ in RunFolder(folder).finished(with_memory)}
    for other in before:
        if other.spec.folder != spec.folder and cards.digest(other.spec.ingest_identity()) == ingest:
            elsewhere |= {(question, repeat) for question in other.question_ids for repeat in range(other.spec.repeats)}
    read: dict[tuple[str, int], dict[str, int]] = {}
    for folder in (spec.folder, *folders):
        for row in RunFolder(folder).memory.operations():
            if row.position is None:
                read.setdefault((row.context_id, row.repeat), {})[row.chunk] = row.chunk_tokens
    for repeat in range(spec.repeats):
        for ref in planned.task.refs(planned.question_ids):
            name = f"{ref.context_id}?{ref.visible_question}" if ref.visible_question else ref.context_id
            answers = sum(
                (question, repeat, number) not in finished
                for question in ref.question_ids
                for number in range(spec.answer_repeats)
            )
            if answers:
                shared = elsewhere.issuperset((question, repeat) for question in ref.question_ids)
                yield Left(ref, answers, sum(read.get((name, repeat), {}).values()), shared)


def unjudged(planned: Planned) -> int:
    """Samples of the whole run on which its judge has given no verdict yet."""
    if planned.judge is None:
        return 0
    spec = planned.spec
    scorer = scorer_name(planned.judge, judge_family(spec), planned.judge_prompt)
    ruled = sum(row.verdict != "failed" for row in RunFolder(spec.folder).scores(scorer))
    return max(0, len(planned.question_ids) * spec.repeats * spec.answer_repeats - ruled)


def measure(planned: Planned, refs: list[ContextRef]) -> tuple[dict[ContextRef, Size], list[PackedContext], list[str]]:
    """The size of each context, those to run dry with a few of their questions, and what was assumed."""
    sizes: dict[ContextRef, Size] = {}
    sampled: list[PackedContext] = []
    built = 0
    first = random.Random(0).sample(refs, min(STREAMS, len(refs)))  # not in step with kinds of questions that take turns
    others = [] if planned.spec.agent.is_arm else [ref for ref in refs if ref not in first]  # controls read no stream
    longest = BUILD_TOKENS if planned.spec.agent.is_arm else STREAM_TOKENS
    for ref in [*first, *others]:
        if sizes and built >= BUILD_TOKENS:
            break
        prepared = _prepared(planned, ref)
        chunks = visible(prepared)
        sizes[ref] = Size(sum(chunk.tokens for chunk in chunks), len(chunks), len(prepared.points))
        if ref in first and (not sampled or built + prepared.tokens <= longest):
            asked = [question.id for point in prepared.points for question in point.questions]
            sampled.append(_prepared(planned, dataclasses.replace(ref, question_ids=tuple(spread(asked, QUESTIONS)))))
        built += prepared.tokens
    notes = [f"dry run on {len(sampled)} of {len(refs)} streams"] if refs else []
    if len(sizes) < len(refs):
        known = list(sizes.values())
        mean = Size(*(sum(getattr(size, key) for size in known) / len(known) for key in ("tokens", "chunks", "positions")))
        if others:
            notes.append(f"{len(refs) - len(known)} streams were not built: taken to be like the mean of {len(known)}")
        for ref in refs:
            sizes.setdefault(ref, mean)
    return sizes, sampled, notes


def _prepared(planned: Planned, ref: ContextRef) -> PackedContext:
    card = planned.spec.task
    count = tokens.counter(card.tokenizer)
    return prepare(planned.task.context(ref), ref, card.chunk_tokens, count, card.one_unit_per_chunk)
