"""The part of the page about whole runs: their summaries, and what follows from several runs together."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence

import msgspec
from msgspec.structs import replace

from memeval.plugins import CONTROLS
from memeval.records.summary import Summary
from memeval.results import comparable
from memeval.results.economics import Economics, economics
from memeval.results.layout import layout
from memeval.results.load import Runs
from memeval.results.lost import Where, asked_sentence
from memeval.results.pairs import Pair
from memeval.results.question_costs import answer_cost
from memeval.results.run import Run
from memeval.runs.notes import notes
from memeval.stats import Difference, Lift, holm, lift, paired

_LENGTH = re.compile(r"@tokens-\d+|[-_]\d+[km](?![^@])|[-_]\d{4,}(?![^@])", re.IGNORECASE)
"""The part of a task's name that gives the length of its streams: `-10k`, `_262k`, `_65536`, `@tokens-5000`."""


class GroupPart(msgspec.Struct, frozen=True):
    """Runs that may be compared. title: their task, with what distinguishes the group from others of the same task. runs:
    numbers of the runs on the page."""

    title: str
    runs: tuple[int, ...]


class RunPart(msgspec.Struct, frozen=True, kw_only=True):
    """A run on the page.

    name: the page's name for it, unique among the runs of its task. family: the task without its length. usd, tokens: of all
    calls, per answer. fronts: those of the axes `memory`, `usd` and `tokens` on which the run is on the Pareto front of its
    group. lift: None for a control, and where the controls were not run. lost: class -> number of wrong answers; asked: what
    `memeval attribute` found, in words.
    """

    name: str
    family: str
    control: bool
    usd: float | None
    tokens: float | None
    fronts: tuple[str, ...] = ()
    lift: Lift | None = None
    lost: dict[Where, int]
    unsupported: int
    asked: str
    economics: Economics
    summary: Summary


class PairPart(msgspec.Struct, frozen=True, kw_only=True):
    """Run `a` minus run `b` (numbers of runs) on the questions that both were asked. won, lost: on how many questions `a`
    scores higher, or lower. holm: p, adjusted for all pairs of the page."""

    a: int
    b: int
    difference: Difference
    holm: float = 1.0
    won: int
    lost: int
    note: str


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    groups: tuple[GroupPart, ...]
    runs: tuple[RunPart, ...]
    pairs: tuple[PairPart, ...]


def overview(runs: Sequence[Run]) -> Overview:
    """Everything on the page except the single answers."""
    names = run_names(runs)
    parts = [_part(run, name) for run, name in zip(runs, names, strict=True)]
    numbers = {run.path: number for number, run in enumerate(runs)}
    groups = [[numbers[run.path] for run in group] for group in comparable.groups(runs)]
    for group in groups:
        for number in group:
            fronts = tuple(axis for axis in AXES if number in front(group, parts, axis))
            parts[number] = replace(parts[number], fronts=fronts, lift=_lift(runs, group, number))
    return Overview(
        groups=tuple(GroupPart(_title(runs, groups, group), tuple(group)) for group in groups),
        runs=tuple(parts),
        pairs=_pairs(runs, groups, parts),
    )


def run_names(runs: Sequence[Run]) -> list[str]:
    """A name for each run, unique among the runs of its task: as in its row of `memeval table`, the agent with the
    parameters and facts in which it differs from others."""
    found = layout(Runs(runs))
    names = {
        run.path: " ".join(value if fact in BARE else f"{fact} {value}" for fact, value in _known(found.rows, row))
        for (row, _), run in found.runs.items()
    }
    return [names[run.path] for run in runs]


BARE = ("agent", "label", "run")
"""Facts that need no name beside their value."""


def _known(facts: Sequence[str], row: Sequence[str]) -> Iterator[tuple[str, str]]:
    return ((fact, value) for fact, value in zip(facts, row, strict=True) if value != "-")


def family(task: str) -> str:
    """A task's name without its length."""
    return _LENGTH.sub("", task)


def _title(runs: Sequence[Run], groups: Sequence[Sequence[int]], group: Sequence[int]) -> str:
    first = runs[group[0]]
    others = [runs[other[0]] for other in groups if other is not group and runs[other[0]].task == first.task]
    facts = {one.what: one.a for other in others for one in comparable.forbidden(first, other)}
    if len(facts) > 1:
        facts.pop("scorer", None)  # a digest, which people cannot read
    return ", ".join((first.task, *(f"{what}: {value}" for what, value in facts.items())))


def _part(run: Run, name: str) -> RunPart:
    """A run on the page, with shortened paths, because the page is given to others."""
    summary = replace(run.summary, path=f"{run.path.parent.name}/{run.path.name}", memory=None)
    summary = replace(summary, notes=notes(summary))
    usd, tokens = answer_cost(summary)
    asked = run.folder.attribution()
    return RunPart(
        name=name,
        family=family(run.task),
        control=run.agent in CONTROLS,
        usd=usd,
        tokens=tokens,
        lost=run.lost.counts,
        unsupported=run.lost.unsupported,
        asked=asked_sentence(asked) if asked else "",
        economics=economics(run),
        summary=summary,
    )


AXES: dict[str, Callable[[RunPart], float | None]] = {
    "memory": lambda part: part.summary.memory_tokens.mean,
    "usd": lambda part: part.usd,
    "tokens": lambda part: part.tokens,
}
"""Axis of cost -> a run's value: tokens of memory, USD per answer, tokens per answer."""


def front(group: Sequence[int], parts: Sequence[RunPart], axis: str) -> set[int]:
    """The numbers of the runs on the Pareto front of a group. Controls are left out: they see what no agent sees."""
    points = {
        number: (spent, score)
        for number in group
        if not parts[number].control
        and (spent := AXES[axis](parts[number])) is not None
        and (score := parts[number].summary.headline.value) is not None
    }
    return {number for number, point in points.items() if not any(_beats(other, point) for other in points.values())}


def _beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Whether a point scores at least as well with at most as much, and is better in one of the two."""
    return one != other and one[0] <= other[0] and one[1] >= other[1]


def _lift(runs: Sequence[Run], group: Sequence[int], number: int) -> Lift | None:
    """The lift of a run, over the questions that it and both controls were asked with the same reader and reader prompt."""
    mine = runs[number]
    reader = _reader(mine)
    controls = {runs[other].agent: runs[other] for other in group if _scored(runs[other]) and _reader(runs[other]) == reader}
    if mine.agent in CONTROLS or not _scored(mine) or not controls.keys() >= {"none", "oracle"}:
        return None
    columns = [run.values() for run in (mine, controls["none"], controls["oracle"])]
    shared = [key for key in columns[0] if all(key in column for column in columns)]
    if not shared:
        return None
    agent, none, oracle = ([column[key] for key in shared] for column in columns)
    return lift(agent, none, oracle, [mine.questions[key].cluster for key in shared])


def _scored(run: Run) -> bool:
    """Whether a run has a score: the oracle has none where the data have no evidence."""
    return run.summary.headline.value is not None


def _reader(run: Run) -> tuple[object, object]:
    return run.identity("models").get("reader"), run.identity("prompts").get("reader")


def _pairs(runs: Sequence[Run], groups: Sequence[Sequence[int]], parts: Sequence[RunPart]) -> tuple[PairPart, ...]:
    """A pair for every two agents of a group, the better one first."""
    found = []
    for group in groups:
        agents = [number for number in group if not parts[number].control and _scored(runs[number])]
        ranked = sorted(agents, key=lambda number: -(parts[number].summary.headline.value or 0))
        found += [pair for a, b in itertools.combinations(ranked, 2) if (pair := _pair(runs, a, b)) is not None]
    return tuple(replace(pair, holm=p) for pair, p in zip(found, holm([pair.difference.p for pair in found]), strict=True))


def _pair(runs: Sequence[Run], a: int, b: int) -> PairPart | None:
    scores = Pair(base=runs[b], other=runs[a]).scores()
    if not scores.questions:
        return None
    found = paired(scores.other, scores.base, scores.clusters)
    return PairPart(
        a=a,
        b=b,
        difference=found,
        won=len(scores.won),
        lost=len(scores.lost),
        note="; ".join(filter(None, (found.note, "within these streams only" if found.within_stream else ""))),
    )
