"""Permanent settings: `memeval.yaml` in the working directory, and environment variables. Flags override both."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from memeval.errors import UsageError, suggest
from memeval.yamlfile import read_yaml

ROLES = ("memory", "reader", "judge", "embedder")
"""Model roles. A key of the same name or MEMEVAL_<ROLE> sets the model of a role."""

MODELS = ("model", *ROLES)
"""`model` sets the roles memory and reader."""
KEYS = (*MODELS, "base_url", "data_dir", "prices")
_ENVIRONMENT = "MEMEVAL_"
_OTHERS = ("base_url", "data", "cache", "upstream", "api_key", "headers", "vllm")
VARIABLES = tuple(f"{_ENVIRONMENT}{name.upper()}" for name in (*MODELS, *_OTHERS))


def read_config() -> dict[str, Any]:
    """The keys of `memeval.yaml`, checked; empty if there is no such file. `prices` is a mapping (models/prices.py);
    `model` and the roles are names, or mappings of `name`, `tag`, sampling parameters, `context` and `backend`, as in
    an agent card; the others are strings. Raises UsageError that names the key."""
    _warn_of_unread_variables()
    path = Path("memeval.yaml")
    if not path.is_file():
        if os.path.lexists(path):
            raise UsageError(f"{path}: not a file; move it away")
        return {}
    data = read_yaml(path)
    for key, value in data.items():
        if key not in KEYS:
            raise UsageError(f"{path}: unknown key '{key}'{suggest(key, KEYS)}")
        if key == "prices":
            allowed, expected = isinstance(value, Mapping), "a mapping"
        elif key in MODELS:
            named = isinstance(value, Mapping) and isinstance(value.get("name"), str)
            allowed, expected = named or isinstance(value, str), "a string, or a mapping with a 'name'"
        else:
            allowed, expected = isinstance(value, str), "a string"
        if not allowed:
            raise UsageError(f"{path}: '{key}' is {value!r}, expected {expected}")
    return data


@functools.cache
def _warn_of_unread_variables() -> None:
    """Print one line on stderr for each unknown MEMEVAL_ variable. It is no error, because other programs may have
    variables of such names."""
    for name in sorted(os.environ):
        if name.startswith(_ENVIRONMENT) and name not in VARIABLES:
            known = ", ".join(VARIABLES)
            print(f"memeval: the variable {name} is not read{suggest(name, VARIABLES)} (known: {known})", file=sys.stderr)


def data_dir(typed: Path | None, config: Mapping[str, Any]) -> Path | None:
    """The data folder: the flag, MEMEVAL_DATA, or `data_dir` of memeval.yaml; None if none is set. Raises UsageError if
    it does not exist."""
    candidates = [
        ("--data-dir", typed),
        ("MEMEVAL_DATA", os.environ.get("MEMEVAL_DATA")),
        ("memeval.yaml: data_dir", config.get("data_dir")),
    ]
    where, chosen = next((found for found in candidates if found[1]), ("", None))
    if chosen is None:
        return None
    path = Path(chosen).expanduser()
    if not path.is_dir():
        raise UsageError(f"{where} {path}: no such folder")
    return path.absolute()  # an agent may change the working directory


def cache_folder() -> Path:
    """The user's cache (it need not exist): `MEMEVAL_CACHE`, else `XDG_CACHE_HOME/memeval`, else `~/.cache/memeval`."""
    own = os.environ.get("MEMEVAL_CACHE")
    if own:
        return Path(own).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "memeval"
