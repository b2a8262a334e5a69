"""The tool-call format of the released checkpoint Memalpha-4B: qwen-agent's text markers instead of native tools.

The checkpoint was trained with `QwenFnCallPrompt` of qwen-agent 0.0.29 (English, parallel calls, `function_choice` auto;
qwen_agent/llm/fncall_prompts/qwen_fncall_prompt.py, Apache-2.0), so the words of the template are those of that file. The
arguments of a call cannot contain the marker character.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from memeval.models.completion import ToolCall
from memeval.models.toolcalls import LONGEST_REPAIR, parse_arguments
from memeval.records.clean import clean

NAME, ARGS, RESULT, EXIT = "✿FUNCTION✿", "✿ARGS✿", "✿RESULT✿", "✿RETURN✿"
STOP = [RESULT, EXIT]
"""Stop words: after its calls, a model would invent results."""

_TEMPLATE = f"""# Tools

## You have access to the following tools:

{{descriptions}}

## Insert the following command in your reply when you need to call N tools in parallel:

{NAME}: The name of tool 1, should be one of [{{names}}]
{ARGS}: The input of tool 1
{NAME}: The name of tool 2
{ARGS}: The input of tool 2
...
{NAME}: The name of tool N
{ARGS}: The input of tool N
{RESULT}: The result of tool 1
{RESULT}: The result of tool 2
...
{RESULT}: The result of tool N
{EXIT}: Reply based on tool results. Images need to be rendered as ![](url)"""


def tool_prompt(tools: Sequence[Mapping[str, Any]]) -> str:
    """The end of the system prompt: the tools (given in OpenAI's format) and how to call them."""
    functions = [tool["function"] for tool in tools]
    descriptions = [
        f"### {function['name']}\n\n{function['name']}: {function['description']} Parameters: "
        f"{json.dumps(function['parameters'], ensure_ascii=False)} Format the arguments as a JSON object."
        for function in functions
    ]
    names = ",".join(function["name"] for function in functions)
    return _TEMPLATE.format(descriptions="\n\n".join(descriptions), names=names)


def parse(reply: str, complete: bool = True) -> list[ToolCall]:
    """The calls in a reply, in order. Text before the first marker and after a result marker is ignored. A call whose
    arguments are no JSON object, and cannot be repaired into one without guessing, has `arguments` None and the reason in
    `error`. complete: the reply was not cut off at its limit."""
    reply = re.split(f"{RESULT}|{EXIT}", reply, maxsplit=1)[0]
    reply = re.sub(r"✿[A-Z]*✿?\Z", "", reply.rstrip())  # a marker that the limit cut off
    calls = []
    for part in reply.split(f"{NAME}:")[1:]:
        name, *arguments = part.split(f"{ARGS}:")
        for raw in arguments or [""]:  # one name may be followed by several arguments
            raw = _object(raw.strip())
            read, error = parse_arguments(raw, complete)
            calls.append(ToolCall(name.strip(), read, raw, error))
    return calls


def parse_published(reply: str) -> list[ToolCall]:
    """The calls in a reply as the evaluation of Mem-alpha reads them (`_parse_function_calls_from_text`, agent.py at
    9c0e1f6): calls after invented results count too, but not a call whose arguments are followed by anything other than a
    marker of another call, a result or the end. Damaged JSON is always repaired (json_repair), even in a reply that was cut
    off."""
    calls = []
    for part in reply.split(f"{NAME}:")[1:]:
        name, _, rest = part.partition(f"{ARGS}:")
        raw, sign, behind = rest.partition(NAME[0])
        name, raw = name.strip(), raw.strip()
        if name and "\n" not in name and raw and (not sign or (sign + behind).startswith((NAME, RESULT, EXIT))):
            raw = _object(raw)
            arguments = clean(_repaired(raw))
            error = None if isinstance(arguments, dict) else "the arguments are no JSON object"
            calls.append(ToolCall(name, None if error else arguments, raw, error))
    return calls


def _repaired(raw: str) -> Any:
    import json_repair

    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return json_repair.loads(raw) if len(raw) <= LONGEST_REPAIR else None


def _object(raw: str) -> str:
    """The arguments without what follows their last brace: upstream drops comments there, too."""
    return raw[: raw.rfind("}") + 1] or raw if raw.startswith("{") else raw
