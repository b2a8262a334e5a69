"""Embeddings in this process: `hf/<folder or hub id>` in the role `embedder`, also a sentence-transformers folder.

A text's vector is the mean of its tokens' last hidden states, or what the pooling module of a sentence-transformers folder
asks for (mean, first or last token), scaled to length 1. Texts beyond the model's window are cut there, as
sentence-transformers does. Texts that arrive together go through the model together, in one worker thread. Settings as in
hf.py.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memeval.errors import BadParameter, UsageError
from memeval.models.completion import Completion, ModelSpec, Usage
from memeval.models.embeddings import pack
from memeval.models.local import lasting, weights
from memeval.models.local.hf_loading import identity, load, settings
from memeval.models.local.weights import Weights
from memeval.models.local.worker import Worker
from memeval.models.reply import one_line

POOLING = {"mean": "mean", "mean_tokens": "mean", "cls": "cls", "cls_token": "cls", "lasttoken": "last"}
"""Modes as sentence-transformers writes them (`pooling_mode: cls`, before version 6 `pooling_mode_cls_token: true`)."""
_TYPES = ("Transformer", "Pooling", "Normalize")
_BEFORE = "pooling_mode_"
_SENTENCES, _TEXTS = "config_sentence_transformers.json", "sentence_bert_config.json"


class HfEmbedder:
    """Raises UsageError, when it is made, for bad settings, unsupported modules, and what `weights.find` raises."""

    largest = 256

    def __init__(self, name: str, spec: ModelSpec) -> None:
        chosen = settings(name, spec)
        self._name = name
        self._chosen = chosen
        self._weights = weights.find(name, chosen.get("revision"), not chosen.get("local_files_only", False))
        self._pooling = pooling(self._weights)
        self.identity = identity("hf-embedder/2", self._weights, chosen)
        self._key = ("hf-embedder", self._weights.digest, json.dumps(chosen, sort_keys=True))
        self._encoder: Encoder | None = None

    async def embed(self, texts: Sequence[str], params: Mapping[str, Any]) -> list[Completion]:
        """One vector per text, with its exact tokens. Raises BadParameter for any parameter, UsageError when it
        cannot be loaded."""
        if params:
            name = next(iter(params))
            raise BadParameter(name, f"embedder 'hf/{self._name}': no parameter '{name}'")
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
    path, where = found.folder / "modules.json", ""
    for module in json.loads(path.read_bytes()) if path.is_file() else ():
        kind = str(module.get("type", "")).rpartition(".")[2]
        if kind not in _TYPES:
            raise UsageError(f"{path}: a module of type '{kind}' is not supported (only {', '.join(_TYPES)})")
        where = f"{module.get('path', '')}/config.json" if kind == "Pooling" else where
    for key in ("default_prompt_name", "truncate_dim"):
        if found.read(_SENTENCES).get(key) is not None:
            raise UsageError(f"{found.folder / _SENTENCES}: '{key}' is not supported; set it to null to embed without it")
    chosen = found.read(where) if where else {}
    before = [key.removeprefix(_BEFORE) for key, value in chosen.items() if key.startswith(_BEFORE) and value is True]
    modes = chosen.get("pooling_mode", before or "mean")
    mode = modes[0] if isinstance(modes, list) and len(modes) == 1 else modes
    if not isinstance(mode, str) or mode not in POOLING:
        raise UsageError(f"{found.folder / where}: pooling by {mode!r} is not supported (mean, cls and lasttoken are)")
    return POOLING[mode]


@dataclass(frozen=True, slots=True)
class _Loaded:
    model: Any
    tokenizer: Any
    window: int
    lower: bool


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
        """Where a card's memory does not hold the batch, its halves are tried."""
        if self._loaded is None:
            self._loaded = _load(self.name, self._weights, self._chosen)
        import torch

        try:
            return self._vectors(self._loaded, texts)
        except torch.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            if len(texts) > 1:
                half = len(texts) // 2
                return [*self._encode(texts[:half]), *self._encode(texts[half:])]
            said = str(error)
        except (RuntimeError, IndexError, ValueError) as error:
            said = f"{type(error).__name__}: {error}"
        return [Completion(error=one_line(f"'hf/{self.name}' cannot embed this: {said}"), finish_reason="error")] * len(
            texts
        )

    def _vectors(self, loaded: _Loaded, texts: list[str]) -> list[Completion]:
        import torch

        texts = [text.lower() for text in texts] if loaded.lower else texts
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
        vectors = torch.nn.functional.normalize(vectors, dim=1).cpu()
        if not vectors.isfinite().all():
            raise ValueError(f"the vectors are no finite numbers (dtype {loaded.model.dtype})")
        return [Completion(pack(row.numpy()), usage=Usage(prompt=int(n))) for row, n in zip(vectors, lengths, strict=True)]


def _load(name: str, found: Weights, chosen: Mapping[str, Any]) -> _Loaded:
    model, tokenizer, window = load("AutoModel", f"embedder 'hf/{name}'", found, chosen)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    own = found.read(_TEXTS)
    longest = own.get("max_seq_length") or tokenizer.model_max_length  # RoBERTa's is less than what its config.json says
    if not isinstance(longest, int) or isinstance(longest, bool) or longest < 1:
        raise UsageError(f"{found.folder / _TEXTS}: max_seq_length is {longest!r}, expected a number of tokens")
    return _Loaded(model, tokenizer, min(window, longest), own.get("do_lower_case") is True)
