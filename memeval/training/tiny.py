"""`memeval train tiny`: the whole experiment on a laptop. Warm start, GRPO, and an honest evaluation on held-out streams.

What it shows: a learned preference over the words of a toy language, given which of them are present. The writer copies,
paraphrases, updates and deletes nothing. By construction its inputs look the same at every length of the stream, and a store
that holds all lines worth keeping, but not all lines, does not bind a writer that selects well.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import yaml

from memeval import stats
from memeval.runs.options import Options
from memeval.runs.plan import Planned, plan
from memeval.runs.prepare import PackedContext
from memeval.synth import tiny
from memeval.training.reading import packed, read
from memeval.training.recipe import Recipe
from memeval.training.rollouts import Rollout

FIXED = 300
"""Tokens (words) that the memory holds at all lengths of the test of lengths; at the training length it is the recipe's
`capacity`."""


class Figures(msgspec.Struct, frozen=True):
    """Readings of the test streams in numbers. accuracy: mean over streams. memory: tokens held at the end, written: tokens
    put into the memory, as shares of the stream. askable, noise: share of the lines with relations that are always, or
    never, asked about that were written; selectivity: their difference. success: share of the calls that succeeded; calls:
    per chunk; silent: share of the chunks without a call. The last three say nothing of a writer that follows a rule."""

    accuracy: float
    memory: float
    written: float
    askable: float
    noise: float
    selectivity: float
    success: float
    calls: float
    silent: float = 0.0


class Claim(msgspec.Struct, frozen=True):
    """The trained writer against the better of the warm start's two temperatures, on the same streams. ratio: of mean
    accuracies, with its 95 % interval over streams; p: of the paired difference (sign flip)."""

    temperature: float
    against: float
    ratio: float
    low: float
    high: float
    p: float


class Length(msgspec.Struct, frozen=True):
    """Figures on streams of `times` the training length under one fixed store, at T = 1, and the trained writer against the
    warm start there."""

    times: int
    figures: dict[str, Figures]
    lift: Claim


class Proof(msgspec.Struct, frozen=True):
    """What the evaluation found. figures: `warm T=1`, `trained T=0`, `write-all` and so on, on held-out streams of the
    training length. claims: at T = 1 and T = 0. faults: what of the marks is not met; empty where the training worked."""

    seed: int
    figures: dict[str, Figures]
    claims: tuple[Claim, ...]
    lengths: tuple[Length, ...]
    faults: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Test:
    """Streams, and the runs that read them: role memory by a policy, and by rules."""

    streams: Sequence[PackedContext]
    writer: Planned
    rules: dict[str, Planned]

    @classmethod
    def of(cls, recipe: Recipe, task: str, capacity: int) -> Test:
        writer = planned(recipe, task, recipe.agent, {**recipe.params, "capacity": capacity})
        words: dict[str, tuple[str, dict[str, Any]]] = {"write-all": ("write-all", {}), "write-random": ("write-random", {})}
        rules = {
            name: planned(recipe, task, agent, {**params, "capacity": capacity}) for name, (agent, params) in words.items()
        }
        rules["oracle writer"] = planned(recipe, task, "write-all", {"words": list(tiny.ASKED), "capacity": capacity})
        return cls(packed(writer.task, writer.question_ids), writer, rules)

    def read(self, policy: Any, temperature: float) -> list[Rollout]:
        policy.temperature = temperature
        return read(self.writer.spec, self.streams, policy, f"test T={temperature:g}")

    def by_rule(self) -> dict[str, list[Rollout]]:
        return {name: read(plan.spec, self.streams) for name, plan in self.rules.items()}

    def figures(self, readings: Sequence[Rollout]) -> Figures:
        return figures(readings, self.streams)


def planned(recipe: Recipe, task: str, agent: str, params: dict[str, Any]) -> Planned:
    """The run of an agent on a task with the recipe's reader; nothing of it is stored."""
    values = {key: yaml.safe_dump(value, default_flow_style=True).splitlines()[0] for key, value in params.items()}
    options = Options(
        [agent],
        [task],
        {"reader": recipe.reader, "memory": "offline"},
        limit=0,
        settings=[f"{key}={value}" for key, value in values.items()],
        quiet=True,
        runs_dir=Path("runs"),
        use_cache=False,
    )
    [found] = plan(options)
    return found


def figures(readings: Sequence[Rollout], streams: Sequence[PackedContext]) -> Figures:
    lines = [line.split() for stream in streams for chunk in stream.stream for line in chunk.text.splitlines()]
    written = [line.split() for reading in readings for turn in reading.turns for line in turn.written]

    def kept(relations: Sequence[str]) -> float:
        return sum(line[1] in relations for line in written) / max(1, sum(line[1] in relations for line in lines))

    turns = [turn for reading in readings for turn in reading.turns]
    asked, noise = kept(tiny.ASKED), kept(tiny.NOISE)
    calls = sum(turn.calls for turn in turns)
    values = Figures(
        accuracy=float(np.mean([reading.accuracy for reading in readings])),
        memory=float(np.mean([reading.memory / reading.stream for reading in readings])),
        written=sum(map(len, written)) / max(1, sum(map(len, lines))),
        askable=asked,
        noise=noise,
        selectivity=asked - noise,
        success=sum(turn.succeeded for turn in turns) / max(1, calls),
        calls=calls / max(1, len(turns)),
        silent=sum(not turn.calls for turn in turns) / max(1, len(turns)),
    )
    return Figures(**{key: round(value, 4) for key, value in msgspec.structs.asdict(values).items()})


def claim(new: Sequence[Rollout], old: Sequence[Rollout], temperature: float, against: float, draws: int = 2000) -> Claim:
    """How much better the new writer is, on the same streams. The interval of the ratio is a percentile bootstrap over
    streams, seeded."""
    first, second = (np.array([reading.accuracy for reading in readings]) for readings in (new, old))
    picks = np.random.default_rng(0).integers(0, len(first), (draws, len(first)))
    ratios = first[picks].mean(1) / np.maximum(second[picks].mean(1), 1e-9)
    low, high = np.quantile(ratios, (0.025, 0.975))
    p = stats.paired(first.tolist(), second.tolist(), [reading.context for reading in new]).p
    ratio = float(first.mean() / max(second.mean(), 1e-9))
    return Claim(temperature, against, round(ratio, 3), round(float(low), 3), round(float(high), 3), p)


def evaluate(recipe: Recipe, policies: dict[str, Any]) -> Proof:
    """policies: `warm` and `trained` -> the model at that state."""
    test = Test.of(recipe, recipe.test, recipe.params.get("capacity", 0))
    readings = {
        (name, temperature): test.read(policy, temperature)
        for name, policy in policies.items()
        for temperature in (1.0, 0.0)
    }
    found = {f"{name} T={temperature:g}": test.figures(each) for (name, temperature), each in readings.items()}
    found |= {name: test.figures(each) for name, each in test.by_rule().items()}
    better = max((1.0, 0.0), key=lambda temperature: found[f"warm T={temperature:g}"].accuracy)
    claims = tuple(
        claim(readings["trained", temperature], readings["warm", better], temperature, better) for temperature in (1.0, 0.0)
    )
    lengths = tuple(_length(recipe, policies, times) for times in recipe.lengths)
    return Proof(recipe.seed, found, claims, lengths, tuple(faults(found, claims, readings)))


def at_length(recipe: Recipe, times: int) -> str:
    """The task whose streams have so many times the training length."""
    return f"{recipe.test.partition('@')[0]}@x{times}"


def _length(recipe: Recipe, policies: dict[str, Any], times: int) -> Length:
    test = Test.of(recipe, at_length(recipe, times), FIXED)
    readings = {name: test.read(policy, 1.0) for name, policy in policies.items()}
    found = {f"{name} T=1": test.figures(each) for name, each in readings.items()}
    found |= {name: test.figures(each) for name, each in test.by_rule().items()}
    return Length(times, found, claim(readings["trained"], readings["warm"], 1.0, 1.0))


def faults(found: dict[str, Figures], claims: Sequence[Claim], readings: Any) -> list[str]:
    """What of the marks is not met, in words; each mark is a promise that README makes."""
    trained, greedy = found["trained T=1"], found["trained T=0"]
    warm, warm_greedy = found["warm T=1"], found["warm T=0"]
    calls = sum(turn.calls for reading in readings["warm", 1.0] for turn in reading.turns)
    slack = stats.half_width(max(1, calls), warm.success)
    first = claims[0]
    marks = (
        (first.ratio >= 2 and first.low > 1 and first.p < 0.05, f"accuracy grew {first.ratio:.2f} times, not 2 times"),
        (
            trained.written <= 0.5 * found["write-all"].written,
            f"it wrote {trained.written:.0%} of the stream, more than half",
        ),
        (trained.selectivity >= 0.7, f"selectivity is {trained.selectivity:.2f}, below 0.7"),
        (
            trained.success >= warm.success - slack,
            f"call success at T = 1 fell from {warm.success:.1%} to {trained.success:.1%}",
        ),
        (
            greedy.success >= warm_greedy.success - 0.03,
            f"call success at T = 0 fell from {warm_greedy.success:.1%} to {greedy.success:.1%}",
        ),
    )
    return [fault for met, fault in marks if not met]
