"""What a judge counted in a summary, and the score: fluency times the F1 of keypoints told and sentences borne out.

Source: `parse_json` and `check_metrics` of MemoryAgentBench's llm_based_eval/summarization_evaluate.py, which are those of
HELMET's scripts/eval_gpt4_summ.py. Recall = keypoints supported / keypoints; precision = sentences supported / sentences,
both as the judge counted them; 0 where there is nothing to divide by. Upstream takes any numbers (a recall of 30 of 20 too)
and leaves a summary whose judge cannot be read out of all averages; here such a reply is no reply, and the sample `failed`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from memeval.judging.prompts import FLUENCY, PRECISION, RECALL
from memeval.judging.verdict import LONGEST, SPECIAL

SENTENCES = "sentence_count"
_NAMES: Mapping[str, tuple[str, ...]] = {FLUENCY: (FLUENCY,), RECALL: (RECALL,), PRECISION: (PRECISION, SENTENCES)}

_BETWEEN = " \t\r\n`*,;:./|-"


def read_counts(aspect: str, text: str, keypoints: int) -> dict[str, int] | None:
    """The numbers that a judge's reply ends with: `fluency`, or `recall`, or `precision` and `sentence_count`; None where it
    states none that can be. Never raises.

    The reply ends with a flat JSON object (marks of a code fence may follow, words may not; nor may another one stand right
    before it, as where a judge repeats its instructions) that has each name once, as a whole number: fluency 0 or 1, recall
    at most `keypoints`, precision at most sentence_count. Further names are passed over.
    """
    end = SPECIAL.sub(" ", text[-LONGEST:])
    start, stop = end.rfind("{"), end.rfind("}") + 1
    before = end[:start].rstrip(_BETWEEN).removesuffix("or").removesuffix("and").rstrip(_BETWEEN)
    rival = before[before.rfind("{") :] if before.endswith("}") else None
    if start < 0 or re.search(r"\w", end[stop:]) or rival not in (None, end[start:stop]):
        return None
    try:
        found = json.loads(end[start:stop], object_pairs_hook=_once)
    except (ValueError, RecursionError):
        return None
    counts = {name: found.get(name) for name in _NAMES[aspect]}
    if not all(type(value) is int and value >= 0 for value in counts.values()):  # True is an int to isinstance
        return None
    most = {FLUENCY: 1, RECALL: keypoints, PRECISION: counts.get(SENTENCES)}[aspect]
    return counts if counts[aspect] <= most else None


def shares(counts: Mapping[str, int], keypoints: int) -> dict[str, float]:
    """`judge`, the score in [0, 1], and what it is made of: `fluency` (0 or 1), `recall`, `precision` (shares)."""
    recall, precision = _share(counts[RECALL], keypoints), _share(counts[PRECISION], counts[SENTENCES])
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return {
        "judge": counts[FLUENCY] * f1,
        FLUENCY: float(counts[FLUENCY]),
        RECALL: recall,
        PRECISION: precision,
    }


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a name stands twice")
    return dict(pairs)
