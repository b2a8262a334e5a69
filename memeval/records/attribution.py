"""scores/attribution.json: where wrong answers were lost, found by calling the reader again (`memeval attribute`)."""

from __future__ import annotations

import msgspec

from memeval.records.rows import Usage


class AttributedAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One wrong answer. where: `read`, `write`, `recall`, `recall-or-write` (the whole memory exceeds the reader's
    window), `not recalled` (it is unknown what the memory held), `n/a` (the data have no evidence) or `failed` (no
    reply). with_evidence, with_memory: the reader's answers with the gold evidence, and with the whole memory; None if
    it was not asked."""

    question_id: str
    repeat: int = 0
    answer_repeat: int = 0
    where: str
    with_evidence: str | None = None
    with_memory: str | None = None

    @property
    def key(self) -> tuple[str, int, int]:
        """(question id, repeat, answer repeat), as of the sample."""
        return self.question_id, self.repeat, self.answer_repeat


class Attribution(msgspec.Struct, frozen=True, kw_only=True):
    """The attribution of one run. wrong: number of its wrong answers; answers: those that were attributed (`--limit`),
    with counts by class. memory: the source of the memories' texts, `operations` or `replay`, else why there is none.
    scorer: decides what is right. calls: logical; requests: sent by the last command; tokens: of all calls."""

    reader: str
    scorer: str
    wrong: int
    counts: dict[str, int]
    answers: tuple[AttributedAnswer, ...]
    memory: str
    calls: int = 0
    requests: int = 0
    tokens: Usage = Usage()
