"""How far a dry run is off, where the run's folder holds some of its questions already: their streams are run dry as well,
and the prompts are compared with those that the server counted.

What differs is the server's tokenizer and chat template, and what the model wrote to the memory that is read later: neither
can be known before it was called, and both are much the same from question to question.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping

from memeval.costs import bookings
from memeval.estimating.dry_run import Bill, DryRun, dry_run, judge_family
from memeval.estimating.experience import FEWEST
from memeval.estimating.workload import measure
from memeval.judging.scorer import scorer_name
from memeval.models.stand_in import Lengths
from memeval.records.folder import RunFolder
from memeval.runs.plan import Planned

Key = tuple[str, str]
"""(role, phase)"""


def correction(planned: Planned, known: Mapping[str, Mapping[str, Lengths]]) -> dict[Key, float]:
    """Prompt tokens that the server counted, for each that a dry run counts; nothing where fewer than FEWEST questions
    were asked. known: lengths of replies (experience.py)."""
    spec = planned.spec
    folder = RunFolder(spec.folder)
    samples = [row for row in folder.samples() if row.failure is None and not row.repeat]
    asked = {row.question_id for row in samples}.intersection(planned.question_ids)
    if len(asked) < FEWEST:
        return {}
    _, streams, _ = measure(planned, planned.task.refs([name for name in planned.question_ids if name in asked]))
    once = dataclasses.replace(planned, spec=dataclasses.replace(spec, answer_repeats=1))
    dry = dry_run(once, streams, known)
    if all(model.exact for model in dry.stand_ins.values()):
        return {}
    contexts = {prepared.context.id for prepared in streams}
    questions = {question.id for prepared in streams for point in prepared.points for question in point.questions}
    same = [row for row in samples if row.question_id in questions and not row.answer_repeat]
    read = [
        row for row in folder.memory.operations() if row.context_id in contexts and not row.repeat and row.position is None
    ]
    judged = []
    if planned.judge is not None:
        scorer = scorer_name(planned.judge, judge_family(spec), planned.judge_prompt)
        judged = [header for header in [folder.judge_header(scorer)] if header]
    calls: Counter[Key] = Counter()
    prompts: Counter[Key] = Counter()
    for phase, role, usage, number in bookings(same, read, judged):
        calls[role, phase] += number
        prompts[role, phase] += usage.prompt
    factors = {}
    for role, phase in calls:
        bill = bills(dry)[phase][0]
        counted = bill[role, "prompt"] / max(1, bill[role, "calls"])
        if calls[role, phase] and counted > 0 and not dry.stand_ins[role].exact:
            factors[role, phase] = prompts[role, phase] / calls[role, phase] / counted
    return factors


def correct(dry: DryRun, factors: Mapping[Key, float]) -> None:
    """Multiply the prompts of a dry run."""
    for (role, phase), factor in factors.items():
        for bill in bills(dry)[phase]:
            for what in ("prompt", "cached"):
                bill[role, what] = round(bill[role, what] * factor)


def bills(dry: DryRun) -> dict[str, list[Bill]]:
    """By phase, as costs.py names them."""
    return {
        "ingest": [dry.reading, dry.ends],
        "recall": [dry.recalling],
        "answer": [dry.answering],
        "judge": [dry.judging],
    }
