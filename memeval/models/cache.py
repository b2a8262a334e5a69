"""The user's cache of calls, shared by all runs and processes.

Folder: `MEMEVAL_CACHE`, else `XDG_CACHE_HOME/memeval`, else `~/.cache/memeval`. A cache that cannot be used turns itself
off with one notice: it saves money, it never stops a run.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from memeval.config import cache_folder
from memeval.models.store import Store, to_stderr


def open_cache(folder: Path | None = None, notice: Callable[[str], None] = to_stderr) -> Store:
    """The store in the user's cache folder."""
    return Store((folder or cache_folder()) / "calls.sqlite", notice, optional=True)
