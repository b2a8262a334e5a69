"""ROUGE-L as MemoryAgentBench computes it, without its dependencies."""

from __future__ import annotations

import re

from memeval.metrics.porter import stem
from memeval.metrics.reply import Reply, best
from memeval.metrics.strings import f_measure

_WORD = re.compile(r"[a-z0-9]+")


def rouge_l(reply: Reply) -> float | None:
    """F1 of the longest common subsequence of tokens, best of the golds (Lin 2004).

    Source: `calculate_metrics` of MemoryAgentBench (`rougeL_f1`), which is google-research/rouge with its stemmer on.
    Tokens are runs of a-z and 0-9 in lower case; those longer than 3 letters are Porter-stemmed.
    """
    return best(reply, rouge_l_f1)


def rouge_l_f1(prediction: str, gold: str) -> float:
    """The rule of `rouge_l` for one gold; 0 when either side has no token."""
    tokens, wanted = rouge_tokens(prediction), rouge_tokens(gold)
    return f_measure(longest_common(tokens, wanted), len(tokens), len(wanted))


def rouge_tokens(text: str) -> list[str]:
    """The tokens of `rouge_l`."""
    return [stem(word) if len(word) > 3 else word for word in _WORD.findall(text.lower())]


def longest_common(left: list[str], right: list[str]) -> int:
    """The length of the longest common subsequence, with one integer operation per token of `right`.

    Bit-parallel dynamic programming (Hyyro 2004): bit i of `open_` is 0 where the length grows at token i of `left`.
    """
    places: dict[str, int] = {}
    for index, token in enumerate(left):
        places[token] = places.get(token, 0) | 1 << index
    full = (1 << len(left)) - 1
    open_ = full
    for token in right:
        matched = open_ & places.get(token, 0)
        open_ = ((open_ + matched) | (open_ - matched)) & full
    return len(left) - open_.bit_count()
