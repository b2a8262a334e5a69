"""scores/judge-....json: who judged a run, by what, at what price, and how far that judge can be trusted."""

from __future__ import annotations

import msgspec

from memeval.records.manifest import JudgeFacts
from memeval.records.rows import Usage


class Rate(msgspec.Struct, frozen=True):
    """An estimate with its 95 % limits, from `n` answers (0: taken as known)."""

    value: float
    low: float
    high: float
    n: int


class JudgeErrors(msgspec.Struct, frozen=True):
    """How a judge errs. share: of right answers among those judged. A rate is None where no answer shows it, kappa where
    all answers have one label."""

    n: int
    share: float
    agreement: Rate | None
    false_accepts: Rate | None
    false_rejects: Rate | None
    kappa: Rate | None


class CalibrationFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a calibration that goes with a judged run. source: its file; items: answers in it, of which the judge gave
    up on `failed`; answerable: its errors without the answers to unanswerable questions."""

    source: str
    sha256: str
    items: int
    failed: int
    answerable: JudgeErrors


class JudgeHeader(JudgeFacts, frozen=True, kw_only=True):
    """Of one scores file. calls: logical, cached ones included; requests: sent by the last judging; tokens: of all calls;
    served: name under which the server says that it answered -> calls."""

    scorer: str
    base_url: str | None = None
    calls: int = 0
    requests: int = 0
    tokens: Usage = Usage()
    served: dict[str, int] = msgspec.field(default_factory=dict)
    calibration: CalibrationFacts | None = None
