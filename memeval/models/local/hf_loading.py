"""Common code of `hf/` models: settings, identity, loading, and staying open between runs.

Weights are read from safetensors, and no code of a checkpoint is run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, Generic, Literal, TypeVar

import msgspec

from memeval.errors import UsageError, install_hint
from memeval.models import window
from memeval.models.completion import ModelSpec
from memeval.models.local import kept_open, weights
from memeval.models.local.weights import Weights
from memeval.models.reply import one_line
from memeval.typed import Positive, typed


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`backend:` of a model in a card; hf.py describes each setting."""

    revision: str | None = None
    local_files_only: bool = False
    device: str | None = None
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    batch_size: Positive = 16
    batch_tokens: Positive = 65_536
    max_model_len: Positive | None = None


def installed() -> str:
    """Check without importing them that the packages of the extra are installed. Returns a line for `doctor`; raises
    UsageError if one is missing."""
    missing = [name for name in ("torch", "transformers", "sentence_transformers") if find_spec(name) is None]
    if missing:
        raise UsageError(f"hf/ needs {' and '.join(missing)}: {install_hint('hf')}")
    return "its packages are installed"


Opened = TypeVar("Opened", bound=kept_open.Closable)


class LocalModel(Generic[Opened]):
    """The weights and settings of a model, which are loaded at the first call that no store can answer.

    kind: start of the identity. opens: creates the object that holds the loaded weights, from (name, weights,
    settings). Raises UsageError for bad settings, and like `weights.find`.
    """

    def __init__(self, kind: str, name: str, spec: ModelSpec, opens: Callable[[str, Weights, Settings], Opened]) -> None:
        chosen: Settings = typed(window.backend(spec), Settings, f"model 'hf/{name}'", "backend")
        found = weights.find(name, chosen.revision, not chosen.local_files_only)
        given = {"dtype": chosen.dtype, "max_model_len": chosen.max_model_len}  # these affect replies
        matters = {key: value for key, value in given.items() if value not in ("auto", None)}
        self.name, self.weights = name, found
        self.identity = f"{kind} {found.digest}{f' {json.dumps(matters, sort_keys=True)}' if matters else ''}"
        self._key = (kind, found.digest, chosen)
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


class Loaded:
    """A causal model with its tokenizer. ends: the tokens that end a reply. window: in tokens."""

    def __init__(self, model: Any, tokenizer: Any, window: int) -> None:
        ends = model.generation_config.eos_token_id
        self.ends = frozenset({tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])} - {None})
        self.model, self.tokenizer, self.window = model, tokenizer, window

    def decode(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))


def load(name: str, found: Weights, chosen: Settings) -> Loaded:
    """Load a model. Raises UsageError, in one line, if a package is missing, the checkpoint is damaged or lacks
    tensors, or the device does not exist."""
    label = f"model 'hf/{name}'"
    if not found.has_tokenizer():  # transformers would create an empty one
        raise UsageError(f"{label}: {found.folder} has no tokenizer (tokenizer.json or the like)")
    with loading(label):
        import torch
        import transformers
        from transformers.utils import logging

        logging.set_verbosity_error()
        logging.disable_progress_bar()
        options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        tokenizer = transformers.AutoTokenizer.from_pretrained(found.folder, **options)
        model, report = transformers.AutoModelForCausalLM.from_pretrained(
            found.folder, use_safetensors=True, dtype=chosen.dtype, output_loading_info=True, **options
        )
        model.to(chosen.device or ("cuda" if torch.cuda.is_available() else "cpu")).eval()
    lacking = sorted(report["missing_keys"])
    if lacking:
        raise UsageError(f"{label}: the weights lack {len(lacking)} tensors, such as {lacking[0]}")
    config = model.config.get_text_config()
    longest = getattr(config, "max_position_embeddings", None) or 2**31
    loaded = Loaded(model, tokenizer, min(longest, chosen.max_model_len or longest))
    model.generation_config = type(model.generation_config)()  # only `sampling` applies the checkpoint's own settings
    return loaded


@contextmanager
def loading(label: str) -> Iterator[None]:
    """Raises UsageError if a package is missing, and for any exception of its block: a damaged checkpoint makes
    transformers raise all kinds of errors."""
    installed()
    try:
        yield
    except Exception as error:
        raise UsageError(f"{label}: cannot be loaded ({one_line(f'{type(error).__name__}: {error}')})") from None
