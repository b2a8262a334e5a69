"""Whether a judge comes from the family of the model it judges: models favour their own kin (validity section 6).

A name is all there is to go by. Distilled and finetuned models belong to every family their name shows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_MAKERS = {
    "OpenAI": r"(?<![a-z])(?:chat)?gpt(?![a-z])|(?<![a-z\d])o[134](?![a-z\d])|davinci",
    "Anthropic": r"claude",
    "Google": r"gemini|gemma|(?<![a-z])palm(?![a-z])",
    "Meta": r"(?<![o])llama|vicuna",
    "Alibaba": r"qwen|qwq|qvq",
    "Mistral": r"mistral|mixtral|ministral|magistral|codestral|devstral|pixtral",
    "DeepSeek": r"deepseek",
    "xAI": r"(?<![a-z])grok",
    "Microsoft": r"(?<![a-z])phi(?![a-z])",
    "Cohere": r"(?<![a-z])(?:command-?[ar]|aya)(?![a-z])",
    "Zhipu": r"(?<![a-z])(?:chat)?glm",
    "Moonshot": r"(?<![a-z])kimi|moonshot",
    "IBM": r"granite",
    "Amazon": r"(?<![a-z])(?:nova|titan)(?![a-z])",
    "NVIDIA": r"nemotron",
    "Ai2": r"(?<![a-z])(?:olmo|tulu)",
    "01.AI": r"(?<![a-z])yi(?![a-z])",
    "MiniMax": r"minimax|abab",
    "InternLM": r"internlm",
    "memeval": r"^offline$",
}
_PATTERNS = {maker: re.compile(pattern) for maker, pattern in _MAKERS.items()}


def families(name: str) -> frozenset[str]:
    """The families that a model's name shows; empty where it shows none."""
    lower = name.lower()
    return frozenset(maker for maker, pattern in _PATTERNS.items() if pattern.search(lower))


def related(judge: str, other: str) -> bool:
    """Whether two names are the same model or share a family. Where neither shows one, the provider before the first `/`
    decides; a name that shows nothing at all is taken for unrelated."""
    if judge.lower() == other.lower():
        return True
    mine, theirs = families(judge), families(other)
    if mine or theirs:
        return bool(mine & theirs)
    provider, slash, _ = judge.lower().partition("/")
    return bool(slash) and other.lower().startswith(f"{provider}/")


def related_roles(judge: str, models: Mapping[str, str]) -> list[str]:
    """Of role -> model name, the roles whose model is the judge's kin."""
    return sorted(role for role, name in models.items() if related(judge, name))
