"""The metrics: one function each, from a `Reply` to a score from 0 to 1, or None where the metric does not apply.

A metric is implemented once, for evaluation, reward and leaderboard. `METRICS` is a plain dict; adding one's own is
`METRICS["mine"] = function`, or an entry point. String metrics take the best of several golds and leave unanswerable
questions out; `abstention` covers those.
"""

from __future__ import annotations

from collections.abc import Sequence

from memeval.errors import UsageError, suggest
from memeval.identity import place
from memeval.metrics.abstention import AbstentionScores, abstained, abstention, abstention_scores
from memeval.metrics.choices import boxed, keyword_share, keyword_share_published, letter
from memeval.metrics.evidence import (
    evidence_all,
    evidence_any,
    evidence_mrr,
    evidence_recall,
    evidence_recall_at_1,
    evidence_recall_at_5,
    with_retrieval,
)
from memeval.metrics.locomo import locomo_adversarial, locomo_f1
from memeval.metrics.memalpha import contains_first
from memeval.metrics.memoryagentbench import (
    detective_exact_match,
    eventqa_recall,
    mab_exact_match,
    mab_f1,
    mab_line,
    mab_line_exact,
    mab_rouge_l,
    mab_substring,
    recall_at_5,
)
from memeval.metrics.reply import Metric, Reply
from memeval.metrics.rouge import rouge_l
from memeval.metrics.strings import exact_match, f1, substring, substring_guarded, substring_two_way
from memeval.metrics.text import answer_text, normalise
from memeval.plugins import described, entry_point

METRICS: dict[str, Metric] = {
    "exact_match": exact_match,
    "f1": f1,
    "substring": substring,
    "substring_two_way": substring_two_way,
    "substring_guarded": substring_guarded,
    "letter": letter,
    "boxed": boxed,
    "keyword_share": keyword_share,
    "keyword_share_published": keyword_share_published,
    "rouge_l": rouge_l,
    "evidence_any": evidence_any,
    "evidence_all": evidence_all,
    "evidence_recall": evidence_recall,
    "evidence_recall_at_1": evidence_recall_at_1,
    "evidence_recall_at_5": evidence_recall_at_5,
    "evidence_mrr": evidence_mrr,
    "abstention": abstention,
    "mab_substring": mab_substring,
    "mab_exact_match": mab_exact_match,
    "mab_f1": mab_f1,
    "mab_rouge_l": mab_rouge_l,
    "mab_line": mab_line,
    "mab_line_exact": mab_line_exact,
    "detective_exact_match": detective_exact_match,
    "eventqa_recall": eventqa_recall,
    "recall_at_5": recall_at_5,
    "contains_first": contains_first,
    "locomo_f1": locomo_f1,
    "locomo_adversarial": locomo_adversarial,
}


def load(name: str, where: str) -> None:
    """Make sure that `METRICS` has the metric, from an entry point if need be. where: the card, for the UsageError."""
    if name not in METRICS:
        found = entry_point("metrics", name)
        if found is None:
            raise UsageError(f"{where}: unknown metric '{name}'{suggest(name, METRICS)} (memeval list metrics shows all)")
        METRICS[name] = found


def score(metrics: Sequence[str], reply: Reply) -> dict[str, float | None]:
    """The named metrics of one reply, in the order given.

    Raises UsageError for a name that is not in METRICS, and for a metric that raises (with the user's file and line) or
    returns something other than a number from 0 to 1, or None.
    """
    unknown = next((name for name in metrics if name not in METRICS), None)
    if unknown is not None:
        raise UsageError(f"unknown metric '{unknown}'{suggest(unknown, METRICS)} (known: {', '.join(METRICS)})")
    return {name: _number(name, reply) for name in metrics}


def _number(name: str, reply: Reply) -> float | None:
    try:
        value: object = METRICS[name](reply)
    except Exception as error:  # of a user's own metric
        where = place(error)
        said = f"metric '{name}' raised {described(error)} for question '{reply.question.id}'"
        raise UsageError(f"{where}: {said}" if where else said) from error
    if value is None:
        return None
    if not isinstance(value, (int, float)) or not 0 <= value <= 1:  # NaN is in no range
        raise UsageError(
            f"metric '{name}' returned {value!r} for question '{reply.question.id}'; return a number from 0 to 1, or None"
        )
    return float(value)


__all__ = [
    "METRICS",
    "AbstentionScores",
    "Metric",
    "Reply",
    "abstained",
    "abstention_scores",
    "answer_text",
    "load",
    "normalise",
    "score",
    "with_retrieval",
]
