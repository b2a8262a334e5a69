"""Keys in the environment: where each is read, and how all are kept out of messages, files and other programs; also the
URL of OpenAI's API, which decides which key is sent."""

from __future__ import annotations

import json
import os
import re
from urllib.parse import quote

from memeval.errors import UsageError
from memeval.models.completion import ModelSpec

OPENAI_URL = "https://api.openai.com/v1"
"""The URL of models named `openai/NAME`."""
OWN, OPENAI = "MEMEVAL_API_KEY", "OPENAI_API_KEY"
MOVED = "OPENAI_BASE_URL"
"""The variable of OpenAI's own client for the URL of its API."""

SHORTEST = 6  # shorter "keys" are placeholders (EMPTY, none, x), which occur in ordinary words
_VARIABLE = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|CREDENTIALS|_KEY_ID)$", re.IGNORECASE)
"""Names of variables that hold a key, as litellm, cloud providers and the hub name theirs."""
_LOOKS_LIKE_ONE = re.compile(r"\b(sk|gsk|hf|xai)[-_][\w*.-]{6,}|(?<=Bearer )\S+", re.IGNORECASE)


def environment() -> dict[str, str]:
    """The environment for a child process, without the keys."""
    return {name: value for name, value in os.environ.items() if not _VARIABLE.search(name)}


def api_key(*variables: str) -> str:
    """The key in the first of these environment variables that is set; "" if none is. Raises UsageError, without
    showing the value, if no HTTP header can carry it."""
    for variable in variables:
        key = os.environ.get(variable, "").strip()
        if key and not re.fullmatch(r"[\x21-\x7e]+", key):
            raise UsageError(f"{variable}: the key holds blanks or characters other than ASCII; set it again")
        if key:
            return key
    return ""


def openai_url() -> str | None:
    """OPENAI_BASE_URL, without a trailing slash; None if it is not set."""
    return os.environ.get(MOVED, "").strip().rstrip("/") or None


def variables(base_url: str | None) -> tuple[str, str]:
    """The variables in which the key of an endpoint is searched, in order."""
    return (OPENAI, OWN) if base_url in (None, OPENAI_URL, openai_url()) else (OWN, OPENAI)


def endpoint_key(spec: ModelSpec) -> str:
    """The key of an endpoint. Raises UsageError if OpenAI's key is missing; the user's own server may need none."""
    key = api_key(*variables(spec.base_url))
    if not key and spec.base_url is None:
        raise UsageError(f"model '{spec.name}' needs a key: set {OPENAI} (or use --model offline, or --base-url URL)")
    return key


def hide(text: str, own: str = "") -> str:
    """`text` with all keys masked: `own`, those of the environment (also in the form of URLs and JSON), and what looks
    like a key, because servers and client libraries repeat keys in their errors."""
    known = [own, *(value.strip() for name, value in os.environ.items() if _VARIABLE.search(name))]
    for key in sorted({key for key in known if len(key) >= SHORTEST}, key=len, reverse=True):
        for written in (key, json.dumps(key)[1:-1], key.replace("/", "\\/"), quote(key, safe="")):
            text = text.replace(written, "[key]")
    return _LOOKS_LIKE_ONE.sub("[key]", text)
