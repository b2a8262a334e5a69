"""The rules by which MemoryAgentBench scores its own sources, where they are not one of the general metrics.

Source: utils/eval_other_utils.py of HUST-AI-HYZ/MemoryAgentBench (`parse_output`, `calculate_metrics`,
`default_post_process`, `_process_eventqa_dataset`, `_process_recsys_dataset`), as copied by Mem-alpha into
memalpha/llm_agent/metrics.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from memeval.metrics.reply import Reply, best
from memeval.metrics.text import normalise

_PREFIXED = re.compile(r"Answer:(.*)(?:\n|$)", re.IGNORECASE)
_FIRST_LINE = re.compile(r"^(.*)(?:\n|$)")
_JSON_ANSWER = re.compile(r'"answer"\s*:\s*"((?:[^"\\]|\\.)*)"', re.IGNORECASE)
_BRACKETS = re.compile(r"\([^()]*\)")
_NUMBERING = re.compile(r"^\W*\d+\s*(?:[.)、:]|[-—–](?=\s))\s*")


def mab_substring(reply: Reply) -> float | None:
    """1 when the normalised gold occurs in the normalised reply, or in its parsed line, as characters: "art" occurs
    in "Stuttgart". Upstream's `substring_exact_match`; headline of RULER-QA and FactConsolidation."""
    return best(reply, lambda text, gold: float(_either(text, lambda part: normalise(gold) in normalise(part))))


def mab_exact_match(reply: Reply) -> float | None:
    """1 when the reply, or its parsed line, equals a gold once normalised. Upstream's `exact_match`; headline of
    DetectiveQA.

    DetectiveQA asks for JSON with an "answer", which upstream's parser does not find: whoever obeys scores 0 there. Here
    that field counts too.
    """

    def rule(text: str, gold: str) -> float:
        stated = _JSON_ANSWER.search(text)
        parts = [text, stated[1]] if stated else [text]
        return float(any(_either(part, lambda found: normalise(found) == normalise(gold)) for part in parts))

    return best(reply, rule)


def eventqa_recall(reply: Reply) -> float | None:
    """1 when every gold occurs in the reply, case ignored and punctuation kept. Headline of EventQA."""
    if not reply.question.answerable or not reply.question.answers:
        return None
    text = reply.prediction.lower()
    return float(all(gold.lower() in text for gold in reply.question.answers))


def recall_at_5(reply: Reply) -> float | None:
    """The share of the gold titles among the first five of a numbered list. Headline of the ReDial recommendations.

    Upstream snaps each item to the nearest, by edit distance, of the 30,000 titles of its entity2id.json; here an item is
    the gold when both are equal once bracketed years and numbering are dropped and the rest is normalised. Blank lines take
    no place.
    """
    if not reply.question.answerable or not reply.question.answers:
        return None
    items = recommended(reply.prediction)[:5]
    golds = [normalise(_BRACKETS.sub("", gold)) for gold in reply.question.answers]
    return sum(gold in items for gold in golds) / len(golds)


def recommended(text: str) -> list[str]:
    """The items of a list of recommendations, normalised: lines from the first "1." on, or, without one, the parts between
    commas and line ends."""
    _, mark, listed = text.partition("1.")
    lines = (listed if mark else text.replace(",", "\n")).split("\n")
    items = (normalise(_BRACKETS.sub("", _NUMBERING.sub("", line.strip()))) for line in lines)
    return [item for item in items if item]


def parsed(text: str) -> str:
    """What follows the first "Answer:" on its line, else the first line."""
    found = _PREFIXED.search(text) or _FIRST_LINE.search(text)
    line = found[1].strip() if found else ""
    return line[len("answer:") :].strip() if line.lower().startswith("answer:") else line


def _either(text: str, holds: Callable[[str], bool]) -> bool:
    """Whether it holds of the reply as it is, or of its parsed line (upstream takes the better)."""
    return holds(text) or holds(parsed(text))
