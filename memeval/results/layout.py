"""Which facts of runs make the rows and columns of a table: those that were asked for, and further ones that keep runs with
different models, budgets or prompts in separate rows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from memeval.digests import digest
from memeval.errors import UsageError, suggest
from memeval.records.summary import Summary
from memeval.results.load import Runs
from memeval.results.run import Run
from memeval.results.run_table import label

Key = tuple[str, ...]


def _sampling(run: Run) -> str:
    """A digest of the settings of the memory and reader models, without their names and tags."""
    models = {role: model for role, model in run.identity("models").items() if role in ("memory", "reader")}
    found = {role: {k: v for k, v in model.items() if k not in ("name", "tag")} for role, model in models.items()}
    return digest(json.dumps(found, sort_keys=True, default=str))[:8]


FACTS: dict[str, Callable[[Run], str]] = {
    "task": lambda run: run.task,
    "agent": lambda run: run.agent,
    "model": lambda run: run.summary.model or "-",
    "reader": lambda run: run.summary.reader or "-",
    "embedder": lambda run: run.summary.embedder or "-",
    "tag": lambda run: run.tag or "-",
    "budget": lambda run: f"{run.summary.answer_budget:,}" if run.summary.answer_budget else "-",
    "track": lambda run: run.manifest.track,
    "question": lambda run: "in view" if run.summary.query.used else "hidden",
    "judge": lambda run: run.summary.judge.judge if run.summary.judge else "-",
    "metric": lambda run: run.summary.headline.metric,
    "seed": lambda run: str(run.manifest.seed),
    "repeats": lambda run: str(run.manifest.identity.get("repeats", 1)),
    "prompts": lambda run: digest(json.dumps(run.identity("prompts"), sort_keys=True))[:8],
    "sampling": _sampling,
    "label": lambda run: run.label or "-",
    "run": lambda run: str(run.path),
}
"""Name -> the fact of a run, as a table shows it."""

OF_A_ROW = ("model", "reader", "embedder", "tag", "seed")
"""Facts that split a row wherever they vary in it: a row never mixes models."""

OF_A_CELL = ("budget", "track", "question", "judge", "metric", "repeats", "prompts", "sampling", "label", "run")
"""Facts that split a row where two of its runs would be in one cell. (Tasks have budgets, prompts and sampling of their own,
so these may differ from column to column within a row.)"""


@dataclass(frozen=True, slots=True)
class Layout:
    """rows, cols: names of the facts that make a row and a column. runs: (row, column) -> the only run there, in the order
    of the runs."""

    rows: tuple[str, ...]
    cols: tuple[str, ...]
    runs: dict[tuple[Key, Key], Run]

    @property
    def row_keys(self) -> list[Key]:
        return list(dict.fromkeys(row for row, _ in self.runs))

    @property
    def col_keys(self) -> list[Key]:
        return list(dict.fromkeys(col for _, col in self.runs))


def layout(runs: Runs, rows: Sequence[str] = (), cols: Sequence[str] = ("task",)) -> Layout:
    """Place each run in a table. rows, cols: names of FACTS; further facts become part of the rows where they are needed to
    tell runs apart. Without `rows`, a row is an agent, or a task or model where agents are in the columns. Raises UsageError
    for a name that is no fact, or that is in both."""
    rows = rows or [next(name for name in ("agent", "task", "model", "run") if name not in cols)]
    for option, names in (("--rows", rows), ("--cols", cols)):
        unknown = next((name for name in names if name not in FACTS), None)
        if unknown is not None:
            raise UsageError(f"{option}: no column '{unknown}'{suggest(unknown, FACTS)} (there are {', '.join(FACTS)})")
    both = next((name for name in rows if name in cols), None)
    if both is not None:
        raise UsageError(f"--rows and --cols both name '{both}'; name it in one of them")
    summaries = [run.summary for run in runs]
    known = {run: _facts(run, summaries) for run in runs}
    names = list(rows)
    for fact in OF_A_ROW:
        if fact not in (*names, *cols) and _splits(known, names, fact):
            names.append(fact)
    for fact in ("task", "agent", *OF_A_CELL):
        if fact not in (*names, *cols) and _splits(known, (*names, *cols), fact):
            names.append(fact)
    return Layout(tuple(names), tuple(cols), {(_key(facts, names), _key(facts, cols)): run for run, facts in known.items()})


def same_for_all(runs: Runs, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(fact, value) of those of the named facts in which all runs agree."""
    for name in names:
        values = {FACTS[name](run) for run in runs}
        if len(values) == 1 and values != {"-"}:
            yield name, values.pop()


def _facts(run: Run, summaries: Sequence[Summary]) -> dict[str, str]:
    """All facts of a run. The agent's name includes the parameters in which it differs from others of that name."""
    return {name: of(run) for name, of in FACTS.items()} | {"agent": label(run.summary, summaries)}


def _key(facts: Mapping[str, str], names: Sequence[str]) -> Key:
    return tuple(facts[name] for name in names)


def _splits(known: Mapping[Run, Mapping[str, str]], names: Sequence[str], fact: str) -> bool:
    """Whether runs that agree in the named facts differ in this one."""
    found: dict[Key, set[str]] = {}
    for facts in known.values():
        found.setdefault(_key(facts, names), set()).add(facts[fact])
    return any(len(values) > 1 for values in found.values())
