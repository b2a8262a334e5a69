"""Settings of a task's card for one agent, for published protocols that treat agents differently."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from memeval.cards import AgentCard, TaskCard


def of_agent(given: Mapping[str, str], agent: AgentCard) -> str:
    """The value of a mapping under the agent's name, else its class's name, else `*`; empty if there is none."""
    return next((given[name] for name in (agent.name, agent.agent, "*") if given.get(name)), "")


def scored(card: TaskCard, agent: AgentCard) -> TaskCard:
    """The card as this agent is scored: with `scoring: as-published` the headline is the agent's metric in
    `published_metrics`. Every metric of the card is computed either way."""
    return card if card.scoring == "equal" else replace(card, headline=of_agent(card.published_metrics, agent))
