"""Evaluate what the tiny writer has learned: on held-out streams, before and after GRPO.

It shows a learned preference over the words of a toy language, given which of them are present. The writer copies,
paraphrases, updates and deletes nothing. By construction its inputs look the same at every length of the stream, and a
writer that selects well never fills the store, which has room for all lines worth keeping, but not for all lines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from msgspec.structs import replace

from memeval import stats
from memeval.stats import tells_apart
from memeval.synth import tiny
from memeval.training.policy import Policy
from memeval.training.reading import Stream, planned, read, streams
from memeval.training.recipe import Recipe
from memeval.training.rollouts import Rollout

FIXED = 300
"""The capacity of the memory in tokens (words) in the test on longer streams; at the training length it is the recipe's
`capacity`."""


class Figures(msgspec.Struct, frozen=True):
    """Figures of readings of streams. accuracy: mean over streams. memory: tokens held at the end, written: tokens put into
    the memory, both as shares of the stream. askable, noise: which share was written of the lines whose relations are
    always, or never, asked about; selectivity: askable - noise. success: share of the calls that succeeded; calls: per
    chunk; silent: share of the chunks without a call. The last three do not apply to a writer that follows a rule."""

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
    """The trained writer compared with the better of the warm start's two temperatures, on the same streams. ratio: of mean
    accuracies, with its 95 % interval over streams; p: of the paired difference (sign flip)."""

    temperature: float
    against: float
    ratio: float
    low: float
    high: float
    p: float


class Length(msgspec.Struct, frozen=True):
    """Figures on streams of `times` the training length with one fixed store, at T = 1, and the trained writer compared with
    the warm start there."""

    times: int
    figures: dict[str, Figures]
    lift: Claim


class Proof(msgspec.Struct, frozen=True):
    """The result of an evaluation. figures: `warm T=1`, `trained T=0`, `write-all` and so on, on held-out streams of the
    training length. claims: at T = 1 and T = 0. faults: the targets that were missed; empty where the training worked."""

    seed: int
    figures: dict[str, Figures]
    claims: tuple[Claim, ...]
    lengths: tuple[Length, ...]
    faults: tuple[str, ...]


RULES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "write-all": ("write-all", {}),
    "write-random": ("write-random", {}),
    "oracle writer": ("write-all", {"words": list(tiny.ASKED)}),
}
"""Writers that follow a rule, for comparison: name -> (agent, parameters)."""


class HeldOut:
    """Held-out streams, read with a store of `capacity` tokens by the trained writer and by rules."""

    def __init__(self, recipe: Recipe, task: str, capacity: int) -> None:
        def under(agent: str, params: Mapping[str, Any]) -> Recipe:
            return replace(recipe, agent=agent, params={**params, "capacity": capacity})

        self.streams = streams(under(recipe.agent, recipe.params), task, "test")
        self.rules = {name: planned(under(agent, params), task).spec for name, (agent, params) in RULES.items()}

    @property
    def identity(self) -> list[Any]:
        """The identities of the runs that read the streams."""
        return [run.identity() for run in (self.streams[0].run, *self.rules.values())]

    def read(self, policy: Policy, temperature: float) -> list[Rollout]:
        return read(self.streams, policy, f"test T={temperature:g}", temperature=temperature)

    def figures(self, readings: Sequence[Rollout]) -> Figures:
        return figures(readings, self.streams)

    def by_rule(self) -> dict[str, Figures]:
        return {
            name: self.figures(read([Stream(rule, stream.packed) for stream in self.streams]))
            for name, rule in self.rules.items()
        }


def figures(readings: Sequence[Rollout], streams: Sequence[Stream]) -> Figures:
    chunks = [chunk for stream in streams for chunk in stream.packed.stream]
    lines = [line.split() for chunk in chunks for line in chunk.text.splitlines()]
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
    """Compare a new writer with an old one on the same streams. The interval of the ratio is a seeded percentile bootstrap
    over streams."""
    first, second = (np.array([reading.accuracy for reading in readings]) for readings in (new, old))
    picks = np.random.default_rng(0).integers(0, len(first), (draws, len(first)))
    ratios = first[picks].mean(1) / np.maximum(second[picks].mean(1), 1e-9)
    low, high = np.quantile(ratios, (0.025, 0.975))
    p = stats.paired(first.tolist(), second.tolist(), [reading.context for reading in new]).p
    ratio = float(first.mean() / max(second.mean(), 1e-9))
    return Claim(temperature, against, round(ratio, 3), round(float(low), 3), round(float(high), 3), p)


def held_out(recipe: Recipe) -> HeldOut:
    """The recipe's test streams, with the recipe's store."""
    return HeldOut(recipe, recipe.test, recipe.params.get("capacity", 0))


class Evaluation:
    """The evaluation of a recipe's training: on its test streams with the recipe's store, and on those of other lengths with
    a fixed store. Raises UsageError for tasks that cannot be used."""

    def __init__(self, recipe: Recipe) -> None:
        self._seed = recipe.seed
        self.test = held_out(recipe)
        family = recipe.test.partition("@")[0]
        self.lengths = {times: HeldOut(recipe, f"{family}@x{times}", FIXED) for times in recipe.lengths}

    @property
    def identity(self) -> list[Any]:
        return [test.identity for test in (self.test, *self.lengths.values())]

    def proof(self, policies: Mapping[str, Policy]) -> Proof:
        """Evaluate. policies: `warm` and `trained` -> the model in that state."""
        readings = {(name, t): self.test.read(policy, t) for name, policy in policies.items() for t in (1.0, 0.0)}
        found = {f"{name} T={t:g}": self.test.figures(each) for (name, t), each in readings.items()} | self.test.by_rule()
        better = max((1.0, 0.0), key=lambda t: found[f"warm T={t:g}"].accuracy)
        claims = tuple(claim(readings["trained", t], readings["warm", better], t, better) for t in (1.0, 0.0))
        lengths = tuple(_length(times, test, policies) for times, test in self.lengths.items())
        return Proof(self._seed, found, claims, lengths, tuple(faults(found, claims, readings["warm", 1.0])))


def _length(times: int, test: HeldOut, policies: Mapping[str, Policy]) -> Length:
    readings = {name: test.read(policy, 1.0) for name, policy in policies.items()}
    found = {f"{name} T=1": test.figures(each) for name, each in readings.items()} | test.by_rule()
    return Length(times, found, claim(readings["trained"], readings["warm"], 1.0, 1.0))


def faults(found: Mapping[str, Figures], claims: Sequence[Claim], before: Sequence[Rollout]) -> list[str]:
    """The targets that were missed, in words; each target is a promise of the README. before: the warm start's readings at
    T = 1."""
    trained, greedy = found["trained T=1"], found["trained T=0"]
    warm, warm_greedy = found["warm T=1"], found["warm T=0"]
    calls = sum(turn.calls for reading in before for turn in reading.turns)
    slack = stats.half_width(max(1, calls), warm.success)
    first = claims[0]
    targets = (
        (first.ratio >= 2 and first.low > 1 and tells_apart(first.p), f"accuracy grew {first.ratio:.2f} times, not 2 times"),
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
    return [fault for met, fault in targets if not met]
