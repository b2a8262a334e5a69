"""The table that `memeval run` prints: every number with its interval and n, and what it was measured with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tabulate import tabulate

from memeval.runs.score import UNUSABLE

Run = Mapping[str, Any]
"""One run as `memeval run --format json` gives it."""


def runs_table(runs: Sequence[Run]) -> str:
    """A row per run, grouped by task; below it the headline per kind of question, and notes where they are due."""
    if not runs:
        return "no runs"
    blocks = []
    for task in dict.fromkeys(run["task"] for run in runs):
        rows = [run for run in runs if run["task"] == task]
        blocks.append(_main(task, rows))
        kinds = _kinds(rows)
        if kinds:
            blocks.append(kinds)
    return "\n\n".join([*blocks, *_notes(runs)])


def _main(task: str, runs: Sequence[Run]) -> str:
    metric = runs[0]["headline"]["metric"]
    stream = runs[0]["stream_tokens"]
    size = f", streams of {_tokens(stream['mean'])} tokens ({stream['tokenizer']})" if stream["mean"] else ""
    header = [task, metric, "95% interval", "n", "failed", "memory tokens", "calls", "seconds", "model", "reader", "status"]
    body = [
        [
            label(run, runs),
            percent(run["headline"]["value"]),
            _range(run["headline"]),
            _count(run),
            run["failed"],
            _tokens(run["memory_tokens"]["mean"]),
            sum(run["calls"].values()),
            f"{run['seconds']:.1f}",
            run["model"] or "-",
            run["reader"] or "-",
            run["status"],
        ]
        for run in runs
    ]
    align = ("left", "right", "left", "right", "right", "right", "right", "right", "left", "left", "left")
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
    if any("offline" in (run["model"], run["reader"]) for run in runs):
        notes.append(
            "model offline: a rule-based reader; these rows check the harness and never stand beside published ones."
        )
    agents = {run["agent"] for run in runs}
    controls = ["none", *(["oracle"] if any(run["with_evidence"] for run in runs) else [])]
    missing = [arm for arm in controls if arm not in agents]
    if missing:
        notes.append(f"controls not run: {', '.join(missing)} (add {' '.join(f'--agent {arm}' for arm in missing)}).")
    for run in runs:
        if run["judge"]:
            kin = f"; of the family of {', '.join(run['judge']['related'])}" if run["judge"]["related"] else ""
            prompts = run["judge"]["prompt_hash"][:8]
            notes.append(f"{run['agent']} on {run['task']}: judged by {run['judge']['judge']} (prompts {prompts}{kin})")
        if run["trained_on"]:
            notes.append(f"{run['agent']} on {run['task']}: met this data in training ({run['trained_on']})")
        if run["query"]["offered"]:
            used = "used" if run["query"]["used"] else "not used"
            notes.append(f"{run['agent']} on {run['task']}: the question was shown while reading ({used})")
        for reason, count in run["unread"].items():
            notes.append(f"{run['agent']} on {run['task']}: {count} calls while reading brought nothing: {reason}")
        if run["status"] != "complete":
            reasons = [reason for reason in run["reasons"] if run["failed"] and reason not in UNUSABLE.values()]
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


def percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _range(row: Mapping[str, Any]) -> str:
    return "-" if row["low"] is None else f"{percent(row['low'])} to {percent(row['high'])}"


def _tokens(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"
