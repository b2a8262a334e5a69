"""Averages over the tasks of a suite, as papers print them: the plain mean of the tasks' headlines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tabulate import tabulate

from memeval.report.table import label, percent

Run = Mapping[str, Any]


def suite_means(suite: str, tasks: Sequence[str], runs: Sequence[Run]) -> list[dict[str, Any]]:
    """One row per agent (and parameters): the mean of its tasks' headlines, each task counting the same.

    The interval treats the tasks as independent: half-widths are added in quadrature, below and above apart, and divided by
    the number of tasks. `missing`: tasks without a result; the value is then the mean of fewer tasks, and says so.
    `without_trained`: the mean of the tasks whose data the agent or its model is not known to have trained on, where that is
    another number.
    """
    rows = []
    mine = [run for run in runs if run["task"] in tasks]
    for key in dict.fromkeys((run["agent"], str(run["params"])) for run in mine):
        parts = [run for run in mine if (run["agent"], str(run["params"])) == key]
        scored = [run["headline"] for run in parts if run["headline"]["value"] is not None and run["status"] == "complete"]
        unseen = [
            run["headline"]["value"]
            for run in parts
            if run["headline"]["value"] is not None and run["status"] == "complete" and not run["trained_on"]
        ]
        done = {run["task"] for run in parts if run["headline"]["value"] is not None and run["status"] == "complete"}
        metrics = dict.fromkeys(part["metric"] for part in scored)
        value = sum(row["value"] for row in scored) / len(scored) if scored else None
        row = {
            "suite": suite,
            "agent": parts[0]["agent"],
            "params": parts[0]["params"],
            "label": label(parts[0], mine),
            "rule": f"plain mean of the tasks' headlines ({', '.join(metrics) or 'none yet'}), each task counting the same",
            "value": value,
            "low": None,
            "high": None,
            "without_trained": sum(unseen) / len(unseen) if 0 < len(unseen) < len(scored) else None,
            "tasks": len(scored),
            "missing": [task for task in tasks if task not in done],
        }
        if value is not None:
            row["low"] = max(0.0, value - math.hypot(*(part["value"] - part["low"] for part in scored)) / len(scored))
            row["high"] = min(1.0, value + math.hypot(*(part["high"] - part["value"] for part in scored)) / len(scored))
        rows.append(row)
    return rows


def suites_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A row per suite and agent, and the rule of each suite's mean; a mean over fewer tasks than the suite's names those
    that are missing."""
    body = [
        [
            row["suite"],
            row["label"],
            percent(row["value"]),
            "-" if row["low"] is None else f"{percent(row['low'])} to {percent(row['high'])}",
            percent(row["without_trained"]),
            row["tasks"],
            ", ".join(row["missing"]) or "-",
        ]
        for row in rows
    ]
    header = ["suite", "agent", "mean", "95% interval", "not trained on", "tasks", "missing"]
    align = ("left", "left", "right", "left", "right", "right", "left")
    rules = dict.fromkeys(f"{row['suite']}: {row['rule']}." for row in rows)
    return "\n".join([tabulate(body, header, tablefmt="github", colalign=align, disable_numparse=True), "", *rules])
