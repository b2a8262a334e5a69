"""Where the answers of a run were lost (validity section 4): never written, not recalled, or misread.

A wrong answer whose evidence

* was recalled: `read`, the reader had it;
* was held in memory and not recalled: `recall`;
* was not held in memory when the question was asked: `write`;
* was not recalled, where nothing says what the memory held: `not recalled`;
* cannot be followed: `n/a`. The data have no evidence, or it is found only in entries of more than three sources (a memory
  that is rewritten whole) or without any; or the agent answers by itself and shows no recall; or it is a control.

`metrics/held.py` has the rule of what holds a piece of evidence; questions of several hops need all pieces. What a memory
held is what the agent listed (`MemoryStats.entries`, looked through when the question was asked), else what its recorded
operations leave. A right answer without held evidence is `unsupported`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import Literal

import msgspec

from memeval.metrics.held import all_held, each_held, supported
from memeval.records.attribution import Attribution
from memeval.records.folder import Key
from memeval.records.rows import OperationRow, SampleRow, ScoreRow
from memeval.results.load import JUDGE, Run
from memeval.results.memory_at import by_memory, items_at, records_effects, steps_at
from memeval.runs.score import recalled_items

Where = Literal["write", "recall", "not recalled", "read", "n/a"]
WORDS: dict[Where, str] = {
    "write": "never written",
    "recall": "not recalled",
    "not recalled": "not written or not recalled",
    "read": "misread",
    "n/a": "cannot be followed",
}
"""What became of the evidence, in the order in which it can get lost."""


class LostAnswer(msgspec.Struct, frozen=True):
    """A wrong answer, and where it was lost."""

    question_id: str
    repeat: int
    answer_repeat: int
    where: Where


class Lost(msgspec.Struct, frozen=True, kw_only=True):
    """The wrong answers of a run by where they were lost, and the right ones that rest on nothing.

    wrong, partly, right: answers by verdict (each repeat is an answer; failed ones are none of them). counts: class -> wrong
    answers, classes without any left out. unsupported: right answers whose evidence is not held in what was recalled, nor
    an answer string. answers: one row per wrong answer. unsupported_answers: (question id, repeat, answer repeat).
    """

    wrong: int = 0
    partly: int = 0
    right: int = 0
    counts: dict[Where, int] = {}
    unsupported: int = 0
    answers: tuple[LostAnswer, ...] = ()
    unsupported_answers: tuple[Key, ...] = ()

    @property
    def where(self) -> dict[Key, Where]:
        """(question id, repeat, answer repeat) -> class of the wrong answer"""
        return {(row.question_id, row.repeat, row.answer_repeat): row.where for row in self.answers}


def lost(run: Run) -> Lost:
    """The wrong answers of a run, each with where it was lost. Verdicts are the judge's where its score is the headline.

    Raises UsageError, with file and line, where a row is damaged."""
    return _Follow(run).lost()


def headline_scores(run: Run) -> dict[Key, ScoreRow]:
    """(question id, repeat, answer repeat) -> its score: the judge's where that is the headline, else the task's."""
    judge = run.judge if run.summary.headline.metric == JUDGE else None
    rows = run.scores(judge) if judge else run.scores()
    return {row.key: row for row in rows}


def sentence(found: Lost) -> str:
    """`of 71 wrong: 20 never written, 30 not recalled, 21 misread`; empty without a wrong or an unsupported answer."""
    parts = []
    if found.wrong:
        each = (f"{found.counts[where]:,} {text}" for where, text in WORDS.items() if where in found.counts)
        parts.append(f"of {found.wrong:,} wrong: {', '.join(each)}")
    if found.unsupported:
        parts.append(f"of {found.right:,} right: {found.unsupported:,} unsupported by what was recalled")
    return "; ".join(parts)


ASKED_WORDS: dict[str, str] = {
    **{str(where): text for where, text in WORDS.items()},
    "recall-or-write": "not recalled or never written",
    "failed": "without a reply",
}


def asked_sentence(found: Attribution, now: Lost | None = None) -> str:
    """What `memeval attribute` found: `of 71 wrong, asked again: 20 never written, 30 not recalled, 21 misread`. now: the
    wrong answers of the run, which may have grown or been answered anew since."""
    each = ", ".join(f"{found.counts[where]:,} {text}" for where, text in ASKED_WORDS.items() if where in found.counts)
    of = f"{found.wrong:,}" if len(found.answers) == found.wrong else f"{len(found.answers):,} of {found.wrong:,}"
    keys = {(row.question_id, row.repeat, row.answer_repeat) for row in found.answers}
    same = now is None or (now.wrong == found.wrong and keys <= now.where.keys())
    since = "" if same else " (the run has changed since: `memeval attribute` again)"
    return f"of {of} wrong, asked again: {each or 'none'}{since}"


class _Follow:
    """The evidence of one run's answers, from the memory to the reader."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.control = run.manifest.memory is None
        self.native = run.manifest.track == "native"

    @cached_property
    def _steps(self) -> dict[tuple[str, int], list[OperationRow]]:
        """(context, repeat) -> its steps of reading; empty where no step says what it changed in the memory"""
        return by_memory(self.run.operations) if records_effects(self.run.operations) else {}

    def lost(self) -> Lost:
        run = self.run
        scores = headline_scores(run)
        verdicts = Counter(row.verdict for row in scores.values())
        pairs = [(sample, scores[sample.key].verdict) for sample in run.samples if sample.key in scores]
        answers = tuple(LostAnswer(*sample.key, self._where(sample)) for sample, verdict in pairs if verdict == "wrong")
        unsupported = tuple(sample.key for sample, verdict in pairs if verdict == "right" and self._unsupported(sample))
        counts = Counter(row.where for row in answers)
        return Lost(
            wrong=verdicts["wrong"],
            partly=verdicts["partly"],
            right=verdicts["right"],
            counts={where: counts[where] for where in WORDS if counts[where]},
            unsupported=len(unsupported),
            answers=answers,
            unsupported_answers=unsupported,
        )

    def _recalled(self, sample: SampleRow) -> list[bool | None] | None:
        """Of each piece of the evidence, whether what the reader saw holds it; None where that is not known."""
        row, shown = self.run.questions[sample.question_id], bool(sample.recall)
        if (self.native or self.control) and not shown:
            return None
        if not self.run.texts.keys() >= {item.text for item in sample.recall}:  # a baseline has no texts
            return None
        return each_held(row.question(), row.evidence, recalled_items(sample, self.run.texts)) or None

    def _where(self, sample: SampleRow) -> Where:
        recalled = self._recalled(sample)
        if recalled is None:
            return "n/a"
        seen = all_held(recalled)
        if seen is not False:
            return "read" if seen else "n/a"
        if self.control:
            return "n/a"
        memory = self._memory(sample)
        if memory is None or len(memory) != len(recalled):
            return "not recalled"
        held = all_held([True if one else other for one, other in zip(recalled, memory, strict=True)])
        return "n/a" if held is None else "recall" if held else "write"

    def _memory(self, sample: SampleRow) -> Sequence[bool | None] | None:
        """Of each piece of the evidence, whether the memory held it when the question was asked; None where nothing says
        what it held."""
        if sample.evidence_held is not None:
            return sample.evidence_held
        row = self.run.questions[sample.question_id]
        steps = self._steps.get((row.context_id, sample.repeat))
        if steps is None:
            return None
        return each_held(row.question(), row.evidence, items_at(steps_at(steps, row, sample.repeat)))

    def _unsupported(self, sample: SampleRow) -> bool:
        if self.control or self._recalled(sample) is None:
            return False
        row = self.run.questions[sample.question_id]
        return supported(row.question(), row.evidence, recalled_items(sample, self.run.texts)) is False
