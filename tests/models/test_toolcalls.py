import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memeval.models.toolcalls import named_call, parse_arguments, parse_text, tidy

TOOLS = [{"type": "function", "function": {"name": "memory_insert", "parameters": {"type": "object"}}}]
FAST = settings(deadline=None, max_examples=200, derandomize=True)
SCALARS = (
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
)
OBJECTS = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    st.recursive(
        SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner), max_leaves=8
    ),
    max_size=4,
)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ('{"a": 1}', {"a": 1}),
        ({"a": {"b": [1]}}, {"a": {"b": [1]}}),
        ("", {}),
        (None, {}),
        ('"{\\"a\\": 1}"', {"a": 1}),
        ('```json\n{"a": 1}\n```', {"a": 1}),
        ('``` {"a": 1} ```', {"a": 1}),
        ('{"a": [1, 2,], "b": {"c": "d",},}', {"a": [1, 2], "b": {"c": "d"}}),
        ('{"a": "x" ,\n }', {"a": "x"}),
        ('{"a": "two\nlines\tand a tab"}', {"a": "two\nlines\tand a tab"}),
        ('{"a": True, "b": None, "c": False}', {"a": True, "b": None, "c": False}),
        ('{"a": "True, None,}"}', {"a": "True, None,}"}),
        ('{"a": {"b": "c"', {"a": {"b": "c"}}),
        ('{"a": ["b", true', {"a": ["b", True]}),
        ('{"a": 1}}', {"a": 1}),
        ('{"a": {"b": 2}} ] }', {"a": {"b": 2}}),
        ('{"a": "\\ud83d\\ude00 \\ud83d"}', {"a": "😀 \ufffd"}),
        ('{"a": "quote \\" and \\\\", }', {"a": 'quote " and \\'}),
    ],
)
def test_arguments_that_mean_one_thing(raw, expected):
    assert parse_arguments(raw) == (expected, None)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ('{"a": 1, "a": 2}', "twice"),
        ('{"a": {"b": 1, "b": 1},}', "twice"),
        ('{"a": NaN}', "NaN"),
        ('{"a": -Infinity,}', "-Infinity"),
        ('{"a": 1e999}', "finite"),
        ("[1, 2]", "list"),
        ("17", "number"),
        ('"text"', "not JSON"),
        ("null", "null"),
        (17, "int"),
        ('{"a": "cut o', "not JSON"),  # the string could go on
        ('{"id": 12', "not JSON"),  # the number could go on
        ('{"a": "b",', "not JSON"),  # another key could follow
        ('{"a": "b", "c"', "not JSON"),
        ('{"a": tru', "not JSON"),
        ('{"a": [1 2]}', "not JSON"),
        ('{"a": 1}, "b": 2}', "not JSON"),
        ("{'a': 1}", "not JSON"),
        ('{"a": "\\\n"}', "not JSON"),
        ('{"a":' * 40 + "1" + "}" * 40, "deeply"),
        ("[" * 100_000, "deeply"),
        ('{"a": ' + "9" * 5000 + "}", "not JSON"),
    ],
)
def test_arguments_that_could_mean_more_or_nothing(raw, reason):
    value, error = parse_arguments(raw)
    assert value is None
    assert reason in error
    assert "\n" not in error


def test_brackets_are_not_added_to_a_reply_that_was_cut_off():
    assert parse_arguments('{"a": "b"', complete=False)[0] is None
    assert parse_arguments('{"a": "b",}', complete=False)[0] == {"a": "b"}


@FAST
@given(st.text(max_size=200) | st.text("{}[]\"',:\\ntrue1. \n`<>/_ol", max_size=60))
def test_no_text_raises(text):
    value, error = parse_arguments(text)
    assert (value is None) == (error is not None)
    kept, calls = parse_text(f"<tool_call>{text}</tool_call>", TOOLS)
    assert calls
    for call in calls:
        assert (call.arguments is None) == (call.error is not None)
        json.dumps(call.arguments, allow_nan=False).encode()
    parse_text(text, TOOLS)
    kept.encode()


@FAST
@given(OBJECTS)
def test_arguments_round_trip(arguments):
    assert parse_arguments(json.dumps(arguments)) == (arguments, None)
    assert parse_arguments(json.dumps(arguments, ensure_ascii=False, indent=2)) == (arguments, None)
    assert parse_arguments(json.dumps(json.dumps(arguments))) == (arguments, None)


@FAST
@given(st.lists(OBJECTS, min_size=1, max_size=4), st.sampled_from([None, 2]), st.booleans(), st.booleans())
def test_calls_in_text_round_trip(several, indent, fenced, last_open):
    blocks = [json.dumps({"name": "memory_insert", "arguments": each}, indent=indent) for each in several]
    if fenced:
        blocks = [f"```json\n{block}\n```" for block in blocks]
    text = "Let me see.\n" + "\n".join(f"<tool_call>\n{block}\n</tool_call>" for block in blocks)
    if last_open:
        text = text.removesuffix("</tool_call>")
    kept, calls = parse_text(text, TOOLS)
    assert kept == "Let me see."
    assert [call.arguments for call in calls] == several
    assert {call.name for call in calls} == {"memory_insert"}
    assert len({call.id for call in calls}) == len(calls)


def test_a_tag_inside_a_string_does_not_end_the_call():
    text = '<tool_call>{"name": "f", "arguments": {"content": "he wrote </tool_call> and <tool_call>"}}</tool_call> after'
    kept, calls = parse_text(text, TOOLS)
    assert kept == "after"
    assert [call.arguments for call in calls] == [{"content": "he wrote </tool_call> and <tool_call>"}]


def test_an_unclosed_last_call_counts_only_if_it_is_complete():
    whole = '<tool_call>\n{"name": "f", "arguments": {"a": 1}}'
    assert parse_text(whole, TOOLS)[1][0].arguments == {"a": 1}
    _, (call,) = parse_text(whole[:-1], TOOLS)
    assert call.arguments is None
    assert call.error.startswith("cut off")


def test_a_closed_call_with_a_missing_bracket_is_repaired():
    _, (call,) = parse_text('<tool_call>{"name": "f", "arguments": {"a": "b"}</tool_call>', TOOLS)
    assert (call.name, call.arguments) == ("f", {"a": "b"})


@pytest.mark.parametrize(
    "body",
    [
        '{"name": "f", "arguments": {"a": 1}}\n{"name": "g", "arguments": {"b": 2}}',
        '[{"name": "f", "arguments": {"a": 1}}, {"name": "g", "parameters": {"b": 2}}]',
        '[{"function": {"name": "f", "arguments": "{\\"a\\": 1}"}}, {"name": "g", "arguments": {"b": 2}}]',
    ],
)
def test_several_calls_in_one_block(body):
    _, calls = parse_text(f"<tool_call>{body}</tool_call>", TOOLS)
    assert [(call.name, call.arguments) for call in calls] == [("f", {"a": 1}), ("g", {"b": 2})]


@pytest.mark.parametrize(
    "body", ["", "17", '{"arguments": {}}', '{"name": 5, "arguments": {}}', '{"name": "f", "arguments": [1]}']
)
def test_a_block_that_is_no_call_is_a_failed_call(body):
    _, (call,) = parse_text(f"<tool_call>{body}</tool_call>", TOOLS)
    assert call.arguments is None
    assert call.error


def test_text_is_left_alone_without_tools_or_calls():
    text = ' The <tool_call>{"name": "f", "arguments": {}}</tool_call> syntax '
    assert parse_text(text, None) == (text, ())
    assert parse_text(" plain ", TOOLS) == (" plain ", ())
    assert parse_text('{"name": "other", "arguments": {}}', TOOLS) == ('{"name": "other", "arguments": {}}', ())


def test_a_text_that_is_nothing_but_a_call_of_an_offered_tool():
    kept, (call,) = parse_text('```json\n{"name": "memory_insert", "parameters": {"a": 1}}\n```', TOOLS)
    assert (kept, call.name, call.arguments) == ("", "memory_insert", {"a": 1})


def test_native_calls_get_an_id_that_depends_on_their_content():
    assert named_call("f", "{}", 0, "given").id == "given"
    assert named_call("f", "{}", 0).id == named_call("f", "{}", 0).id != named_call("f", '{"a": 1}', 0).id
    assert named_call(None, "{}", 0).error == "the call names no tool"


@pytest.mark.parametrize("piece", ["<tool_call>", "```  ", '<tool_call>{"a": "', "[", "<tool_call>{", "</tool_call>"])
def test_hostile_text_takes_linear_time(piece):
    begun = time.process_time()
    parse_text("<tool_call>" + piece * 5_000, TOOLS)
    parse_arguments(piece * 5_000)
    assert time.process_time() - begun < 2


def test_tidy_joins_pairs_and_replaces_lone_surrogates():
    assert tidy("a\ud83d\ude00b\ud83d") == "a😀b\ufffd"
