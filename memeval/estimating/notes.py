"""What an estimate tells its reader beside the numbers: what they rest on, what they leave out, how sure they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from memeval.estimating.dry_run import DryRun
from memeval.estimating.workload import Left
from memeval.models.completion import ModelSpec
from memeval.models.prices import price
from memeval.models.registry import runs_here
from memeval.models.stand_in import WRITING_SHARE, Lengths
from memeval.runs.plan import Planned
from memeval.runs.sharing import sharing

TOO_FEW = 100


def about(planned: Planned, left: list[Left], dry: DryRun, n: int) -> Iterator[str]:
    """What the numbers rest on."""
    spec = planned.spec
    wanted = len(planned.question_ids) * spec.repeats * spec.answer_repeats
    missing = wanted - sum(item.answers for item in left)
    if missing:
        yield f"{missing} of {wanted} answers stand in {spec.shown} already"
    shared = sum(item.shared for item in left)
    if shared and (dry.reading or dry.recalling):
        yield f"the memories of {shared} of {len(left)} streams are another run's: read, not built and paid for again"
    if dry.failures:
        yield f"WARNING: {len(dry.failures)} of {dry.answers} answers failed in the dry run: {dry.failures[0]}"
    for role, model in dry.stand_ins.items():
        if model.overflows:
            yield f"WARNING: {model.overflows} prompts of {role} exceed the window of {model.spec.name} in the dry run"
    guessed = [
        role
        for role, model in dry.stand_ins.items()
        if not model.exact and (role, "calls") in {*dry.reading, *dry.answering, *dry.judging}
    ]
    if guessed:
        names = sorted({dry.stand_ins[role].counter.name for role in guessed})
        yield f"prompts counted with {', '.join(names)}"
    unpriced = sorted({dry.stand_ins[role].spec.name for role in guessed if not _priced(dry.stand_ins[role].spec)})
    if unpriced:
        yield f"no price known for {', '.join(unpriced)}: USD stays blank; add it under 'prices:' in memeval.yaml"
    if len(planned.task.refs(planned.question_ids)) < len(planned.question_ids):
        once, alone = sharing(planned.task, planned.question_ids)
        read = sum(value for bill in (dry.reading, dry.ends) for (_, what), value in bill.items() if what == "calls")
        each = read / max(1, dry.shown)
        calls = f" (calls: {once * each:,.0f}, {alone * each:,.0f})" if each else ""
        yield (
            f"a stream is read once for all its questions: {once:,} chunks are shown, {alone:,} if read for every "
            f"question{calls}"
        )
    if n < TOO_FEW:
        yield f"n below {TOO_FEW}: shows the machinery, ranks nothing"
    if spec.task.cluster != "question":
        yield f"several questions to a {spec.task.cluster}: the interval will be wider than that of {n} independent ones"


def about_lengths(
    dry: DryRun, known: Mapping[str, Mapping[str, Lengths]], factors: Mapping[tuple[str, str], float]
) -> Iterator[str]:
    """Where the lengths of prompts and replies come from."""
    for (role, phase), factor in factors.items():
        yield f"prompts of {role} ({phase}) have {factor:.2f} times the tokens counted, as in what stands of the run"
    for role, phases in known.items():
        for phase, told in phases.items() if not dry.stand_ins[role].exact else ():
            cached = f", {told.cached:.0%} of the prompts cached" if told.cached else ""
            sure = f" ± {told.error:.0%}" if told.error else ""  # a judge's calls are known by their sum alone
            mean = f"{told.completion:.0f} tokens{sure}, mean of {told.calls:,} earlier calls"
            yield f"replies of {role} ({phase}): {mean}{cached}"
    guesses = [(role, phase, model) for role, model in dry.stand_ins.items() for phase in sorted(model.guessed)]
    if guesses:
        which = ", ".join(f"{role} ({phase})" for role, phase, _ in guesses)
        sizes = sorted({model.answer for _, _, model in guesses})
        yield (
            f"replies of {which} are guessed (~): {WRITING_SHARE:.0%} of their limit when writing and "
            f"{' or '.join(map(str, sizes))} tokens when answering, at most their limit; no thinking, no discount for "
            "cached prefixes. They are known after a few questions, which the run keeps and does not pay for again"
        )


def about_forks(dry: DryRun, calls: float) -> Iterator[str]:
    if dry.rebuilt:
        yield f"the agent cannot fork: at every earlier position it reads the stream anew ({calls:,.0f} of the calls)"


def _priced(model: ModelSpec) -> bool:
    return runs_here(model) or price(model.name, model.base_url) is not None
