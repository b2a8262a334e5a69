import hashlib
import json
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memeval.errors import UsageError
from memeval.models.call_json import call_key
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


values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(st.lists(st.dictionaries(st.text(max_size=3), values, min_size=1), min_size=1, max_size=3))
def test_tools_are_in_the_key_as_they_are_now_whatever_was_there_before(tools):
    """1, 1.0 and True are equal and are not the same JSON."""
    for given_tools in (tools, tuple(tools), [MappingProxyType(tool) for tool in tools]):
        request = Request([], given_tools, {}, 0, 0)
        whole = json.dumps(["m", [], tools, {}, 0, 0], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert call_key("m", request) == hashlib.sha256(whole.encode("utf-8", "surrogatepass")).digest()


def test_tools_that_an_agent_changes_in_place_change_the_key():
    tools = json.loads(json.dumps(TOOLS))
    keys = [call_key("m", Request([], tools))]
    tools[0]["function"]["strict"] = 1
    keys.append(call_key("m", Request([], tools)))
    tools[0]["function"]["strict"] = True
    keys.append(call_key("m", Request([], tools)))
    assert len(set(keys)) == 3
