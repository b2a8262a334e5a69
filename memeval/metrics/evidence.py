"""Did the agent recall the gold evidence? Found by text and provenance (held.py)."""

from __future__ import annotations

from memeval.metrics.held import each_held, held
from memeval.metrics.reply import Reply


def evidence_any(reply: Reply) -> float | None:
    """1 when the recalled items hold at least one piece of the evidence. None without evidence, without a recall, and where
    the items cannot be traced to it."""
    found = each_held(reply.question, reply.evidence, reply.recalled or ())
    if reply.recalled is None or not found or (None in found and True not in found):
        return None
    return float(True in found)


def evidence_all(reply: Reply) -> float | None:
    """1 when the recalled items hold every piece of the evidence, as multi-hop needs. None as in `evidence_any`."""
    found = held(reply.question, reply.evidence, reply.recalled or ())
    return None if reply.recalled is None or found is None else float(found)
