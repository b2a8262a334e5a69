"""The text format of the released checkpoint. The expected values were made with qwen-agent 0.0.29 itself (its
`QwenFnCallPrompt.preprocess_fncall_messages` and `postprocess_fncall_messages`) and frozen."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memeval.agents import qwen_wire

NOTE = {
    "name": "note",
    "description": "Write it down.",
    "parameters": {
        "type": "object",
        "properties": {"what": {"type": "string", "description": "Café"}},
        "required": ["what"],
    },
}
DROP = {"name": "drop", "description": "Forget it.", "parameters": {"type": "object", "properties": {}}}
OFFICIAL_PROMPT = (
    "# Tools\n\n## You have access to the following tools:\n\n"
    '### note\n\nnote: Write it down. Parameters: {"type": "object", "properties": {"what": {"type": "string", '
    '"description": "Café"}}, "required": ["what"]} Format the arguments as a JSON object.\n\n'
    '### drop\n\ndrop: Forget it. Parameters: {"type": "object", "properties": {}} '
    "Format the arguments as a JSON object.\n\n"
    "## Insert the following command in your reply when you need to call N tools in parallel:\n\n"
    "✿FUNCTION✿: The name of tool 1, should be one of [note,drop]\n✿ARGS✿: The input of tool 1\n"
    "✿FUNCTION✿: The name of tool 2\n✿ARGS✿: The input of tool 2\n...\n"
    "✿FUNCTION✿: The name of tool N\n✿ARGS✿: The input of tool N\n"
    "✿RESULT✿: The result of tool 1\n✿RESULT✿: The result of tool 2\n...\n✿RESULT✿: The result of tool N\n"
    "✿RETURN✿: Reply based on tool results. Images need to be rendered as ![](url)"
)


def test_the_tool_prompt_is_the_official_one() -> None:
    tools = [{"type": "function", "function": function} for function in (NOTE, DROP)]
    assert qwen_wire.tool_prompt(tools) == OFFICIAL_PROMPT


@pytest.mark.parametrize(
    ("reply", "official"),
    [
        ("Done", []),
        (
            'Some thoughts first.\n✿FUNCTION✿: note\n✿ARGS✿: {"what": "a {b} c"}\n✿FUNCTION✿: drop\n✿ARGS✿: {}',
            [("note", '{"what": "a {b} c"}'), ("drop", "{}")],
        ),
        (
            '✿FUNCTION✿: note\n✿ARGS✿: {"what": "one"} <!-- a comment -->\n✿ARGS✿: {"what":\n "two"}\n',
            [("note", '{"what": "one"}'), ("note", '{"what":\n "two"}')],
        ),
        ('✿FUNCTION✿: note\n✿ARGS✿: {"what": "cut of', [("note", '{"what": "cut of')]),
        ('✿FUNCTION✿: note\n✿ARGS✿: {"what": "x"}\n✿FUNCTION✿: drop\n✿AR', [("note", '{"what": "x"}'), ("drop", "")]),
        ('✿FUNCTION✿: note\n✿ARGS✿: {"what": "x"}\n✿FUNCTION✿', [("note", '{"what": "x"}')]),
        ("✿FUNCTION✿: note", [("note", "")]),
    ],
)
def test_calls_are_read_as_qwen_agent_reads_them(reply: str, official: list[tuple[str, str]]) -> None:
    assert [(call.name, call.raw) for call in qwen_wire.parse(reply)] == official


def test_arguments_are_objects_or_say_why_not() -> None:
    reply = (
        '✿FUNCTION✿: note\n✿ARGS✿: {"what": "line\nbreak"}\n✿FUNCTION✿: note\n✿ARGS✿: [1]\n✿FUNCTION✿: note\n✿ARGS✿: {"a"'
    )
    good, listed, cut = qwen_wire.parse(reply)
    assert (good.arguments, good.error) == ({"what": "line\nbreak"}, None)
    assert listed.arguments is cut.arguments is None
    assert "not a JSON object" in listed.error
    assert cut.error


def test_a_missing_brace_is_added_only_to_a_whole_reply() -> None:
    reply = '✿FUNCTION✿: note\n✿ARGS✿: {"what": "x"'
    assert [call.arguments for call in qwen_wire.parse(reply)] == [{"what": "x"}]
    assert [call.arguments for call in qwen_wire.parse(reply, complete=False)] == [None]


@pytest.mark.parametrize(
    ("reply", "official"),
    [
        ("Done", []),
        ('✿FUNCTION✿: note\n✿ARGS✿: {"what": "a {b} c"}\n✿FUNCTION✿: drop\n✿ARGS✿: {}', [{"what": "a {b} c"}, {}]),
        ('✿FUNCTION✿: note\n✿ARGS✿: {"what": "one"} <!-- a comment -->', [{"what": "one"}]),
        ('✿FUNCTION✿: note\n✿ARGS✿: {"what": "x"}\n✿RESULT✿: ok\n✿FUNCTION✿: drop\n✿ARGS✿: {}', [{"what": "x"}, {}]),
        (
            '✿FUNCTION✿: note\n✿ARGS✿: {"what": "x"}\n✿FUNCTION✿: note\n✿ARGS✿: {"what": "cut of',
            [{"what": "x"}, {"what": "cut of"}],
        ),
        ('✿FUNCTION✿: note\n✿ARGS✿: {"what": "lost"}\n✿FUNC', []),
        ('✿FUNCTION✿: note\n✿ARGS✿: {"what": "lost"}\n✿ARGS✿: {"what": "two"}', []),
        ("✿FUNCTION✿: note", []),
        ("✿FUNCTION✿: note\n✿ARGS✿: [1]", [None]),
    ],
)
def test_calls_are_read_as_mem_alphas_evaluation_reads_them(reply: str, official: list[dict | None]) -> None:
    """What its regular expression and json_repair make of these (agent.py at 9c0e1f6)."""
    assert [call.arguments for call in qwen_wire.parse_published(reply)] == official


def test_invented_results_are_ignored() -> None:
    reply = '✿FUNCTION✿: drop\n✿ARGS✿: {}\n✿RESULT✿: ok ✿FUNCTION✿: note\n✿ARGS✿: {"what": "never"}'
    assert [call.name for call in qwen_wire.parse(reply)] == ["drop"]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(["✿FUNCTION✿:", "✿ARGS✿:", "✿", "note", "{", "}", '"a"', ":", "1", "\n", " "]), max_size=25))
def test_any_text_is_read_without_an_exception(parts: list[str]) -> None:
    for call in [*qwen_wire.parse("".join(parts)), *qwen_wire.parse_published("".join(parts))]:
        assert (call.arguments is None) == bool(call.error)
