"""Keys in the environment: none may stand in a message or a file, and none is handed to a program that has no use for it."""

from __future__ import annotations

import json
import os
import re
from urllib.parse import quote

SHORTEST = 6  # shorter "keys" are placeholders (EMPTY, none, x) that stand in ordinary words
_VARIABLE = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|CREDENTIALS|_KEY_ID)$", re.IGNORECASE)
"""Names of variables that hold one, as litellm, the clouds and the hub call theirs."""
_LOOKS_LIKE_ONE = re.compile(r"\b(sk|gsk|hf|xai)[-_][\w*.-]{6,}|(?<=Bearer )\S+", re.IGNORECASE)


def environment() -> dict[str, str]:
    """The environment for a child process, without the keys."""
    return {name: value for name, value in os.environ.items() if not _VARIABLE.search(name)}


def hide(text: str, own: str = "") -> str:
    """`text` with keys blotted out: `own`, those of the environment (also as URLs and JSON write them), and what looks like
    one: servers and client libraries repeat them in their errors."""
    known = [own, *(value.strip() for name, value in os.environ.items() if _VARIABLE.search(name))]
    for key in sorted({key for key in known if len(key) >= SHORTEST}, key=len, reverse=True):
        for written in (key, json.dumps(key)[1:-1], key.replace("/", "\\/"), quote(key, safe="")):
            text = text.replace(written, "[key]")
    return _LOOKS_LIKE_ONE.sub("[key]", text)
