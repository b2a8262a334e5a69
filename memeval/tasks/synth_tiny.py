"""The task in the toy language (synth/tiny.py): a stream of chunks with six lines each, then all of its questions."""

from __future__ import annotations

from typing import Literal

import msgspec

from memeval.cards import TaskCard
from memeval.digests import digest
from memeval.synth import tiny
from memeval.task import Context, Evidence, Question, Unit
from memeval.tasks.base import Settings, params
from memeval.tasks.fixed import FixedTask
from memeval.typed import Count, Positive


class SynthTiny:
    """The source of cards that say `source: synth-tiny`."""

    class Params(msgspec.Struct):
        """split: splits share no name and no value. world_seed: selects the streams. streams: how many streams. chunks: how
        many chunks a stream has."""

        split: Literal["train", "validation", "test"] = "test"
        world_seed: Count = 4
        streams: Positive = 200
        chunks: Positive = 4

    def load(self, card: TaskCard, settings: Settings) -> FixedTask:
        """Generate the streams. Questions are ordered stream by stream, so that a prefix asks few streams. Raises UsageError
        for params that are unknown or out of range."""
        given = params(card, self.Params)
        made = tiny.streams(given.split, given.streams, given.chunks, given.world_seed)
        name = f"tiny-{given.split}-{given.world_seed}-{given.chunks}"
        contexts = {context.id: context for context in (_context(f"{name}-{at:05d}", one) for at, one in enumerate(made))}
        questions = {key: context.questions for key, context in contexts.items()}
        asked = [[question.text, *question.answers] for each in questions.values() for question in each]
        data = {"split": given.split, "world_seed": given.world_seed, "chunks": given.chunks, "asked": digest(asked)}
        order = tuple(question.id for each in questions.values() for question in each)
        return FixedTask(card, settings, questions, contexts.__getitem__, data, order)


def _context(name: str, stream: tiny.Stream) -> Context:
    asked = sorted(stream.questions.items(), key=lambda item: item[1][0])
    return Context(
        name,
        tuple(Unit(text) for text in stream.texts),
        tuple(
            Question(
                f"{name}-q{number}",
                f"{line.name} {line.relation} what?",
                (line.value,),
                kind="always" if line.relation in tiny.ASKED else "sometimes",
                evidence=(Evidence(line.text, (chunk,)),),
            )
            for number, (_, (chunk, line)) in enumerate(asked, start=1)
        ),
    )
