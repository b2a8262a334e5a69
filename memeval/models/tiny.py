"""The models of the toy language that come with memeval.

`tiny` is its trained writer, and `tiny/warm-start` the writer that this training began with, which makes valid calls and
does not know what is asked. They claim nothing beyond their 263 words: they are what `memeval train tiny` makes (the recipe
and the digests are beside the weights), so that `memeval run --agent memalpha --task synth-tiny --model tiny` shows a
learned memory at work without training one.

`lookup` is a strict reader, beside them and for any memory of plain lines: it answers from the first line that holds every
word of the question. A question is its words and a last word that asks (`Bade owns what?`); the answer is what the line says
besides these words. Without such a line the reply is "unknown". So a score says what the memory holds, and nothing about a
reader's skill.
"""

from __future__ import annotations

import re
from pathlib import Path

from memeval import prompts
from memeval.models.completion import Completion, ModelSpec, Request, Usage
from memeval.models.local.hf import HfModel

FOLDER = Path(__file__).parents[1] / "_data" / "tiny"
UNKNOWN = "unknown"
_MARK = re.compile(r"^\[[^\]]*\]\s*")  # the kind or date that an agent writes before an entry


class LookupModel:
    """Usage counts words."""

    identity = "lookup/1"

    async def complete(self, request: Request) -> Completion:
        prompt = str(request.messages[-1].get("content", ""))
        text = look_up(prompts.untag(prompts.QUESTION, prompt) or "", prompts.untag(prompts.MEMORY, prompt) or "")
        return Completion(text, usage=Usage(len(prompt.split()), len(text.split())))

    async def close(self) -> None:
        """Nothing to close."""


def look_up(question: str, memory: str) -> str:
    """The answer to a question by the rule of this module."""
    asked = question.split()[:-1]
    for line in memory.splitlines():
        words = _MARK.sub("", line.strip()).split()
        if asked and set(asked) <= set(words):
            return " ".join(word for word in words if word not in asked) or UNKNOWN
    return UNKNOWN


class TinyModel:
    """Reads chunks like the writer of that name, and answers questions like `lookup`. Raises UsageError if torch or
    transformers is missing."""

    def __init__(self, name: str = "tiny") -> None:
        folder = str(FOLDER.parent / name)
        self._writer = HfModel(folder, ModelSpec(f"hf/{folder}", backend={"dtype": "float32", "batch_size": 64}))
        self._reader = LookupModel()
        self.identity = f"{name} {self._writer.identity}"

    async def complete(self, request: Request) -> Completion:
        last = str(request.messages[-1].get("content", "")) if request.messages else ""
        model = self._reader if prompts.untag(prompts.QUESTION, last) is not None else self._writer
        return await model.complete(request)

    async def close(self) -> None:
        await self._writer.close()
