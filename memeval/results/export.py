"""Exports of results: a CSV with a row per answer, and a baseline, which keeps in git the few small files of a run that
`gate`, `compare` and `table` need.

A baseline is a folder with the files of a run folder, without texts (questions, golds, answers, recalled items, replies) and
without stored calls. It holds ids, digests, scores, sizes and costs; lines are sorted, so that a diff shows what changed.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from memeval.costs import added
from memeval.errors import UsageError
from memeval.records.files import write_rows
from memeval.records.folder import TASK, RunFolder, folder_name
from memeval.records.rows import READ, CallFacts, OperationRow, QuestionRow, SampleRow, ScoreRow, ServiceRow, Usage
from memeval.results.comparable import task_name
from memeval.results.grid import Grid, render
from memeval.results.load import Runs
from memeval.results.run import Run

NOT_IN_A_BASELINE = ("texts.jsonl", "calls.sqlite", "events.jsonl")


def to_csv(runs: Runs) -> str:
    """A CSV with a row per answer: the question's text and golds, the answer, and every metric."""
    frame = runs.to_pandas("question")
    records = frame.astype(object).where(frame.notna(), None).to_dict("records")
    rows = tuple({str(name): value for name, value in row.items()} for row in records)
    return render(Grid(columns=tuple(frame.columns), rows=(), data=rows), "csv")


def to_baseline(runs: Runs, folder: Path) -> list[Path]:
    """Write each run to `folder`/<task>, replacing the baseline there, and return the paths. Raises UsageError for a run
    that is not complete, for two runs on one task, and where the folder holds something else."""
    paths = [folder / folder_name(task_name(run)) for run in runs]
    for number, (run, path) in enumerate(zip(runs, paths, strict=True)):
        if path in paths[:number]:
            raise UsageError(f"{run.path}: a second run on {run.task}; a baseline holds one for each task")
        if run.summary.status != "complete":
            raise UsageError(f"{run.path}: the run is {run.summary.status}; a baseline is made of one that is complete")
        kept = next((name for name in NOT_IN_A_BASELINE if (path / name).exists()), None)
        if kept:
            raise UsageError(f"{path}: not a baseline (it has {kept}); name another folder with --output")
    for run, path in zip(runs, paths, strict=True):
        shutil.rmtree(path / "scores", ignore_errors=True)
        _write(run, path)
    return paths


def _write(run: Run, path: Path) -> None:
    folder, steps = RunFolder(path), _reading(run.operations)
    _write_rows(path / "questions.jsonl", map(_question, sorted(run.questions.values(), key=lambda row: row.question_id)))
    _write_rows(folder.file(SampleRow), map(_sample, sorted(run.samples, key=lambda row: row.key)))
    _write_rows(path / "operations.jsonl", steps)
    _write_rows(path / "scores" / f"{TASK}.jsonl", _scores(run.scores()))
    judge = run.folder.judge_header(run.judge) if run.judge else None
    if judge:
        _write_rows(path / "scores" / f"{judge.scorer}.jsonl", _scores(run.scores(judge.scorer)))
        folder.write_judge_header(replace(judge, base_url=None))
    folder.write_summary(replace(run.summary, path="", memory=None))
    folder.write_manifest(
        replace(
            run.manifest,
            memory="." if steps else None,  # the steps of reading are in the same folder as the answers
            finished=max(run.manifest.started, run.manifest.finished),
            base_urls={},
            origins={},
            git=None,
        )
    )


def _write_rows(path: Path, rows: Iterable[msgspec.Struct]) -> None:
    """Write rows without the fields that have their default values."""
    write_rows(path, map(_without_defaults, rows))


def _without_defaults(row: msgspec.Struct) -> dict[str, Any]:
    usual = _defaults(type(row))
    return {name: value for name, value in msgspec.structs.asdict(row).items() if name not in usual or value != usual[name]}


@functools.cache
def _defaults(kind: type[msgspec.Struct]) -> dict[str, Any]:
    fields = [field for field in msgspec.structs.fields(kind) if not field.required]
    return {f.name: f.default if f.default is not msgspec.NODEFAULT else f.default_factory() for f in fields}


def _question(row: QuestionRow) -> QuestionRow:
    return QuestionRow(
        question_id=row.question_id,
        context_id=row.context_id,
        digest=row.digest,
        stream=row.stream,
        cluster=row.cluster,
        kind=row.kind,
        answerable=row.answerable,
        text="",
        position=row.position,
        stream_tokens=row.stream_tokens,
        stream_units=row.stream_units,
        rank=row.rank,
    )


def _sample(row: SampleRow) -> SampleRow:
    return replace(row, query="", answer=None, recall=(), facts=CallFacts())


def _scores(rows: Iterable[ScoreRow]) -> list[ScoreRow]:
    return sorted((replace(row, reply=None) for row in rows), key=lambda row: row.key)


def _reading(steps: Sequence[OperationRow]) -> list[OperationRow]:
    """One row per stream and repeat, with the calls and tokens of all of its steps."""
    found: dict[tuple[str, int], OperationRow] = {}
    for step in steps:
        key = (step.context_id, step.repeat)
        before = found.get(key) or OperationRow(
            context_id=step.context_id, digest=step.digest, repeat=step.repeat, chunk=READ
        )
        services = {role: _both(before.services.get(role, ServiceRow()), row) for role, row in step.services.items()}
        found[key] = replace(
            before,
            calls={role: before.calls.get(role, 0) + step.calls.get(role, 0) for role in {**before.calls, **step.calls}},
            tokens={**before.tokens, **{role: before.tokens.get(role, Usage()) + row for role, row in step.tokens.items()}},
            services={**before.services, **services},
        )
    return [found[key] for key in sorted(found)]


def _both(one: ServiceRow, other: ServiceRow) -> ServiceRow:
    usd = added((one.usd, other.usd))
    return ServiceRow(calls=one.calls + other.calls, tokens=one.tokens + other.tokens, usd=usd)
