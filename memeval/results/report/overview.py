"""What the page says of runs as a whole: their summaries, and what follows from several of them together."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Sequence

import msgspec
from msgspec.structs import replace

from memeval.records.summary import Summary
from memeval.results.load import Run, Runs
from memeval.results.run_table import label
from memeval.stats import holm, paired

_LENGTH = re.compile(r"@tokens-\d+|[-_]\d+[km](?![^@])|[-_]\d{4,}(?![^@])", re.IGNORECASE)
"""The part of a task's name that says how long its streams are: `-10k`, `_262k`, `_65536`, `@tokens-5000`."""

CONTROLS = ("oracle", "none", "closed-book", "constant", "shotgun")


class RunPart(msgspec.Struct, frozen=True, kw_only=True):
    """A run on the page.

    name: as the page calls it, unique among the runs of its task. family: the task without its length. usd, tokens: of all
    calls, per answer. fronts: of `memory`, `usd` and `tokens`, the axes on which no other agent of the task scores as well
    with less.
    """

    name: str
    family: str
    control: bool
    usd: float | None
    tokens: float | None
    fronts: tuple[str, ...]
    summary: Summary


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """Run `a` minus run `b` (their numbers) on `n` questions that both were asked. won: questions on which `a` scores more.
    p: of no difference; holm: adjusted for all pairs of the page."""

    a: int
    b: int
    value: float
    low: float
    high: float
    p: float
    holm: float = 1.0
    n: int
    won: int
    lost: int
    note: str


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    runs: tuple[RunPart, ...]
    pairs: tuple[Pair, ...]


def overview(runs: Runs) -> Overview:
    """All but the single answers."""
    names = run_names(runs)
    parts = [_part(run, name) for run, name in zip(runs, names, strict=True)]
    fronts = {axis: _fronts(parts, axis) for axis in ("memory", "usd", "tokens")}
    marked = (
        replace(part, fronts=tuple(axis for axis, numbers in fronts.items() if number in numbers))
        for number, part in enumerate(parts)
    )
    return Overview(runs=tuple(marked), pairs=_pairs(runs, parts))


def run_names(runs: Sequence[Run]) -> list[str]:
    """A name for each run, unique among the runs of its task: the agent with the parameters in which it differs from other
    rows, and, where that is not enough, label, tag, models, seed or folder."""
    summaries = [run.summary for run in runs]
    names = [label(run.summary, [row for row in summaries if row.task == run.task]) for run in runs]
    facts: tuple[Callable[[Run], str], ...] = (
        lambda run: run.label,
        lambda run: run.tag,
        lambda run: run.model or "",
        lambda run: f"read by {run.summary.reader}" if run.summary.reader else "",
        lambda run: f"seed {run.manifest.seed}",
        lambda run: run.path.name,
    )
    for fact in facts:
        for same in _alike([(run.task, name) for run, name in zip(runs, names, strict=True)]):
            found = [fact(runs[number]) for number in same]
            if len(set(found)) > 1:
                for number, text in zip(same, found, strict=True):
                    names[number] = f"{names[number]} {text}".rstrip()
    return names


def _alike(keys: Sequence[object]) -> Iterable[list[int]]:
    """The numbers of equal keys, where there are several."""
    found: dict[object, list[int]] = {}
    for number, key in enumerate(keys):
        found.setdefault(key, []).append(number)
    return [numbers for numbers in found.values() if len(numbers) > 1]


def family(task: str) -> str:
    """A task's name without its length."""
    return _LENGTH.sub("", task)


def _part(run: Run, name: str) -> RunPart:
    summary = replace(run.summary, path=f"{run.path.parent.name}/{run.path.name}", memory=None)
    answers = sum(summary.verdicts.values()) or summary.n
    spent = summary.tokens.prompt + summary.tokens.completion
    usd = summary.cost.usd
    return RunPart(
        name=name,
        family=family(run.task),
        control=run.agent in CONTROLS,
        usd=usd / answers if usd is not None and answers else None,
        tokens=spent / answers if answers else None,
        fronts=(),
        summary=summary,
    )


def price(part: RunPart, axis: str) -> float | None:
    """What a run takes on an axis: tokens of memory, or USD or tokens per answer."""
    return part.summary.memory_tokens.mean if axis == "memory" else part.usd if axis == "usd" else part.tokens


def _fronts(parts: Sequence[RunPart], axis: str) -> set[int]:
    """The Pareto fronts of all tasks. Controls are on none: they see what no agent sees."""
    found: set[int] = set()
    for task in {part.summary.task for part in parts}:
        points = {
            number: (spent, part.summary.headline.value)
            for number, part in enumerate(parts)
            if part.summary.task == task and not part.control and part.summary.headline.value is not None
            if (spent := price(part, axis)) is not None
        }
        found |= {number for number, point in points.items() if not any(_beats(o, point) for o in points.values())}
    return found


def _beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Whether a point scores at least as well with at most as much, and is better in one of the two."""
    return one != other and one[0] <= other[0] and one[1] >= other[1]


def _pairs(runs: Sequence[Run], parts: Sequence[RunPart]) -> tuple[Pair, ...]:
    """Every two agents of a task that can be compared, the better one first."""
    ranked = sorted(
        (number for number, part in enumerate(parts) if not part.control),
        key=lambda number: -(parts[number].summary.headline.value or 0),
    )
    pairs = [
        pair
        for a, b in itertools.combinations(ranked, 2)
        if runs[a].task == runs[b].task and (pair := _pair(runs, a, b)) is not None
    ]
    pairs.sort(key=lambda pair: [run.task for run in runs].index(runs[pair.a].task))
    return tuple(replace(pair, holm=p) for pair, p in zip(pairs, holm([pair.p for pair in pairs]), strict=True))


def _pair(runs: Sequence[Run], a: int, b: int) -> Pair | None:
    mine, theirs = runs[a].values(), runs[b].values()
    shared = [key for key in mine if key in theirs]
    if not shared:
        return None
    found = paired(
        [mine[key] for key in shared],
        [theirs[key] for key in shared],
        [runs[a].questions[key].cluster for key in shared],
    )
    return Pair(
        a=a,
        b=b,
        value=found.value,
        low=found.low,
        high=found.high,
        p=found.p,
        n=found.n,
        won=sum(mine[key] > theirs[key] for key in shared),
        lost=sum(mine[key] < theirs[key] for key in shared),
        note="; ".join(filter(None, (found.note, "within these streams only" if found.within_stream else ""))),
    )
