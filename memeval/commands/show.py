"""`memeval show`: an overview of runs, their answers, or all about one question. Reads folders only; needs no data set."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from memeval.commands.show_answers import SHORT, answer_lines, memory_lines, pairs, short, story_lines
from memeval.errors import UsageError, suggest
from memeval.judging.shares import PUBLISHED
from memeval.judging.summary import judged_summary
from memeval.records.averages import Average
from memeval.records.clean import encode
from memeval.records.numbers import count, money, percent
from memeval.records.summary import Cost, Operations, Sizes, StreamSizes
from memeval.results import economics
from memeval.results.load import find_run, load_runs
from memeval.results.lost import WORDS, asked_sentence, sentence
from memeval.results.run import Run
from memeval.results.story import answers, context_questions, memory_at, story
from memeval.wording import counted

WORST = 10
"""How many wrong answers the overview of a run names."""


def show_command(
    words: Sequence[str],
    *,
    question: str | None = None,
    wrong: bool = False,
    everything: bool = False,
    full: bool = False,
    memory: bool = False,
    context: str | None = None,
    position: int | None = None,
    repeat: int = 0,
    limit: int | None = None,
    runs_dir: Path = Path("runs"),
    form: str = "table",
) -> str:
    """What `memeval show RUN... [QUESTION]` prints. Raises UsageError where a name is unknown, or where one run is needed
    and several have the name."""
    if (context is not None or position is not None) and not memory:
        raise UsageError("--context and --position belong to --memory")
    if question is None and len(words) == 2:
        words, question = _run_and_question(words, runs_dir)
    longest = None if full else SHORT
    if memory or question is not None:
        if len(words) > 1:
            raise UsageError(f"{' '.join(words)}: give one run")
        run = find_run(words[0], runs_dir)
        if memory:
            return _memory(run, context, position, repeat, longest, form)
        found = story(run, question or "", repeat)
        return encode(found).decode() if form == "json" else "\n".join(story_lines(found, _absent(run), longest))
    runs = load_runs(*words, runs_dir=runs_dir, limit=limit)
    listed = wrong or everything or full
    if form == "json":
        return encode({"runs": [_answers_json(run, wrong, full) if listed else _json(run) for run in runs]}).decode()
    return "\n\n".join("\n".join(_answers(run, wrong, full)) if listed else show_run(run) for run in runs)


def _run_and_question(words: Sequence[str], runs_dir: Path) -> tuple[Sequence[str], str | None]:
    """Read two words as (runs, question); the question is None where both words are runs."""
    first = load_runs(words[0], runs_dir=runs_dir)
    questions = first[0].questions if len(first) == 1 else {}
    if words[1] in questions:
        return words[:1], words[1]
    try:
        load_runs(words[1], runs_dir=runs_dir)
    except UsageError:
        run = find_run(words[0], runs_dir=runs_dir)  # raises where several runs have the name, which is then the fault
        near = suggest(words[1], questions)
        raise UsageError(f"{run.path}: no question '{words[1]}'{near}, and no run of this name") from None
    return words, None


# -- answers and memories ---------------------------------------------------------------------------------------------


def _answers(run: Run, wrong: bool, full: bool) -> list[str]:
    which = "wrong or failed" if wrong else "answers"
    found = answers(run, "wrong" if wrong else "all")
    lines = [f"{run.agent} on {run.task}   {len(found)} {which}   {run.path}"]
    if not full:
        return [*lines, *(line for row in found for line in ("", *answer_lines(row)))]
    for key in dict.fromkeys((row.question_id, row.repeat) for row in found):
        lines += ["", f"== {key[0]}", *story_lines(story(run, *key), _absent(run), None)]
    return lines


def _answers_json(run: Run, wrong: bool, full: bool) -> dict[str, Any]:
    found = answers(run, "wrong" if wrong else "all")
    if not full:
        return {"path": str(run.path), "answers": found}
    asked = dict.fromkeys((row.question_id, row.repeat) for row in found)
    return {"path": str(run.path), "questions": [story(run, *key) for key in asked]}


def _memory(run: Run, context: str | None, position: int | None, repeat: int, limit: int | None, form: str) -> str:
    questions = context_questions(run, context)
    if position is None:  # the last position of a question
        places = [row.place for row in questions]
        position = None if None in places else max(place for place in places if place is not None)
    found = memory_at(run, questions, position, repeat)
    read = [row for row in run.operations if row.context_id == questions[0].context_id and row.units]
    if found is None and read:
        first = min(row.units[-1] + 1 for row in read)
        repeats = {row.repeat for row in read}
        why = f"its first chunk ends at {first}" if repeat in repeats else f"its repeats are {sorted(repeats)}"
        where = "" if position is None else f" at position {position}"
        raise UsageError(f"{run.path}: no memory{where} in repeat {repeat}; {why}")
    if form == "json":
        return encode({"path": str(run.path), "memory": found}).decode()
    contexts = len({row.context_id for row in run.questions.values()})
    other = f", one of {contexts}: --context" if context is None and contexts > 1 else ""
    about = f"{run.agent} on {run.task}   context {questions[0].context_id}{other}   {run.path}"
    asked = (f"question  {row.question_id}: {short(row.text)}" for row in questions[:WORST])
    return "\n".join([about, *asked, *memory_lines(found, _absent(run), limit)])


def _absent(run: Run) -> str:
    """The reason why there is no memory to show."""
    if not run.folder.has_texts:
        return "none: a baseline has no texts"
    if run.manifest.memory is None:
        return "none: a control"
    return f"not in {os.path.normpath(run.path / run.manifest.memory)}; run its command again to make it from stored replies"


# -- the overview of a run --------------------------------------------------------------------------------------------


def _json(run: Run) -> dict[str, Any]:
    """The summary, with the names of the run, where its answers were lost, and its memory economics."""
    named = {"label": run.label, "tag": run.tag, "when": run.when.isoformat(timespec="seconds")}
    about = {"lost": run.lost, "attribution": run.folder.attribution(), "economics": economics.economics(run)}
    return {**msgspec.to_builtins(run.summary), **named, **about}


def show_run(found: Run) -> str:
    """Headline, metrics with intervals, kinds, price, notes, and the first questions that went wrong."""
    manifest, run, path = found.manifest, found.summary, found.path
    embedder = f", embedder {run.embedder}" if run.embedder else ""
    tag = f", tag {found.tag}" if found.tag else ""
    lines = [
        f"{run.agent} on {run.task}   {run.status}   {path}" + (f"   {found.label}" if found.label else ""),
        f"{found.when:%Y-%m-%d %H:%M} UTC, model {run.model or '-'}, reader {run.reader or '-'}{embedder}{tag}, "
        f"seed {manifest.seed}, memeval {manifest.versions.get('memeval', '')} {manifest.git or ''}".rstrip(),
        *([f"memory {run.memory}"] if run.memory else []),
        f"{run.headline.metric} {_value(run.headline)}, n = {run.n}, {run.failed} failed",
        *_lost(found),
        *(f"note: {note.text}" for note in run.notes),
        "",
        "metrics",
        *(f"  {name:18} {_value(row)}" for name, row in run.metrics.items()),
        *_judged(found),
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
        f"recalled {_sizes(run.recall_tokens)}, {counted(run.recall_dropped, 'item')} beyond the budget",
        f"chunks shown {run.chunks.shown:,} ({run.chunks.without_sharing:,} if read for every question)",
        f"calls {pairs(run.calls)}; tokens in {run.tokens.prompt:,}, out {run.tokens.completion:,}; "
        f"{run.seconds:.1f} s, building streams {run.build_seconds:.1f} s",
        *_cost(run.cost),
        *economics.lines(economics.economics(found)),
        *_operations(run.operations),
        f"verdicts {pairs(run.verdicts)}",
        *(f"  {number} x {reason}" for reason, number in run.reasons.items()),
    ]
    bad = answers(found, "wrong")
    if bad:
        how = f"memeval show {path} QUESTION, or --wrong"
        lines += ["", f"first {min(WORST, len(bad))} of {len(bad)} wrong or failed ({how}):"]
        reasons = ((row, row.reason or (WORDS[row.lost] if row.lost else "")) for row in bad[:WORST])
        lines += [f"  {row.question_id}  {why}".rstrip() for row, why in reasons]
    return "\n".join(lines)


def _lost(run: Run) -> list[str]:
    """Where wrong answers were lost, by what was recorded and by what `attribute` found."""
    if not run.folder.has_texts:
        return ["a baseline: scores and sizes without texts"]
    found, asked = run.lost, run.folder.attribution()
    return [line for line in (sentence(found), asked_sentence(asked, found) if asked else "") if line]


def _judged(run: Run) -> list[str]:
    """The scores of judges, each with its parts."""
    lines = []
    for name in run.folder.judges():
        row = judged_summary(run.path, name)
        what = f"{row.judge}, prompts of {row.family} ({row.prompt_hash[:8]})"
        if row.judge == "offline":
            what += ": a string rule in place of a judge"
        lines.append(f"  {'judge':18} {_value(row)}, {row.failed} failed, by {what}")
        lines += [f"    {part:16} {_value(found)}" for part, found in row.parts.items()]
        lines += [f"    {PUBLISHED} of {kind} {_value(found)}" for kind, found in row.published_kinds.items()]
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
        phases = pairs({phase: usd for phase, usd in row.usd_by_phase.items() if usd})
        lines.append(f"USD {money(row.usd)} ({phases}); a right answer {money(row.usd_per_right)}")
    elif row.unpriced:
        lines.append(f"USD unknown: no price for the model of {', '.join(row.unpriced)} (`prices:` in memeval.yaml)")
    if row.cached_share is not None:
        lines.append(f"prompt tokens from the server's cache {percent(row.cached_share)} %")
    return lines


def _operations(row: Operations) -> list[str]:
    """How the operations of reading ended, and why some were not ok."""
    if not row.counts:
        return []
    reasons = ((status, why, number) for status, found in row.reasons.items() for why, number in found.items())
    return [f"operations {pairs(row.counts)}", *(f"  {number} x {status}: {why}" for status, why, number in reasons)]


def _sizes(row: Sizes | StreamSizes) -> str:
    return "not reported" if row.mean is None else f"mean {row.mean:,.0f}, max {row.max:,}"
