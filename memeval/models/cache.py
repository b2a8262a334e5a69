"""The user's cache of calls, shared by all runs and processes.

Folder: `MEMEVAL_CACHE`, else `XDG_CACHE_HOME/memeval`, else `~/.cache/memeval`. A cache that cannot be used turns itself
off with one notice: it saves money, it never stops a run.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from memeval.models.store import Store, to_stderr


def cache_folder() -> Path:
    """Where the user's cache lies (it need not exist)."""
    own = os.environ.get("MEMEVAL_CACHE")
    if own:
        return Path(own).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "memeval"


def open_cache(folder: Path | None = None, notice: Callable[[str], None] = to_stderr) -> Store:
    """The store in the user's cache folder."""
    return Store((folder or cache_folder()) / "calls.sqlite", notice, optional=True)
