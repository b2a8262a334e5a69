"""`memeval show`: a run at a glance, or everything about one question of it. Reads the folder only; needs no data set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from memeval.errors import UsageError, suggest
from memeval.memory.replay import replay
from memeval.report.costs import count, money
from memeval.report.table import percent, told
from memeval.runs.store import read_json, read_lines

Line = Mapping[str, Any]


def _open(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    manifest, summary = read_json(folder / "manifest.json"), read_json(folder / "summary.json")
    if manifest is None:
        raise UsageError(f"{folder}: not a run folder (no manifest.json); give RUNS/<task>/<agent>-<hash>")
    if summary is None:
        raise UsageError(f"{folder}: the run has not been aggregated yet; run its command again to finish it")
    return manifest, summary


def show_run(folder: Path, worst: int = 10) -> str:
    """Headline, metrics with intervals, kinds, price, and the first questions that went wrong."""
    manifest, summary = _open(folder)
    headline = summary["headline"]
    lines = [
        f"{summary['agent']} on {summary['task']}   {summary['status']}   {folder}",
        f"memory model {summary['memory'] or '-'}, reader {summary['reader'] or '-'}{_embedder(summary)}, "
        f"seed {manifest['seed']}, memeval {manifest['versions']['memeval']} {manifest['git'] or ''}".rstrip(),
        f"{headline['metric']} {_value(headline)}, n = {summary['n']}, {summary['failed']} failed",
    ]
    if "failure_bounds" in summary:
        low, high = summary["failure_bounds"]
        lines.append(f"failures count 0; all of them wrong or right: {percent(low)} to {percent(high)}")
    if trained := summary.get("trained_on"):
        lines.append(f"trained on this: {told(trained)}")
        if trained["others"]:
            lines.append(f"{trained['others']['metric']} on the others {_value(trained['others'])}")
    lines += ["", "metrics", *(f"  {name:18} {_value(row)}" for name, row in summary["metrics"].items())]
    lines += _judged(folder)
    lines += ["kinds", *(f"  {kind:18} {row['metric']} {_value(row)}" for kind, row in summary["kinds"].items())]
    if summary["abstention"]:
        scores = ", ".join(f"{name} {percent(value)}" for name, value in summary["abstention"].items())
        lines += [f"abstention: {scores}"]
    if summary["repeats"]:
        lines += ["repeats: " + ", ".join(percent(row["value"]) for row in summary["repeats"])]
    lines += [
        "",
        f"stream tokens {_sizes(summary['stream_tokens'])}; memory tokens {_sizes(summary['memory_tokens'])}; "
        f"recalled {_sizes(summary['recall_tokens'])}, {summary['recall_dropped']} items beyond the budget",
        f"chunks shown {summary['chunks']['shown']:,} ({summary['chunks']['without_sharing']:,} if read for every question)",
        *(f"memory shared with {run}: {count:,} calls from its journal" for run, count in summary["memory_from"].items()),
        _overlap(summary["overlap"]),
        f"calls {_pairs(summary['calls'])}; tokens in {summary['tokens']['prompt']:,}, "
        f"out {summary['tokens']['completion']:,}; {summary['seconds']:.1f} s, "
        f"building streams {summary['build_seconds']:.1f} s",
        *_cost(summary["cost"]),
        f"verdicts {_pairs(summary['verdicts'])}",
        *(f"  {count} x {reason}" for reason, count in summary["reasons"].items()),
        *(f"  {count} x while reading: {reason}" for reason, count in summary.get("unread", {}).items()),
    ]
    bad = [line for line in read_lines(folder / "scores" / "task.jsonl") if line["verdict"] in ("wrong", "failed")]
    if bad:
        lines += ["", f"first {min(worst, len(bad))} of {len(bad)} wrong or failed (memeval show {folder} --question ID):"]
        lines += [f"  {line['question_id']}  {line['reason'] or ''}".rstrip() for line in bad[:worst]]
    return "\n".join(lines)


def _embedder(summary: Mapping[str, Any]) -> str:
    name = summary.get("embedder")
    return f", embedder {name}" if name and summary["calls"].get("embedder") else ""


def show_question(folder: Path, question_id: str, repeat: int = 0) -> str:
    """One question: gold, answer, score, what was recalled, the memory held then, and the calls that wrote it."""
    _open(folder)
    questions = {line["question_id"]: line for line in read_lines(folder / "questions.jsonl")}
    if question_id not in questions:
        raise UsageError(f"{folder}: no question '{question_id}'{suggest(question_id, questions)}")
    question = questions[question_id]
    samples = [
        line
        for line in read_lines(folder / "samples.jsonl")
        if line["question_id"] == question_id and line["repeat"] == repeat
    ]
    if not samples:
        raise UsageError(f"{folder}: question '{question_id}' has no sample of repeat {repeat}")
    scores = {
        line["answer_repeat"]: line
        for line in read_lines(folder / "scores" / "task.jsonl")
        if line["question_id"] == question_id and line["repeat"] == repeat
    }
    texts = {line["sha"]: line["text"] for line in read_lines(folder / "texts.jsonl")}
    lines = [f"question  {question['text']}" + (f"  [{question['time']}]" if question["time"] else "")]
    lines += [f"  option  {option}" for option in question["options"] or []]
    gold = " | ".join(question["answers"]) if question["answerable"] else "(unanswerable: the right reply is to decline)"
    lines += [
        f"gold      {gold}",
        f"kind      {question['kind']}, context {question['context_id']}, {question['stream_tokens']:,} tokens",
    ]
    for sample in samples:
        score = scores.get(sample["answer_repeat"])
        verdict = f"{score['verdict']}  {_pairs(score['metrics'])}" if score else "not scored yet"
        lines += [f"answer    {sample['answer']}", f"score     {verdict}"]
        if score and score["reason"]:
            lines.append(f"reason    {score['reason']}")
        lines += _rulings(folder, sample)
    lines += [f"keypoint  {_short(point)}" for point in question.get("keypoints", ())]
    sample = samples[0]
    recalled = {chunk for item in sample["recall"] for chunk in item["chunks"]}
    for piece in question["evidence"]:
        where = ", ".join(piece["chunks"]) or "not in the stream"
        found = "among the recalled" if recalled & set(piece["chunks"]) else "not among the recalled"
        lines += [f"evidence  in {where} ({found}): {_short(piece['text'])}"]
    lines += [
        "",
        f"recalled  {len(sample['recall'])} items, {sample['recall_tokens']:,} tokens, "
        f"{sample['recall_dropped']} items and {sample['recall_lost']:,} tokens beyond the budget",
    ]
    for item in sample["recall"]:
        score_text = "" if item["score"] is None else f" score {item['score']:.3f}"
        lines.append(
            f"  [{item.get('id') or ','.join(item['chunks']) or '-'}]{score_text} {_short(texts.get(item['text'], ''))}"
        )
    return "\n".join([*lines, "", *_memory(folder, sample)])


def _judged(folder: Path) -> list[str]:
    """What judges made of the run, each with the parts of its score."""
    from memeval.judging.summary import judged_summary, scorers

    lines = []
    for name in scorers(folder):
        if not (folder / "scores" / f"{name}.json").is_file():  # killed between the two files: judging again writes both
            continue
        row = judged_summary(folder, name)
        what = f"{row['judge']}, prompts of {row['family']} ({row['prompt_hash'][:8]})"
        if row["judge"] == "offline":
            what += ": a string rule in place of a judge"
        lines.append(f"  {'judge':18} {_value(row)}, {row['failed']} failed, by {what}")
        lines += [f"    {part:16} {_value(found)}" for part, found in row["parts"].items()]
    return lines


def _rulings(folder: Path, sample: Line) -> list[str]:
    """Each judge's word on one sample."""
    keys = ("question_id", "repeat", "answer_repeat")
    found = []
    for path in sorted((folder / "scores").glob("judge-*.jsonl")):
        for line in read_lines(path):
            if all(line[key] == sample[key] for key in keys):
                said = " ".join(filter(None, (_pairs(line["metrics"]), line["reason"], line.get("reply"))))
                found.append(f"judge     {path.stem}: {line['verdict']}  {_short(said)}")
    return found


def operations_until(operations: Iterable[Line], sample: Line) -> list[Line]:
    """The steps that made the memory a sample was asked of, in order: those of the whole stream that lie within its
    prefix, the last chunk in the form the fork saw (ingest.py)."""
    mine = [line for line in operations if line["context_id"] == sample["context_id"] and line["repeat"] == sample["repeat"]]
    position = sample["position"]
    fork = [line for line in mine if position is not None and line["position"] == position]
    seen = {line["chunk"] for line in fork}
    main = [line for line in mine if line["position"] is None and line["chunk"] not in seen]
    if position is not None:
        main = [line for line in main if line["chunk"] == "begin" or (line["units"] and line["units"][-1] < position)]
    order = {"begin": "", "finish": "~"}
    return sorted([*main, *fork], key=lambda line: order.get(line["chunk"], line["chunk"]))


def _memory(folder: Path, sample: Line) -> list[str]:
    steps = operations_until(read_lines(folder / "operations.jsonl"), sample)
    if not steps:
        return ["memory    none was built"]
    held = steps[-1]["held"]
    size = f"{_pairs(held)} tokens" if held else "size not reported"
    lines = [f"memory    after {sum(1 for line in steps if line['units'])} chunks: {size}"]
    results = [result for line in steps for result in line["results"]]
    for kind, entries in replay(results).items():
        lines += [f"  {kind} ({len(entries)})", *(f"    [{key}] {_short(text)}" for key, text in entries.items())]
    calls = [(line["chunk"], result) for line in steps for result in line["results"]]
    if calls:
        lines += ["", f"calls that wrote it ({len(calls)})"]
    for chunk, result in calls:
        arguments = ", ".join(f"{key}={_short(str(value), 80)!r}" for key, value in result["arguments"].items())
        lines.append(
            f"  {chunk} {result['name']}({arguments}) -> {result['status']} {_short(result['message'], 80)}".rstrip()
        )
    return lines


def _value(row: Line) -> str:
    if row["value"] is None:
        return "-"
    within = ", within these streams only" if row.get("within_stream") else ""
    return f"{percent(row['value'])} [{percent(row['low'])}, {percent(row['high'])}] (n {row['n']}{within})"


def _cost(row: Line) -> list[str]:
    """USD where prices are known, else tokens; per question at 1, 10 and 100 questions a stream."""
    unit = "tokens" if row["usd"] is None else "usd"
    show = count if row["usd"] is None else money
    shares = ", ".join(f"{show(value)} at {number}" for number, value in row[f"{unit}_per_question"].items())
    phases = _pairs({phase: usd for phase, usd in row["usd_by_phase"].items() if usd})
    lines = [f"{'USD' if unit == 'usd' else 'tokens'} a question by questions a stream: {shares}"]
    if unit == "usd":
        lines.append(f"USD {money(row['usd'])} ({phases}); a right answer {money(row['usd_per_right'])}")
    elif row["unpriced"]:
        lines.append(f"USD unknown: no price for the model of {', '.join(row['unpriced'])} (`prices:` in memeval.yaml)")
    if row["cached_share"] is not None:
        lines.append(f"prompt tokens from the server's cache {percent(row['cached_share'])} %")
    return lines


def _overlap(row: Line) -> str:
    share = "unknown" if row["share"] is None else f"{percent(row['share'])} % of a stream's units"
    return f"overlap of two streams: {share} (over {row['streams']} streams)"


def _sizes(row: Line) -> str:
    mean, top = row["mean"], row["max"]
    return "not reported" if mean is None else f"mean {mean:,.0f}, max {top:,}"


def _pairs(row: Mapping[str, Any]) -> str:
    return (
        ", ".join(f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}" for key, value in row.items())
        or "none"
    )


def _short(text: str, limit: int = 160) -> str:
    """One line, printable characters only: what a model or a data set sends must not move the cursor."""
    flat = "".join(char if char.isprintable() else " " for char in " ".join(text.split()))
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"
