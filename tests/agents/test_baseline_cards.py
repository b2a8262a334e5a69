"""The bundled agent cards make the agents they describe."""

from __future__ import annotations

import inspect

import pytest

from memeval import cards, plugins
from memeval.authors import upstream_of
from memeval.cards import AgentCard
from memeval.models.model_names import same_name
from memeval.results.published import published

NAMES = [
    *("memalpha", "long-context", "bm25", "dense", "hybrid", "iterative", "recent", "random-k"),
    *("summary", "memagent", "mem1"),
]


@pytest.mark.parametrize("name", NAMES)
def test_a_card_names_every_parameter_of_its_agent_with_the_default(name: str) -> None:
    card = cards.find(AgentCard, str(cards.bundled("baselines") / f"{name}.yaml"))
    assert card is not None
    made = plugins.agent_class(card)
    defaults = {key: value.default for key, value in inspect.signature(made).parameters.items()}
    assert dict(card.params) == defaults
    made(**card.params)
    assert (card.name, card.track, card.models) == (name, getattr(made, "track", "reader"), {})
    assert all([card.description, card.licence, card.citation])


@pytest.mark.parametrize("name", ["memagent-paper", "memagent-memalpha", "mem1-paper", "memalpha-paper", "rag-paper"])
def test_a_card_of_published_rows_names_rows_that_exist_with_their_model(name: str) -> None:
    card = cards.find(AgentCard, str(cards.bundled("baselines") / f"{name}.yaml"))
    assert card is not None
    plugins.agent_class(card)(**card.params)
    assert card.deviations or upstream_of(card.prompt_set)  # those of prompts that can be fetched follow from a run
    assert card.reproduces
    for reproduced in card.reproduces:
        board, _, method = reproduced.partition(": ")
        rows = [row for row in published() if (row.board, row.method) == (board, method)]
        assert rows, reproduced
        # of an agent without a model of its own the row names the reader's, in its method
        entry = next(card.models[role] for role in ("memory", "reader") if role in card.models)
        model = entry if isinstance(entry, str) else entry["name"]
        for row in rows:
            assert same_name(row.model, model) if row.model else model.rpartition("/")[2] in row.method
