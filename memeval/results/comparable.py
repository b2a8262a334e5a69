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
class Difference:
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


def differences(a: Run, b: Run) -> tuple[Difference, ...]:
    """All that two runs differ in, what forbids first. Nothing is said of the agents: they are what is compared."""
    return tuple(one for one in (*_measured(a, b), *_conditions(a, b)) if one.a != one.b)


def forbidden(a: Run, b: Run) -> tuple[Difference, ...]:
    """The differences that forbid a comparison."""
    return tuple(one for one in differences(a, b) if one.forbids)


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


def _measured(a: Run, b: Run) -> Iterator[Difference]:
    """What forbids."""
    ours, theirs = _task(a), _task(b)
    yield Difference("format", str(a.manifest.format), str(b.manifest.format))
    yield Difference("task", task_name(a), task_name(b))
    if task_name(a) == task_name(b):
        changed = [key for key in {**ours, **theirs} if key not in _NAMES and ours.get(key) != theirs.get(key)]
        yield Difference("protocol", _some(ours, changed), _some(theirs, changed))
        yield Difference("corpus", _corpus(a), _corpus(b))
        yield _questions(a, b)
    yield Difference("track", a.manifest.track, b.manifest.track)
    yield Difference("visibility", _visibility(a), _visibility(b))
    yield Difference("budget", _budget(a), _budget(b))
    yield Difference("metric", a.summary.headline.metric, b.summary.headline.metric)
    if (a.manifest.track, a.summary.headline.metric) == (b.manifest.track, b.summary.headline.metric):
        yield Difference("scorer", _scorer(a), _scorer(b))


def _conditions(a: Run, b: Run) -> Iterator[Difference]:
    """What is only named. Of models, those of roles that both runs called: that one agent needs no writer is no
    difference of models."""
    roles = sorted(role for role in a.summary.calls.keys() & b.summary.calls.keys() if role != JUDGE)
    for role in roles:
        yield Difference(f"{role} model", _model(a, role), _model(b, role), False)
    yield Difference("prompts", _prompts(a), _prompts(b), False)
    yield Difference("limits", _limits(a, roles), _limits(b, roles), False)
    for what in ("repeats", "answer_repeats", "seed"):
        ours, theirs = (str(run.manifest.identity.get(what, "")) for run in (a, b))
        yield Difference(what.replace("_", " "), ours, theirs, False)


def _task(run: Run) -> Mapping[str, Any]:
    """What the run's hash covers of its task's card."""
    found: Mapping[str, Any] = run.manifest.identity.get("task", {})
    return found


def task_name(run: Run) -> str:
    """The task with its variant, as its card has it."""
    return str(_task(run).get("name") or run.task)


def _some(values: Mapping[str, Any], keys: Sequence[str]) -> str:
    return ", ".join(f"{key} {values.get(key)}" for key in keys)


def _corpus(run: Run) -> str:
    """Hashes of the data that the streams were made of, shortened. Users' own data have none: there the questions tell."""
    data: Mapping[str, Any] = run.manifest.identity.get("data", {})
    return ", ".join(f"{key} {str(value)[:60]}" for key, value in sorted(data.items())) or "the user's own"


def _questions(a: Run, b: Run) -> Difference:
    same = shared_questions(a, b)
    if len(same) == len(a.questions) == len(b.questions):
        return Difference("questions", "", "")
    edited = sum(key in b.questions for key in a.questions) - len(same)
    how = f" ({len(same)} in both" + (f", {edited} with another text, gold or stream)" if edited else ")")
    return Difference("questions", str(len(a.questions)), f"{len(b.questions)}{how}")


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
    model = _of_models(run).get(role, {})
    return f"{model.get('name')} {model.get('tag', '')}".strip()


def _prompts(run: Run) -> str:
    prompts: Mapping[str, str] = run.manifest.identity.get("prompts", {})
    return ", ".join(f"{role} {digest(text)[:8]}" for role, text in sorted(prompts.items())) or "none"


def _limits(run: Run, roles: Sequence[str]) -> str:
    """What a model's window and its parameters leave: recalled tokens, and how replies are sampled and cut."""
    given: dict[str, Mapping[str, Any]] = {role: _of_models(run).get(role, {}).get("params") or {} for role in roles}
    found = [f"{role} {_some(params, sorted(params))}" for role, params in given.items() if params]
    if run.summary.recall_budget is not None:
        found.append(f"recall of {run.summary.recall_budget:,} tokens")
    return "; ".join(found) or "the task's"


def _of_models(run: Run) -> Mapping[str, Mapping[str, Any]]:
    found: Mapping[str, Mapping[str, Any]] = run.manifest.identity.get("models", {})
    return found
