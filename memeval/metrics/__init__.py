"""The metrics: one function each, from a `Reply` to a score from 0 to 1, or None where the metric does not apply.

A metric is implemented once, for evaluation, reward and leaderboard. `METRICS` is a plain dict; add a metric of your own by
`METRICS["mine"] = function`, or by an entry point. String metrics take the best of several golds and leave out unanswerable
questions; `abstention` covers those.

reply.py        the input of a metric; `best` takes the best of the golds
strings.py      exact, by shared tokens, by containment; text.py finds the final answer in a reply; rouge.py, porter.py
choices.py      letters, labels, keywords
evidence.py     was the gold evidence recalled? held.py finds it by its text
abstention.py   does a reply decline, and does it decline where it should?
locomo.py, memalpha.py, memoryagentbench.py    the rules of published scores
rules.py        the rules by which a run is scored, and their digest
"""

from __future__ import annotations

from collections.abc import Sequence

from memeval.errors import UsageError, suggest
from memeval.loading import described
from memeval.metrics import choices, evidence, locomo, memalpha, memoryagentbench, rouge, strings
from memeval.metrics.abstention import AbstentionScores, abstained, abstention, abstention_scores
from memeval.metrics.evidence import with_retrieval
from memeval.metrics.reply import Metric, Reply
from memeval.metrics.text import answer_text
from memeval.plugins import entry_point
from memeval.source_files import place
from memeval.tasks.base import normalise

METRICS: dict[str, Metric] = {
    metric.__name__: metric
    for metric in (
        strings.exact_match,
        strings.f1,
        strings.substring,
        strings.substring_two_way,
        strings.substring_guarded,
        choices.letter,
        choices.boxed,
        choices.keyword_share,
        choices.keyword_share_published,
        rouge.rouge_l,
        evidence.evidence_any,
        evidence.evidence_all,
        evidence.evidence_recall,
        evidence.evidence_recall_at_1,
        evidence.evidence_recall_at_5,
        evidence.evidence_mrr,
        abstention,
        memoryagentbench.mab_substring,
        memoryagentbench.mab_exact_match,
        memoryagentbench.mab_f1,
        memoryagentbench.mab_rouge_l,
        memoryagentbench.mab_line,
        memoryagentbench.mab_line_exact,
        memoryagentbench.detective_exact_match,
        memoryagentbench.eventqa_recall,
        memoryagentbench.recall_at_5,
        memalpha.contains_first,
        locomo.locomo_f1,
        locomo.locomo_adversarial,
    )
}
"""name -> metric"""


def load(name: str, where: str) -> None:
    """Make sure that `METRICS` has a metric, from an entry point if needed. where: the card, for messages. Raises UsageError
    for an unknown metric."""
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
    except Exception as error:  # from a user's own metric
        where = place(error)
        fault = f"metric '{name}' raised {described(error)} for question '{reply.question.id}'"
        raise UsageError(f"{where}: {fault}" if where else fault) from error
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
