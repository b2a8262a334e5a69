"""`memeval list`: the names that can be used, a line each."""

from __future__ import annotations

import re

from memeval import cards, plugins
from memeval.cards import AgentCard, SuiteCard, TaskCard
from memeval.errors import UsageError, suggest

VARIANTS = """\
Written behind a name: @documents-N, @tokens-N (streams of N), @hard (nearest distractors), @shared-K (K
questions a stream), and the protocols that a card has: @memocr (-b256, -b64, -b16), @memagent, @memalpha (-as-published)."""
WHAT = ("tasks", "agents", "models", "metrics")
_JUDGE = "1 when a judge calls the answer right (`--judge NAME` of run and score; scores of its own, never a card's metric)."


def listing(what: str, tasks_dir: tuple[str, ...] = (), agents_dir: tuple[str, ...] = ()) -> str:
    """The lines of `memeval list WHAT`."""
    if what == "tasks":
        rows = []
        for name in cards.listing(TaskCard, tasks_dir):
            card = cards.find(TaskCard, name, tasks_dir)
            suite = None if card else cards.find(SuiteCard, name, tasks_dir)
            if card and not card.abstract:
                rows.append((card.name, card.headline, card.description))
            elif suite:
                rows.append((suite.name, "mean", f"{suite.description} ({', '.join(suite.tasks)})"))
        return f"{_columns([('TASK', 'HEADLINE', 'DESCRIPTION'), *rows])}\n\n{VARIANTS}"
    if what == "agents":
        found_agents = (cards.find(AgentCard, name, agents_dir) for name in cards.listing(AgentCard, agents_dir))
        agents = [(card.name, card.track, card.description) for card in found_agents if card and not card.abstract]
        arms = [(name, "arm", description) for name, description in plugins.ARMS.items()]
        return _columns([("AGENT", "TRACK", "DESCRIPTION"), *agents, *arms])
    if what == "models":
        from memeval.models.registry import known

        return _columns([("MODEL", "DESCRIPTION"), *known().items()])
    if what == "metrics":
        from memeval.metrics import METRICS

        about = [(name, _sentence(metric.__doc__ or "")) for name, metric in METRICS.items()]
        return _columns([("METRIC", "DESCRIPTION"), *about, ("judge", _JUDGE)])
    raise UsageError(f"memeval list {what}: nothing to list{suggest(what, WHAT)} (one of {', '.join(WHAT)})")


def _sentence(text: str) -> str:
    """The first sentence of a docstring, on one line."""
    return re.split(r"(?<=[a-z)`\"]\.)\s", " ".join(text.split()), maxsplit=1)[0]


def _columns(rows: list[tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip() for row in rows
    )
