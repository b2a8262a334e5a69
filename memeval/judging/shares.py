"""The score of an answer from a judge's counts and scores, by our rule and by the published one.

A summary: fluency times the F1 of supported keypoints and supported sentences. A rubric: `judge` is the mean over its items,
each 0, 0.5 or 1, for every kind of question. `judge_published` is what BEAM's src/evaluation reports: the same mean with
`int(score)`, which makes a half 0; but for event ordering only Kendall's tau, mapped to [0, 1], which is high for an answer
that lists few events. Event ordering also has that tau (`order_tau`), and the tau times the F1 of the listed events
(`order_tau_f1`), which upstream computes but does not report.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from statistics import fmean

from memeval.judging.prompts import ASPECTS, FLUENCY, ORDERING, PRECISION, RECALL, RUBRICS, SENTENCES

PUBLISHED, TAU, TAU_F1 = "judge_published", "order_tau", "order_tau_f1"
PARTS: Mapping[str, tuple[str, ...]] = {
    **{family: tuple(aspects) for family, aspects in ASPECTS.items()},
    **dict.fromkeys(RUBRICS, (PUBLISHED, TAU, TAU_F1)),
}
"""family -> names of its scores besides `judge`"""
RULE: Mapping[str, str] = {
    **dict.fromkeys(ASPECTS, "fluency x F1 of recall and precision"),
    **dict.fromkeys(RUBRICS, "mean over the items of the rubric, half points kept"),
}
"""family -> how its score `judge` is computed, in words"""


def zero_parts(family: str, kind: str) -> dict[str, float]:
    """The further scores of an answer that counts 0, all of them 0."""
    names = PARTS.get(family, ())
    return dict.fromkeys((name for name in names if kind == ORDERING or name not in (TAU, TAU_F1)), 0.0)


def summary_shares(counts: Mapping[str, int], keypoints: int) -> dict[str, float]:
    """`judge`, the score in [0, 1]: fluency times the F1 of recall and precision; and these parts: `fluency` (0 or 1),
    `recall` = supported keypoints / keypoints, `precision` = supported sentences / sentences, 0 where there are none.

    Source: `check_metrics` of MemoryAgentBench's llm_based_eval/summarization_evaluate.py, which is HELMET's."""
    recall = counts[RECALL] / keypoints if keypoints else 0.0
    precision = counts[PRECISION] / counts[SENTENCES] if counts[SENTENCES] else 0.0
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return {"judge": counts[FLUENCY] * f1, FLUENCY: float(counts[FLUENCY]), RECALL: recall, PRECISION: precision}


def rubric_shares(scores: Sequence[float], order: Sequence[int] | None) -> dict[str, float]:
    """`judge` and its parts. scores: of the items. order: for event ordering, the number of the item (from 1) that each
    entry of the answer names, or 0."""
    made = {"judge": fmean(scores), PUBLISHED: fmean(map(int, scores))}
    if order is None:
        return made
    tau, f1 = order_tau(order, len(scores)), listed_f1(order, len(scores))
    return {**made, PUBLISHED: tau, TAU: tau, TAU_F1: tau * f1}


def listed_f1(order: Sequence[int], events: int) -> float:
    """F1 of precision (entries that are events / entries) and recall (listed events / events)."""
    matched = sum(number > 0 for number in order)
    return 2 * matched / (len(order) + events) if matched else 0.0


def order_tau(order: Sequence[int], events: int) -> float:
    """Kendall's tau-b between the order of the events and that of the entries, mapped to (tau + 1) / 2; 0 where it is not
    defined (upstream: NaN).

    Source: `event_ordering_score` of BEAM. Both orders rank the union of events and entries; elements that one of them lacks
    share its last rank.
    """
    last = events + len(order) + 1
    place = {number: at for at, number in enumerate(order, start=1) if number}
    ranks = [(event, place.get(event, last)) for event in range(1, events + 1)]
    ranks += [(last, at) for at, number in enumerate(order, start=1) if not number]
    defined = all(len(set(side)) > 1 for side in zip(*ranks, strict=True))
    return (tau_b(ranks) + 1) / 2 if defined else 0.0


def tau_b(ranks: Sequence[tuple[int, int]]) -> float:
    """Kendall's tau-b (1945) of pairs of ranks; neither rank may be the same in all pairs."""
    first = second = agreement = 0
    for one, other in combinations(ranks, 2):
        left, right = ((a > b) - (a < b) for a, b in zip(one, other, strict=True))
        first, second, agreement = first + abs(left), second + abs(right), agreement + left * right
    return agreement / math.sqrt(first * second)
