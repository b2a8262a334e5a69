"""TriviaQA as published (triviaqa-rc.tar.gz): qa/*.json names the pages, the folder evidence/ holds the texts."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from memeval.errors import UsageError
from memeval.pool import plain

PAGES = (("entity_pages", "wiki_context", "wikipedia"), ("search_results", "search_context", "web"))
"""Where a record has its pages: field, the page's text in it (both as the hub spells them), and the folder of the texts."""


def as_hub(record: Mapping[str, Any], evidence: Evidence, place: str) -> Mapping[str, Any]:
    """A record of upstream's JSON as a row of the hub, with the text of its pages. As there, pages without a file are left
    out."""
    row = {_snake(key): value for key, value in record.items()}
    if isinstance(row.get("answer"), Mapping):
        row["answer"] = {_snake(key): value for key, value in row["answer"].items()}
    for key, field, kind in PAGES:
        pages = row.get(key) or []
        if not isinstance(pages, list) or not all(isinstance(page, Mapping) for page in pages):
            raise UsageError(f"{place}: '{key}' is not a list of pages")
        read = [(page.get("Title"), evidence.text(kind, page.get("Filename"), place)) for page in pages]
        row[key] = [{"title": title, field: text} for title, text in read if text is not None]
    return row


class Evidence:
    """The texts of upstream's evidence folder, each read once. Raises UsageError where there is no such folder."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise UsageError(f"no folder {folder} with the pages of TriviaQA; unpack all of triviaqa-rc.tar.gz")
        self._folder = folder
        self._texts: dict[Path, str | None] = {}
        self._digest = hashlib.sha256()

    def text(self, kind: str, name: Any, place: str) -> str | None:
        """A page's text; None where there is no such file. Raises UsageError for a name that leaves the folder."""
        if not isinstance(name, str) or not name:
            return None
        parts = PurePosixPath(name)
        if parts.is_absolute() or ".." in parts.parts:
            raise UsageError(f"{place}: the file name '{plain(name)[:80]}' leaves the evidence folder")
        path = self._folder / kind / name
        if path not in self._texts:
            self._texts[path] = self._read(path) if _is_file(path) else None
        return self._texts[path]

    def _read(self, path: Path) -> str:
        try:
            data = path.read_bytes()
            text = data.decode("utf-8-sig")
        except OSError as error:
            raise UsageError(f"{path}: cannot be read ({error.strerror or error})") from None
        except UnicodeDecodeError as error:
            raise UsageError(f"{path}: not UTF-8 (byte {error.start})") from None
        self._digest.update(f"{path.relative_to(self._folder).as_posix()}\0{len(data)}\0".encode() + data)
        return text

    def facts(self) -> dict[str, Any]:
        missing = sum(text is None for text in self._texts.values())
        return {"pages": len(self._texts) - missing, "pages_missing": missing, "pages_sha256": self._digest.hexdigest()}


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name longer than file systems have
        return False


def _snake(name: str) -> str:
    """Upstream's CamelCase as the hub spells it: QuestionId -> question_id."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
