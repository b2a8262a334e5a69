"""How far a run may be compared with a published table: `same`, `similar` or `different`, and why (validity section 5)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from memeval import cards
from memeval.cards import AgentCard, TaskCard
from memeval.errors import UsageError
from memeval.models.body import mode
from memeval.models.model_names import same_name
from memeval.plugins import CONTROLS
from memeval.results.published import Board, Published
from memeval.results.run import Run
from memeval.runs.prompts import deviations, users_parts
from memeval.wording import counted

Level = Literal["same", "similar", "different"]
LEVELS: tuple[Level, ...] = get_args(Level)


@dataclass(frozen=True, slots=True)
class Badge:
    """same: the run follows the published protocol, as far as the cards know. similar: it has the deviations that the cards
    of the task and of the agent name. different: anything else; the two numbers do not tell which is better. why: one line
    per reason."""

    level: Level
    why: tuple[str, ...] = ()


def badge(run: Run, board: Board, column: Published) -> Badge:
    """The badge of a run in a column of a published table. column: any row of that column."""
    different = (*_different(run, board, column.dataset), *_streams(run, column.task), *_overridden(run))
    if different:
        return Badge("different", different)
    deviations = tuple(dict.fromkeys((*run.manifest.deviations, *_known_today(run))))
    return Badge("similar", deviations) if deviations else Badge("same")


def _different(run: Run, board: Board, dataset: str) -> Iterator[str]:
    summary, agent = run.summary, run.manifest.agent
    if agent in CONTROLS:
        yield "a control is no memory system"
    if not board.protocol or board.protocol not in run.manifest.protocol:
        yield f"{run.task} does not follow the protocol of this table"
    for never in board.different:
        if dataset in never.datasets or agent in never.agents:
            yield never.why
    native = run.manifest.track == "native"  # then there is no reader
    models = {role: name for role, name in board.models.items() if role != "reader" or not native}
    for role, name in {**models, **board.agents.get(agent, {})}.items():
        own = run.manifest.models.get(role)
        if own is None or not same_name(name, own):
            yield f"the {role} is {own or 'none'}, the table's is {name}"
    if board.metric and board.metric not in summary.metrics:
        yield f"{board.metric}, the rule of this table, was not computed"
    if summary.status != "complete":
        yield f"the run is {summary.status}"
    if board.questions > summary.n:
        yield f"{counted(summary.n, 'question')}, the table has {board.questions}"


def _known_today(run: Run) -> Iterator[str]:
    """The deviations that today's cards name; the cards of an older run may have named fewer."""
    name, *variants = run.task.split("@")
    with contextlib.suppress(UsageError):  # the variant was removed, or the file is no card any more
        task, agent = cards.find(TaskCard, name), cards.find(AgentCard, run.manifest.agent)
        for variant in variants:
            task = task and cards.with_variant(task, variant)
        if task and agent:
            yield from deviations(task, agent, run.identity("prompts"))
        elif task:  # of an agent without a card
            yield from task.deviations


def _streams(run: Run, task: str) -> Iterator[str]:
    """Settings of the streams that differ from those of the column's task, as in variants such as `@hard`."""
    name, _, variant = task.partition("@documents-")
    card = cards.find(TaskCard, name)
    own = run.identity("task")
    for key in ("documents", "tokens", "hard", "shared"):
        wanted = int(variant) if variant and key == "documents" else getattr(card, key, None)
        if card is not None and own.get(key, wanted) != wanted:
            yield f"other streams: {key} {own[key]}, the table's have {wanted}"


def _overridden(run: Run) -> Iterator[str]:
    """Models, thinking and parameters that the user set differently from the cards, and the user's own prompts."""
    for role, entry in run.identity("agent").get("models", {}).items():
        name = entry.get("name") if isinstance(entry, dict) else entry
        own = run.manifest.models.get(role)
        if name and own and not same_name(str(name), own):
            yield f"the {role} is {own}; the agent's card reproduces {name}"
    for role, fixed in run.identity("task").get("sampling", {}).items():
        has = run.identity("models").get(role, {}).get("params", {})
        if "thinking" in fixed and role in run.manifest.models and mode(has) != mode(fixed):
            yield f"the {role}'s thinking is {mode(has)}; the protocol has it {mode(fixed)}"
    card = cards.find(AgentCard, run.manifest.agent)
    if users := users_parts(card, run.identity("prompts")):
        yield f"prompts of its own: {', '.join(users)}"
    if card is not None:
        changed = {key: value for key, value in run.summary.params.items() if card.params.get(key) != value}
        if changed:
            yield "parameters of its own: " + ", ".join(f"{key}={value}" for key, value in changed.items())
