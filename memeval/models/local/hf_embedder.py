"""Embeddings in this process: `hf/<folder or hub id>` in the role `embedder`, also a sentence-transformers folder.

A text's vector is the mean of its tokens' last hidden states, or what 1_Pooling/config.json asks for (mean, first or last
token), scaled to length 1. Texts beyond the model's window are cut there, as sentence-transformers does. Texts that arrive
together go through the model together, in one worker thread. Settings as in hf.py.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memeval.errors import UsageError
from memeval.models.completion import Completion, ModelSpec, Usage
from memeval.models.embeddings import pack
from memeval.models.local import lasting, weights
from memeval.models.local.hf_loading import identity, load, settings
from memeval.models.local.weights import Weights
from memeval.models.local.worker import Worker

POOLING = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls", "pooling_mode_lasttoken": "last"}
_TYPES = ("Transformer", "Pooling", "Normalize")


class HfEmbedder:
    """Raises UsageError, when it is made, for bad settings, unsupported modules, and what `weights.find` raises."""

    largest = 256

    def __init__(self, name: str, spec: ModelSpec) -> None:
        chosen = settings(name, spec)
        self._name = name
        self._chosen = chosen
        self._weights = weights.find(name, chosen.get("revision"), not chosen.get("local_files_only", False))
        self._pooling = pooling(self._weights)
        self.identity = identity("hf-embedder", self._weights, chosen)
        self._key = ("hf-embedder", self._weights.digest, json.dumps(chosen, sort_keys=True))
        self._encoder: Encoder | None = None

    async def embed(self, texts: Sequence[str], params: Mapping[str, Any]) -> list[Completion]:
        """One vector per text, with its exact tokens. Raises UsageError for any parameter, and when it cannot be loaded."""
        if params:
            raise UsageError(f"embedder 'hf/{self._name}': no parameter '{next(iter(params))}'")
        if self._encoder is None:
            self._encoder = lasting.take(self._key, lambda: Encoder(self._name, self._weights, self._chosen, self._pooling))
        return await asyncio.gather(*map(self._encoder.worker.do, texts))

    async def close(self) -> None:
        if self._encoder is not None:
            self._encoder = None
            lasting.release(self._key)


def pooling(found: Weights) -> str:
    """`mean`, `cls` or `last`: what the folder asks for, mean where it says nothing. Raises UsageError for what else a
    sentence-transformers model may be made of."""
    path = found.folder / "modules.json"
    for module in json.loads(path.read_bytes()) if path.is_file() else ():
        kind = str(module.get("type", "")).rpartition(".")[2]
        if kind not in _TYPES:
            raise UsageError(f"{path}: a module of type '{kind}' is not supported (only {', '.join(_TYPES)})")
    chosen = found.read("1_Pooling/config.json")
    modes = [key for key, value in chosen.items() if key.startswith("pooling_mode_") and value is True]
    if not modes:
        return "mean"
    if len(modes) > 1 or modes[0] not in POOLING:
        raise UsageError(f"{found.folder / '1_Pooling/config.json'}: {' and '.join(modes)} is not supported")
    return POOLING[modes[0]]


@dataclass(frozen=True, slots=True)
class _Loaded:
    model: Any
    tokenizer: Any
    window: int


class Encoder:
    """Loaded weights and the thread that works with them."""

    def __init__(self, name: str, found: Weights, chosen: Mapping[str, Any], pooling: str) -> None:
        self.name = name
        self.usable = True
        self.worker: Worker[str, Completion] = Worker("memeval-hf-embedder", self._encode, chosen.get("batch_size", 32))
        self._weights = found
        self._chosen = chosen
        self._pooling = pooling
        self._loaded: _Loaded | None = None

    def close(self) -> None:
        self.usable = False
        self.worker.close()
        self._loaded = None

    def _encode(self, texts: list[str]) -> list[Completion]:
        if self._loaded is None:
            self._loaded = _load(self.name, self._weights, self._chosen)
        import torch

        loaded = self._loaded
        inputs = loaded.tokenizer(
            texts, padding=True, truncation=True, max_length=loaded.window, return_tensors="pt", padding_side="right"
        )
        if not inputs["input_ids"].shape[1]:  # nothing but empty texts
            nothing = torch.zeros(loaded.model.config.hidden_size).numpy()
            return [Completion(pack(nothing))] * len(texts)
        mask = inputs["attention_mask"].to(loaded.model.device)
        with torch.inference_mode():
            hidden = loaded.model(input_ids=inputs["input_ids"].to(loaded.model.device), attention_mask=mask)[0].float()
        lengths = mask.sum(dim=1)
        if self._pooling == "mean":
            vectors = (hidden * mask[:, :, None]).sum(dim=1) / lengths.clamp(min=1)[:, None]
        elif self._pooling == "cls":
            vectors = hidden[:, 0]
        else:
            vectors = hidden[torch.arange(len(texts), device=hidden.device), (lengths - 1).clamp(min=0)]
        vectors = torch.nn.functional.normalize(vectors, dim=1).cpu().numpy()
        counts = lengths.tolist()
        return [Completion(pack(vectors[number]), usage=Usage(prompt=counts[number])) for number in range(len(texts))]


def _load(name: str, found: Weights, chosen: Mapping[str, Any]) -> _Loaded:
    model, tokenizer, window = load("AutoModel", f"embedder 'hf/{name}'", found, chosen)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    own = found.read("sentence_bert_config.json").get("max_seq_length")
    return _Loaded(model, tokenizer, min(window, own or window))
