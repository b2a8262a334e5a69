"""The offline model: rules instead of a language model. It needs no key, GPU or network.

It reads and writes by general syntax (capitalised names, verbs, numbers, dates), sees only its prompt, and is a pure
function of the messages, the tool schemas and the parameters `seed` and `max_tokens`. It relies on the tags of
`memeval.prompts` and on tool schemas, never on the wording of a prompt or on the name of an agent or a tool. Its
numbers test the harness; they say nothing about memory systems (validity section 7).
"""

from __future__ import annotations

from memeval import prompts
from memeval.models.completion import UNREAD, Completion, Request, ToolCall, Usage, text_of
from memeval.models.offline.reading import ABSTAIN, THRESHOLD, answer, choose, follow_up
from memeval.models.offline.tools import read_tools
from memeval.models.offline.writing import calls, rewritten

__all__ = ["ABSTAIN", "NOTHING", "THRESHOLD", "UNREAD", "OfflineModel"]

NOTHING = "There is nothing more to do."
"""The reply to a prompt with nothing to write, and to the results of its own tool calls."""
CHARACTERS = 4
"""Characters per token, in every estimate of the offline model."""
WRITING_LIMIT = 1024
"""The limit of a reply that writes, in tokens, without `max_tokens`."""


class OfflineModel:
    """What it does with the tags of a prompt (the last of each tag counts):

    `<new_chunk>` with tools that write: tool calls for the chunk's facts, an entry per line.
    `<new_chunk>` otherwise: the memory rewritten as text with the new facts in it. Neither looks at a question.
    `<question>` and `<memory>` with a tool that takes a query alone: a call of it where the memory leads on, else a reply as
    below.
    `<question>` with `<options>`: a letter. `<question>` with `<memory>`: a short answer or "I don't know", one sentence and
    one hop; abstains below `THRESHOLD`. `<question>` alone: "I don't know", for it has no knowledge of the world.
    None of these: `UNREAD`.

    Usage is estimated: characters / 4, rounded up, of the messages and schemas, and of the reply and its calls.
    """

    identity = "offline/5"

    async def complete(self, request: Request) -> Completion:
        prompt = "\n\n".join(map(text_of, request.messages))
        text, made = _reply(prompt, request)
        written = len(text) + sum(len(call.name) + len(call.raw) for call in made)
        asked = len(prompt) + sum(len(str(tool)) for tool in request.tools or ())
        usage = Usage(prompt=-(-asked // CHARACTERS), completion=-(-written // CHARACTERS))
        return Completion(text=text, tool_calls=made, usage=usage, finish_reason="tool_calls" if made else "stop")

    async def close(self) -> None:
        """Nothing to close."""


def _reply(prompt: str, request: Request) -> tuple[str, tuple[ToolCall, ...]]:
    chunk, memory, question, options = (prompts.untag(tag, prompt) for tag in prompts.TAGS)
    if request.messages and request.messages[-1].get("role") == "tool":
        return NOTHING, ()
    tools = read_tools(request.tools or ())
    given = request.params.get("max_tokens")
    room = CHARACTERS * (given if isinstance(given, int) and given > 0 else WRITING_LIMIT)
    if chunk is not None and request.tools:
        made = tuple(calls(chunk, memory or "", tools, room))
        return ("" if made else NOTHING), made
    if chunk is not None:
        return rewritten(memory or "", chunk, room) or NOTHING, ()
    if question is None:
        return UNREAD, ()
    search = next((tool for tool in tools if tool.searches), None)
    if search and memory is not None and (wanted := follow_up(memory, question)):
        return "", (search.call(0, query=wanted),)
    if options is not None:
        return choose(memory or "", question, options, request.params.get("seed")), ()
    return answer(memory or "", question), ()
