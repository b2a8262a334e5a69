"""Metrics for answers from a known set: an option's letter, a numbered label, keywords."""

from __future__ import annotations

import re

from memeval.metrics.reply import Reply, best
from memeval.metrics.text import boxed_text

_IN_BRACKETS, _ALONE = re.compile(r"\(([a-d])\)"), re.compile(r"\b([a-d])\b")
_TAG, _TAG_END = re.compile("<answer>", re.IGNORECASE), re.compile("</answer>", re.IGNORECASE)
_COMMA = re.compile(r"(?<!\d),|,(?!\d)")


def letter(reply: Reply) -> float | None:
    """1 when the reply names the gold's letter (a to d) and no other.

    Source: PersonaMem, `extract_answer` in inference_standalone_openai.py (the current revision). Letters in brackets
    count; if there are none, single letters that are words count, including the article "a". The text after the last
    `<final_answer>` is read first and, if that is not right, the whole reply.
    """
    return best(reply, _letter)


def _letter(prediction: str, gold: str) -> float:
    wanted = {gold.lower().strip("() ")}
    final = prediction.strip()
    if "<final_answer>" in final:
        final = final.rpartition("<final_answer>")[2].strip()
    final = final.removesuffix("</final_answer>").strip()
    return float(_letters(final) == wanted or _letters(prediction) == wanted)


def _letters(text: str) -> set[str]:
    text = text.lower()
    return set(_IN_BRACKETS.findall(text)) or set(_ALONE.findall(text))


def boxed(reply: Reply) -> float | None:
    """1 when the box holds the gold's number: digits only, equal as strings ("07" is not "7").

    Source: Mem-alpha at 294299a, the commit of the paper: `_extract_answer_from_response` (memalpha/llm_agent/metrics.py)
    and the digit rule of evaluate_agent_results.py: an `<answer>` tag, else the first `\\boxed{}`, else the first
    `\\box{}`, else the whole reply. (Since ce69072 upstream reads only the first `\\boxed{}`, up to its first closing
    brace.) The first box counts, not the last. Upstream compares with the first gold only, memeval with all golds.
    """
    return best(reply, _boxed)


def _boxed(prediction: str, gold: str) -> float:
    tag = _TAG.search(prediction)
    end = _TAG_END.search(prediction, tag.end()) if tag else None
    if tag and end:
        found = prediction[tag.end() : end.start()]
    else:
        inside = boxed_text(prediction, prediction.find("\\boxed{"))
        inside = boxed_text(prediction, prediction.find("\\box{")) if inside is None else inside
        found = prediction if inside is None else inside
    label = found.strip().strip("\"'").strip()
    return float(bool(re.fullmatch(r"\d+", label)) and label == gold.strip().strip("\"'").strip())


def keyword_share(reply: Reply) -> float | None:
    """The share of the gold's keywords that occur in the reply as strings, case ignored.

    Several golds are the keywords. A single gold is a list of keywords, cut at the card's `keyword_separator`; if the card
    has none, at ";" if the gold contains one, else at "," (not inside a number). Source: Mem-alpha,
    evaluate_agent_results.py, without the flaws that `keyword_share_published` repeats.
    """
    words = [word.lower() for word in keywords(reply.question.answers, reply.keyword_separator)]
    return _share(reply, words, reply.prediction.lower())


def keyword_share_published(reply: Reply) -> float | None:
    """`keyword_share` as Mem-alpha computes it, with its flaws: a gold is cut only at the card's `keyword_separator`, and an
    empty keyword occurs in every reply. For PerLTQA (separator ";") upstream forgets to lower the reply where a gold has
    several keywords, so that the reply "Music" lacks the keyword "Music".

    Source: evaluate_agent_results.py at 9c0e1f6, the branches of perltqa, booksum and infbench_sum_eng_shots2.
    """
    golds, mark = reply.question.answers, reply.keyword_separator
    words = [word.lower() for word in (golds[0].split(mark) if mark and len(golds) == 1 else golds)]
    if mark == ";" and len(words) > 1:
        return _share(reply, [word.strip() for word in words], reply.prediction)
    return _share(reply, words, reply.prediction.lower())


def _share(reply: Reply, words: list[str], text: str) -> float | None:
    if not reply.question.answerable or not words:
        return None
    return sum(word in text for word in words) / len(words)


def keywords(answers: tuple[str, ...], separator: str = "") -> list[str]:
    """The keywords of a question's golds, by the rule of `keyword_share`; empty ones are dropped."""
    listed: list[str] = list(answers)
    if len(listed) == 1:
        (gold,) = listed
        mark = separator or (";" if ";" in gold else "")
        listed = gold.split(mark) if mark else _COMMA.split(gold)
    return [word.strip() for word in listed if word.strip()]
