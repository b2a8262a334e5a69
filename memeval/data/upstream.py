"""Files of public repositories that we may not ship, pinned by commit and hash: users fetch them into their cache.

`MEMEVAL_UPSTREAM` names another server with the same paths (`<owner>/<name>/<commit>/<path>`), such as a mirror.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from memeval.config import cache_folder
from memeval.data.fetch import Say, fetch
from memeval.data.files import DataFile
from memeval.errors import UsageError

SERVER = "https://raw.githubusercontent.com"


@dataclass(frozen=True, slots=True)
class Pinned:
    """A file of `owner/name` at a commit. sha256: of its bytes."""

    repository: str
    commit: str
    path: str
    sha256: str

    @property
    def name(self) -> str:
        return f"{self.repository}/{self.commit}/{self.path}"


def cache_path(file: Pinned) -> Path:
    """The path of a fetched file in the user's cache."""
    return cache_folder() / "upstream" / file.name


def get(file: Pinned, say: Say) -> Path:
    """Fetch a file unless it is there, and return its path. say: called with a line on what is being fetched. Raises
    UsageError where the file cannot be fetched, or is not the pinned one."""
    if not _is_it(file):
        server = os.environ.get("MEMEVAL_UPSTREAM", SERVER).rstrip("/")
        wanted = DataFile((file.name,), url=f"{server}/{file.name}", sha256=file.sha256)
        fetch(wanted, None, cache_folder() / "upstream", say)
    return cache_path(file)


def text(file: Pinned, command: str) -> str:
    """The text of a fetched file. command: the command that fetches it. Raises UsageError, with the command, where the file
    is missing or was changed."""
    if not _is_it(file):
        raise UsageError(f"{file.repository}'s {file.path} is not here; `{command}` fetches it")
    return cache_path(file).read_text(encoding="utf-8")


def _is_it(file: Pinned) -> bool:
    path = cache_path(file)
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == file.sha256
