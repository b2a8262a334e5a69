import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memeval.models.toolcalls import LONGEST_REPAIR, named_call, parse_arguments, parse_text, tidy

TOOLS = [{"type": "function", "function": {"name": "memory_insert", "parameters": {"type": "object"}}}]
FAST = settings(deadline=None, max_examples=100, derandomize=True)
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
        ('{"a": "\\ud83d\\ude00 \\ud83d"}', {"a": "😀 ?"}),
        ('{"a": NaN}', {"a": None}),
        ('{"a": 1e999}', {"a": None}),
        ('{"a": "quote \\" and \\\\", }', {"a": 'quote " and \\'}),
    ],
)
def test_arguments_that_mean_one_thing(raw, expected):
    assert parse_arguments(raw) == (expected, None)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ('{"content": "he said "hi" to me"}', {"content": 'he said "hi" to me'}),
        ("{'a': 1}", {"a": 1}),
        ('{"a": "open', {"a": "open"}),
        ('{"a": 1, "b": [2', {"a": 1, "b": [2]}),
    ],
)
def test_damaged_arguments_are_repaired_only_where_the_reply_was_not_cut_off(raw, expected):
    assert parse_arguments(raw) == (expected, None)
    value, error = parse_arguments(raw, complete=False)
    assert value is None
    assert error.startswith("not JSON")


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("[1, 2]", "list"),
        ("17", "int"),
        ('"text"', "not JSON"),
        ("null", "NoneType"),
        (17, "int"),
        ("plain words", "not JSON"),
        ("[" * 100_000, "deeply"),
    ],
)
def test_arguments_that_mean_nothing(raw, reason):
    value, error = parse_arguments(raw)
    assert value is None
    assert reason in error
    assert "\n" not in error


@FAST
@given(st.text(max_size=200) | st.text("{}[]\"',:\\ntrue1. \n`<>/_ol", max_size=60))
def test_no_text_raises(text):
    value, error = parse_arguments(text)
    assert (value is None) == (error is not None)
    kept, calls = parse_text(f"<tool_call>{text}</tool_call>", TOOLS)
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
    call = {"name": "memory_insert", "arguments": {"content": "he wrote </tool_call> and <tool_call>"}}
    text = f"<tool_call>{json.dumps(call)}</tool_call> after"
    kept, calls = parse_text(text, TOOLS)
    assert kept == "after"
    assert [call.arguments for call in calls] == [{"content": "he wrote </tool_call> and <tool_call>"}]


def test_an_unclosed_last_call_is_read():
    whole = '<tool_call>\n{"name": "memory_insert", "arguments": {"a": 1}}'
    for text in (whole, whole[:-1], f"{whole}</tool_call>", f"{whole[:-1]}</tool_call>"):
        assert [call.arguments for call in parse_text(text, TOOLS)[1]] == [{"a": 1}]


TWO = [{"type": "function", "function": {"name": name}} for name in ("f", "g")]


@pytest.mark.parametrize(
    "body",
    [
        '{"name": "f", "arguments": {"a": 1}}\n{"name": "g", "arguments": {"b": 2}}',
        '[{"name": "f", "arguments": {"a": 1}}, {"name": "g", "parameters": {"b": 2}}]',
        '[{"function": {"name": "f", "arguments": "{\\"a\\": 1}"}}, {"name": "g", "arguments": {"b": 2}}]',
        '{"name": "f", "arguments": {"a": 1}}, {"name": "functions.g", "arguments": {"b": 2}}',
        '```json\n[{"tool": "f", "args": {"a": 1}}, {"tool_name": "g", "parameters": {"b": 2}}]\n```',
    ],
)
@pytest.mark.parametrize(
    "around", ["<tool_call>{}</tool_call>", "<|python_tag|>{}", "[TOOL_CALLS]{}", "{}", "I will store both:\n{}\nDone."]
)
def test_several_calls_in_one_block(body, around):
    if around.startswith("[TOOL") and body.startswith("`"):
        around = "{}"
    _, calls = parse_text(around.replace("{}", body), TWO)
    assert [(call.name, call.arguments) for call in calls] == [("f", {"a": 1}), ("g", {"b": 2})]


@pytest.mark.parametrize(
    "text",
    [
        '{"tool_calls": [{"name": "f", "arguments": {"a": 1}}]}',
        '{"f": {"a": 1}}',
        '{"action": "f", "action_input": {"a": 1}}',
        'Storing: {"name": "f", "arguments": {"a": 1,}}',
        "<function=f>\n<parameter=a>\n1\n</parameter>\n</function>",
        "<function=f><parameter=a>1</parameter></function>",
        '[TOOL_CALLS]f{"a": 1}',
        '<tool_call>{"name": "f<|channel|>commentary", "arguments": {"a": 1}}</tool_call>',
    ],
)
def test_other_shapes_of_one_call(text):
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"properties": {"a": {"type": "integer"}}}}}]
    _, (call,) = parse_text(text, tools)
    assert (call.name, call.arguments, call.error) == ("f", {"a": 1}, None)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ('[f(a=1), g(b="x)]", c=[True, None], d={"e": -1.5})]', ""),
        ('f(1)\ng(b="x)]", c=[True, None], d={"e": -1.5})', ""),
        (
            "I will store both: [functions.f(a=1), g(b='x)]', c=[true, null], d={'e': -1.5})] Done.",
            "I will store both:  Done.",
        ),
        ('```python\n[f(a=1), g(b="x)]", c=[True, None], d={"e": -1.5})]\n```', ""),
        ('```tool_code\nprint(f(a=1))\nprint(g(b="x)]", c=[True, None], d={"e": -1.5}))\n```', ""),
        ('<tool_call>[f(a=1), g(b="x)]", c=[True, None], d={"e": -1.5})]</tool_call>', ""),
        ('<|python_start|>[f(a=1), g(b="x)]", c=[True, None], d={"e": -1.5})]<|python_end|>', ""),
    ],
)
def test_calls_in_pythons_notation(text, kept):
    tools = [
        {"type": "function", "function": {"name": "f", "parameters": {"properties": {"a": {"type": "integer"}}}}},
        TWO[1],
    ]
    left, calls = parse_text(text, tools)
    assert [(call.name, call.arguments) for call in calls] == [
        ("f", {"a": 1}),
        ("g", {"b": "x)]", "c": [True, None], "d": {"e": -1.5}}),
    ]
    assert left == kept


@pytest.mark.parametrize(
    "text",
    [
        "The value f(a=1) was computed.",
        "[x(1), y(2)] is a list of other functions",
        "[f(a=__import__('os').getcwd())]",
        "[f(a=open('x'))]",
        "[f(a=1), 2]",
        "[f(**{'a': 1})]",
        "[f(a=1",
        "lambda: f(a=1)",
        "[" + "f(a=" * 5000 + "1" + ")" * 5000 + "]",
        "x = 1\nimport os",
    ],
)
def test_python_that_is_no_list_of_calls_with_literals_is_text(text):
    assert parse_text(text, TWO) == (text, ())


@pytest.mark.parametrize(
    "body", ["", "17", '{"arguments": {}}', '{"name": 5, "arguments": {}}', '{"name": "memory_insert", "arguments": [1]}']
)
def test_a_block_that_is_no_call_is_a_failed_call(body):
    _, (call,) = parse_text(f"<tool_call>{body}</tool_call>", TOOLS)
    assert call.arguments is None
    assert call.error


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>{"name": "other", "arguments": {}}</tool_call>',
        '{"name": "other", "arguments": {}}',
        '[other(content="x")]',
    ],
)
def test_a_call_of_a_tool_that_was_not_offered_is_a_failed_call(text):
    _, (call,) = parse_text(text, TOOLS)
    assert (call.name, call.arguments, call.error) == ("other", None, "no tool 'other' was offered")


@pytest.mark.parametrize(
    "text",
    [
        '{"name": {"first": "Ann"}}',
        '{"name": "Ann", "age": 7}',
        '[{"name": "Ann"}]',
        '{"answer": 42}',
        "[1, 2]",
        "{}",
        'The list [["a"], ["b"]] and {"name": "Ann", "city": "Arlen"}.',
    ],
)
def test_json_that_is_no_call_is_text(text):
    assert parse_text(text, TOOLS) == (text, ())


def test_text_is_left_alone_without_tools_or_calls():
    text = ' The <tool_call>{"name": "f", "arguments": {}}</tool_call> syntax '
    assert parse_text(text, None) == (text, ())
    assert parse_text(" plain ", TOOLS) == (" plain ", ())


def test_a_text_that_is_nothing_but_a_call_of_an_offered_tool():
    kept, (call,) = parse_text('```json\n{"name": "memory_insert", "parameters": {"a": 1}}\n```', TOOLS)
    assert (kept, call.name, call.arguments) == ("", "memory_insert", {"a": 1})


def test_native_calls_get_an_id_that_depends_on_their_content():
    assert named_call("f", "{}", 0, "given").id == "given"
    assert named_call("f", "{}", 0).id == named_call("f", "{}", 0).id != named_call("f", '{"a": 1}', 0).id
    assert named_call(None, "{}", 0).error == "the call names no tool"


@pytest.mark.parametrize(
    "piece",
    [
        *(
            "<tool_call>",
            "```  ",
            '<tool_call>{"a": "',
            "[",
            "<tool_call>{",
            "</tool_call>",
            "[TOOL_CALLS][",
            "<function=f>",
        ),
        *("[f(", "[f('", '[f(a="\\', "f(a=[", ">>>f\n", '<invoke name="f">', "<arg_key>", "Action: f "),
        *("<|python_tag|>{", '{"a":', '{"', "<parameter=a>", '{"a": "\\', " ", '[{"name": "f", "arguments": {'),
    ],
)
def test_hostile_text_takes_linear_time(piece, linear):
    """Of texts that are too long to be repaired: repairing JSON is not linear."""
    for read in (lambda text: parse_text(f"<tool_call>{text}", TOOLS), lambda text: parse_text(text, TWO), parse_arguments):
        linear(read, piece, few=2 * LONGEST_REPAIR)


def test_tidy_joins_pairs_and_replaces_lone_surrogates():
    assert tidy("a\ud83d\ude00b\ud83d") == "a😀b\ufffd"
