"""The session that an agent gets for one context. No reference leads from it to the run, where the golds are."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

from memeval import tokens
from memeval.agent import Session, ToolResult
from memeval.models import usage
from memeval.runs import handed_over
from memeval.runs.agent_runner import query
from memeval.runs.prepare import PackedContext
from memeval.runs.reader import AnswerStage


def new_session(stage: AnswerStage, packed: PackedContext, repeat: int, agent: int, scratch: Path) -> Session:
    """Create a session. agent: the number under which its calls are counted. scratch: the path of its workdir."""
    spec, context = stage.spec, packed.context
    visible = next((question for question in context.questions if question.id == packed.ref.visible_question), None)
    return Session(
        models={role: stage.bound(role, repeat, agent) for role in stage.routes},
        seed=_seed(context.id, repeat),
        scratch=scratch,
        budget=spec.agent_budget,
        count=functools.partial(_count, spec.task.tokenizer),
        record=functools.partial(_record, agent),
        spend=functools.partial(_spend, agent),
        prompts=dict(spec.prompts),
        visible_query=query(visible) if visible else None,
    )


def _record(agent: int, event: ToolResult) -> None:
    """`session.record`: adds to the ledger of the running method."""
    usage.ledger_of(agent).events.append(handed_over.event(event))


def _spend(agent: int, tokens: int = 0, usd: float | None = None, role: str = "service") -> None:
    """`session.spend`: adds to the ledger of the running method."""
    usage.ledger_of(agent).spend(*handed_over.spent(tokens, usd, role))


def _count(tokenizer: str, text: str) -> int:
    """`session.count`. It holds only the tokenizer's name, so that no agent reaches a cache of texts."""
    return tokens.counter(tokenizer)(text)


def _seed(context_id: str, repeat: int) -> int:
    """`session.seed`. It does not depend on the run's `--seed`, which only affects questions and streams."""
    return int.from_bytes(hashlib.sha256(f"{context_id}\0{repeat}".encode()).digest()[:6], "big")
