"""The table that `memeval run` prints: every number with its interval and n, and what it was measured with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tabulate import tabulate

from memeval.runs.score import UNUSABLE

Run = Mapping[str, Any]
"""One run as `memeval run --format json` gives it."""

MARKS = {"leaked": "†", "in-domain": "‡"}
LEGEND = {
    "leaked": "† leaked: a model of the row was trained on this split, or on questions asked here.",
    "in-domain": "‡ in-domain: a model of the row was trained on this family of data, as far as known on another split.",
}


def runs_table(runs: Sequence[Run]) -> str:
    """A row per run, grouped by task and answer budget (rows of different budgets are never ranked together); below it the
    headline per kind of question, and notes where they are due."""
    if not runs:
        return "no runs"
    blocks = []
    for rows in groups(runs):
        blocks.append(_main(rows[0]["task"], rows))
        kinds = _kinds(rows)
        if kinds:
            blocks.append(kinds)
    return "\n\n".join([*blocks, *_notes(runs)])


def groups(runs: Sequence[Run]) -> list[list[Run]]:
    """The runs that may stand in one table: of one task, read under one answer budget."""
    found: dict[tuple[str, int | None], list[Run]] = {}
    for run in runs:
        found.setdefault((run["task"], run["answer_budget"]), []).append(run)
    return list(found.values())


def _main(task: str, runs: Sequence[Run]) -> str:
    metric = runs[0]["headline"]["metric"]
    stream = runs[0]["stream_tokens"]
    size = f", streams of {_tokens(stream['mean'])} tokens ({stream['tokenizer']})" if stream["mean"] else ""
    budget = runs[0]["answer_budget"]
    size += f", answer budget {budget:,}" if budget else ""
    models = ["model", "reader", *(["embedder"] if any(run.get("embedder") for run in runs) else [])]
    header = [task, metric, "95% interval", "n", "failed", "memory tokens", "calls", "seconds", *models, "status"]
    body = [
        [
            label(run, runs),
            percent(run["headline"]["value"]) + mark(run),
            _range(run["headline"]),
            _count(run),
            run["failed"],
            _tokens(run["memory_tokens"]["mean"]),
            sum(run["calls"].values()),
            f"{run['seconds']:.1f}",
            *(run.get(role) or "-" for role in models),
            run["status"],
        ]
        for run in runs
    ]
    align = ["left", "right", "left", *["right"] * 5, *["left"] * (len(header) - 8)]
    return f"{task}: {metric}{size}\n" + tabulate(body, header, tablefmt="github", colalign=align, disable_numparse=True)


def _kinds(runs: Sequence[Run]) -> str:
    """The headline per kind of question; `unanswerable` is the share declined."""
    names = list(dict.fromkeys(kind for run in runs for kind in run["kinds"]))
    if len(names) < 2:
        return ""
    counts = {kind: max(run["kinds"].get(kind, {}).get("n", 0) for run in runs) for kind in names}
    header = ["by kind (n)", *(f"{kind} ({counts[kind]})" for kind in names)]
    body = [[label(run, runs), *(percent(run["kinds"].get(kind, {}).get("value")) for kind in names)] for run in runs]
    align = ("left", *("right" for _ in names))
    return tabulate(body, header, tablefmt="github", colalign=align, disable_numparse=True)


def _notes(runs: Sequence[Run]) -> list[str]:
    notes = []
    if any(run["n"] < 100 for run in runs):
        notes.append("n below 100: this table shows the machinery, it ranks nothing.")
    for task, metric in {run["task"]: run["headline"]["metric"] for run in runs if run["judge_family"]}.items():
        if metric != "judge":
            notes.append(f"{task}: made to be scored by a judge; without one (--judge NAME), {metric} is shown instead.")
    if any(run["judge"] and run["judge"]["judge"] == "offline" for run in runs):
        notes.append("judge offline: a string rule in place of a judge; it checks the harness and is no judged score.")
    if any("offline" in (run["model"], run["reader"]) for run in runs):
        notes.append(
            "model offline: a rule-based reader; these rows check the harness and never stand beside published ones."
        )
    if any(run.get("embedder") == "offline" for run in runs):
        notes.append("embedder offline: hashed words and spellings; what it retrieves compares with no published row.")
    agents = {run["agent"] for run in runs}
    controls = ["none", *(["oracle"] if any(run["with_evidence"] for run in runs) else [])]
    missing = [arm for arm in controls if arm not in agents]
    if missing:
        notes.append(f"controls not run: {', '.join(missing)} (add {' '.join(f'--agent {arm}' for arm in missing)}).")
    notes += legend(runs)
    for run in runs:
        if run["judge"]:
            kin = f"; of the family of {', '.join(run['judge']['related'])}" if run["judge"]["related"] else ""
            prompts = run["judge"]["prompt_hash"][:8]
            parts = f": {parts_line(run['judge']['parts'])}" if run["judge"]["parts"] else ""
            notes.append(
                f"{run['agent']} on {run['task']}: judged by {run['judge']['judge']} (prompts {prompts}{kin}){parts}"
            )
        if run["trained_on"]:
            notes.append(f"{run['agent']} on {run['task']}: {told(run['trained_on'])}{_others(run['trained_on']['others'])}")
        if run["memory_from"]:
            calls, others = sum(run["memory_from"].values()), ", ".join(run["memory_from"])
            notes.append(f"{run['agent']} on {run['task']}: memory shared with {others} ({calls:,} calls not sent again)")
        if run["query"]["offered"]:
            used = "used" if run["query"]["used"] else "not used"
            notes.append(f"{run['agent']} on {run['task']}: the question was shown while reading ({used})")
        for reason, count in run["unread"].items():
            notes.append(f"{run['agent']} on {run['task']}: {count} calls while reading brought nothing: {reason}")
        useless = {reason: count for reason, count in run["reasons"].items() if reason in UNUSABLE.values()}
        for reason, count in useless.items():
            notes.append(f"{run['agent']} on {run['task']}: {count} replies count as wrong: {reason}")
        if run["status"] != "complete" or run["failed"]:
            reasons = [reason for reason in run["reasons"] if run["failed"] and reason not in useless]
            why = f" ({reasons[0]})" if reasons else ""
            notes.append(f"{run['agent']} on {run['task']}: {run['status']}, {run['failed']} failed{why}; see {run['path']}")
    return ["\n".join(notes)] if notes else []


def _count(run: Run) -> str:
    """Questions behind the headline, of those asked where some do not count in it (unanswerable ones, say)."""
    counted = run["metrics"].get(run["headline"]["metric"], {}).get("n", 0)
    return str(run["n"]) if counted == run["n"] else f"{counted} of {run['n']}"


def label(run: Run, runs: Sequence[Run]) -> str:
    """The agent, with the parameters in which it differs from the other rows of the same agent."""
    same = [other["params"] for other in runs if other["agent"] == run["agent"]]
    differing = [key for key in run["params"] if len({str(params.get(key)) for params in same}) > 1]
    return " ".join([run["agent"], *(f"{key}={run['params'][key]}" for key in differing)])


def mark(run: Run) -> str:
    """What stands behind a number whose questions, or whose like, were trained on."""
    return f" {MARKS[run['trained_on']['mark']]}" if run["trained_on"] else ""


def legend(runs: Sequence[Run]) -> list[str]:
    """What the marks of these runs mean."""
    marks = {run["trained_on"]["mark"] for run in runs if run["trained_on"]}
    return [text for key, text in LEGEND.items() if key in marks]


def told(trained: Mapping[str, Any]) -> str:
    """`trained_on` of a run in words."""
    notes = f": {'; '.join(trained['notes'])}" if trained["notes"] else ""
    text = f"{trained['mark']} ({', '.join(trained['by'])}{notes})"
    if trained["known"] is not None:
        text += f"; {trained['known']} of {trained['asked']} asked questions were trained on"
    return text


def _others(row: Mapping[str, Any] | None) -> str:
    return f"; {row['metric']} on the others {percent(row['value'])}, {_range(row)}, n {row['n']}" if row else ""


def parts_line(parts: Mapping[str, Mapping[str, Any]]) -> str:
    """What a judged score of summaries is made of."""
    return ", ".join(f"{part} {percent(row['value'])}" for part, row in parts.items())


def percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _range(row: Mapping[str, Any]) -> str:
    return "-" if row["low"] is None else f"{percent(row['low'])} to {percent(row['high'])}"


def _tokens(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"
