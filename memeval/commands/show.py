"""`memeval show`: a run at a glance, or everything about one question of it. Reads the folder only; needs no data set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from memeval.errors import UsageError, suggest
from memeval.judging.summary import judged_summary
from memeval.memory.replay import replay
from memeval.metrics.held import each_held, supported
from memeval.records.averages import Average
from memeval.records.folder import RunFolder
from memeval.records.rows import FINISH, READ, OperationRow, QuestionRow, SampleRow, ScoreRow
from memeval.records.summary import Cost, Operations, Sizes, StreamSizes, Summary
from memeval.results.costs import count, money
from memeval.runs.notes import percent
from memeval.runs.score import recalled_items


def _summary(folder: RunFolder) -> Summary:
    summary = folder.summary()
    if summary is None:
        raise UsageError(f"{folder.path}: the run has not been aggregated yet; run its command again to finish it")
    return summary


def show_run(path: Path, worst: int = 10) -> str:
    """Headline, metrics with intervals, kinds, price, notes, and the first questions that went wrong."""
    folder = RunFolder(path)
    manifest, run = folder.known_manifest(), _summary(folder)
    embedder = f", embedder {run.embedder}" if run.embedder else ""
    lines = [
        f"{run.agent} on {run.task}   {run.status}   {path}",
        f"model {run.model or '-'}, reader {run.reader or '-'}{embedder}, "
        f"seed {manifest.seed}, memeval {manifest.versions.get('memeval', '')} {manifest.git or ''}".rstrip(),
        *([f"memory {run.memory}"] if run.memory else []),
        f"{run.headline.metric} {_value(run.headline)}, n = {run.n}, {run.failed} failed",
        *(f"note: {note.text}" for note in run.notes),
        "",
        "metrics",
        *(f"  {name:18} {_value(row)}" for name, row in run.metrics.items()),
        *_judged(folder),
        "kinds",
        *(f"  {kind:18} {row.metric} {_value(row)}" for kind, row in run.kinds.items()),
    ]
    if run.abstention:
        scores = msgspec.structs.asdict(run.abstention)
        lines.append("abstention: " + ", ".join(f"{name} {percent(value)}" for name, value in scores.items()))
    if run.repeats:
        lines.append("repeats: " + ", ".join(percent(row.value) for row in run.repeats))
    lines += [
        "",
        f"stream tokens {_sizes(run.stream_tokens)}; memory tokens {_sizes(run.memory_tokens)}; "
        f"recalled {_sizes(run.recall_tokens)}, {run.recall_dropped} items beyond the budget",
        f"chunks shown {run.chunks.shown:,} ({run.chunks.without_sharing:,} if read for every question)",
        f"calls {_pairs(run.calls)}; tokens in {run.tokens.prompt:,}, out {run.tokens.completion:,}; "
        f"{run.seconds:.1f} s, building streams {run.build_seconds:.1f} s",
        *_cost(run.cost),
        *_operations(run.operations),
        f"verdicts {_pairs(run.verdicts)}",
        *(f"  {number} x {reason}" for reason, number in run.reasons.items()),
    ]
    bad = [row for row in folder.scores() if row.verdict in ("wrong", "failed")]
    if bad:
        lines += ["", f"first {min(worst, len(bad))} of {len(bad)} wrong or failed (memeval show {path} --question ID):"]
        lines += [f"  {row.question_id}  {row.reason or ''}".rstrip() for row in bad[:worst]]
    return "\n".join(lines)


def show_question(path: Path, question_id: str, repeat: int = 0) -> str:
    """One question: gold, answer, score, what was recalled, the memory held then, and the calls that wrote it."""
    folder = RunFolder(path)
    folder.known_manifest()
    questions = folder.questions()
    if question_id not in questions:
        raise UsageError(f"{path}: no question '{question_id}'{suggest(question_id, questions)}")
    question = questions[question_id]
    samples = [row for row in folder.samples() if (row.question_id, row.repeat) == (question_id, repeat)]
    if not samples:
        raise UsageError(f"{path}: question '{question_id}' has no sample of repeat {repeat}")
    scores = {row.key: row for row in folder.scores()}
    judged = {name: {row.key: row for row in folder.scores(name)} for name in folder.judges()}
    lines = _asked(question)
    for sample in samples:
        score = scores.get(sample.key)
        verdict = f"{score.verdict}  {_pairs(score.metrics)}" if score else "not scored yet"
        lines += [f"answer    {sample.answer}", f"score     {verdict}"]
        if score and score.reason:
            lines.append(f"reason    {score.reason}")
        lines += [_ruling(name, rows[sample.key]) for name, rows in judged.items() if sample.key in rows]
    lines += [f"keypoint  {_short(point)}" for point in question.keypoints]
    first = scores.get(samples[0].key)
    right = first is not None and first.verdict == "right"
    recalled, memory = _recalled(folder, question, samples[0], right), _memory(folder, question, samples[0])
    return "\n".join([*lines, *recalled, "", *memory])


def _asked(question: QuestionRow) -> list[str]:
    gold = " | ".join(question.answers) if question.answerable else "(unanswerable: the right reply is to decline)"
    return [
        f"question  {question.text}" + (f"  [{question.time}]" if question.time else ""),
        *(f"  option  {option}" for option in question.options or ()),
        f"gold      {gold}",
        f"kind      {question.kind}, context {question.context_id}, {question.stream_tokens:,} tokens",
    ]


_FOUND = {True: "recalled", False: "not recalled", None: "cannot be traced: recalled from too many chunks"}


def _recalled(folder: RunFolder, question: QuestionRow, sample: SampleRow, right: bool) -> list[str]:
    texts = folder.texts()
    asked, items = question.question(), recalled_items(sample, texts)
    found = iter(each_held(asked, question.evidence, items))
    lines = []
    for piece in question.evidence:
        where = f"in {', '.join(piece.chunks)} ({_FOUND[next(found)]})" if piece.chunks else "not in the stream"
        lines.append(f"evidence  {where}: {_short(piece.text)}")
    if right and supported(asked, question.evidence, items) is False:
        lines.append("          the answer is right but unsupported: the evidence is not held in what was recalled")
    lines += [
        "",
        f"recalled  {len(sample.recall)} items, {sample.recall_tokens:,} tokens, "
        f"{sample.recall_dropped} items and {sample.recall_lost:,} tokens beyond the budget",
    ]
    for item in sample.recall:
        score = "" if item.score is None else f" score {item.score:.3f}"
        lines.append(f"  [{item.id or ','.join(item.chunks) or '-'}]{score} {_short(texts.get(item.text, ''))}")
    return lines


def _judged(folder: RunFolder) -> list[str]:
    """What judges made of the run, each with the parts of its score."""
    lines = []
    for name in folder.judges():
        row = judged_summary(folder.path, name)
        what = f"{row.judge}, prompts of {row.family} ({row.prompt_hash[:8]})"
        if row.judge == "offline":
            what += ": a string rule in place of a judge"
        lines.append(f"  {'judge':18} {_value(row)}, {row.failed} failed, by {what}")
        lines += [f"    {part:16} {_value(found)}" for part, found in row.parts.items()]
    return lines


def _ruling(scorer: str, row: ScoreRow) -> str:
    said = " ".join(filter(None, (_pairs(row.metrics), row.reason, row.reply)))
    return f"judge     {scorer}: {row.verdict}  {_short(said)}"


def operations_until(operations: Iterable[OperationRow]) -> list[OperationRow]:
    """The steps that made the memory of one prefix, in order, from all that the folder has for it: the last chunk in the
    form that a fork saw, where one did."""
    fork = {row.chunk for row in operations if row.position is not None}
    steps = [row for row in operations if row.chunk != READ and (row.position is not None or row.chunk not in fork)]
    order = {"begin": "", FINISH: "~"}
    return sorted(steps, key=lambda row: order.get(row.chunk, row.chunk))


def _memory(folder: RunFolder, question: QuestionRow, sample: SampleRow) -> list[str]:
    memory = folder.memory
    if memory is None:
        return ["memory    none: a control"]
    steps = operations_until(folder.operations([question], [sample.repeat]))
    if not steps:
        return [f"memory    not in {memory.path}; run its command again to make it from stored replies"]
    held = steps[-1].held
    size = f"{_pairs(held)} tokens" if held else "size not reported"
    lines = [f"memory    after {sum(1 for row in steps if row.units)} chunks: {size}"]
    calls = [(row.chunk, result) for row in steps for result in row.results]
    for kind, entries in replay(result.effect for _, result in calls).items():
        lines += [f"  {kind} ({len(entries)})", *(f"    [{key}] {_short(text)}" for key, text in entries.items())]
    if calls:
        lines += ["", f"calls that wrote it ({len(calls)})"]
    for chunk, result in calls:
        arguments = ", ".join(f"{key}={_short(str(value), 80)!r}" for key, value in result.arguments.items())
        lines.append(f"  {chunk} {result.name}({arguments}) -> {result.status} {_short(result.message, 80)}".rstrip())
    return lines


def _value(row: Average) -> str:
    if row.value is None:
        return "-"
    within = ", within these streams only" if row.within_stream else ""
    return f"{percent(row.value)} [{percent(row.low)}, {percent(row.high)}] (n {row.n}{within})"


def _cost(row: Cost) -> list[str]:
    """USD where prices are known, else tokens; per question at 1, 10 and 100 questions a stream."""
    unit, show, each = (
        ("tokens", count, row.tokens_per_question) if row.usd is None else ("USD", money, row.usd_per_question)
    )
    shares = ", ".join(f"{show(value)} at {number}" for number, value in each.items())
    lines = [f"{unit} a question by questions a stream: {shares}"]
    if row.usd is not None:
        phases = _pairs({phase: usd for phase, usd in row.usd_by_phase.items() if usd})
        lines.append(f"USD {money(row.usd)} ({phases}); a right answer {money(row.usd_per_right)}")
    elif row.unpriced:
        lines.append(f"USD unknown: no price for the model of {', '.join(row.unpriced)} (`prices:` in memeval.yaml)")
    if row.cached_share is not None:
        lines.append(f"prompt tokens from the server's cache {percent(row.cached_share)} %")
    return lines


def _operations(row: Operations) -> list[str]:
    """What came of the operations of reading, and why some were not ok."""
    if not row.counts:
        return []
    reasons = ((status, why, number) for status, found in row.reasons.items() for why, number in found.items())
    return [f"operations {_pairs(row.counts)}", *(f"  {number} x {status}: {why}" for status, why, number in reasons)]


def _sizes(row: Sizes | StreamSizes) -> str:
    return "not reported" if row.mean is None else f"mean {row.mean:,.0f}, max {row.max:,}"


def _pairs(row: Mapping[str, object]) -> str:
    return (
        ", ".join(f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}" for key, value in row.items())
        or "none"
    )


def _short(text: str, limit: int = 160) -> str:
    """One line, printable characters only: what a model or a data set sends must not move the cursor."""
    flat = "".join(char if char.isprintable() else " " for char in " ".join(text.split()))
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"
