"""Plan and run all runs of a command, and judge them if they have a judge."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from memeval.contamination import trained_questions
from memeval.errors import StopRun
from memeval.models import prices
from memeval.models.budget import Budget
from memeval.models.calls import CallSettings
from memeval.models.local.kept_open import keep_open
from memeval.records.averages import named
from memeval.records.folder import RunFolder
from memeval.records.memory import first_generation, new_generation
from memeval.runs.conclude import conclude
from memeval.runs.notes import notes
from memeval.runs.options import Options
from memeval.runs.origins import with_origins
from memeval.runs.plan import Planned, plan
from memeval.runs.progress import Position
from memeval.runs.run import INTERRUPTED, Outcome, run_together, together, wanted
from memeval.runs.summary import with_judge


def run_all(options: Options, *, fresh: bool = False, fresh_memory: bool = False) -> list[Outcome]:
    """Run one group after the other, until one is stopped. Outcomes are in the order of the plans."""
    outcomes: list[Outcome] = []
    plans = plan(options)
    prices.configured()  # a wrong `prices:` is refused before anything is paid for
    budget = Budget(options.max_cost, options.max_calls)
    for planned in plans:
        budget.require_prices([*planned.spec.models.values(), *([planned.judge] if planned.judge else [])])
    plans = with_origins(anew(plans, fresh=fresh, fresh_memory=fresh_memory), options.same_model)
    groups = together(plans)
    position = Position([len(wanted(planned)) for group in groups for planned in group], 0)
    stopped: Outcome | None = None
    with keep_open():  # a started server or loaded weights serve the next run too
        for group in groups:
            position.number += len(group)
            for outcome in run_together(group, quiet=options.quiet, budget=budget, position=position):
                if not (stopped or outcome.stopped):
                    outcome = _judged(outcome, options, budget)
                stopped = outcome if outcome.stopped else stopped
                outcomes.append(outcome)
            if stopped:
                break
    if stopped and not stopped.interrupted:
        print(f"memeval: stopped: {stopped.stopped} (the same command resumes)", file=sys.stderr)
    order = [planned.spec.folder for planned in plans]
    return sorted(outcomes, key=lambda outcome: order.index(outcome.planned.spec.folder))


def anew(plans: Sequence[Planned], *, fresh: bool = False, fresh_memory: bool = False) -> list[Planned]:
    """Apply `--fresh` and `--fresh-memory` to the runs of a command. fresh: delete the answers; fresh_memory: also
    start a new memory folder, because other runs may read the old one.

    A memory that does not follow from stored replies is new for each command that starts or freshens its runs; the runs
    of one command share it. Raises UsageError if another process is writing one of the runs.
    """
    started = [RunFolder(planned.spec.folder).memory is not None for planned in plans]
    if fresh or fresh_memory:
        for planned in plans:  # first of all: if memeval is killed now, no run reads back its old answers
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


def _judged(outcome: Outcome, options: Options, budget: Budget) -> Outcome:
    """Judge the answers of a run, if it has a judge. If the judge cannot be reached, or on Ctrl-C, the run stays as it
    is and can be judged again."""
    from memeval.judging.judged_run import judge_folder
    from memeval.judging.summary import judged_summary

    planned = outcome.planned
    judge, prompt, folder = planned.judge, planned.judge_prompt, planned.spec.folder
    if judge is None:
        return outcome
    try:
        settings = CallSettings(options.concurrency, options.use_cache, options.policy, budget)
        scorer = judge_folder(folder, judge, prompt=prompt, settings=settings)
    except StopRun as stop:
        return dataclasses.replace(outcome, stopped=f"judge: {stop}")
    except KeyboardInterrupt:
        return dataclasses.replace(outcome, stopped=INTERRUPTED)
    again = replace(conclude(planned), requests=outcome.summary.requests)
    judged = judged_summary(folder, scorer, planned.question_ids)
    questions = RunFolder(folder).questions()
    asked = {key: questions[key].text for key in planned.question_ids if key in questions}
    trained = trained_questions(planned.claims, asked)
    others = named("judge", judged_summary(folder, scorer, set(planned.question_ids) - trained)) if trained else None
    found = with_judge(again, judged, others)
    return dataclasses.replace(outcome, summary=replace(found, notes=notes(found)))
