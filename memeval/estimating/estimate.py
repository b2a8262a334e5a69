"""What a run would cost, before it is started: calls, tokens, USD, and what its number of questions can show.

A few of the run's own streams are run dry (dry_run.py) and scaled to all that are left: reading by tokens of stream, ends of
earlier positions by their number, answers by the questions. Replies are taken to be as long as those of earlier calls of
their kind in the runs folder (experience.py), and prompts as much longer than counted as they were so far (correction.py);
where there are none, a guess says that it is one. What the run's folder holds
already is taken off, and memories that another run has read or builds before. Replies that the user's cache
may hold are not.
"""

from __future__ import annotations

import dataclasses
import json
import math
import shlex
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memeval.costs import added
from memeval.estimating.correction import correct, correction
from memeval.estimating.dry_run import DryRun, dry_run
from memeval.estimating.experience import FEWEST, experience
from memeval.estimating.notes import about, about_forks, about_lengths
from memeval.estimating.workload import left_over, measure, unjudged
from memeval.models.completion import Usage
from memeval.models.prices import cost, price
from memeval.models.stand_in import Lengths, StandIn
from memeval.process import foreign_code
from memeval.runs.options import Options
from memeval.runs.plan import Planned, plan
from memeval.stats import detectable_effect, half_width

CLOSE = 0.2
"""How far from what the run uses an estimate may be."""
USD = ("usd", "usd_least", "usd_most")


@dataclass(frozen=True, slots=True)
class Role:
    """What is left to call of one role. usd: None where the price is not known. ..._least: if each reply were empty,
    ..._most: if each used its limit. guessed: lengths of replies are, without thinking."""

    model: str
    calls: int
    prompt: int
    completion: int
    completion_most: int
    usd: float | None
    usd_least: float | None
    usd_most: float | None
    guessed: bool


@dataclass(frozen=True, slots=True)
class Estimate:
    """One run as it stands. questions, n: asked in all, and behind the headline (answerable ones). answers, streams, chunks:
    left to give, to read and to show (repeats counted). roles: what is left to call. half_width: of the 95 % interval at a
    rate of one half, detectable_effect: smallest paired difference seen with 80 % power (fractions; None without questions).
    first: questions to ask before an estimate comes within some 20 %; 0 where enough were asked, or only all would be.
    """

    agent: str
    params: Mapping[str, Any]
    task: str
    path: str
    questions: int
    n: int
    answers: int
    streams: int
    chunks: int
    roles: Mapping[str, Role]
    half_width: float | None
    detectable_effect: float | None
    first: int
    notes: tuple[str, ...]

    @property
    def calls(self) -> int:
        return sum(role.calls for role in self.roles.values())

    @property
    def prompt(self) -> int:
        return sum(role.prompt for role in self.roles.values())

    @property
    def completion(self) -> int:
        return sum(role.completion for role in self.roles.values())

    @property
    def usd(self) -> float | None:
        return added([role.usd for role in self.roles.values()])

    @property
    def usd_least(self) -> float | None:
        return added([role.usd_least for role in self.roles.values()])

    @property
    def usd_most(self) -> float | None:
        return added([role.usd_most for role in self.roles.values()])

    def to_json(self) -> dict[str, Any]:
        sums = {key: getattr(self, key) for key in ("calls", "prompt", "completion", *USD)}
        return {**dataclasses.asdict(self), **sums}


def estimate(planned: Planned, before: Sequence[Planned] = ()) -> Estimate:
    """See the module. before: runs of the same command that go first. Raises UsageError where the run itself would; costs a
    few seconds and no model call."""
    spec = planned.spec
    left, verdicts = list(left_over(planned, before)), unjudged(planned)
    refs = list(dict.fromkeys(item.ref for item in left))
    if verdicts and not refs:
        refs = planned.task.refs(planned.question_ids)
    sizes, sampled, notes = measure(planned, refs)
    known = experience(planned)
    dry = dry_run(planned, sampled, known)
    factors = correction(planned, known) if left or verdicts else {}
    correct(dry, factors)
    bill: defaultdict[tuple[str, str], float] = defaultdict(float)
    chunks = again = 0.0
    for item in left:
        size = sizes[item.ref]
        unread = 0.0 if item.shared else max(0.0, 1.0 - item.read / max(1.0, size.tokens))
        asked = 0.0 if item.shared else item.answers / max(1, len(item.ref.question_ids) * spec.answer_repeats)
        for key, value in dry.reading.items():  # one call a chunk is the rule, and what is read in it the stream's tokens
            by, of = (size.chunks, dry.chunks) if key[1] == "calls" else (size.tokens, dry.tokens)
            bill[key] += unread * value * by / max(1, of)
        for key, value in dry.ends.items():
            bill[key] += value * asked * size.positions / max(1, dry.positions)
            again += value * asked * size.positions / max(1, dry.positions) if key[1] == "calls" else 0
        for part in (dry.answering,) if item.shared else (dry.recalling, dry.answering):
            for key, value in part.items():
                bill[key] += value * item.answers / max(1, dry.answers)
        chunks += unread * size.chunks
    for key, value in dry.judging.items():
        bill[key] += value * verdicts / max(1, dry.answers)
    golds = {question.id: question.answerable for question in planned.task.golds()}
    n = sum(golds.get(question, True) for question in planned.question_ids)
    roles = _roles(bill, dry)
    return Estimate(
        agent=spec.agent.typed,
        params=dict(spec.agent.params),
        task=spec.task_typed,
        path=spec.shown,
        questions=len(planned.question_ids),
        n=n,
        answers=sum(item.answers for item in left),
        streams=sum(not item.shared and item.read < sizes[item.ref].tokens for item in left) if not spec.agent.is_arm else 0,
        chunks=round(chunks) if not spec.agent.is_arm else 0,
        roles=roles,
        half_width=half_width(n) if n else None,
        detectable_effect=detectable_effect(n) if n else None,
        first=_first(roles, known, dry.stand_ins, len(planned.question_ids), sum(item.answers for item in left)),
        notes=(*notes, *about(planned, left, dry, n), *about_lengths(dry, known, factors), *about_forks(dry, again)),
    )


def _roles(bill: Mapping[tuple[str, str], float], dry: DryRun) -> dict[str, Role]:
    found = {}
    for role, stand_in in dry.stand_ins.items():
        calls, prompt, completion = (round(bill.get((role, key), 0)) for key in ("calls", "prompt", "completion"))
        if not calls:
            continue
        most = round(completion * dry.longer[role])
        name = stand_in.spec.name
        listed = price(name, stand_in.spec.base_url)
        cached = round(bill.get((role, "cached"), 0))
        usd, least, most_usd = (cost(Usage(prompt, size, cached), listed, calls) for size in (completion, 0, most))
        found[role] = Role(name, calls, prompt, completion, most, usd, least, most_usd, bool(stand_in.guessed))
    return found


def _first(
    roles: Mapping[str, Role],
    known: Mapping[str, Mapping[str, Lengths]],
    stand_ins: Mapping[str, StandIn],
    questions: int,
    answers: int,
) -> int:
    """`Estimate.first`. What the mean lengths of replies may be off by is weighed by their share of the whole."""
    if any(role.guessed for role in roles.values()):
        return FEWEST if questions > FEWEST else 0
    priced = all(role.usd for role in roles.values())
    whole = off = 0.0
    for name, role in roles.items():
        error = max((told.error for told in known.get(name, {}).values() if not stand_ins[name].exact), default=0.0)
        all_of_it, least = (role.usd, role.usd_least) if priced else (role.prompt + role.completion, role.prompt)
        whole, off = whole + (all_of_it or 0), off + (error * ((all_of_it or 0) - (least or 0))) ** 2
    excess = math.sqrt(off) / whole / CLOSE if whole else 0.0
    enough = math.ceil(max(questions - answers, FEWEST) * excess**2)
    return enough if excess > 1 and enough < questions else 0


def estimate_command(options: Options, form: str) -> int:
    """`memeval estimate`: one table, or one JSON object, on stdout. Returns the exit code."""
    from memeval.report.estimates import estimates_table

    with foreign_code() as out:
        plans = plan(options)
        found = [estimate(planned, plans[:number]) for number, planned in enumerate(plans)]
        if form == "json":
            sums = {key: sum(getattr(one, key) for one in found) for key in ("calls", "prompt", "completion")}
            money = {key: added([getattr(one, key) for one in found]) for key in USD}
            print(
                json.dumps({"estimates": [one.to_json() for one in found], "total": {**sums, **money}}, ensure_ascii=False),
                file=out,
            )
        else:
            print(estimates_table(found), file=out)
            if enough := max(one.first for one in found):
                again = _command(enough, sys.argv[1:])
                print(f"- to come within {CLOSE:.0%}, run this first, then estimate again:\n  {again}", file=out)
    return 0


def _command(questions: int, words: Sequence[str]) -> str:
    """The command line that runs so many questions of what was estimated."""
    kept, skip = [], False
    for word in words[words.index("estimate") + 1 :] if "estimate" in words else words:
        name, equals, _ = word.partition("=")
        if not skip and name not in ("--limit", "--format"):
            kept.append(word)
        skip = not skip and name in ("--limit", "--format") and not equals
    return shlex.join(["memeval", "run", *kept, "--limit", str(questions)])
