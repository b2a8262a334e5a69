"""Which rules a score was made by, so that scores by other rules are made anew."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Sequence
from pathlib import Path

from memeval.metrics import METRICS
from memeval.metrics.abstention import TABLE


def scorer_digest(metrics: Sequence[str], headline: str, native: bool = False) -> str:
    """The first 16 hex digits of a sha256 over the names, the source of memeval's metrics with their table, and of each
    metric's own file (a metric may come from another package)."""
    digest = hashlib.sha256(repr((tuple(metrics), headline, native)).encode())
    files = {*Path(__file__).parent.glob("*.py"), TABLE}
    files |= {Path(found) for name in metrics if name in METRICS and (found := inspect.getsourcefile(METRICS[name]))}
    for path in sorted(files):
        digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()[:16]
