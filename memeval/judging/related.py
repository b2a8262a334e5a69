"""Whether a judge is of the same family as the model that it judges: models favour their own texts (validity section 6).

Only names are compared. Distilled and finetuned models belong to every family that their name shows.
"""

from __future__ import annotations

import re

_FAMILIES = {
    "OpenAI": r"(?<![a-z])(?:chat)?gpt(?![a-z])|(?<![a-z\d])o[134](?![a-z\d])",
    "Anthropic": r"claude",
    "Google": r"gemini|gemma",
    "Meta": r"(?<![o])llama",
    "Alibaba": r"qwen|qwq",
    "Mistral": r"mi(?:ni)?stral|mixtral|magistral|devstral",
    "DeepSeek": r"deepseek",
    "xAI": r"(?<![a-z])grok",
    "Microsoft": r"(?<![a-z])phi(?![a-z])",
    "Cohere": r"(?<![a-z])command-?[ar](?![a-z])",
    "Zhipu": r"(?<![a-z])(?:chat)?glm",
    "Moonshot": r"(?<![a-z])kimi",
    "memeval": r"^offline$",
}
"""Maker -> pattern of its models' names, where these differ. The family of any other model is the first word of its name."""


def families(name: str) -> frozenset[str]:
    """The families that a model's name shows; empty where it shows none."""
    lower = name.lower()
    return frozenset(maker for maker, pattern in _FAMILIES.items() if re.search(pattern, lower))


def related(judge: str, other: str) -> bool:
    """Whether two names are of the same model or share a family. Where neither shows a family of the table, the first words
    of the names decide, or the providers before the first `/`."""
    mine, theirs = families(judge), families(other)
    if mine or theirs:
        return bool(mine & theirs)
    provider, slash, _ = judge.lower().partition("/")
    same_provider = bool(slash) and other.lower().startswith(f"{provider}/")
    return judge.lower() == other.lower() or same_provider or _first_word(judge) == _first_word(other)


def _first_word(name: str) -> str:
    """The first word of a model's name: `olmo` for `allenai/OLMo-2-7B`."""
    found = re.match(r"[a-z]{3,}", name.lower().rpartition("/")[2])
    return found[0] if found else name
