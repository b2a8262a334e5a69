"""The tiny Qwen3 that the tests of local models share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny randomly initialised Qwen3; not to be written to."""
    pytest.importorskip("transformers")
    import tiny_qwen

    return tiny_qwen.save(tmp_path_factory.mktemp("models") / "tiny")
