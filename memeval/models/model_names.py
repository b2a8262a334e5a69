"""Decide whether two names may mean one model: the requested name, and the name that a server reports."""

from __future__ import annotations

import re

_FILE = re.compile(r"\.(gguf|safetensors|bin|pt|pth|onnx)\Z")
_DATE = re.compile(r"[-_@.](20\d\d[-_.]?[01]\d[-_.]?[0-3]\d|[01]\d[0-3]\d|latest|preview)(?=\Z|[-_@:.])")
_SHORT = 3
"""Names shorter than this must be whole words of the other name: `m` says nothing about `tiny-model`."""


def same_name(asked: str, served: str) -> bool:
    """Whether one name contains the other, in lower case and without organisation, path, suffix and date."""
    one, other = sorted((_words(asked), _words(served)), key=lambda words: len("".join(words)))
    short = "".join(one)
    if not short:
        return True
    if len(short) >= _SHORT and short in "".join(other):
        return True
    return any("".join(other[start:end]) == short for start in range(len(other)) for end in range(start, len(other) + 1))


def _words(name: str) -> list[str]:
    """The letters and digits of a model's own name, word by word."""
    text = name.lower().partition("@http")[0].replace("\\", "/").rstrip("/").rpartition("/")[2]
    return re.findall(r"[^\W_]+", _DATE.sub("", _FILE.sub("", text)))
