"""What `hf/` models have in common: their settings, what identifies them, and how they are loaded and kept open.

Weights are read from safetensors, and no code of a checkpoint's own is run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any, Generic, TypeVar

from memeval.errors import UsageError, install_hint, suggest
from memeval.models import window
from memeval.models.completion import ModelSpec
from memeval.models.local import kept_open, weights
from memeval.models.local.weights import Weights
from memeval.models.reply import one_line

EXTRA = install_hint("hf")
_NUMBERS = ("batch_size", "batch_tokens", "max_model_len")
_SETTINGS = ("revision", "local_files_only", "device", "dtype", *_NUMBERS)
_DTYPES = ("auto", "float32", "bfloat16", "float16")
_MADE_UP = "pooler"  # a layer of encoders that many checkpoints do not have, and that nothing here uses


def installed() -> str:
    """Says that the packages of the extra are there. Raises UsageError where one is missing; imports none of them."""
    missing = [name for name in ("torch", "transformers", "sentence_transformers") if find_spec(name) is None]
    if missing:
        raise UsageError(f"hf/ needs {' and '.join(missing)}: {EXTRA}")
    return "its packages are installed"


def settings(name: str, spec: ModelSpec) -> dict[str, Any]:
    """`backend:` of a spec, checked, with the role's `context` as window. Raises UsageError."""
    found = window.backend(spec)
    for key, value in found.items():
        where = f"model 'hf/{name}': backend.{key}"
        if key not in _SETTINGS:
            raise UsageError(f"{where}: no such setting{suggest(key, _SETTINGS)} (known: {', '.join(_SETTINGS)})")
        if key in _NUMBERS and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise UsageError(f"{where} is {value!r}, expected a whole number, 1 or more")
        if key == "dtype" and value not in _DTYPES:
            raise UsageError(f"{where} is {value!r}, use one of {', '.join(_DTYPES)}")
    return found


Opened = TypeVar("Opened", bound=kept_open.Closable)


class LocalModel(Generic[Opened]):
    """The weights and settings of a model, which are loaded at the first call that no store can answer.

    kind: what the identity begins with. opens: makes what holds the loaded weights, of (name, weights, settings). Raises
    UsageError for bad settings and for what `weights.find` raises.
    """

    def __init__(
        self, kind: str, name: str, spec: ModelSpec, opens: Callable[[str, Weights, Mapping[str, Any]], Opened]
    ) -> None:
        chosen = settings(name, spec)
        found = weights.find(name, chosen.get("revision"), not chosen.get("local_files_only", False))
        matters = {key: chosen[key] for key in ("dtype", "max_model_len") if key in chosen}  # these change a reply
        self.name, self.weights = name, found
        self.identity = f"{kind} {found.digest}{f' {json.dumps(matters, sort_keys=True)}' if matters else ''}"
        self._key = (kind, found.digest, json.dumps(chosen, sort_keys=True))
        self._make = lambda: opens(name, found, chosen)
        self._opened: Opened | None = None

    def opened(self) -> Opened:
        if self._opened is None:
            self._opened = kept_open.take(self._key, self._make)
        return self._opened

    async def close(self) -> None:
        if self._opened is not None:
            kept_open.give_back(self._key, self._opened)
            self._opened = None


def load(auto: str, label: str, found: Weights, chosen: Mapping[str, Any]) -> tuple[Any, Any, int]:
    """(model, tokenizer, window in tokens). auto: the class of transformers; label: for messages. Raises UsageError, in one
    line: an extra is missing, the checkpoint is damaged or lacks tensors, the device is not there."""
    try:
        import torch
        import transformers
        from transformers.utils import logging
    except ImportError as error:
        raise UsageError(f"{label}: hf/ needs {error.name}: {EXTRA}") from None
    if not found.has_tokenizer():  # transformers makes one without words
        raise UsageError(f"{label}: {found.folder} has no tokenizer (tokenizer.json or the like)")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    device = chosen.get("device") or ("cuda" if torch.cuda.is_available() else "cpu")
    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(found.folder, **options)
        model, report = getattr(transformers, auto).from_pretrained(
            found.folder, use_safetensors=True, dtype=chosen.get("dtype", "auto"), output_loading_info=True, **options
        )
        model.to(device).eval()
    except Exception as error:  # a damaged checkpoint makes transformers raise all kinds of errors
        raise UsageError(f"{label}: cannot be loaded ({one_line(f'{type(error).__name__}: {error}')})") from None
    lacking = sorted(key for key in report["missing_keys"] if _MADE_UP not in key)
    if lacking:
        raise UsageError(f"{label}: the weights lack {len(lacking)} tensors, such as {lacking[0]}")
    config = model.config.get_text_config()
    longest = getattr(config, "max_position_embeddings", None) or 2**31
    return model, tokenizer, min(longest, chosen.get("max_model_len", longest))
