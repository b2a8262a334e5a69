"""Facts about a call for the notes of a run, found when the call is counted and stored in its row."""

from __future__ import annotations

from memeval import tokens
from memeval.models.completion import UNREAD, Completion, Request, Usage, text_of
from memeval.models.reply import one_line
from memeval.records.rows import CallFacts
from memeval.records.verdicts import UNUSABLE

LONG = 1000
"""Prompts with more tokens than this are compared with the server's count."""

_COUNTED = 2048  # characters of a prompt that are counted at most (0.2 ms)
_PIECES = 8


def call_facts(role: str, request: Request, completion: Completion) -> CallFacts:
    """The facts of one call of a role; no facts for a call without a reply."""
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
    """The model that answered one call of a role, in the form of the facts."""
    return {role: {completion.model: 1}} if completion.model else {}


def undercounted(request: Request, usage: Usage) -> bool:
    """Whether the server counts fewer than half the tokens of a long prompt, which means that it silently cuts prompts
    to its window. Cached tokens are added to its count, because some servers count them separately."""
    counted = usage.prompt + usage.cached
    text = "\n".join(map(text_of, request.messages))
    if not counted or len(text) <= max(LONG, counted):  # a text rarely has more tokens than characters
        return False
    ours = _tokens(text)
    return ours > LONG and counted < ours / 2


def quoted(completion: Completion) -> str:
    """A reply as quoted in a note: its text, else its calls, else its thinking."""
    text = completion.text or "".join(f"{call.name} {call.raw}" for call in completion.tool_calls) or completion.reasoning
    return quotable(text)


def quotable(text: str) -> str:
    """A text of a model or an agent as one shortened line of printable characters without keys."""
    return "".join(char if char.isprintable() else " " for char in one_line(text, longest=160))


def _tokens(text: str) -> int:
    """Tokens of a text (o200k_base, which needs fewer than nearly all other encodings); for a long text, estimated from
    a sample."""
    count = tokens.counter(tokens.DEFAULT)
    if len(text) <= _COUNTED:
        return count(text)
    size, step = _COUNTED // _PIECES, len(text) // _PIECES
    sample = sum(count(text[start : start + size]) for start in range(0, step * _PIECES, step))
    return sample * len(text) // _COUNTED
