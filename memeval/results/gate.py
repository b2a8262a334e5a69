"""May a change be merged, or a checkpoint kept? `gate(baseline, candidate)` judges one run by another (validity section 1).

checks.py defines the checks. Exit codes: 0 nothing is shown to be worse; 1 a check shows a regression, or under `strict` is
inconclusive; 3 a run is invalid or partial, or its replies came from another endpoint than the run was asked to use.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from memeval.errors import UsageError
from memeval.results.checks import Check, Rules, Verdict, checks
from memeval.results.pairs import Pair, RunsOrName, matched, runs_of
from memeval.stats.intervals import FEW_CLUSTERS
from memeval.typed import typed
from memeval.wording import counted

CODES: dict[str, int] = {"pass": 0, "regression": 1, "inconclusive": 0, "invalid": 3}
DEFAULT = Rules()


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict: the worst of the checks, or `invalid` where a run cannot be judged; reasons says why. lost: task -> ids
    of the questions that the candidate answers worse."""

    verdict: Verdict | Literal["invalid"]
    exit_code: int
    baseline: tuple[str, ...]
    candidate: tuple[str, ...]
    rules: Rules
    checks: tuple[Check, ...] = ()
    reasons: tuple[str, ...] = ()
    lost: dict[str, tuple[str, ...]] = {}
    notes: tuple[str, ...] = ()


def gate(
    baseline: RunsOrName,
    candidate: RunsOrName,
    rules: Rules = DEFAULT,
    runs_dir: str | Path = "runs",
    limit: int | None = None,
) -> Gate:
    """Judge a candidate against a baseline. Both are runs, or what `load_runs` finds them by; runs on several tasks are
    matched by the task's name. limit: use only the first questions, in the order of the task.

    Raises UsageError where the two may not be compared, a task of the baseline has no candidate, there are fewer than five
    clusters (unless within_stream), a number of a rule is out of its range, or a rule needs something that the runs lack.
    """
    typed(msgspec.to_builtins(rules), Rules, "gate")
    old, new = runs_of(baseline, runs_dir, limit), runs_of(candidate, runs_dir, limit)
    pairs = matched(old, new)
    missing = [run.task for run in old if run not in {pair.base for pair in pairs}]
    if missing:
        raise UsageError(f"gate: no candidate on {', '.join(missing)}, which the baseline has; run it there as well")
    sides = (tuple(str(run.path) for run in old), tuple(str(pair.other.path) for pair in pairs))
    reasons = tuple(reason for pair in pairs for reason in _unfit(pair))
    if reasons:
        return Gate(verdict="invalid", exit_code=3, baseline=sides[0], candidate=sides[1], rules=rules, reasons=reasons)
    for pair in pairs:
        _comparable(pair, rules)
    made = checks(pairs, rules)
    verdict = _worst(made)
    return Gate(
        verdict=verdict,
        exit_code=1 if verdict == "inconclusive" and rules.strict else CODES[verdict],
        baseline=sides[0],
        candidate=sides[1],
        rules=rules,
        checks=tuple(made),
        lost={pair.base.task: pair.scores().lost for pair in pairs},
        notes=tuple(f"{pair.base.task}: {text}" for pair in pairs for text in (*_named(pair), *pair.notes)),
    )


def _unfit(pair: Pair) -> list[str]:
    """The reasons why either run of the pair cannot be used."""
    reasons = []
    for side, run in (("baseline", pair.base), ("candidate", pair.other)):
        summary = run.summary
        if summary.status != "complete" or not summary.n:
            failed = max(summary.failed, summary.judge.failed if summary.judge else 0)
            why = f"{failed} of {counted(sum(summary.verdicts.values()), 'answer')} failed" if failed else "stopped early"
            reasons.append(f"{side} {run.path}: {summary.status} ({why}); run its command again to finish it")
    for row in pair.other.summary.read_back:
        if row.asked and row.asked != row.url and row.role not in pair.other.tags:
            fresh = "--fresh" if row.role == "reader" else "--fresh-memory"
            reasons.append(
                f"candidate {pair.other.path}: the replies of {row.role} were read back, made by {row.url} on {row.since} "
                f"and not by {row.asked}; name the checkpoint with --tag {row.role}=NAME, or ask it with {fresh}"
            )
    return reasons


def _comparable(pair: Pair, rules: Rules) -> None:
    if listed := "; ".join(map(str, pair.forbidden())):
        raise UsageError(
            f"gate: {pair.title} may not be compared: {listed}. Run the candidate as the baseline was run, or make the "
            "baseline anew (memeval export RUN --to baseline)"
        )
    clusters = len(set(pair.scores().clusters))
    if clusters < FEW_CLUSTERS and not rules.within_stream:
        raise UsageError(
            f"gate: the questions of {pair.base.task} are in {counted(clusters, 'cluster')}, fewer than {FEW_CLUSTERS}: a "
            "verdict would hold for other questions within these streams only; --within-stream accepts that"
        )


def _named(pair: Pair) -> list[str]:
    return [f"also different: {one}" for one in pair.mismatches]


def _worst(checks: Sequence[Check]) -> Verdict:
    found = {check.verdict for check in checks}
    order: tuple[Verdict, ...] = ("regression", "inconclusive")
    return next((verdict for verdict in order if verdict in found), "pass")
