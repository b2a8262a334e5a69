"""What may stand in one table, and the notes below it."""

from __future__ import annotations

from typing import Any

import msgspec

from memeval.records.summary import Summary
from memeval.results.run_table import by_task_and_budget, runs_table
from memeval.runs.notes import notes


def run(agent: str, task: str, budget: int | None, value: float, **rest: Any) -> Summary:
    facts = {
        "path": f"runs/{task}/{agent}", "agent": agent, "params": {}, "task": task, "answer_budget": budget,
        "model": "m", "reader": "r", "judge": None, "judge_family": "", "status": "complete", "n": 200, "failed": 0,
        "headline": {"metric": "f1", "value": value, "low": 0.1, "high": 0.9}, "metrics": {"f1": {"n": 200}}, "kinds": {},
        "with_evidence": 0, "unread": {}, "trained_on": None, "query": {"offered": False, "used": False},
        "memory_tokens": {"mean": 10.0}, "stream_tokens": {"mean": 7000.0, "tokenizer": "o200k_base"},
        "calls": {"reader": 200}, "seconds": 1.0, "reasons": {}, **rest,
    }  # fmt: skip
    found = msgspec.convert(facts, Summary)
    return msgspec.structs.replace(found, notes=notes(found))


def test_rows_of_different_budgets_never_share_a_table() -> None:
    rows = [run("a", "t", None, 0.4), run("b", "t", 64, 0.3), run("a", "t", 64, 0.2), run("a", "t@b64", 64, 0.2)]
    assert [[(row.agent, row.task, row.answer_budget) for row in group] for group in by_task_and_budget(rows)] == [
        [("a", "t", None)],
        [("b", "t", 64), ("a", "t", 64)],
        [("a", "t@b64", 64)],
    ]
    titles = [line for line in runs_table(rows).splitlines() if ": f1" in line]
    assert titles == [
        "t: f1, streams of 7,000 tokens (o200k_base)",
        "t: f1, streams of 7,000 tokens (o200k_base), answer budget 64",
        "t@b64: f1, streams of 7,000 tokens (o200k_base), answer budget 64",
    ]


def test_a_memory_of_this_command_alone_is_named() -> None:
    table = runs_table([run("a", "t", None, 0.2, replayable=False), run("none", "t", None, 0.1)])
    assert [line.split(":")[0] for line in table.splitlines() if "another one" in line] == ["a on t"]


def test_who_made_the_vectors_is_named_where_there_are_any() -> None:
    table = runs_table([run("dense", "t", None, 0.2, embedder="offline"), run("none", "t", None, 0.1, embedder=None)])
    _, above, header, _, dense, none = table.splitlines()[:6]
    columns = [[cell.strip() for cell in row.split("|")[-3:-1]] for row in (header, dense, none)]
    assert columns == [["embedder", "status"], ["offline", "complete"], ["-", "complete"]]
    assert above.startswith("all rows: ")
    assert ", reader r" in above
    assert "embedder offline" in table
    assert "embedder" not in runs_table([run("none", "t", None, 0.1, embedder=None)])


def test_why_replies_are_missing_or_of_no_use_is_said() -> None:
    reasons = {"the prompt exceeds the model's window": 150, "the reply is empty": 1, "reader: HTTP 500": 1}
    notes = [
        line for line in runs_table([run("a", "t", None, 0.1, failed=1, reasons=reasons)]).splitlines() if "a on t" in line
    ]
    assert notes == [
        "a on t: 150 replies count as wrong: the prompt exceeds the model's window",
        "a on t: 1 reply counts as wrong: the reply is empty",
        "a on t: complete, 1 failed (reader: HTTP 500); see runs/t/a",
    ]


def test_what_was_found_is_shown_apart_from_what_was_made_of_it() -> None:
    def average(value: float) -> dict[str, float | int]:
        return {"value": value, "low": value - 0.1, "high": value + 0.1, "n": 200}

    names = ("evidence_recall_at_1", "evidence_recall_at_5", "evidence_recall", "evidence_mrr")
    ranked = {"f1": {"n": 200}, **{name: average(0.2 + place / 10) for place, name in enumerate(names)}}
    unranked = {"f1": {"n": 200}, "evidence_recall": average(0.9)}
    rows = [run("a", "t", None, 0.2, metrics=ranked), run("long", "t", None, 0.1, metrics=unranked)]
    block = next(block for block in runs_table(rows).split("\n\n") if block.startswith("| retrieval"))
    assert [[cell.strip() for cell in line.split("|")[1:-1]] for line in block.splitlines()[::2]] == [
        ["retrieval", "recall@1", "recall@5", "recall", "MRR", "n"],
        ["a", "20.0 (10.0 to 30.0)", "30.0 (20.0 to 40.0)", "40.0 (30.0 to 50.0)", "50.0 (40.0 to 60.0)", "200"],
    ]
    assert "retrieval" not in runs_table(rows[1:])
