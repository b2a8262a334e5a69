"""A tiny Qwen3 with random weights and a tokenizer trained on a few lines, saved to a folder like any checkpoint."""

from __future__ import annotations

import json
import struct
from pathlib import Path

LINES = [
    "Ann Lee was born in Arlen in 1910. She wrote four novels and moved to Castro.",
    "Bob Ray lives in Castro; the capital of Elbonia is Arlen. When was he born?",
    '{"name": "new_memory_insert", "arguments": {"memory_type": "semantic", "content": "Ann"}}',
    "You are an assistant with a memory of your own. <memory> <new_chunk> <question> The limit of your reply is tokens.",
]
TEMPLATE = """\
{%- if tools %}<|im_start|>system
{% for tool in tools %}{{ tool | tojson }}
{% endfor %}<|im_end|>
{% endif %}
{%- for message in messages %}<|im_start|>{{ message.role }}
{{ message.content }}{% for call in message.tool_calls or [] %}
<tool_call>{{ call.function | tojson }}</tool_call>{% endfor %}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% if enable_thinking is defined and enable_thinking is false %}<think>

</think>

{% elif opened %}<think>
{% endif %}{% endif %}"""
"""What matters of Qwen3's own chat template, in a few lines."""


def save(folder: Path, *, window: int = 32_768, seed: int = 0, causal: bool = True) -> Path:
    """About 100,000 parameters, float32. window: max_position_embeddings. causal: with a head for generation."""
    import torch
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM, Qwen3Model

    torch.set_num_threads(1)
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.train_from_iterator(
        LINES,
        trainers.BpeTrainer(
            vocab_size=600, show_progress=False, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet())
        ),
    )
    bpe.add_special_tokens([AddedToken(text, special=True) for text in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")])
    bpe.add_tokens([AddedToken(text) for text in ("<think>", "</think>", "<tool_call>", "</tool_call>")])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    tokenizer.chat_template = TEMPLATE
    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=len(tokenizer), hidden_size=48, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=16, max_position_embeddings=window, tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, initializer_range=0.3,
    )  # fmt: skip
    model = Qwen3ForCausalLM(config) if causal else Qwen3Model(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def safetensors(path: Path, values: bytes = b"\x00" * 64) -> None:
    """A file of one tensor, by the description of the format: 8 bytes of header length, the header, the data."""
    header = json.dumps({"w": {"dtype": "F32", "shape": [len(values) // 4], "data_offsets": [0, len(values)]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + values)
