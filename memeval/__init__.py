"""memeval: benchmark and evaluation harness for LLM memory agents.

What a user's agent needs is importable from here (`from memeval import Item, Recall`); everything else lives in the
module that is named after it. Importing the package loads nothing heavy.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
_AGENT_NAMES = ("Agent", "Answer", "Chunk", "Item", "MemoryStats", "Query", "Recall", "Session", "ToolResult")

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


def __getattr__(name: str) -> Any:
    if name in _AGENT_NAMES:
        from memeval import agent

        return getattr(agent, name)
    raise AttributeError(f"module 'memeval' has no attribute {name!r}")
