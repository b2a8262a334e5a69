"""`--fresh` and `--fresh-memory`: what is made anew."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from memeval.records.folder import RunFolder
from memeval.records.memory import first_generation, new_generation
from memeval.runs.plan import Planned


def anew(plans: Sequence[Planned], *, fresh: bool = False, fresh_memory: bool = False) -> list[Planned]:
    """The runs of a command, with what they are to make anew deleted or left behind. fresh: answers; fresh_memory: the
    memory too, in a new folder, because other runs may read the old one.

    An agent whose memory does not follow from stored replies has a memory for each command that starts or freshens its
    runs; those of one command share it. Raises UsageError where another process writes one of the runs.
    """
    started = [RunFolder(planned.spec.folder).memory is not None for planned in plans]
    if fresh or fresh_memory:
        for planned in plans:  # all of them first: killed before the end, none of them reads back the old answers
            RunFolder(planned.spec.folder).remove()
    made: dict[Path, Path] = {}
    found = []
    for planned, known in zip(plans, started, strict=True):
        spec = planned.spec
        if spec.memory and (fresh_memory or (not spec.agent.replayable and (fresh or not known))):
            first = first_generation(spec.memory)
            if first not in made:
                made[first] = new_generation(first)
            spec = dataclasses.replace(spec, memory=made[first])
        found.append(dataclasses.replace(planned, spec=spec))
    return found
