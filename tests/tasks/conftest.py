"""Where the families' tests find data: a hub's cache without a network, and real slices where they are at hand."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(autouse=True, scope="module")
def _own_records(records_folder: None) -> None:
    """In each module of this folder."""


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache, empty (hubcache.py says where a file lies in it); no network, no data folder."""
    pytest.importorskip("huggingface_hub")
    monkeypatch.delenv("MEMEVAL_DATA", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


@pytest.fixture(scope="session")
def slices() -> Callable[[str], Path]:
    """(a file of a real data set, plain or .gz) -> the data folder; skips where it is not there."""
    root = Path(os.environ.get("MEMEVAL_DATA") or Path(__file__).parents[3] / "shared" / "data")

    def holding(name: str) -> Path:
        if not any((root / found).is_file() for found in (name, f"{name}.gz")):
            pytest.skip(f"needs {name} in MEMEVAL_DATA or ../shared/data")
        return root

    return holding
