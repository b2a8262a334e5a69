"""Metrics that compare answers as strings: exact, by shared tokens, by containment. Each takes the best of several golds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from memeval.metrics.reply import Reply, best
from memeval.metrics.text import answer_text, marked_answer, published_answer
from memeval.tasks.base import normalise

_CLOSED = ("yes", "no", "noanswer")


def exact_match(reply: Reply) -> float | None:
    """1 when reply and gold are equal once normalised. Source: `exact_match_score`, hotpot_evaluate_v1.py = SQuAD v1.1."""
    return best(reply, lambda prediction, gold: float(normalise(prediction) == normalise(gold)))


def f1(reply: Reply) -> float | None:
    """F1 of the shared normalised tokens. Source: `f1_score` of hotpot_evaluate_v1.py: SQuAD's rule, and 0 where one side
    is yes, no or noanswer and the other differs. Without a common token it is 0, even if both sides normalise to nothing."""
    return best(reply, token_f1)


def token_f1(prediction: str, gold: str) -> float:
    """The rule of `f1` for one gold."""
    predicted, wanted = normalise(prediction), normalise(gold)
    if predicted != wanted and (predicted in _CLOSED or wanted in _CLOSED):
        return 0.0
    return shared_f1(predicted.split(), wanted.split())


def shared_f1(tokens: Sequence[str], wanted: Sequence[str]) -> float:
    """F1 of the tokens that both sides have; a token counts as often as both sides have it."""
    return f_measure((Counter(tokens) & Counter(wanted)).total(), len(tokens), len(wanted))


def f_measure(common: int, given: int, wanted: int) -> float:
    """F1 of `common` tokens out of `given` and `wanted` ones; 0 where none is common."""
    if common == 0:
        return 0.0
    precision, recall = common / given, common / wanted
    return 2 * precision * recall / (precision + recall)


def substring(reply: Reply) -> float | None:
    """1 when the gold's normalised tokens occur in the reply, whole and in a row. For a yes/no gold, the first yes or no in
    the final answer decides. Source: validity section 3."""
    return best(reply, _one_way)


def substring_guarded(reply: Reply) -> float | None:
    """`substring_two_way` without its flaws: containment either way, of whole tokens, with neither side empty; yes/no golds
    are treated as in `substring`. Source: validity section 3."""
    return best(reply, _guarded)


def substring_two_way(reply: Reply) -> float | None:
    """The rule behind published sub-EM cells, with its flaws: 1 when either normalised string contains the other.

    Source: `sub_exact_match_score` in taskutils/memory_eval/utils of MemAgent, ReMemR1 and MemOCR; the comparison is exactly
    theirs. The flaws: gold "no" occurs in "I do not know"; a prediction of "The" or "." normalises to nothing and occurs in
    every gold. The answer is extracted from the reply first, and an empty answer scores 0 (their `test_qa.py`). For an agent
    that answers by itself, it is the text after its mark (`marked_answer`), and a reply without a mark scores 0, as theirs
    does. Our reader is not asked for a mark: without one, its whole reply counts (`published_answer`).
    """
    answer = (marked_answer if reply.native else published_answer)(reply.prediction)
    return best(reply, lambda _, gold: _two_way(answer, gold) if answer else 0.0)


def _two_way(answer: str, gold: str) -> float:
    here, wanted = normalise(answer), normalise(gold)
    return float(wanted in here or here in wanted)


def _one_way(prediction: str, gold: str) -> float:
    wanted = normalise(gold)
    if wanted in ("yes", "no"):
        return float(first_yes_or_no(prediction) == wanted)
    return float(_within(wanted, normalise(prediction)))


def _guarded(prediction: str, gold: str) -> float:
    return max(_one_way(prediction, gold), float(_within(normalise(prediction), normalise(gold))))


def first_yes_or_no(prediction: str) -> str | None:
    """The first token of the final answer that is yes or no, if any."""
    return next((token for token in normalise(answer_text(prediction)).split() if token in ("yes", "no")), None)


def _within(inner: str, outer: str) -> bool:
    """Whether the tokens of one normalised text occur in a row in the other. An empty text never occurs."""
    return bool(inner) and f" {inner} " in f" {outer} "
