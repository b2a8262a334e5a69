"""The rules behind Mem-alpha's published cells, as far as they are not general metrics.

They differ by method (wangyu-ustc/Mem-alpha at 9c0e1f6): evaluate_agent_results.py scores Mem-alpha, long_context_eval.py
the methods with which it is compared. Cards name them in `published_metrics`; by default one rule scores all agents.

| source of the question | Mem-alpha | the others |
|---|---|---|
| squad, hotpotqa | contains_first | contains_first |
| ruler_qa1_197K, ruler_qa2_421K | mab_substring | contains_first |
| pubmed-rct | boxed | boxed |
| icl_* | boxed | mab_line |
| perltqa, booksum, infbench_sum_eng_shots2 | keyword_share_published | keyword_share_published |
| longmemeval_s* | a judge (family lme-memalpha) | the same judge |
"""

from __future__ import annotations

from memeval.metrics.reply import Reply


def contains_first(reply: Reply) -> float | None:
    """1 when the first gold occurs in the reply as a string, case ignored; other golds do not count. So "art" occurs in
    "Stuttgart", and "no" in "I do not know"."""
    if not reply.question.answerable or not reply.question.answers:
        return None
    return float(reply.question.answers[0].lower() in reply.prediction.lower())
