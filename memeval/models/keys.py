"""Keys in the environment: where each is read, and how all are kept out of messages, files and other programs; and where
OpenAI's API is, which decides whose key is sent."""

from __future__ import annotations

import json
import os
import re
from urllib.parse import quote

from memeval.errors import UsageError
from memeval.models.completion import ModelSpec

OPENAI_URL = "https://api.openai.com/v1"
"""Where a model named `openai/NAME` is."""
OWN, OPENAI = "MEMEVAL_API_KEY", "OPENAI_API_KEY"
MOVED = "OPENAI_BASE_URL"
"""The variable of OpenAI's own client that says where its API is."""

SHORTEST = 6  # shorter "keys" are placeholders (EMPTY, none, x) that stand in ordinary words
_VARIABLE = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|CREDENTIALS|_KEY_ID)$", re.IGNORECASE)
"""Names of variables that hold one, as litellm, the clouds and the hub call theirs."""
_LOOKS_LIKE_ONE = re.compile(r"\b(sk|gsk|hf|xai)[-_][\w*.-]{6,}|(?<=Bearer )\S+", re.IGNORECASE)


def environment() -> dict[str, str]:
    """The environment for a child process, without the keys."""
    return {name: value for name, value in os.environ.items() if not _VARIABLE.search(name)}


def api_key(*variables: str) -> str:
    """The key in the first of these environment variables that is set; "" when none is. Raises UsageError, without showing
    it, for a value that no HTTP header can carry."""
    for variable in variables:
        key = os.environ.get(variable, "").strip()
        if key and not re.fullmatch(r"[\x21-\x7e]+", key):
            raise UsageError(f"{variable}: the key holds blanks or characters other than ASCII; set it again")
        if key:
            return key
    return ""


def openai_url() -> str | None:
    """OPENAI_BASE_URL, without a trailing slash; None where it is not set."""
    return os.environ.get(MOVED, "").strip().rstrip("/") or None


def variables(base_url: str | None) -> tuple[str, str]:
    """Where the key of an endpoint is looked for, in order."""
    return (OPENAI, OWN) if base_url in (None, OPENAI_URL, openai_url()) else (OWN, OPENAI)


def endpoint_key(spec: ModelSpec) -> str:
    """The key of an endpoint. Raises UsageError where OpenAI's is missing; a server of one's own need not have one."""
    key = api_key(*variables(spec.base_url))
    if not key and spec.base_url is None:
        raise UsageError(f"model '{spec.name}' needs a key: set {OPENAI} (or use --model offline, or --base-url URL)")
    return key


def hide(text: str, own: str = "") -> str:
    """`text` with keys blotted out: `own`, those of the environment (also as URLs and JSON write them), and what looks like
    one: servers and client libraries repeat them in their errors."""
    known = [own, *(value.strip() for name, value in os.environ.items() if _VARIABLE.search(name))]
    for key in sorted({key for key in known if len(key) >= SHORTEST}, key=len, reverse=True):
        for written in (key, json.dumps(key)[1:-1], key.replace("/", "\\/"), quote(key, safe="")):
            text = text.replace(written, "[key]")
    return _LOOKS_LIKE_ONE.sub("[key]", text)
