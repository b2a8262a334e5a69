"""The weights from which a training run by TRL starts, and those of its checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import torch

from memeval.errors import UsageError, install_hint
from memeval.models.local.weights import find as find_weights
from memeval.models.reply import one_line
from memeval.trained import of_checkpoint
from memeval.training.recipe import Trl

GGUF = ".gguf"


def load(name: str, given: Trl) -> tuple[Any, Any, list[dict[str, Any]]]:
    """(causal model, tokenizer, the checkpoint's record of what it was trained on). name: a folder or hub id, with or
    without `hf/` before it, or a GGUF file, whose weights are dequantized. Raises UsageError, with one line, for a model
    that is not found, is damaged, or has no chat template."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    file = Path(name).expanduser()
    gguf = file.suffix == GGUF
    if gguf and not file.is_file():
        raise UsageError(f"model '{name}': no such file")
    folder = file.parent if gguf else find_weights(name.removeprefix("hf/")).folder
    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    options |= {"gguf_file": file.name} if gguf else {}
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **options)
        options |= {"dtype": getattr(torch, given.dtype), "use_safetensors": None if gguf else True}
        model, report = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True, **options)
    except ImportError as error:
        raise UsageError(f"model '{name}': {one_line(str(error))}: {install_hint('train')}") from None
    except Exception as error:  # a damaged checkpoint makes transformers raise all kinds of errors
        raise UsageError(f"model '{name}': cannot be loaded ({one_line(f'{type(error).__name__}: {error}')})") from None
    if report["missing_keys"]:
        raise UsageError(f"model '{name}': its weights lack {', '.join(sorted(report['missing_keys'])[:3])}")
    if not tokenizer.chat_template:
        raise UsageError(f"model '{name}': its tokenizer has no chat template; use an instruct model")
    if gguf:  # its weights were dequantized, and must be saved as such
        model.hf_quantizer, model.is_quantized = None, False
        del model.config.quantization_config
    claims = () if gguf else of_checkpoint(folder)
    return model, tokenizer, [msgspec.to_builtins(claim) for claim in claims]


def whole(model: Any, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """The weights of a model under training by their usual names, on the CPU, with its adapter added if it has one. The
    model is not changed, because merging an adapter and removing it again would round the weights."""
    from peft import PeftModel
    from peft.tuners.lora import LoraLayer

    if not isinstance(model, PeftModel):
        return {name: value.detach().to("cpu", dtype) for name, value in model.state_dict().items()}
    base = model.get_base_model()
    found = {
        name.replace(".base_layer.", "."): value.detach().to("cpu", dtype)
        for name, value in base.state_dict().items()
        if ".lora_" not in name
    }
    for name, layer in base.named_modules():
        if isinstance(layer, LoraLayer):
            adapted = layer.get_base_layer().weight.float() + layer.get_delta_weight("default").float()
            found[f"{name}.weight"] = adapted.detach().to("cpu", dtype)
    return found
