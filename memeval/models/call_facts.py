"""What the notes of a run must know of a call beside its reply, found when the call is booked and kept in its row."""

from __future__ import annotations

from memeval import tokens
from memeval.models.completion import UNREAD, Completion, Request, Usage, text_of
from memeval.models.reply import one_line
from memeval.records.rows import CallFacts
from memeval.records.verdicts import UNUSABLE

LONG = 1000
"""Tokens of a prompt above which its count is compared with the server's."""

_COUNTED = 2048  # characters of a prompt that are counted at most (0.2 ms)
_PIECES = 8


def call_facts(role: str, request: Request, completion: Completion) -> CallFacts:
    """The facts of one call of a role; none of a call that got no reply."""
    if completion.error is not None:
        return CallFacts()
    offered = bool(request.tools)
    return CallFacts(
        estimated=completion.estimated,
        undercounted=not completion.estimated and undercounted(request, completion.usage),
        unreadable=completion.text == UNREAD,
        offered=offered,
        uncalled=offered and not completion.tool_calls and completion.finish_reason not in UNUSABLE,
        served=served_by(role, completion),
    )


def served_by(role: str, completion: Completion) -> dict[str, dict[str, int]]:
    """The model that answered one call of a role, as facts hold it."""
    return {role: {completion.model: 1}} if completion.model else {}


def undercounted(request: Request, usage: Usage) -> bool:
    """Whether the server counts fewer than half the tokens of a long prompt: it cuts what exceeds its window and
    says nothing. Cached tokens are added to its count, because some servers count them apart."""
    counted = usage.prompt + usage.cached
    text = "\n".join(map(text_of, request.messages))
    if not counted or len(text) <= max(LONG, counted):  # hardly any text has more tokens than characters
        return False
    ours = _tokens(text)
    return ours > LONG and counted < ours / 2


def quoted(completion: Completion) -> str:
    """A reply as a note quotes it: its text, else its calls, else its thinking."""
    text = completion.text or "".join(f"{call.name} {call.raw}" for call in completion.tool_calls) or completion.reasoning
    return quotable(text)


def quotable(text: str) -> str:
    """What a model or an agent wrote, as one line of printable characters without keys, shortened."""
    return "".join(char if char.isprintable() else " " for char in one_line(text, longest=160))


def _tokens(text: str) -> int:
    """Tokens of a text (o200k_base, which needs fewer than nearly all others); of a long one by a sample of it."""
    count = tokens.counter(tokens.DEFAULT)
    if len(text) <= _COUNTED:
        return count(text)
    size, step = _COUNTED // _PIECES, len(text) // _PIECES
    sample = sum(count(text[start : start + size]) for start in range(0, step * _PIECES, step))
    return sample * len(text) // _COUNTED
