"""When two results may be compared: the only rule of it, for tables, `compare`, `gate` and the page.

What differs and forbids: another thing was measured, or it was measured otherwise (task, corpus, protocol, track, visibility
used, answer budget, questions, metric, scorer, format). What differs and is only named: who was measured and with which
models, prompts and limits, for that is what people compare.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memeval.digests import digest
from memeval.judging.summary import JUDGE
from memeval.results.run import Run

_NAMES = {"name", "answer_budget", "query_visible", "headline", "metrics"}
"""Keys of a task's identity that are looked at by themselves, or (metrics beside the headline) do not matter."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One thing in which two runs differ. what: `task`, `corpus`, `protocol`, `track`, `visibility`, `budget`, `questions`,
    `metric`, `scorer` or `format`, which forbid; `memory model`, `reader model`, `prompts`, `limits`, `repeats`,
    `answer repeats` or `seed`, which do not. a, b: how it is in either run, for people. forbids: the runs may not be
    compared, nor share a row or a ranking."""

    what: str
    a: str
    b: str
    forbids: bool = True

    def __str__(self) -> str:
        return f"{self.what}: {self.a} against {self.b}"


def mismatches(a: Run, b: Run) -> tuple[Mismatch, ...]:
    """All that two runs differ in, what forbids first. Nothing is said of the agents: they are what is compared."""
    return tuple(one for one in (*_measured(a, b), *_conditions(a, b)) if one.a != one.b)


def forbidden(a: Run, b: Run) -> tuple[Mismatch, ...]:
    """The mismatches that forbid a comparison."""
    return tuple(one for one in mismatches(a, b) if one.forbids)


def groups(runs: Sequence[Run]) -> list[list[Run]]:
    """The runs in groups in which each may be compared with the first, in the order given."""
    found: list[list[Run]] = []
    for run in runs:
        group = next((group for group in found if not forbidden(group[0], run)), None)
        if group is None:
            found.append([run])
        else:
            group.append(run)
    return found


def shared_questions(a: Run, b: Run) -> tuple[str, ...]:
    """The questions that both were asked, with the same stream, text and golds, in the order of `a`."""
    return tuple(key for key, row in a.questions.items() if key in b.questions and b.questions[key].digest == row.digest)


def _measured(a: Run, b: Run) -> Iterator[Mismatch]:
    """What forbids."""
    ours, theirs = a.identity("task"), b.identity("task")
    yield Mismatch("format", str(a.manifest.format), str(b.manifest.format))
    yield Mismatch("task", task_name(a), task_name(b))
    if task_name(a) == task_name(b):
        changed = [key for key in {**ours, **theirs} if key not in _NAMES and ours.get(key) != theirs.get(key)]
        yield Mismatch("protocol", _some(ours, changed), _some(theirs, changed))
        yield Mismatch("corpus", _corpus(a), _corpus(b))
        yield _questions(a, b)
    yield Mismatch("track", a.manifest.track, b.manifest.track)
    yield Mismatch("visibility", _visibility(a), _visibility(b))
    yield Mismatch("budget", _budget(a), _budget(b))
    yield Mismatch("metric", a.summary.headline.metric, b.summary.headline.metric)
    if (a.manifest.track, a.summary.headline.metric) == (b.manifest.track, b.summary.headline.metric):
        yield Mismatch("scorer", _scorer(a), _scorer(b))


def _conditions(a: Run, b: Run) -> Iterator[Mismatch]:
    """What is only named. Of models, those of roles that both runs called: that one agent needs no writer is no
    difference of models."""
    roles = sorted(role for role in a.summary.calls.keys() & b.summary.calls.keys() if role != JUDGE)
    for role in roles:
        yield Mismatch(f"{role} model", _model(a, role), _model(b, role), False)
    yield Mismatch("prompts", _prompts(a), _prompts(b), False)
    yield Mismatch("limits", _limits(a, roles), _limits(b, roles), False)
    for what in ("repeats", "answer_repeats", "seed"):
        ours, theirs = (str(run.manifest.identity.get(what, "")) for run in (a, b))
        yield Mismatch(what.replace("_", " "), ours, theirs, False)


def task_name(run: Run) -> str:
    """The task with its variant, as its card has it."""
    return str(run.identity("task").get("name") or run.task)


def _some(values: Mapping[str, Any], keys: Sequence[str]) -> str:
    return ", ".join(f"{key} {values.get(key)}" for key in keys)


def _corpus(run: Run) -> str:
    """Hashes of the data that the streams were made of, shortened. Users' own data have none: there the questions tell."""
    return ", ".join(f"{key} {str(value)[:60]}" for key, value in sorted(run.identity("data").items())) or "the user's own"


def _questions(a: Run, b: Run) -> Mismatch:
    same = shared_questions(a, b)
    if len(same) == len(a.questions) == len(b.questions):
        return Mismatch("questions", "", "")
    edited = sum(key in b.questions for key in a.questions) - len(same)
    how = f" ({len(same)} in both" + (f", {edited} with another text, gold or stream)" if edited else ")")
    return Mismatch("questions", str(len(a.questions)), f"{len(b.questions)}{how}")


def _visibility(run: Run) -> str:
    return "question seen while reading" if run.summary.query.used else "question not seen while reading"


def _budget(run: Run) -> str:
    budget = run.summary.answer_budget
    return f"answer budget {budget:,}" if budget else "no answer budget"


def _scorer(run: Run) -> str:
    """The rules that made the headline's scores."""
    if run.summary.headline.metric == JUDGE and run.summary.judge:
        judge = run.summary.judge
        return f"{judge.judge}, prompt {judge.prompt_hash[:8]}"
    return run.scorer or "none"


def _model(run: Run, role: str) -> str:
    """The model of a role, with its tag."""
    model = run.identity("models").get(role, {})
    return f"{model.get('name')} {model.get('tag', '')}".strip()


def _prompts(run: Run) -> str:
    return ", ".join(f"{role} {digest(text)[:8]}" for role, text in sorted(run.identity("prompts").items())) or "none"


def _limits(run: Run, roles: Sequence[str]) -> str:
    """What a model's window and its parameters leave: recalled tokens, and how replies are sampled and cut."""
    given = {role: run.identity("models").get(role, {}).get("params") or {} for role in roles}
    found = [f"{role} {_some(params, sorted(params))}" for role, params in given.items() if params]
    if run.summary.recall_budget is not None:
        found.append(f"recall of {run.summary.recall_budget:,} tokens")
    return "; ".join(found) or "the task's"
