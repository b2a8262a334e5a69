"""`lookup`: a strict reader. It answers from the first line of the memory that holds every word of the question.

A question is its words and a last word that asks (`Bade owns what?`); the answer is what the line says besides these words.
Without such a line the reply is "unknown". So a score says what the memory holds, and nothing about a reader's skill.
"""

from __future__ import annotations

import re

from memeval import prompts
from memeval.models.completion import Completion, Request, Usage

UNKNOWN = "unknown"
_MARK = re.compile(r"^\[[^\]]*\]\s*")  # what an agent puts before an entry: its kind, or its date


class LookupModel:
    """Usage counts words."""

    identity = "lookup/1"

    async def complete(self, request: Request) -> Completion:
        prompt = str(request.messages[-1].get("content", ""))
        text = look_up(prompts.untag(prompts.QUESTION, prompt) or "", prompts.untag(prompts.MEMORY, prompt) or "")
        return Completion(text, usage=Usage(len(prompt.split()), len(text.split())))

    async def close(self) -> None:
        """Nothing is open."""


def look_up(question: str, memory: str) -> str:
    """The answer to a question by the rule of this module."""
    asked = question.split()[:-1]
    for line in memory.splitlines():
        words = _MARK.sub("", line.strip()).split()
        if asked and set(asked) <= set(words):
            return " ".join(word for word in words if word not in asked) or UNKNOWN
    return UNKNOWN
