"""The cache of the Hugging Face hub, laid out as its client leaves it."""

from __future__ import annotations

from pathlib import Path

REVISION = "0123456789abcdef0123456789abcdef01234567"


def placed(cache: Path, repository: str, name: str, revision: str = REVISION, current: str | None = None) -> Path:
    """Where a file of a data set lies; its folder is made. current: the revision that the hub has now."""
    folder = cache / f"datasets--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True, exist_ok=True)
    (folder / "refs" / "main").write_text(current or revision)
    path = folder / "snapshots" / revision / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
