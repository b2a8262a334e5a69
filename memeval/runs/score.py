"""Turn samples into scores: metrics, verdict and reason, one row per sample.

`failed` (no reply was obtained) and `wrong` (the reply is unusable: cut off, thinking never closed, prompt beyond the
model's window) both count 0 in every metric that applies, and are kept apart (DESIGN section 1.2).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from memeval.agent import Item
from memeval.metrics import Reply, score, with_retrieval
from memeval.metrics.evidence import RETRIEVAL
from memeval.metrics.rules import Rules
from memeval.records.rows import QuestionRow, SampleRow, ScoreRow
from memeval.records.verdicts import unusable

ABOUT_RECALL = {"evidence_any", "evidence_all", *RETRIEVAL}
"""Metrics of the recall, not of the reply: an unusable reply does not change them."""


def score_samples(
    samples: Iterable[SampleRow],
    questions: Mapping[str, QuestionRow],
    texts: Mapping[str, str],
    rules: Rules,
    scorer: str = "",
) -> Iterator[ScoreRow]:
    """The rows of scores/task.jsonl, in the order of the samples.

    texts: of the recalled items, by name (texts.jsonl). scorer: digest of the scoring rules (ScoreRow).
    """
    for sample in samples:
        values, verdict, reason = score_sample(sample, questions[sample.question_id], texts, rules)
        yield ScoreRow(
            question_id=sample.question_id,
            repeat=sample.repeat,
            answer_repeat=sample.answer_repeat,
            metrics=values,
            verdict=verdict,
            reason=reason,
            scorer=scorer,
        )


def up_to_date(scores: Sequence[ScoreRow], samples: Sequence[SampleRow], scorer: str | None) -> bool:
    """Whether these are the scores of these samples under the rules with this digest."""
    return [(row.key, row.scorer) for row in scores] == [(row.key, scorer) for row in samples]


def score_sample(
    sample: SampleRow, row: QuestionRow, texts: Mapping[str, str], rules: Rules
) -> tuple[dict[str, float], str, str | None]:
    """(name -> value of the metrics that apply, verdict, reason) of one sample.

    verdict: right (headline 1, or a correct abstention), partly, wrong, failed, or n/a (a control without a result
    here). The metrics of recall do not apply to a native agent without a recall.
    """
    if sample.not_applicable:
        return {}, "n/a", sample.not_applicable
    recalled = recalled_items(sample, texts)
    reply = Reply(
        prediction=sample.answer or "",
        question=row.question(),
        recalled=None if (rules.native or recalled) and not any(item.chunks for item in recalled) else recalled,
        evidence=row.evidence,
        native=rules.native,
        keyword_separator=rules.keyword_separator,
    )
    values = {name: value for name, value in score(with_retrieval(rules.metrics), reply).items() if value is not None}
    reason = unusable(sample.finish_reason, rules.cut_off)
    if sample.failure is not None or reason:
        values = {name: value if name in ABOUT_RECALL else 0.0 for name, value in values.items()}
    if sample.failure is not None:
        return values, "failed", sample.failure
    success = values.get(rules.headline) if row.answerable else values.get("abstention")
    verdict = "wrong" if not success else "right" if success >= 1.0 else "partly"
    return values, verdict, reason


def recalled_items(sample: SampleRow, texts: Mapping[str, str]) -> tuple[Item, ...]:
    """The recalled items that the reader saw, with their texts."""
    return tuple(Item(texts.get(item.text, ""), item.chunks, item.id, item.score) for item in sample.recall)
