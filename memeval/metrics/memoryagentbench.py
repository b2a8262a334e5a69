"""The rules by which MemoryAgentBench scores its own sources, as far as they are not general metrics.

Source: utils/eval_other_utils.py of HUST-AI-HYZ/MemoryAgentBench at 455306d (`parse_output`, `calculate_metrics`,
`default_post_process`, `_process_icl_dataset`, `_process_eventqa_dataset`, `_process_recsys_dataset`); Mem-alpha has a copy
in memalpha/llm_agent/metrics.py. Upstream's README (Clarification on Evaluation Metrics) says which metric is the "accuracy"
of the paper. The *line* of a reply is the text after its first "Answer:", else its first line. For icl_* and eventqa_* only
the line is scored, for the other sources the better of line and whole reply.

| source | metric of the paper |
|---|---|
| ruler_qa*, factconsolidation_* | mab_substring |
| eventqa_* | mab_line |
| icl_* | mab_line_exact |
| detective_qa | mab_exact_match |
| recsys_redial_full | recall_at_5 |
"""

from __future__ import annotations

import re
from collections.abc import Callable

from memeval.metrics.reply import Reply, best
from memeval.metrics.rouge import rouge_l_f1
from memeval.metrics.strings import token_f1
from memeval.tasks.base import normalise

Rule = Callable[[str, str], float]
"""(prediction, gold) -> score"""

_PREFIXED = re.compile(r"Answer:(.*)(?:\n|$)", re.IGNORECASE)
_FIRST_LINE = re.compile(r"^(.*)(?:\n|$)")
_JSON_ANSWER = re.compile(r'"answer"\s*:\s*"((?:[^"\\]|\\.)*)"', re.IGNORECASE)
_BRACKETS = re.compile(r"\([^()]*\)")
_NUMBERING = re.compile(r"^\W*\d+\s*(?:[.)、:]|[-—–](?=\s))\s*")


def mab_substring(reply: Reply) -> float | None:
    """1 when the normalised gold occurs in the normalised reply, or in its line, as characters: "art" occurs in
    "Stuttgart". Upstream's `substring_exact_match`; headline of RULER-QA and FactConsolidation."""
    return best(reply, _either(_holds))


def mab_exact_match(reply: Reply) -> float | None:
    """1 when the reply, or its line, equals a gold once normalised. Upstream's `exact_match`."""
    return best(reply, _either(_equals))


def mab_f1(reply: Reply) -> float | None:
    """The higher `f1` of the reply and its line. Upstream's `f1`."""
    return best(reply, _either(token_f1))


def mab_rouge_l(reply: Reply) -> float | None:
    """The higher `rouge_l` of the reply and its line. Upstream's `rougeL_f1`."""
    return best(reply, _either(rouge_l_f1))


def mab_line(reply: Reply) -> float | None:
    """1 when the normalised gold occurs in the normalised line, as characters. Boxes are ignored: gold "2" occurs in
    `\\boxed{12}`. Upstream's `substring_exact_match` for icl_* and eventqa_*; headline of EventQA."""
    return best(reply, lambda text, gold: _holds(parsed(text), gold))


def mab_line_exact(reply: Reply) -> float | None:
    """1 when the line equals a gold once normalised: gold "43" equals "43.", "(43)" and "**43**", but not "label: 43".
    Upstream's `exact_match` for icl_* and eventqa_*; headline of the icl_* sources."""
    return best(reply, lambda text, gold: _equals(parsed(text), gold))


def detective_exact_match(reply: Reply) -> float | None:
    """`mab_exact_match`, which also accepts the field "answer" of a JSON reply. DetectiveQA asks for such a reply, but
    upstream's parser does not find the field, so that a correct reply in that form scores 0 there."""

    def rule(text: str, gold: str) -> float:
        stated = _JSON_ANSWER.search(text)
        return max(_either(_equals)(part, gold) for part in ([text, stated[1]] if stated else [text]))

    return best(reply, rule)


def eventqa_recall(reply: Reply) -> float | None:
    """1 when every gold occurs in the reply, case ignored and punctuation kept. Upstream computes it besides the paper's
    `mab_line`; a reply that lists all events scores 1."""
    if not reply.question.answerable or not reply.question.answers:
        return None
    text = reply.prediction.lower()
    return float(all(gold.lower() in text for gold in reply.question.answers))


def recall_at_5(reply: Reply) -> float | None:
    """The share of the gold titles among the first five of a numbered list. Headline of the ReDial recommendations.

    Upstream replaces each item by the nearest, by edit distance, of the 30,000 titles in its entity2id.json. Here an item
    matches a gold if both are equal after bracketed years and numbering are dropped and the rest is normalised. Blank lines
    do not count.
    """
    if not reply.question.answerable or not reply.question.answers:
        return None
    items = recommended(reply.prediction)[:5]
    golds = [normalise(_BRACKETS.sub("", gold)) for gold in reply.question.answers]
    return sum(gold in items for gold in golds) / len(golds)


def recommended(text: str) -> list[str]:
    """The items of a list of recommendations, normalised: the lines from the first "1." on or, without "1.", the parts
    between commas and line ends."""
    _, mark, listed = text.partition("1.")
    lines = (listed if mark else text.replace(",", "\n")).split("\n")
    items = (normalise(_BRACKETS.sub("", _NUMBERING.sub("", line.strip()))) for line in lines)
    return [item for item in items if item]


def parsed(text: str) -> str:
    """The *line* of a reply: the text after the first "Answer:" on its line, else the first line."""
    found = _PREFIXED.search(text) or _FIRST_LINE.search(text)
    line = found[1].strip() if found else ""
    return line[len("answer:") :].strip() if line.lower().startswith("answer:") else line


def _either(rule: Rule) -> Rule:
    """A rule that takes the higher score of the whole reply and its line."""
    return lambda text, gold: max(rule(text, gold), rule(parsed(text), gold))


def _holds(text: str, gold: str) -> float:
    return float(normalise(gold) in normalise(text))


def _equals(text: str, gold: str) -> float:
    return float(normalise(text) == normalise(gold))
