"""The tiny writer: a Qwen3 of 165,000 parameters and a tokenizer of whole words, both created in code.

Two settings decide whether it learns (measured at this size): `initializer_range` hidden^-0.5, because with tied embeddings
the usual 0.02 has to grow tenfold first; and `head_dim` 64, because Qwen3 normalises queries and keys, so that a narrow head
cannot attend sharply.
"""

from __future__ import annotations

from typing import Any

from memeval.prompts import CHUNK, MEMORY
from memeval.synth import tiny

HIDDEN, LAYERS, HEADS, HEAD_DIM = 64, 2, 4, 64
WINDOW = 256
"""The most tokens of prompt and reply together."""
PAD, END, BEGIN, WRITE = "<pad>", "<end>", "<begin>", "<write>"
SPECIAL = (PAD, END, BEGIN, f"<{MEMORY}>", f"</{MEMORY}>", f"<{CHUNK}>", f"</{CHUNK}>", WRITE)
TEMPLATE = f"{BEGIN} {{{{ messages[-1]['content'] }}}} {WRITE}"


def tokenizer() -> Any:
    """A fast tokenizer of transformers: one token per word of the toy language; other words become padding."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from transformers import PreTrainedTokenizerFast

    words = [*SPECIAL, *tiny.RELATIONS, *tiny.words()]
    made = Tokenizer(WordLevel({word: number for number, word in enumerate(words)}, unk_token=PAD))
    made.pre_tokenizer = WhitespaceSplit()
    fast = PreTrainedTokenizerFast(tokenizer_object=made, pad_token=PAD, eos_token=END, bos_token=BEGIN, unk_token=PAD)
    fast.chat_template = TEMPLATE
    fast.model_max_length = WINDOW
    return fast


def build(seed: int) -> Any:
    """A new model, with weights drawn from the seed."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(seed)
    return Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(SPECIAL) + len(tiny.RELATIONS) + len(tiny.words()),
            hidden_size=HIDDEN,
            intermediate_size=2 * HIDDEN,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            num_key_value_heads=HEADS // 2,
            head_dim=HEAD_DIM,
            max_position_embeddings=WINDOW,
            initializer_range=HIDDEN**-0.5,
            rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
            tie_word_embeddings=True,
            pad_token_id=SPECIAL.index(PAD),
            eos_token_id=SPECIAL.index(END),
            bos_token_id=SPECIAL.index(BEGIN),
        )
    )
