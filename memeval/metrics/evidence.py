"""Did what was recalled come from where the gold evidence stands? Necessary for a right answer from memory, not
sufficient: a chunk holds some twenty documents (validity section 4)."""

from __future__ import annotations

from memeval.metrics.reply import Reply


def evidence_any(reply: Reply) -> float | None:
    """1 when a recalled chunk holds at least one piece of the evidence. None without evidence or without a recall."""
    met = _met(reply)
    return None if met is None else float(any(met))


def evidence_all(reply: Reply) -> float | None:
    """1 when the recalled chunks hold every piece of the evidence, as multi-hop needs. None as in `evidence_any`."""
    met = _met(reply)
    return None if met is None else float(all(met))


def _met(reply: Reply) -> list[bool] | None:
    """Per piece of evidence: is one of its chunks among the recalled? Pieces that lie in no chunk are left out."""
    pieces = [piece for piece in reply.evidence if piece]
    if reply.recalled is None or not pieces:
        return None
    recalled = set(reply.recalled)
    return [not recalled.isdisjoint(piece) for piece in pieces]
