"""From samples to scores: metrics, verdict and reason, one line per sample.

`failed` (no reply was obtained) and `wrong` (the reply is no use: cut off, thinking never closed, prompt beyond the
model's window) both count 0 in every metric that applies, and are kept apart (DESIGN section 1.2).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from memeval.metrics import Reply, score
from memeval.task import Evidence, Question

Line = Mapping[str, Any]

UNUSABLE = {
    "length": "the reply was cut off at its token limit",
    "unclosed_think": "the reply never left its thinking",
    "overflow": "the prompt exceeds the model's window",
    "content_filter": "the provider's filter cut the reply off",
}
ABOUT_RECALL = {"evidence_any", "evidence_all"}
"""Metrics of what was recalled, not of the reply: an unusable reply leaves them as they are."""


def question_of(line: Line) -> Question:
    """The question of a line of questions.jsonl."""
    return Question(
        id=line["question_id"],
        text=line["text"],
        answers=tuple(line["answers"]),
        kind=line["kind"],
        time=line["time"],
        options=tuple(line["options"]) if line["options"] else None,
        position=line["position"],
        answerable=line["answerable"],
        evidence=tuple(Evidence(piece["text"], tuple(piece["units"])) for piece in line["evidence"]),
        keypoints=tuple(line.get("keypoints", ())),  # older folders have none
    )


def score_samples(
    samples: Iterable[Line], questions: Mapping[str, Line], metrics: Sequence[str], headline: str, native: bool = False
) -> Iterator[dict[str, Any]]:
    """The lines of scores/task.jsonl, in the order of the samples. native: the agent answers by itself; where it shows no
    recall, the metrics of recall do not apply to it."""
    for sample in samples:
        line = questions[sample["question_id"]]
        yield {
            "question_id": sample["question_id"],
            "repeat": sample["repeat"],
            "answer_repeat": sample["answer_repeat"],
            **score_sample(sample, line, metrics, headline, native),
        }


def score_sample(sample: Line, line: Line, metrics: Sequence[str], headline: str, native: bool) -> dict[str, Any]:
    """{"metrics": name -> value (only those that apply), "verdict", "reason"} of one sample.

    verdict: right (headline 1, or a due abstention), partly, wrong, failed, or n/a (a control without a result here).
    """
    if sample.get("not_applicable"):
        return {"metrics": {}, "verdict": "n/a", "reason": sample["not_applicable"]}
    question = question_of(line)
    recalled = tuple(chunk for item in sample["recall"] for chunk in item["chunks"])
    reply = Reply(
        prediction=sample["answer"] or "",
        question=question,
        recalled=None if native and not recalled else recalled,
        evidence=tuple(frozenset(piece["chunks"]) for piece in line["evidence"]),
    )
    values = {name: value for name, value in score(metrics, reply).items() if value is not None}
    reason = UNUSABLE.get(sample["finish_reason"] or "")
    if sample["failure"] is not None or reason:
        values = {name: value if name in ABOUT_RECALL else 0.0 for name, value in values.items()}
    if sample["failure"] is not None:
        return {"metrics": values, "verdict": "failed", "reason": sample["failure"]}
    success = values.get(headline) if question.answerable else values.get("abstention")
    verdict = "wrong" if not success else "right" if success >= 1.0 else "partly"
    return {"metrics": values, "verdict": verdict, "reason": reason}
