import hashlib
import json
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memeval.errors import UsageError
from memeval.models.call_json import call_key, request_body
from memeval.models.completion import Request

ASKED = Request([{"role": "user", "content": "hi"}], [{"function": {"name": "f"}}], {"temperature": 0.5, "top_p": 1}, 2, 3)


def test_the_key_is_the_sha256_of_canonical_json():
    import hashlib

    text = '["m",[{"content":"hé","role":"user"}],null,{"a":1,"b":[true]},0,1]'
    request = Request([{"role": "user", "content": "hé"}], None, {"b": [True], "a": 1}, 0, 1)
    assert call_key("m", request) == hashlib.sha256(text.encode()).digest()


@pytest.mark.parametrize(
    "other",
    [
        Request([{"role": "system", "content": "hi"}], ASKED.tools, ASKED.params, 2, 3),
        Request([*ASKED.messages, *ASKED.messages], ASKED.tools, ASKED.params, 2, 3),
        Request(ASKED.messages, None, ASKED.params, 2, 3),
        Request(ASKED.messages, ASKED.tools, {"temperature": 0.6, "top_p": 1}, 2, 3),
        Request(ASKED.messages, ASKED.tools, {"temperature": 0.5}, 2, 3),
        Request(ASKED.messages, ASKED.tools, ASKED.params, 1, 3),
        Request(ASKED.messages, ASKED.tools, ASKED.params, 2, 4),
    ],
)
def test_everything_that_can_change_a_reply_changes_the_key(other):
    assert call_key("m", other) != call_key("m", ASKED) != call_key("n", ASKED)


def test_what_changes_no_reply_does_not():
    from types import MappingProxyType

    same = Request(
        tuple(MappingProxyType({"content": "hi", "role": "user"}) for _ in range(1)),
        ASKED.tools,
        {"top_p": 1, "temperature": 0.5, "timeout": 60},
        2,
        3,
    )
    assert call_key("m", same) == call_key("m", ASKED)
    assert call_key("m", Request([], [])) == call_key("m", Request([], None))


def test_a_call_that_is_not_json_has_no_key():
    with pytest.raises(UsageError, match="not JSON"):
        call_key("m", Request([], None, {"stop": {"a"}}))


@settings(deadline=None, max_examples=100, derandomize=True)
@given(st.lists(st.text(max_size=5), max_size=4), st.lists(st.text(max_size=5), max_size=4))
def test_different_messages_have_different_keys(one, other):
    keys = [call_key("m", Request([{"role": "user", "content": text} for text in texts])) for texts in (one, other)]
    assert (keys[0] == keys[1]) == (one == other)


TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"b": {}, "a": {}}}}}]


def sent(**extra):
    return json.loads(request_body("m", Request([{"role": "user", "content": "hi"}], TOOLS, {"top_p": 1, **extra})))


def test_a_body_has_the_call_in_it_and_no_setting_of_ours():
    wanted = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "top_p": 1, "tools": TOOLS}
    assert sent() == sent(timeout=5) == wanted
    assert list(sent()["tools"][0]["function"]["parameters"]["properties"]) == ["b", "a"]  # servers show them in this order
    assert sent(extra_body={"tools": None, "n": 2}) == {**wanted, "tools": None, "n": 2}
    assert sent(tools=[]) == wanted
    assert sent(extra_body={"messages": [1], "model": "n"}) == {**wanted, "messages": [1], "model": "n"}
    assert json.loads(request_body("m", Request([], None))) == {"model": "m", "messages": []}


def test_half_a_surrogate_pair_is_sent_as_a_question_mark():
    assert json.loads(request_body("m", Request([{"role": "user", "content": "a\ud83d"}])))["messages"][0]["content"] == "a?"


@pytest.mark.parametrize("params", [{"temperature": float("nan")}, {"stop": {1, 2}}, {"extra_body": "x"}])
def test_parameters_that_are_not_json_are_a_usage_error(params):
    with pytest.raises(UsageError, match="cannot be sent as JSON"):
        request_body("m", Request([{"role": "user", "content": "hi"}], None, params))


values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None, max_examples=200, derandomize=True)
@given(st.lists(st.dictionaries(st.text(max_size=3), values, min_size=1), min_size=1, max_size=3))
def test_tools_are_written_as_they_are(tools):
    """1, 1.0 and True are equal and are not the same JSON; nor are two orders of keys on the wire."""
    for given_tools in (tools, tuple(tools), [MappingProxyType(tool) for tool in tools]):
        request = Request([], given_tools, {}, 0, 0)
        whole = json.dumps(["m", [], tools, {}, 0, 0], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert call_key("m", request) == hashlib.sha256(whole.encode("utf-8", "surrogatepass")).digest()
        wanted = json.dumps({"model": "m", "tools": tools, "messages": []}, ensure_ascii=False)
        assert request_body("m", request) == wanted.encode("utf-8", "replace")
