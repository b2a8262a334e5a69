"""scores/judge-....json: which judge scored a run, by which rules, at what price, and how reliable that judge is."""

from __future__ import annotations

import msgspec

from memeval.records.manifest import JudgeFacts
from memeval.records.rows import Usage


class Rate(msgspec.Struct, frozen=True):
    """An estimate with its 95 % limits, from `n` answers (0: assumed to be known)."""

    value: float
    low: float
    high: float
    n: int


class JudgeErrors(msgspec.Struct, frozen=True):
    """The error rates of a judge. share: of right answers among those judged. A rate is None if no answer shows it;
    kappa is None if all answers have the same label."""

    n: int
    share: float
    agreement: Rate | None
    false_accepts: Rate | None
    false_rejects: Rate | None
    kappa: Rate | None


class CalibrationFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a calibration that is stored with a judged run. source: its file; items: answers in it, of which the
    judge gave up on `failed`; answerable: its errors without unanswerable questions."""

    source: str
    sha256: str
    items: int
    failed: int
    answerable: JudgeErrors


class JudgeHeader(JudgeFacts, frozen=True, kw_only=True):
    """The facts of one scores file. calls: logical, including cached ones; requests: sent by the last judging; tokens:
    of all calls; served: model name that the server reported -> calls."""

    scorer: str
    base_url: str | None = None
    calls: int = 0
    requests: int = 0
    tokens: Usage = Usage()
    served: dict[str, int] = msgspec.field(default_factory=dict)
    calibration: CalibrationFacts | None = None
