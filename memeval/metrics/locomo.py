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
    """F1 of the shared stemmed tokens. A multi-hop gold is cut at its commas, and each part takes the best of the reply's
    parts, which are cut at commas too; the mean over the gold's parts counts. Of an open-domain gold only the part before
    the first ";" counts. No token in common is 0."""
    kind = reply.question.kind
    if kind == "multi-hop":
        return best(reply, _multi_f1)
    if kind == "open-domain":
        return best(reply, lambda prediction, gold: stemmed_f1(prediction, gold.partition(";")[0].strip()))
    return best(reply, stemmed_f1)


def locomo_adversarial(reply: Reply) -> float | None:
    """1 when a reply to an adversarial question says "no information available" or "not mentioned", in any case. None for
    the other kinds. Refusals in other words do not count here; they do in `abstention`."""
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
    """Lower case; commas and ASCII punctuation dropped; the words a, an, the and and dropped; stemmed."""
    return [stem(word) for word in _DROPPED.sub(" ", text.lower().translate(_PUNCTUATION)).split()]
