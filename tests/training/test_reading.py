"""Readings by a model under training: they depend on the step, not on timing or on the order in which contexts are begun."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from memeval.errors import StopRun, UsageError
from memeval.models.completion import Completion, Request
from memeval.training import recipe

pytest.importorskip("torch")

from memeval.training import tiny_model
from memeval.training.policy import Policy
from memeval.training.reading import read, streams

TINY = recipe.load("tiny")


def test_equal_readings_whatever_the_order_and_other_ones_at_another_step() -> None:
    some = streams(TINY, "synth-tiny@x1", "task")[:3]
    policy = Policy(tiny_model.build(0), tiny_model.tokenizer(), tiny_model.WINDOW, seed=5)
    first = read(some, policy, "step 1", 2)
    assert [(reading.context, reading.repeat) for reading in first] == [
        (stream.packed.context.id, repeat) for stream in some for repeat in range(2)
    ]
    assert read(some[::-1], policy, "step 1", 2) == first
    assert read(some, policy, "step 2", 2) != first
    rows = [turn.row for reading in first for turn in reading.turns if turn.row is not None]
    assert len(rows) == 3 * 2 * 4  # a row per chunk
    end = tiny_model.tokenizer().eos_token_id
    assert all(len(row.completion_ids) == len(row.logprobs) <= 7 for row in rows)
    assert all(end not in row.completion_ids[:-1] for row in rows)
    with pytest.raises(UsageError, match="role 'memory': nothing here embeds texts"):
        asyncio.run(policy.complete(Request((), embeds=True)))
    repeats = {reading.repeat: [turn.row for turn in reading.turns] for reading in first[:2]}
    assert repeats[0] != repeats[1]  # a repeat has noise of its own


def test_streams_come_in_chunks_of_the_size_that_the_agent_asks_for() -> None:
    base = replace(TINY, reader="offline", params={})
    for agent, params, least, most in (("memalpha", {}, 1000, 2048), ("memagent", {"chunk_tokens": 500}, 250, 500)):
        first, *_ = streams(replace(base, agent=agent, params=params), "synth-10k", "task")
        sizes = [chunk.tokens for chunk in first.packed.stream[:-1]]
        assert least < max(sizes) <= most


def test_a_reading_that_failed_is_no_reward() -> None:
    class Broken(Policy):
        async def complete(self, request: object) -> Completion:
            return Completion(error="out of order", finish_reason="error")

    some = streams(TINY, "synth-tiny@x1", "task")[:1]
    with pytest.raises(StopRun, match=r"a reading failed.*out of order"):
        read(some, Broken(tiny_model.build(0), tiny_model.tokenizer(), tiny_model.WINDOW))
