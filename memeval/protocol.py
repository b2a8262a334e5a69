"""What a published protocol fixes besides the data: how a stream is laid out, how models sample, how often the whole is run,
and by whose rule a reply is scored. The fields stand in a task card's variants (validity section 5)."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

from memeval.errors import suggest

if TYPE_CHECKING:
    from memeval.cards import AgentCard, TaskCard

LAYOUTS = ("", "memocr")
"""How streams are laid out: ours (streams.py), or as MemOCR's script does it (layouts.py)."""

SCORINGS = ("equal", "as-published")
"""One rule for all agents, or for each agent the rule that its published number was made with."""

ROLES = ("memory", "reader")
SAMPLING = {"temperature": (0.0, 2.0), "top_p": (0.0, 1.0), "top_k": (1, None), "max_tokens": (1, None)}
"""Sampling parameter -> least and greatest value."""


def fault(card: TaskCard) -> tuple[str, str] | None:
    """(key, what is wrong with it and how to mend it) of the first such field that is wrong; None where all are right."""
    if card.layout not in LAYOUTS:
        return "layout", f"layout is '{card.layout}'{suggest(card.layout, LAYOUTS[1:])} (known: {', '.join(LAYOUTS[1:])})"
    if card.layout and (card.hard or card.tokens or card.shared != 1):
        return "layout", (
            f"layout '{card.layout}' is one question per stream of so many documents, filled at random: it does not go with "
            "'hard', 'tokens' or 'shared'"
        )
    if card.repeats < 1:
        return "repeats", "repeats is 0; how often the whole is run, at least 1"
    return _sampling_fault(card) or _scoring_fault(card)


def _sampling_fault(card: TaskCard) -> tuple[str, str] | None:
    for role, values in card.sampling.items():
        if role not in ROLES:
            return "sampling", f"unknown key 'sampling.{role}'{suggest(str(role), ROLES)} (known: {', '.join(ROLES)})"
        if not isinstance(values, dict):
            return "sampling", f"'sampling.{role}' is {values!r}, expected a mapping like {{temperature: 0.7, top_p: 0.95}}"
        for name, value in values.items():
            if name not in SAMPLING:
                known = ", ".join(SAMPLING)
                return "sampling", f"unknown key 'sampling.{role}.{name}'{suggest(str(name), SAMPLING)} (known: {known})"
            least, most = SAMPLING[name]
            if not _is_number(value, whole=isinstance(least, int)) or not least <= value <= (most or math.inf):
                upper = "" if most is None else f" to {most}"
                return "sampling", f"'sampling.{role}.{name}' is {value!r}, expected a number from {least}{upper}"
    return None


def _is_number(value: Any, whole: bool) -> bool:
    return isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)


def _scoring_fault(card: TaskCard) -> tuple[str, str] | None:
    rules = card.published_metrics
    if card.scoring not in SCORINGS:
        return "scoring", f"scoring is '{card.scoring}'{suggest(card.scoring, SCORINGS)} (known: {', '.join(SCORINGS)})"
    for agent, metric in rules.items():
        if not isinstance(metric, str) or metric not in card.metrics:
            return "published_metrics", f"'published_metrics.{agent}' is {metric!r}, expected one of the card's 'metrics'"
    if card.scoring == "as-published" and "*" not in rules:
        return (
            "scoring",
            "scoring is 'as-published', but 'published_metrics' has no rule for all other agents ('*')",
        )
    return None


def scored(card: TaskCard, agent: AgentCard) -> TaskCard:
    """The card as this agent is scored: with `scoring: as-published` the headline is the metric of `published_metrics` under
    the agent's name, else under its class's name, else under `*`. Every metric of the card is computed either way."""
    if card.scoring == "equal":
        return card
    rules = card.published_metrics
    return dataclasses.replace(card, headline=rules.get(agent.name) or rules.get(agent.agent) or rules["*"])
