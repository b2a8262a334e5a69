"""When two results may be compared: the one rule for tables, `compare`, `gate` and the page.

A difference forbids the comparison where something else was measured, or in another way (task, corpus, protocol, track,
visibility used, answer budget, questions, metric, scorer, format). Other differences are only named: which models, prompts
and limits were used is what people compare.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memeval.digests import digest
from memeval.judging.summary import JUDGE
from memeval.results.run import Run

_NOT_PROTOCOL = {"name", "answer_budget", "query_visible", "headline", "metrics"}
"""Keys of a task's identity that are compared separately, or (metrics other than the headline) do not matter."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One difference between two runs. what: `task`, `corpus`, `protocol`, `track`, `visibility`, `budget`, `questions`,
    `metric`, `scorer` or `format`, which forbid a comparison; `memory model`, `reader model`, `prompts`, `limits`,
    `repeats`, `answer repeats` or `seed`, which do not. a, b: the values of the two runs, as text. forbids: the runs may not
    be compared, nor share a row or a ranking."""

    what: str
    a: str
    b: str
    forbids: bool = True

    def __str__(self) -> str:
        return f"{self.what}: {self.a} against {self.b}"


def mismatches(a: Run, b: Run) -> tuple[Mismatch, ...]:
    """All differences between two runs, forbidding ones first. The agents are left out: they are what is compared."""
    return tuple(one for one in (*_measured(a, b), *_conditions(a, b)) if one.a != one.b)


def forbidden(a: Run, b: Run) -> tuple[Mismatch, ...]:
    """The mismatches that forbid a comparison."""
    return tuple(one for one in mismatches(a, b) if one.forbids)


def groups(runs: Sequence[Run]) -> list[list[Run]]:
    """Group the runs, in the order given, so that each may be compared with the first of its group."""
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
    """Mismatches that forbid a comparison where the two sides differ."""
    ours, theirs = a.identity("task"), b.identity("task")
    yield Mismatch("format", str(a.manifest.format), str(b.manifest.format))
    yield Mismatch("task", task_name(a), task_name(b))
    if task_name(a) == task_name(b):
        changed = [key for key in {**ours, **theirs} if key not in _NOT_PROTOCOL and ours.get(key) != theirs.get(key)]
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
    """Mismatches that are only named. Models are compared in the roles that both runs called: an agent that needs no writer
    has no other writer."""
    roles = sorted(role for role in a.summary.calls.keys() & b.summary.calls.keys() if role != JUDGE)
    for role in roles:
        yield Mismatch(f"{role} model", _model(a, role), _model(b, role), False)
    yield Mismatch("prompts", _prompts(a), _prompts(b), False)
    yield Mismatch("limits", _limits(a, roles), _limits(b, roles), False)
    for what in ("repeats", "answer_repeats", "seed"):
        ours, theirs = (str(run.manifest.identity.get(what, "")) for run in (a, b))
        yield Mismatch(what.replace("_", " "), ours, theirs, False)


def task_name(run: Run) -> str:
    """The name of the task with its variant, from its card."""
    return str(run.identity("task").get("name") or run.task)


def _some(values: Mapping[str, Any], keys: Sequence[str]) -> str:
    return ", ".join(f"{key} {values.get(key)}" for key in keys)


def _corpus(run: Run) -> str:
    """Shortened hashes of the data behind the streams. Users' own data have none: there the questions are compared."""
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
    """The models' parameters (sampling, lengths of replies), and the recall budget that the reader's window leaves."""
    given = {role: run.identity("models").get(role, {}).get("params") or {} for role in roles}
    found = [f"{role} {_some(params, sorted(params))}" for role, params in given.items() if params]
    if run.summary.recall_budget is not None:
        found.append(f"recall of {run.summary.recall_budget:,} tokens")
    return "; ".join(found) or "the task's"
