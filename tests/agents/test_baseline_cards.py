"""The bundled agent cards make the agents they describe."""

from __future__ import annotations

import inspect

import pytest

from memeval import cards, plugins
from memeval.cards import AgentCard

NAMES = ["memalpha", "long-context", "bm25", "dense", "hybrid", "iterative", "recent", "random-k"]


@pytest.mark.parametrize("name", NAMES)
def test_a_card_names_every_parameter_of_its_agent_with_the_default(name: str) -> None:
    card = cards.find(AgentCard, str(cards.bundled("baselines") / f"{name}.yaml"))
    assert card is not None
    made = plugins.agent_class(card)
    defaults = {key: value.default for key, value in inspect.signature(made).parameters.items()}
    assert dict(card.params) == defaults
    made(**card.params)
    assert (card.name, card.track, card.models) == (name, "reader", {})
    assert all([card.description, card.licence, card.citation])
