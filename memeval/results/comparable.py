"""When two results may be compared: the only rule of it, for tables, `compare`, `gate` and the page.

What differs and forbids: another thing was measured, or it was measured otherwise (task, corpus, protocol, track, visibility
used, answer budget, questions, metric, scorer, format). What differs and is only named: who was measured and with which
models, prompts and limits, for that is what people compare.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memeval.results.load import JUDGE, Run

_NAMES = {"name", "answer_budget", "query_visible", "headline", "metrics"}
"""Keys of a task's identity that are looked at by themselves, or (metrics beside the headline) do not matter."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing in which two runs differ. what: `task`, `corpus`, `protocol`, `track`, `visibility`, `budget`, `questions`,
    `metric`, `scorer`, `format`, `models`, `prompts`, `limits`, `repeats` or `seed`. a, b: how it is in either, for people.
    forbids: the runs may not be compared, nor share a row or a ranking."""

    what: str
    a: str
    b: str
    forbids: bool = True

    def __str__(self) -> str:
        return f"{self.what}: {self.a} against {self.b}"


def differences(a: Run, b: Run) -> tuple[Difference, ...]:
    """All that two runs differ in, what forbids first. Nothing is said of the agents: they are what is compared."""
    return (*filter(lambda one: one.a != one.b, [*_measured(a, b), *_conditions(a, b)]),)


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
    yield Difference("task", _name(a), _name(b))
    if _name(a) == _name(b):
        changed = [key for key in {**ours, **theirs} if key not in _NAMES and ours.get(key) != theirs.get(key)]
        yield Difference("protocol", _some(ours, changed), _some(theirs, changed))
        yield Difference("corpus", _corpus(a), _corpus(b))
        yield _questions(a, b)
    yield Difference("track", a.manifest.track, b.manifest.track)
    yield Difference("visibility", _visibility(a), _visibility(b))
    yield Difference("budget", _budget(a), _budget(b))
    yield Difference("metric", a.summary.headline.metric, b.summary.headline.metric)
    if a.summary.headline.metric == b.summary.headline.metric:
        yield Difference("scorer", _scorer(a), _scorer(b))


def _conditions(a: Run, b: Run) -> Iterator[Difference]:
    """What is only named."""
    for what, of in (("models", _models), ("prompts", _prompts), ("limits", _limits)):
        yield Difference(what, of(a), of(b), False)
    for what in ("repeats", "answer_repeats", "seed"):
        ours, theirs = (str(run.manifest.identity.get(what, "")) for run in (a, b))
        yield Difference(what.replace("_", " "), ours, theirs, False)


def _task(run: Run) -> Mapping[str, Any]:
    """What the run's hash covers of its task's card."""
    found: Mapping[str, Any] = run.manifest.identity.get("task", {})
    return found


def _name(run: Run) -> str:
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
    return ", ".join(sorted({row.scorer for row in run.scores()}))


def _models(run: Run) -> str:
    """role -> model with its tag, of the roles that were called."""
    models: Mapping[str, Mapping[str, Any]] = run.manifest.identity.get("models", {})
    used = {role: model for role, model in models.items() if run.summary.calls.get(role)}
    named = {role: f"{model.get('name')} {model.get('tag', '')}".strip() for role, model in used.items()}
    return ", ".join(f"{role} {name}" for role, name in named.items()) or "none"


def _prompts(run: Run) -> str:
    prompts: Mapping[str, str] = run.manifest.identity.get("prompts", {})
    return ", ".join(f"{role} {_short(text)}" for role, text in sorted(prompts.items())) or "none"


def _limits(run: Run) -> str:
    """What a model's window and its parameters leave: recalled tokens, and how replies are sampled and cut."""
    models: Mapping[str, Mapping[str, Any]] = run.manifest.identity.get("models", {})
    params = {role: model.get("params") for role, model in models.items() if model.get("params")}
    found = [f"{role} {_some(given, sorted(given))}" for role, given in sorted(params.items()) if given]
    if run.summary.recall_budget is not None:
        found.append(f"recall of {run.summary.recall_budget:,} tokens")
    return "; ".join(found) or "the task's"


def _short(text: str) -> str:
    from memeval.digests import digest

    return digest(text)[:8]
