"""Where the answers of a run were lost (validity section 4): never written, not recalled, or misread.

A wrong answer whose evidence

* was recalled: `read`, the reader had it;
* was held in memory and not recalled: `recall`;
* was not held in memory when the question was asked: `write`;
* was not recalled, where it is not known what the memory held: `not recalled`;
* cannot be followed: `n/a`. The data have no evidence, or it is found only in entries of more than three sources (a memory
  that is rewritten whole) or without a source; or the agent answers by itself and shows no recall; or it is a control.

`metrics/held.py` defines when a text holds a piece of evidence; questions of several hops need all pieces. What a memory
held is known from the entries that the agent listed (`MemoryStats.entries`, searched when the question was asked), else from
its recorded operations. A right answer without evidence in what was recalled is `unsupported`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import msgspec

from memeval.metrics.held import all_held, each_held, supported
from memeval.records.attribution import Attribution
from memeval.records.folder import Key
from memeval.records.rows import SampleRow
from memeval.results.memory_at import items_at, records_effects, steps_at
from memeval.runs.score import recalled_items

if TYPE_CHECKING:
    from memeval.results.run import Run

Where = Literal["write", "recall", "not recalled", "read", "n/a"]
WORDS: dict[Where, str] = {
    "write": "never written",
    "recall": "not recalled",
    "not recalled": "not written or not recalled",
    "read": "misread",
    "n/a": "cannot be followed",
}
"""Class of a wrong answer -> words for people, in the order in which evidence can get lost."""


class LostAnswer(msgspec.Struct, frozen=True):
    """A wrong answer, and where it was lost."""

    question_id: str
    repeat: int
    answer_repeat: int
    where: Where

    @property
    def key(self) -> Key:
        return self.question_id, self.repeat, self.answer_repeat


class Lost(msgspec.Struct, frozen=True, kw_only=True):
    """The wrong answers of a run by where they were lost, and the right answers without support.

    wrong, partly, right: number of answers by verdict (each repeat is an answer; failed ones are left out). counts: class ->
    number of wrong answers, without empty classes. unsupported: number of right answers for which neither the evidence nor
    an answer string was recalled. answers: one row per wrong answer. unsupported_answers: (question id, repeat, answer
    repeat).
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
        return {row.key: row.where for row in self.answers}


def lost(run: Run) -> Lost:
    """The wrong answers of a run, each with where it was lost. Verdicts are the judge's where its score is the headline.

    Raises UsageError, with file and line, where a row is damaged."""
    scores = run.score_of(run.decides)
    verdicts = Counter(row.verdict for row in scores.values())
    answers, unsupported = [], []
    replayed = records_effects(run.operations)
    for sample in run.samples:
        verdict = scores[sample.key].verdict if sample.key in scores else ""
        if verdict == "wrong":
            answers.append(LostAnswer(*sample.key, _where(run, sample, replayed)))
        elif verdict == "right" and _unsupported(run, sample):
            unsupported.append(sample.key)
    counts = Counter(row.where for row in answers)
    return Lost(
        wrong=verdicts["wrong"],
        partly=verdicts["partly"],
        right=verdicts["right"],
        counts={where: counts[where] for where in WORDS if counts[where]},
        unsupported=len(unsupported),
        answers=tuple(answers),
        unsupported_answers=tuple(unsupported),
    )


def _where(run: Run, sample: SampleRow, replayed: bool) -> Where:
    """The class of a wrong answer. replayed: whether the steps of reading record what they changed in the memory."""
    recalled = _recalled(run, sample)
    if recalled is None:
        return "n/a"
    seen = all_held(recalled)
    if seen is not False:
        return "read" if seen else "n/a"
    if _is_control(run):
        return "n/a"
    memory = _in_memory(run, sample, replayed)
    if memory is None or len(memory) != len(recalled):
        return "not recalled"
    held = all_held([True if one else other for one, other in zip(recalled, memory, strict=True)])
    return "n/a" if held is None else "recall" if held else "write"


def _recalled(run: Run, sample: SampleRow) -> list[bool | None] | None:
    """For each piece of the evidence, whether what the reader saw holds it; None where that is not known."""
    row = run.questions[sample.question_id]
    if (run.manifest.track == "native" or _is_control(run)) and not sample.recall:
        return None
    if not run.texts.keys() >= {item.text for item in sample.recall}:  # a baseline has no texts
        return None
    return each_held(row.question(), row.evidence, recalled_items(sample, run.texts)) or None


def _in_memory(run: Run, sample: SampleRow, replayed: bool) -> Sequence[bool | None] | None:
    """For each piece of the evidence, whether the memory held it when the question was asked; None where it is not known
    what the memory held."""
    if sample.evidence_held is not None:
        return sample.evidence_held
    if not replayed or (sample.context_id, sample.repeat) not in run.steps:
        return None
    row = run.questions[sample.question_id]
    return each_held(row.question(), row.evidence, items_at(steps_at(run, row, sample.repeat)))


def _unsupported(run: Run, sample: SampleRow) -> bool:
    if _is_control(run) or _recalled(run, sample) is None:
        return False
    row = run.questions[sample.question_id]
    return supported(row.question(), row.evidence, recalled_items(sample, run.texts)) is False


def _is_control(run: Run) -> bool:
    return run.manifest.memory is None


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
    run's wrong answers today; where they have changed since, the sentence says so."""
    each = ", ".join(f"{found.counts[where]:,} {text}" for where, text in ASKED_WORDS.items() if where in found.counts)
    of = f"{found.wrong:,}" if len(found.answers) == found.wrong else f"{len(found.answers):,} of {found.wrong:,}"
    keys = {row.key for row in found.answers}
    same = now is None or (now.wrong == found.wrong and keys <= now.where.keys())
    since = "" if same else " (the run has changed since: `memeval attribute` again)"
    return f"of {of} wrong, asked again: {each or 'none'}{since}"
