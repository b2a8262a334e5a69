"""Compute the scores and the summary of a run from its rows."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import asdict, replace

from memeval import tokens
from memeval.contamination import contamination, facts, trained_questions
from memeval.digests import digest
from memeval.metrics.rules import Rules, scorer_digest
from memeval.models import window
from memeval.records.averages import average, named
from memeval.records.clean import encode
from memeval.records.folder import RunFolder
from memeval.records.rows import QuestionRow, SampleRow, ScoreRow
from memeval.records.summary import Contamination, Summary
from memeval.runs.manifest import manifest
from memeval.runs.notes import notes
from memeval.runs.plan import Planned
from memeval.runs.score import score_samples, up_to_date
from memeval.runs.spec import RunSpec
from memeval.runs.summary import as_recorded, prices_of, summarise


def conclude(planned: Planned, requests: int | None = None, complete: bool = True) -> Summary:
    """Score the samples in the folder and aggregate them: all of them for summary.json, those of the requested
    questions for the result.

    requests: number sent by the invocation that wrote to the folder; None if there was nothing to do. complete: the run
    was not stopped.
    """
    spec, folder = planned.spec, RunFolder(planned.spec.folder)
    questions = folder.questions()
    samples = [row for row in folder.samples() if row.question_id in questions]
    rules = Rules.of(asdict(spec.task), spec.task.headline, spec.agent.card.track == "native")
    scorer, known = scorer_digest(rules), facts(spec.task, planned.claims)
    judges = msgspec.to_builtins(folder.judge_headers())
    basis = digest([sorted(encode(row).decode() for row in samples), scorer, known, judges])[:16]
    asked = {question: questions[question] for question in planned.question_ids if question in questions}
    all_asked = {row.question_id for row in samples} <= set(asked)
    stored = folder.summary()
    current = stored if requests is None and stored and stored.basis == basis and stored.status != "partial" else None
    if current and all_asked:
        unchanged = _read_back(replace(current, path=spec.shown, requests=0), planned, requests)
        if unchanged.read_back != current.read_back and folder.writable:  # `gate` reads it from the folder
            folder.write_summary(replace(current, read_back=unchanged.read_back, notes=unchanged.notes))
        return unchanged
    scores = folder.scores() if current else []
    if not up_to_date(scores, samples, scorer):
        scores = list(score_samples(samples, questions, folder.texts(), rules, scorer))
        if folder.writable:
            folder.write_scores(scores)
    written = folder.manifest()
    most = max(len(planned.question_ids), written.questions if written else 0)
    whole = current
    if whole is None:
        sent = stored.requests if requests is None and stored else requests or 0
        whole = _summary(planned, folder, questions, samples, scores, most, complete)
        whole = _read_back(replace(whole, requests=sent, basis=basis), planned, requests)
        if folder.writable:
            _keep(folder, whole, known)
    if all_asked and most == len(planned.question_ids):
        return _read_back(replace(whole, requests=requests or 0), planned, requests)
    some = [row for row in samples if row.question_id in asked]
    mine = [row for row in scores if row.question_id in asked]
    part = _summary(planned, folder, asked, some, mine, len(planned.question_ids), complete)
    return _read_back(replace(part, requests=requests or 0, basis=basis), planned, requests)


def _keep(folder: RunFolder, whole: Summary, known: Mapping[str, Any]) -> None:
    """Write the summary of the whole folder, and add to the manifest what is known at the end of a run. known: what its
    models were trained on (contamination.facts)."""
    folder.write_summary(whole)
    written = folder.manifest()
    if written:
        mark = whole.trained_on and msgspec.to_builtins(replace(whole.trained_on, others=None))
        served = {role: tuple(sorted(names)) for role, names in sorted(whole.facts.served.items())}
        trained = {**known, "mark": mark}
        found = replace(written, trained_on=trained, served=served, adapted=whole.adapted, finished=time.time())
        folder.write_manifest(found)


def _read_back(found: Summary, planned: Planned, requests: int | None) -> Summary:
    """The summary with the parts that this command read back. A memory that does not follow from stored replies may
    depend on a service, and the service may have changed unless its version is a parameter."""
    agent = planned.spec.agent
    service = requests is None and (bool(found.services) or not agent.replayable) and not agent.params.get("version")
    found = replace(found, read_back=planned.read_back, service_read_back=service)
    return replace(found, notes=notes(found))


def _summary(
    planned: Planned,
    folder: RunFolder,
    questions: Mapping[str, QuestionRow],
    samples: Sequence[SampleRow],
    scores: Sequence[ScoreRow],
    asked: int,
    complete: bool,
) -> Summary:
    """The summary of these samples, out of `asked` samples."""
    spec, judged = planned.spec, folder.judge_headers()
    written = folder.manifest() or manifest(planned)
    found = summarise(
        questions=questions,
        samples=samples,
        scores=scores,
        operations=folder.operations(questions.values(), range(spec.repeats)),
        headline=spec.task.headline,
        tokenizer=tokens.counter(spec.task.tokenizer).name,
        asked=asked * spec.repeats * spec.answer_repeats,
        complete=complete,
        prices=prices_of(written, judged),
        judged=judged,
    )
    found = as_recorded(found, folder, written)
    return replace(
        found,
        path=spec.shown,
        memory=os.path.normpath(os.path.join(spec.shown, spec.memory_link)) if spec.memory_link else None,
        replayable=spec.agent.replayable,
        agent=spec.agent.typed,
        params=dict(spec.agent.params),
        task=spec.task_typed,
        judge_family=spec.task.judge,
        trained_on=_trained_on(planned, questions, scores),
        differing=found.differing if spec.agent.replayable else 0,
        **_window(spec),
    )


def _window(spec: RunSpec) -> dict[str, int]:
    """The reader's window and the tokens that agents may recall, if the window leaves less room than the task."""
    size = window.known(spec.models["reader"]) if "reader" in spec.models else None
    if size is None or spec.agent_budget >= spec.recall_budget:
        return {}
    return {"window": size, "recall_budget": spec.agent_budget}


def _trained_on(planned: Planned, questions: Mapping[str, QuestionRow], scores: Sequence[ScoreRow]) -> Contamination | None:
    """The questions that the run's models were trained on, with the headline on the other questions if they are known."""
    task, texts = planned.spec.task, {key: row.text for key, row in questions.items()}
    found, trained = contamination(task, planned.claims, texts), trained_questions(planned.claims, texts)
    if found is None or not trained:
        return found
    others = [row for row in scores if row.question_id not in trained]
    return replace(found, others=named(task.headline, average(others, questions, task.headline)))
