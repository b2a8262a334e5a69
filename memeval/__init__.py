"""memeval: benchmark and evaluation harness for LLM memory agents.

This package exports what a user's agent needs (`from memeval import Item, Recall`), and the functions that run agents
and read results (`memeval.run`, `memeval.load_runs`). Everything else is in the module that is named after it.
Importing the package loads nothing heavy.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
_MODULES = {
    "agent": ("Agent", "Answer", "Chunk", "Item", "MemoryStats", "Query", "Recall", "Session", "ToolResult"),
    "errors": ("UsageError",),
    "results.api": ("arun", "run"),
    "results.checks": ("Rules",),
    "results.compare": ("Comparison", "compare"),
    "results.grid": ("Grid", "render"),
    "results.leaderboard": ("leaderboard",),
    "results.gate": ("Gate", "gate"),
    "results.load": ("Run", "Runs", "find_run", "load_runs"),
    "results.report.page": ("report",),
    "results.table": ("table",),
}
_NAMES = {name: module for module, names in _MODULES.items() for name in names}

if TYPE_CHECKING:
    from memeval.agent import Agent as Agent
    from memeval.agent import Answer as Answer
    from memeval.agent import Chunk as Chunk
    from memeval.agent import Item as Item
    from memeval.agent import MemoryStats as MemoryStats
    from memeval.agent import Query as Query
    from memeval.agent import Recall as Recall
    from memeval.agent import Session as Session
    from memeval.agent import ToolResult as ToolResult
    from memeval.errors import UsageError as UsageError
    from memeval.results.api import arun as arun
    from memeval.results.api import run as run
    from memeval.results.checks import Rules as Rules
    from memeval.results.compare import Comparison as Comparison
    from memeval.results.compare import compare as compare
    from memeval.results.gate import Gate as Gate
    from memeval.results.gate import gate as gate
    from memeval.results.grid import Grid as Grid
    from memeval.results.grid import render as render
    from memeval.results.leaderboard import leaderboard as leaderboard
    from memeval.results.load import Runs as Runs
    from memeval.results.load import find_run as find_run
    from memeval.results.load import load_runs as load_runs
    from memeval.results.report.page import report as report
    from memeval.results.run import Run as Run
    from memeval.results.table import table as table


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        from importlib import import_module

        return getattr(import_module(f"memeval.{_NAMES[name]}"), name)
    raise AttributeError(f"module 'memeval' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *_NAMES]
