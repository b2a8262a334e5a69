"""Lines of a run folder as any program reads them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


def read_json(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def write_lines(path: Path, lines: Iterable[Any]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def run_folders(runs: Path) -> list[Path]:
    """The run folders below RUNS."""
    return sorted(path.parent for path in runs.glob("*/*/manifest.json"))


def memory_of(run: Path) -> Path:
    """The memory folder that a run names."""
    return (run / (read_json(run / "manifest.json") or {})["memory"]).resolve()


def file_of(run: Path, name: str) -> Path:
    """A file of a run, or of its memory."""
    return (memory_of(run) if name.startswith("operations") else run) / name


def steps(run: Path) -> list[dict[str, Any]]:
    """What was read: the rows of a memory that are of chunks, `begin`, or a `finish` that called something."""
    rows = read_lines(memory_of(run) / "operations.jsonl")
    return [row for row in rows if row["chunk"] != "read" and (row["chunk"] != "finish" or row["calls"])]
