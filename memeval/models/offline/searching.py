"""Asking for another search, where a prompt offers one: by the names that the sentence nearest to the question adds, and the
words of the question that this sentence leaves out. Whether the found text answers the question is not judged."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from memeval.models.completion import ToolCall
from memeval.models.offline.reading import MATCHED, Query, view
from memeval.models.offline.text import STOP, WORD, fold, names, stem, stems
from memeval.models.offline.writing import takes_query


def follow_up(memory: str, question: str, tools: Iterable[Any]) -> ToolCall | None:
    """The call of a tool that takes a query and nothing else; None where there is no such tool, or nothing to look for."""
    tool = next((found for found in map(takes_query, tools) if found), None)
    wanted = _wanted(memory, question) if tool else ""
    if tool is None or not wanted:
        return None
    arguments = {tool[1]: wanted}
    return ToolCall(tool[0], arguments, json.dumps(arguments, ensure_ascii=False), id="call_0")


def _wanted(memory: str, question: str) -> str:
    query = Query(question)
    near = [line for line in view(memory, query) if line.named >= MATCHED and line.share > 0]
    if not near:
        return ""
    best = max(near, key=lambda line: (line.share, line.hits, -line.order))
    learnt = [span.text for span in names(best.text) if not stems(span.text) & query.content]
    open_words = [
        word
        for word in WORD.findall(query.text)
        if fold(word) not in STOP and stem(fold(word)) in query.relation - best.stems
    ]
    return " ".join([*learnt, *open_words]) if learnt and open_words else ""
