"""`memeval list`: the names that can be used, a line each; of one agent, its parameters."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

from memeval import cards, plugins
from memeval.cards import AgentCard, SuiteCard, TaskCard
from memeval.errors import UsageError, suggest

VARIANTS = """\
Written behind a name: @documents-N, @tokens-N (streams of N), @hard (nearest distractors), @shared-K (K
questions a stream), and the protocols that a card has: @memocr (-b256, -b64, -b16), @memagent, @memalpha (-as-published)."""
WHAT = ("tasks", "agents", "models", "metrics", "memories")
_JUDGE = "1 when a judge calls the answer right (`--judge NAME` of run and score; scores of its own, never a card's metric)."


def listing(
    what: str,
    name: str | None = None,
    tasks_dir: tuple[str, ...] = (),
    agents_dir: tuple[str, ...] = (),
    runs_dir: Path = Path("runs"),
) -> str:
    """The lines of `memeval list WHAT [NAME]`."""
    if name is not None and what != "agents":
        raise UsageError(f"memeval list {what} {name}: a name is for agents (memeval list agents NAME)")
    if what == "tasks":
        return f"{_columns([('TASK', 'HEADLINE', 'DESCRIPTION'), *_tasks(tasks_dir)])}\n\n{VARIANTS}"
    if what == "agents":
        return _agents(agents_dir) if name is None else _agent(name, agents_dir)
    if what == "memories":
        from memeval.commands.memories import memories_listing

        return memories_listing(runs_dir)
    if what == "models":
        from memeval.models.registry import known

        return _columns([("MODEL", "DESCRIPTION"), *known().items()])
    if what == "metrics":
        from memeval.metrics import METRICS

        about = [(metric, _sentence(function.__doc__ or "")) for metric, function in METRICS.items()]
        return _columns([("METRIC", "DESCRIPTION"), *about, ("judge", _JUDGE)])
    raise UsageError(f"memeval list {what}: nothing to list{suggest(what, WHAT)} (one of {', '.join(WHAT)})")


def _tasks(tasks_dir: tuple[str, ...]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for name in cards.listing(TaskCard, tasks_dir):
        card = cards.find(TaskCard, name, tasks_dir)
        suite = None if card else cards.find(SuiteCard, name, tasks_dir)
        if card and not card.abstract:
            rows.append((card.name, card.headline, card.description))
        elif suite:
            rows.append((suite.name, "mean", f"{suite.description} ({', '.join(suite.tasks)})"))
    return rows


def _agents(agents_dir: tuple[str, ...]) -> str:
    found = (cards.find(AgentCard, name, agents_dir) for name in cards.listing(AgentCard, agents_dir))
    rows: list[tuple[str, ...]] = [(card.name, card.track, card.description) for card in found if card and not card.abstract]
    rows += [(name, "control", description) for name, description in plugins.CONTROLS.items()]
    return f"{_columns([('AGENT', 'TRACK', 'DESCRIPTION'), *rows])}\n\nmemeval list agents NAME shows the parameters of one."


def _agent(name: str, agents_dir: tuple[str, ...]) -> str:
    """An agent with its parameters: their values as its card sets them, else their defaults, and what its class says."""
    card = plugins.find_agent(name, agents_dir)
    if card.agent in plugins.CONTROLS:
        return f"{name} (control): {card.description}. It has no parameters."
    made = plugins.agent_class(card)
    text = " ".join(f"{made.__doc__ or ''} {getattr(made.__init__, '__doc__', None) or ''}".split())
    lines = [f"{name} ({card.track}): {card.description or _sentence(text) or 'no description'}"]
    rows = []
    for key, parameter in inspect.signature(made).parameters.items():
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            value: Any = card.params.get(key, parameter.default)
            rows.append((key, "required" if value is parameter.empty else repr(value), _help(key, text)))
    if not rows:
        return "\n".join([*lines, "It has no parameters."])
    table = _columns([("PARAMETER", "DEFAULT", "MEANING"), *rows])
    return "\n".join([*lines, "", table, "", "Set with --set PARAMETER=VALUE; several values (VALUE,VALUE) make a grid."])


def _help(name: str, text: str) -> str:
    """What a docstring says of a parameter: the text behind `name:` or `name, other:`, else the sentence with `name` in
    backticks."""
    found = re.search(rf"(?<![\w`]){re.escape(name)}(?:, \w+)*: (.+?)(?:\.(?=\s|$)|$)", text)
    if found:
        return found[1]
    return next((part for part in re.split(r"(?<=[a-z)`\"]\.)\s", text) if f"`{name}`" in part), "")


def _sentence(text: str) -> str:
    """The first sentence of a docstring, on one line."""
    return re.split(r"(?<=[a-z)`\"]\.)\s", " ".join(text.split()), maxsplit=1)[0]


def _columns(rows: list[tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip() for row in rows
    )
