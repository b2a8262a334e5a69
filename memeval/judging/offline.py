"""The judge `offline`: a rule on strings, so that judging works without key, GPU or network. Tables say that its verdicts
are not those of a real judge.
"""

from __future__ import annotations

import json
import re

from memeval.judging.prompts import (
    ANSWER,
    CRITERION,
    EVENTS,
    EXPLANATION,
    FLUENCY,
    GOLD,
    KEYPOINTS,
    ORDER,
    PRECISION,
    RECALL,
    RUBRIC,
    SCORE,
)
from memeval.metrics import Reply, abstained
from memeval.metrics.strings import substring
from memeval.models.completion import Completion, Request
from memeval.models.reply import estimate
from memeval.prompts import QUESTION
from memeval.task import Question


class OfflineJudge:
    """A judge that reads only the tagged parts of the prompt. An answer is right if it contains a gold answer as whole words
    and does not decline; if it declines where an explanation says that there is no answer; or if it has half of a rubric's
    longer words. A summary (its prompt has no question) is fluent if it has five words and no sentence twice; a keypoint or
    a sentence is supported if half of its longer words are in the summary, or in the expert's. In the same way, an answer
    meets an item of a rubric (by declining, if the item says that there is no information), and a line of it is an event."""

    identity = "offline-judge/1"

    async def complete(self, request: Request) -> Completion:
        prompt = str(request.messages[-1]["content"])
        if _blocks(CRITERION, prompt) or _blocks(EVENTS, prompt):
            text = json.dumps(_of_rubric(prompt))
        elif _blocks(QUESTION, prompt):
            text = "VERDICT: RIGHT" if _right(prompt) else "VERDICT: WRONG"
        else:
            text = json.dumps(_counts(prompt))
        return Completion(text, usage=estimate(request, text))

    async def close(self) -> None:
        """Do nothing: nothing is open."""


def _right(prompt: str) -> bool:
    answer = "\n".join(_blocks(ANSWER, prompt))
    declined = abstained(answer)
    if _blocks(EXPLANATION, prompt):
        return declined
    rubrics = _blocks(RUBRIC, prompt)
    if rubrics:
        return not declined and _tells(answer, rubrics[0])
    golds = Question("", "", tuple(_blocks(GOLD, prompt)))
    return not declined and bool(substring(Reply(answer, golds)))


def _counts(prompt: str) -> dict[str, object]:
    """The counts of the aspect in question, which the other tags of the prompt reveal."""
    summary = "\n".join(_blocks(ANSWER, prompt))
    sentences = [text.strip() for text in re.split(r"(?<=[.!?])\s+|\n", summary) if text.strip()]
    keypoints, expert = _blocks(KEYPOINTS, prompt), _blocks(GOLD, prompt)
    if keypoints:
        points = re.findall(r"(?m)^(\d+)\. (.*)$", keypoints[0])
        supported = [int(number) for number, point in points if _tells(summary, point)]
        return {"supported_key_points": supported, RECALL: len(supported)}
    if expert:
        return {PRECISION: sum(_tells(expert[0], text) for text in sentences), "sentence_count": len(sentences)}
    return {FLUENCY: int(len(summary.split()) >= 5 and len({text.lower() for text in sentences}) == len(sentences))}


def _of_rubric(prompt: str) -> dict[str, object]:
    """The score of an item, or the number of the event that each line of the answer names."""
    answer = "\n".join(_blocks(ANSWER, prompt))
    criteria, events = _blocks(CRITERION, prompt), "\n".join(_blocks(EVENTS, prompt))
    if criteria:
        item = criteria[0].partition(":")[2] or criteria[0]
        return {SCORE: int(abstained(answer) if abstained(item) else _tells(answer, item))}
    order: list[int] = []
    for line in filter(str.strip, answer.splitlines()):
        named = (int(number) for number, event in re.findall(r"(?m)^(\d+)\. (.*)$", events) if _tells(line, event))
        order.append(next((number for number in named if number not in order), 0))
    return {ORDER: order}


def _tells(text: str, what: str) -> bool:
    """Whether half of the longer words of `what` are in the text."""
    wanted = set(re.findall(r"\w{5,}", what.lower()))
    return 2 * len(wanted & set(re.findall(r"\w{5,}", text.lower()))) >= max(len(wanted), 1)


def _blocks(tag: str, prompt: str) -> list[str]:
    return re.findall(rf"^<{tag}>\n(.*?)\n</{tag}>$", prompt, re.DOTALL | re.MULTILINE)
