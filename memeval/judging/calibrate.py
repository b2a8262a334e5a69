"""Compare a judge with human labels: how often does it accept wrong answers and reject right ones?

A calibration file is JSONL, one answer per line:

    {"question": "Who ...?", "gold": "Ann" (or a list of accepted ones), "answer": "It was Ann.", "human": "right",
     "kind": "multi-session",      # optional: the question type, by which the judge's rules are chosen; `abstention`:
                                   # unanswerable, and the gold, which may be left out, explains why
     "case": "long"}               # optional: what the line tests; errors are reported by case

The bundled starter set is our own, about invented people and places. Its wrong answers tempt a judge: long or hedged ones,
both answers at once, refusals, near misses, old values, instructions to the judge. So it is harder than usual answers, and a
calibration on answers of your own runs corrects scores better.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec
from msgspec.structs import replace

from memeval.config import cache_folder
from memeval.data.files import Found
from memeval.data.records import read
from memeval.errors import UsageError
from memeval.judging.judge import Judge, Progress
from memeval.judging.prompts import ABSTENTION, ASPECTS, prompt_hash
from memeval.judging.rates import kappa, rate
from memeval.judging.scorer import scorer_name, with_judge
from memeval.models.calls import CallSettings
from memeval.models.completion import ModelSpec
from memeval.records.files import read_record, write_record
from memeval.records.judgements import CalibrationFacts, JudgeErrors, Rate
from memeval.records.rows import ScoreRow
from memeval.task import Question
from memeval.typed import Text, typed

STARTER = Path(__file__).with_name("calibration.jsonl")


class Labelled(msgspec.Struct, forbid_unknown_fields=True):
    """One line of a calibration file: an answer with a human's label."""

    question: Text
    answer: Text
    human: Literal["right", "wrong"]
    gold: Text | tuple[Text, ...] = ()
    kind: Text = "all"
    case: Text = "all"

    def asked(self) -> Question:
        golds = (self.gold,) if isinstance(self.gold, str) else self.gold
        return Question("", self.question.strip(), golds, self.kind, answerable=self.kind != ABSTENTION)


class Calibration(CalibrationFacts, frozen=True, kw_only=True):
    """The result of a calibration; its base has the part that is stored with judged runs. errors: on all answers that got a
    verdict; answerable: without those to unanswerable questions, to correct a headline. failed: answers on which the judge
    gave up. cases: case -> (answers, false accepts, false rejects). disagreements: (line, human label, the judge's verdict,
    its reply)."""

    scorer: str
    judge: str
    family: str
    prompt_hash: str
    errors: JudgeErrors
    cases: dict[str, tuple[int, int, int]]
    disagreements: tuple[tuple[int, str, str, str], ...]
    calls: int
    requests: int


def calibrate(
    file: Path | None,
    judge: ModelSpec,
    family: str = "generic",
    *,
    prompt: str | None = None,
    settings: CallSettings | None = None,
    progress: Progress | None = None,
) -> Calibration:
    """Have a judge rate a calibration file (None: the starter set), with the prompts of `family`.

    Raises UsageError for a bad file, with file and line, and StopRun when the judge cannot be reached.
    """
    if family in ASPECTS:
        raise UsageError(
            f"judge family '{family}' gives shares of a summary; a calibration is for families that judge an answer"
        )
    path = file or STARTER
    items, sha256 = read_items(path)
    cases = [(item.asked(), item.answer) for item in items.values()]
    found, spending = with_judge(
        judge,
        lambda call: Judge(family, call, judge.params, prompt).cases(cases, progress),
        settings or CallSettings(),
    )
    found = [replace(one, verdict="wrong") if one.verdict == "partly" else one for one in found]  # half a point is not right
    pairs = list(zip(items.values(), found, strict=True))
    judged = [pair for pair in pairs if pair[1].verdict != "failed"]
    number = Counter(item.case for item, _ in judged)
    called = Counter((item.case, item.human, one.verdict) for item, one in judged)
    return Calibration(
        scorer=scorer_name(judge, family, prompt),
        judge=judge.name,
        family=family,
        prompt_hash=prompt_hash(family, prompt),
        source="starter" if file is None else path.name,
        sha256=sha256,
        items=len(items),
        failed=len(items) - len(judged),
        errors=errors(judged),
        answerable=errors([pair for pair in judged if pair[0].kind != ABSTENTION]),
        cases={
            case: (number[case], called[case, "wrong", "right"], called[case, "right", "wrong"])
            for case in dict.fromkeys(item.case for item in items.values())
        },
        disagreements=tuple(
            (line, item.human, one.verdict, one.reply or one.reason or "")
            for (line, item), one in zip(items.items(), found, strict=True)
            if one.verdict != item.human
        ),
        calls=len(spending.rows),
        requests=spending.requests,
    )


def errors(judged: Sequence[tuple[Labelled, ScoreRow]]) -> JudgeErrors:
    """The error rates of a judge over answers that got a verdict. The limits resample questions with all their answers."""
    agree = _rate([(item, one.verdict == item.human) for item, one in judged])
    accepts = _rate([(item, one.verdict == "right") for item, one in judged if item.human == "wrong"])
    rejects = _rate([(item, one.verdict == "wrong") for item, one in judged if item.human == "right"])
    share = sum(item.human == "right" for item, _ in judged) / len(judged) if judged else 0.0
    agreement = kappa(accepts, rejects, share) if accepts and rejects else None
    return JudgeErrors(len(judged), share, agree, accepts, rejects, agreement)


def _rate(hits: Sequence[tuple[Labelled, bool]]) -> Rate | None:
    return rate([hit for _, hit in hits], [item.question.strip() for item, _ in hits])


def read_items(path: Path) -> tuple[dict[int, Labelled], str]:
    """(line -> answer, the sha256 of the file) of a calibration file. Raises UsageError with file and line."""
    records = read(Found("calibration.jsonl", path))
    items: dict[int, Labelled] = {}
    first: dict[tuple[str, str], int] = {}
    for span, line in records.spans():
        place = records.place(span.number)
        item: Labelled = typed(msgspec.json.decode(line), Labelled, place)
        if not item.gold and item.kind != ABSTENTION:
            raise UsageError(f"{place}: 'gold' is empty; only answers of kind '{ABSTENTION}' may leave it out")
        before = first.setdefault((item.question.strip(), item.answer), span.number)
        if before != span.number:
            raise UsageError(f"{place}: the same question and answer as line {before}; keep one")
        items[span.number] = item
    if not items:
        raise UsageError(f"{path}: holds no answers")
    return items, records.facts["sha256"]


# -- kept calibrations ------------------------------------------------------------------------------------------------


def calibration_file(scorer: str) -> Path:
    """The file of a judge's latest calibration, in the user's cache."""
    return cache_folder() / "calibrations" / f"{scorer}.json"


def save(calibration: Calibration) -> Path:
    """Store a calibration for `memeval score`, and return its path. Raises UsageError where the folder cannot be written."""
    path = calibration_file(calibration.scorer)
    write_record(path, calibration)
    return path


def saved(scorer: str) -> CalibrationFacts | None:
    """The part of a stored calibration that goes with a judged run; None where there is none, or its version differs."""
    return read_record(calibration_file(scorer), CalibrationFacts)
