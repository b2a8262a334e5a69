"""Did the agent recall the gold evidence, and at which rank? Found by text and provenance (held.py).

`evidence_any` and `evidence_all` are about pieces of evidence. The others measure retrieval of gold units (documents,
turns), independently of the reader: recall@k is the share of gold units of which every piece is held by the first k recalled
items, and the reciprocal rank is 1 / the rank of the first item that holds a piece (its mean over questions is MRR; Voorhees
1999, The TREC-8 Question Answering Track Report). All are None without evidence or a recall, and where the items cannot be
traced to the evidence.
"""

from __future__ import annotations

from collections.abc import Sequence

from memeval.metrics.reply import Reply

RETRIEVAL = ("evidence_recall", "evidence_recall_at_1", "evidence_recall_at_5", "evidence_mrr")


def with_retrieval(metrics: Sequence[str]) -> tuple[str, ...]:
    """The metrics of a card, and those of retrieval if the card has any metric of evidence."""
    about = any(name.startswith("evidence_") for name in metrics)
    return tuple(dict.fromkeys((*metrics, *(RETRIEVAL if about else ()))))


def evidence_any(reply: Reply) -> float | None:
    """1 when the recalled items hold at least one piece of the evidence. None without evidence, without a recall, and where
    the items cannot be traced to it."""
    found = [rank for _, rank in reply.ranks]
    if any(found):
        return 1.0
    return None if None in found or not found else 0.0


def evidence_all(reply: Reply) -> float | None:
    """1 when the recalled items hold every piece of the evidence, as multi-hop needs. None as in `evidence_any`."""
    found = [rank for _, rank in reply.ranks]
    if 0 in found:
        return 0.0
    return None if None in found or not found else 1.0


def evidence_recall(reply: Reply) -> float | None:
    """The share of gold units that are held by the recalled items: recall@k for the agent's own k."""
    return _recall(reply, len(reply.recalled or ()))


def evidence_recall_at_1(reply: Reply) -> float | None:
    """recall@1, for agents that rank what they recall (items have scores)."""
    return _recall(reply, 1) if _ranked(reply) else None


def evidence_recall_at_5(reply: Reply) -> float | None:
    """recall@5, for agents that rank what they recall (items have scores)."""
    return _recall(reply, 5) if _ranked(reply) else None


def evidence_mrr(reply: Reply) -> float | None:
    """The reciprocal rank of the first item that holds gold evidence, 0 where none does, for agents that rank what they
    recall (items have scores)."""
    found = [rank for _, rank in reply.ranks]
    if not found or None in found or not _ranked(reply):
        return None
    return max((1 / rank for rank in found if rank), default=0.0)


def _recall(reply: Reply, k: int) -> float | None:
    units: dict[tuple[int, ...], bool] = {}
    for piece, rank in reply.ranks:
        if rank is None:
            return None
        units[piece.units] = units.get(piece.units, True) and 0 < rank <= k
    return sum(units.values()) / len(units) if units else None


def _ranked(reply: Reply) -> bool:
    """Whether the order of the items is a ranking; a long-context agent recalls them in the order of the stream."""
    return any(item.score is not None for item in reply.recalled or ())
