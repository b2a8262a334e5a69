"""Look up whether the models of a run were trained on its questions (validity section 5).

`leaked`: a model was trained on exactly this split, or on one of the questions asked. `in-domain`: on the same family,
as far as known in another split. Sources are the agent's card, the checkpoints' folders and the task's card.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from msgspec.structs import asdict

from memeval import cards, digests
from memeval.cards import AgentCard, TaskCard
from memeval.models import registry
from memeval.models.completion import ModelSpec
from memeval.models.providers import LOCAL
from memeval.records.summary import Contamination
from memeval.trained import ALL, TrainedOn, content_hash, of_checkpoint

Claims = Mapping[str, tuple[TrainedOn, ...]]
"""Model (or agent) -> its known training data."""


def claims(task: TaskCard, agent: AgentCard, models: Mapping[str, ModelSpec]) -> Claims:
    """The known training data of a run's models. Raises UsageError if a checkpoint's file cannot be used."""
    own = agent.trained_on if runs_its_own_model(agent, models) else ()
    found: dict[str, tuple[TrainedOn, ...]] = {agent.name: own}
    for model in {model.name: model for model in models.values()}.values():
        found[model.name] = (*found.get(model.name, ()), *_of_weights(model), *_warnings(task, model.name))
    return {who: entries for who, entries in found.items() if entries}


def runs_its_own_model(card: AgentCard, models: Mapping[str, ModelSpec]) -> bool:
    """Whether the card's statement about its model applies to this run: not if another model was named. A card without
    a model describes the agent itself (one with its own weights)."""
    role, own = cards.own_model(card.models)
    return not own or (role in models and _stem(models[role].name) == _stem(own))


def contamination(task: TaskCard, known: Claims, questions: Mapping[str, str]) -> Contamination | None:
    """Look up the contamination. questions: id -> text of those asked. None: nothing is known."""
    family, split = family_of(task)
    trained = trained_questions(known, questions)
    hashes = {content_hash(questions[key]) for key in trained}
    marked: dict[str | None, list[tuple[str, TrainedOn]]] = {}
    for who, entry in ((who, entry) for who, entries in known.items() for entry in entries):
        kind = entry.covers(family, split) if hashes.isdisjoint(entry.hashes) else "leaked"
        marked.setdefault(kind, []).append((who, entry))
    mark: Literal["leaked", "in-domain"] = "leaked" if "leaked" in marked else "in-domain"
    if mark not in marked:
        return None
    by = {who for who, _ in marked[mark]}
    return Contamination(
        mark=mark,
        by=tuple(sorted(by)),
        notes=tuple(dict.fromkeys(entry.note for _, entry in marked[mark] if entry.note)),
        asked=len(questions),
        known=len(trained) if any(entry.hashes for who in by for entry in known[who]) else None,
    )


def trained_questions(known: Claims, questions: Mapping[str, str]) -> set[str]:
    """The ids of the questions that a model was trained on, if hashes of the training data are known."""
    hashes = {one for entries in known.values() for entry in entries for one in entry.hashes}
    return {key for key, text in questions.items() if content_hash(text) in hashes} if hashes else set()


def of_model(task: TaskCard, model: str) -> Contamination | None:
    """The contamination of a model by its name alone, from the task's card."""
    return contamination(task, {model: tuple(_warnings(task, model))}, {})


def family_of(task: TaskCard) -> tuple[str, str]:
    """(family, split) of a task. A task without a family is its own family; data without splits have the split `all`."""
    return task.family or task.name.partition("@")[0], task.split or ALL


def facts(task: TaskCard, known: Claims) -> dict[str, Any]:
    """The facts behind the mark, for the manifest; of the hashes only their number and a digest."""
    family, split = family_of(task)
    rows = []
    for who, entry in ((who, entry) for who, entries in known.items() for entry in entries):
        digest = digests.digest(sorted(entry.hashes)) if entry.hashes else None
        rows.append({**asdict(entry), "of": who, "hashes": len(entry.hashes), "sha256": digest})
    return {"family": family, "split": split, "claims": rows}


def _warnings(task: TaskCard, model: str) -> list[TrainedOn]:
    """The entries `NAME` or `NAME: leaked, how` of a task's card whose words occur in the model's name."""
    family, split = family_of(task)
    found = []
    for warning in task.trained_on:
        who, _, how = (part.strip() for part in warning.partition(":"))
        if f" {_words(who)} " in f" {_words(model)} ":
            leaked = how.partition(",")[0] == "leaked"
            found.append(TrainedOn(family, (split,) if leaked else (), note=how.removeprefix("leaked").lstrip(", ")))
    return found


def _of_weights(model: ModelSpec) -> tuple[TrainedOn, ...]:
    """The statement in the model's folder of weights on this machine; a hub id is not looked up."""
    where = registry.route(model)
    folder = Path(where.name).expanduser()
    return of_checkpoint(folder) if where.kind in LOCAL and folder.is_dir() else ()


def _words(name: str) -> str:
    return " ".join(re.findall(r"[^\W_]+", name.casefold()))


def _stem(name: str) -> str:
    """A model's name without its URL, provider, organisation or folder."""
    return _words(name.partition("@http")[0].rstrip("/").rpartition("/")[2])
