"""`tiny`: the trained writer of the toy language that comes with memeval, with the strict reader beside it; and
`tiny/warm-start`: the writer that this training began with, which makes valid calls and does not know what is asked.

They claim nothing beyond their 263 words: they are what `memeval train tiny` makes (the recipe and the digests are beside
the weights), so that `memeval run --agent memalpha --task synth-tiny --model tiny` shows a learned memory at work without
training one.
"""

from __future__ import annotations

from pathlib import Path

from memeval import prompts
from memeval.models.completion import Completion, ModelSpec, Request
from memeval.models.local.hf import HfModel
from memeval.models.lookup import LookupModel

FOLDER = Path(__file__).parents[1] / "_data" / "tiny"


class TinyModel:
    """Reads chunks as the writer of that name, and answers questions as `lookup`. Raises UsageError where torch or
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
