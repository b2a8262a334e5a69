"""LoCoMo's own scoring, by the kind of question (`memeval.tasks.locomo.KINDS`).

Source: `eval_question_answering`, `f1`, `f1_score` and `normalize_answer` in task_eval/evaluation.py of
snap-research/locomo.
"""

from __future__ import annotations

import re
import string

from memeval.metrics.porter import stem
from memeval.metrics.reply import Reply, best
from memeval.metrics.strings import shared_f1

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_DROPPED = re.compile(r"\b(a|an|the|and)\b")
_REFUSALS = ("no information available", "not mentioned")


def locomo_f1(reply: Reply) -> float | None:
    """F1 of the shared stemmed tokens. A multi-hop gold and the reply are cut at their commas; each part of the gold takes
    the best of the reply's parts, and the score is their mean. For an open-domain gold only the part before the first ";"
    counts. Without a common token the score is 0."""
    kind = reply.question.kind
    if kind == "multi-hop":
        return best(reply, _multi_f1)
    if kind == "open-domain":
        return best(reply, lambda prediction, gold: stemmed_f1(prediction, gold.partition(";")[0].strip()))
    return best(reply, stemmed_f1)


def locomo_adversarial(reply: Reply) -> float | None:
    """1 when a reply to an adversarial question contains "no information available" or "not mentioned", case ignored. None
    for the other kinds. Refusals in other words do not count here; they do in `abstention`."""
    if reply.question.kind != "adversarial":
        return None
    return float(any(phrase in reply.prediction.lower() for phrase in _REFUSALS))


def stemmed_f1(prediction: str, gold: str) -> float:
    """`f1_score` of upstream: token F1, Porter-stemmed."""
    return shared_f1(_tokens(prediction), _tokens(gold))


def _multi_f1(prediction: str, gold: str) -> float:
    parts = [_tokens(part) for part in prediction.split(",")]
    wanted = [_tokens(part) for part in gold.split(",")]
    return sum(max(shared_f1(part, one) for part in parts) for one in wanted) / len(wanted)


def _tokens(text: str) -> list[str]:
    """The stemmed tokens of a text in lower case, without ASCII punctuation and without the words a, an, the, and."""
    return [stem(word) for word in _DROPPED.sub(" ", text.lower().translate(_PUNCTUATION)).split()]
