"""Embeddings in this process by sentence-transformers: `hf/<folder or hub id>` in the role `embedder`.

A folder that sentence-transformers saved is used with its own settings (pooling, prompts, length), any other checkpoint
with that package's defaults (the mean of the last hidden states; for a causal model the last one, with its chat
template if it has one). Vectors are scaled to length 1. Settings as in hf.py.
"""

from __future__ import annotations

import asyncio
from typing import Any

from memeval.errors import BadParameter
from memeval.models.completion import Completion, ModelSpec, Request, Usage
from memeval.models.embeddings import joined, pack, texts_of
from memeval.models.local.hf_loading import LocalModel, Settings, loading
from memeval.models.local.weights import Weights
from memeval.models.local.worker import Worker
from memeval.models.reply import one_line

LARGEST_BATCH = 256


class HfEmbedder:
    """An embedding model. Its constructor raises UsageError like that of `LocalModel`."""

    def __init__(self, name: str, spec: ModelSpec) -> None:
        self._local = LocalModel("hf-embedder/3", name, spec, Encoder)
        self.identity = self._local.identity
        self.close = self._local.close

    async def complete(self, request: Request) -> Completion:
        """One vector per text, with exact token counts. Raises BadParameter for any parameter, UsageError if the model
        cannot be loaded."""
        if request.params:
            name = next(iter(request.params))
            raise BadParameter(name, f"embedder 'hf/{self._local.name}': no parameter '{name}'")
        return joined(await asyncio.gather(*map(self._local.opened().worker.do, texts_of(request))))


class Encoder:
    """Loaded weights and the thread that runs them."""

    usable = True

    def __init__(self, name: str, found: Weights, chosen: Settings) -> None:
        self.worker: Worker[str, Completion] = Worker("memeval-hf-embedder", self._encode, LARGEST_BATCH)
        self._name, self._weights, self._chosen = name, found, chosen
        self._model: Any = None

    def close(self) -> None:
        self.worker.close()
        self._model = None

    def _encode(self, texts: list[str]) -> list[Completion]:
        model = self._model = self._model or _load(self._name, self._weights, self._chosen)
        try:
            found = model.encode(
                texts, batch_size=self._chosen.batch_size, normalize_embeddings=True, show_progress_bar=False
            )
            sizes = [int(model.preprocess([text])["attention_mask"].sum()) for text in texts]
        except (RuntimeError, IndexError, ValueError) as error:
            said = one_line(f"'hf/{self._name}' cannot embed this: {type(error).__name__}: {error}")
            return [Completion(error=said, finish_reason="error")] * len(texts)
        return [Completion(pack(vector), usage=Usage(prompt=size)) for vector, size in zip(found, sizes, strict=True)]


def _load(name: str, found: Weights, chosen: Settings) -> Any:
    with loading(f"embedder 'hf/{name}'"):
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(
            str(found.folder),
            device=chosen.device,
            local_files_only=True,
            model_kwargs={"dtype": chosen.dtype, "use_safetensors": True},
        )
        model.max_seq_length = min(model.max_seq_length or 2**31, chosen.max_model_len or 2**31)
        tokenizer = model.tokenizer
        tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token or tokenizer.unk_token
    return model
