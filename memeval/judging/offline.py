"""The stand-in for a judge when there is no model: a string rule in place of judgement.

It keeps the whole path of judging runnable without key, GPU or network. Its verdicts show the machinery; they are no
judge's, and the tables say so.
"""

from __future__ import annotations

import re

from memeval.judging.prompts import ANSWER, EXPLANATION, GOLD, RUBRIC
from memeval.metrics import Reply, abstained
from memeval.metrics.strings import substring
from memeval.models.completion import Completion, Request
from memeval.models.reply import estimate
from memeval.task import Question


class OfflineJudge:
    """Works on the tags of a judge's prompt alone. Right is: an answer that holds a gold answer as whole words and does
    not decline; one that declines where an explanation says that there is no answer; one with half of a rubric's longer
    words."""

    identity = "offline-judge/1"

    async def complete(self, request: Request) -> Completion:
        prompt = str(request.messages[-1]["content"])
        text = "VERDICT: RIGHT" if _right(prompt) else "VERDICT: WRONG"
        return Completion(text, usage=estimate(request, text))

    async def close(self) -> None:
        """Nothing is open."""


def _right(prompt: str) -> bool:
    answer = "\n".join(_blocks(ANSWER, prompt))
    declined = abstained(answer)
    if _blocks(EXPLANATION, prompt):
        return declined
    rubrics = _blocks(RUBRIC, prompt)
    if rubrics:
        wanted = set(re.findall(r"\w{5,}", rubrics[0].lower()))
        return not declined and 2 * len(wanted & set(re.findall(r"\w{5,}", answer.lower()))) >= max(len(wanted), 1)
    golds = Question("", "", tuple(_blocks(GOLD, prompt)))
    return not declined and bool(substring(Reply(answer, golds)))


def _blocks(tag: str, prompt: str) -> list[str]:
    return re.findall(rf"^<{tag}>\n(.*?)\n</{tag}>$", prompt, re.DOTALL | re.MULTILINE)
