"""The tiny Qwen3 that the tests of local models share, and waits without chance."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny randomly initialised Qwen3; not to be written to."""
    pytest.importorskip("transformers")
    import tiny_qwen

    return tiny_qwen.save(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def whole_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limiter's waits are not shortened by chance."""
    monkeypatch.setattr("memeval.models.limits.uniform", lambda low, high: high)
