"""Run folders made of typed rows, without running anything: with chosen scores, evidence, repeats and clusters."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from memeval.metrics.rules import Rules, scorer_digest
from memeval.models.prices import Price
from memeval.records.clean import encode
from memeval.records.folder import RunFolder, text_sha
from memeval.records.manifest import Manifest, MemoryManifest, Typed
from memeval.records.memory import MemoryFolder
from memeval.records.rows import (
    FINISH,
    READ,
    CallRow,
    EvidenceRow,
    InvocationRow,
    OperationRow,
    QuestionRow,
    RecallRow,
    SampleRow,
    ScoreRow,
    TextRow,
    ToolRow,
    Usage,
)
from memeval.runs.notes import notes
from memeval.runs.summary import summarise

METRICS = ("f1", "exact_match")
DAY = 86_400.0


@dataclass(frozen=True)
class Asked:
    """A question, what was answered, and what was stored and recalled for it.

    score: the headline of each answer, or of each repeat in turn; None is a failed answer. evidence: its text; it is in
    chunk `c00000` of the question's own stream, unless `chunk` names another. wrote: texts that the agent stored of this
    stream, one `put` each, from chunk `c00000`; each holds one token per word. recalled: texts that the reader saw.
    """

    id: str
    score: float | Sequence[float | None] | None = 1.0
    text: str = "Where does Ada Lovelace live?"
    answers: tuple[str, ...] = ("Paris",)
    answer: str = "Paris"
    kind: str = "one-hop"
    cluster: str = ""
    answerable: bool = True
    evidence: tuple[str, ...] = ("Ada Lovelace lives in Paris.",)
    chunk: str = "c00000"
    wrote: tuple[str, ...] = ("Ada Lovelace lives in Paris.",)
    recalled: tuple[str, ...] = ("Ada Lovelace lives in Paris.",)
    stream_tokens: int = 1000
    memory_tokens: int | None = None
    operations: tuple[OperationRow, ...] | None = None
    """The steps of reading in place of those that follow from `wrote`."""

    @property
    def cluster_name(self) -> str:
        return self.cluster or self.id

    @property
    def context(self) -> str:
        return f"stream-{self.id}"

    def score_of(self, repeat: int) -> float | None:
        return self.score[repeat] if isinstance(self.score, Sequence) else self.score


def made_run(
    runs_dir: Path,
    questions: Sequence[Asked | float | None],
    *,
    agent: str = "bm25",
    task: str = "toy-10k",
    model: str | None = "offline",
    reader: str = "offline",
    label: str = "",
    tag: str = "",
    repeats: int = 1,
    answer_repeats: int = 1,
    asked: int | None = None,
    corpus: str = "corpus-1",
    protocol: str = "",
    answer_budget: int = 0,
    seed: int = 42,
    track: str = "reader",
    params: Mapping[str, Any] | None = None,
    usd_per_call: float | None = None,
    seconds: float = 1.0,
    started: float = DAY,
    control: bool = False,
    scorer: str | None = None,
    headline: str = "f1",
    complete: bool = True,
    manifest: Mapping[str, Any] | None = None,
) -> Path:
    """The path of a new run folder in `runs_dir`. questions: of type Asked, or their scores alone (ids `q000`, `q001` ...).
    usd_per_call: of a call of the reader (110 tokens)."""
    rows = [row if isinstance(row, Asked) else Asked(f"q{number:03}", row) for number, row in enumerate(questions)]
    models = {"reader": reader} if control or model is None else {"memory": model, "reader": reader}
    identity = {
        "format": 4,
        "task": {"name": task, "metrics": list(METRICS), "headline": headline, "answer_budget": 0, "version": 1},
        "data": {"corpus": corpus},
        "seed": seed,
        "agent": {"name": agent, "agent": agent, "params": dict(params or {}), "version": 1},
        "models": {role: {"name": name, "params": {}, **({"tag": tag} if tag else {})} for role, name in models.items()},
        "prompts": {},
        "repeats": repeats,
        "answer_repeats": answer_repeats,
        "answer_budget": answer_budget,
    }
    code = hashlib.sha256(repr((identity, label)).encode()).hexdigest()
    path = runs_dir / task / f"{agent}-{code[:8]}"
    memory = None if control else path.parent / "memories" / path.name
    folder = RunFolder(path)
    found = Manifest(
        format=4,
        hash=code,
        memory=None if memory is None else os.path.relpath(memory, path),
        typed=Typed(agent=agent, task=task),
        label=label,
        started=started,
        finished=started,
        agent=agent,
        track=track,
        source="synth",
        protocol=protocol,
        headline=headline,
        seed=seed,
        models=models,
        questions=len(rows) if asked is None else asked,
        versions={"memeval": "0.1.0"},
        identity=identity,
    )
    rules = scorer_digest(Rules(METRICS, headline, track == "native")) if scorer is None else scorer
    samples, scores = [], []
    texts: dict[str, str] = {}
    for repeat in range(repeats):
        for row in rows:
            for again in range(answer_repeats):
                samples.append(_sample(row, repeat, again, control))
                scores.append(_score(row, repeat, again, headline, rules))
            texts |= {text_sha(text): text for text in row.recalled}
    known = [_question(row) for row in rows]
    steps = [] if control else [step for repeat in range(repeats) for row in rows for step in _steps(row, repeat)]
    _write(path / "questions.jsonl", known)
    _write(folder.file(SampleRow), samples)
    _write(path / "texts.jsonl", [TextRow(sha=sha, text=text) for sha, text in texts.items()])
    calls = [
        CallRow(at=1.0 + number, phase="answer", model=reader, source="model", seconds=0.5, attempts=1)
        for number in range(len(samples))
    ]
    _write(path / "events.jsonl", [*calls, InvocationRow(at=1.0, id="i", seconds=seconds, requests=len(samples))])
    _write(path / "scores" / "task.jsonl", scores)
    _write(path / "manifest.json", [replace(found, **(manifest or {}))])
    if memory is not None:
        _write(MemoryFolder(memory).operations_file, steps)
        about = MemoryManifest(format=4, memory_hash=code, agent=agent, task=task, created=started, models=models)
        _write(memory / "manifest.json", [about])
    price = None if usd_per_call is None else Price(usd_per_call / 110, usd_per_call / 110, 0.0, "memeval.yaml")
    whole = summarise(
        questions={row.question_id: row for row in known},
        samples=samples,
        scores=scores,
        operations=steps,
        headline=headline,
        tokenizer="o200k_base",
        asked=found.questions * repeats * answer_repeats,
        complete=complete,
        prices=dict.fromkeys(models, price),
    )
    whole = replace(
        whole,
        path=str(path),
        memory=None if memory is None else str(memory),
        agent=agent,
        params=dict(params or {}),
        task=task,
        answer_budget=answer_budget or None,
        model=models.get("memory") or models.get("reader"),
        reader=reader,
        seconds=seconds,
    )
    _write(path / "summary.json", [replace(whole, notes=notes(whole))])
    return path


def _write(path: Path, rows: Sequence[object]) -> None:
    """As `memeval.records` writes them, without waiting for the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(encode(row) + b"\n" for row in rows))


def _question(row: Asked) -> QuestionRow:
    pieces = tuple(EvidenceRow(text=text, units=(0,), chunks=(row.chunk,)) for text in row.evidence)
    return QuestionRow(
        question_id=row.id,
        context_id=row.context,
        digest=hashlib.sha256(repr((row.id, row.text, row.answers)).encode()).hexdigest()[:16],
        stream=row.context,
        cluster=row.cluster_name,
        kind=row.kind,
        answerable=row.answerable,
        text=row.text,
        answers=row.answers,
        evidence=pieces,
        stream_tokens=row.stream_tokens,
        stream_units=2,
        stream_chunks=2,
        prefix_chunks=2,
    )


def _sample(row: Asked, repeat: int, again: int, control: bool) -> SampleRow:
    failed = row.score_of(repeat) is None
    held = sum(len(text.split()) for text in row.wrote) if row.memory_tokens is None else row.memory_tokens
    return SampleRow(
        question_id=row.id,
        context_id=row.context,
        repeat=repeat,
        answer_repeat=again,
        query=row.text,
        answer=None if failed else row.answer,
        failure="HTTP 500" if failed else None,
        recall=tuple(RecallRow(text=text_sha(text), chunks=("c00000",), tokens=len(text.split())) for text in row.recalled),
        recall_tokens=sum(len(text.split()) for text in row.recalled),
        memory_tokens=0 if control else held,
        calls={"reader": 1},
        tokens={"reader": Usage(prompt=100, completion=10)},
    )


def _score(row: Asked, repeat: int, again: int, headline: str, scorer: str) -> ScoreRow:
    value = row.score_of(repeat)
    verdict = "failed" if value is None else "right" if value >= 1 else "partly" if value else "wrong"
    metrics = {headline: value or 0.0, "exact_match": float(value == 1)} if row.answerable else {"abstention": value or 0.0}
    return ScoreRow(
        question_id=row.id,
        repeat=repeat,
        answer_repeat=again,
        metrics=metrics,
        verdict=verdict,
        reason="HTTP 500" if value is None else None,
        scorer=scorer,
    )


def _steps(row: Asked, repeat: int) -> list[OperationRow]:
    """Two chunks: all is stored of the first, nothing of the second."""
    if row.operations is not None:
        return [replace(step, repeat=repeat) for step in row.operations]
    results = tuple(
        ToolRow(
            name="memory_insert",
            arguments={"text": text},
            status="ok",
            effect={"op": "put", "type": "semantic", "id": f"m{number}", "text": text, "chunks": ["c00000"]},
        )
        for number, text in enumerate(row.wrote)
    )
    held = {"semantic": sum(len(text.split()) for text in row.wrote)}
    common = OperationRow(context_id=row.context, digest=row.context, repeat=repeat, chunk="", held=held)
    spent = {"calls": {"memory": 1}, "tokens": {"memory": Usage(prompt=500, completion=20)}}
    return [
        replace(common, chunk="c00000", chunk_tokens=500, units=(0, 0), results=results, **spent),
        replace(common, chunk="c00001", chunk_tokens=500, units=(1, 1), **spent),
        replace(common, chunk=FINISH),
        replace(common, chunk=READ),
    ]
