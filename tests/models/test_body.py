"""The body of a call. What servers teach is in test_endpoint.py."""

import pytest

from memeval.errors import UsageError
from memeval.models.completion import Request
from memeval.models.endpoint import EndpointModel
from memeval.models.limits import Limiter, Policy

TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"b": {}, "a": {}}}}}]
HI = [{"role": "user", "content": "hi"}]


def sent(name="m", fold=False, messages=HI, tools=TOOLS, **params):
    model = EndpointModel(name, "http://h/v1", "", Limiter("h", policy=Policy(fold_system=fold)))
    return model.body(Request(messages, tools, params))


def test_a_body_has_the_call_in_it_and_no_setting_of_ours():
    wanted = {"model": "m", "messages": HI, "top_p": 1, "tools": TOOLS}
    assert sent(top_p=1) == sent(top_p=1, timeout=5, context=4096, thinking="auto", thinking_tokens=9) == wanted
    assert list(sent()["tools"][0]["function"]["parameters"]["properties"]) == ["b", "a"]  # servers show them in this order
    assert sent(top_p=1, extra_body={"tools": None, "n": 2}) == {"model": "m", "messages": HI, "top_p": 1, "n": 2}
    assert sent(top_p=1, extra_body={"messages": [1], "model": "n"}) == {**wanted, "messages": [1], "model": "n"}
    assert sent(tools=[], messages=[]) == {"model": "m", "messages": []}


@pytest.mark.parametrize(
    ("name", "params", "expected"),
    [
        ("Qwen/Qwen3-8B", {"thinking": "off"}, {"chat_template_kwargs": {"enable_thinking": False}}),
        ("Qwen/Qwen3-8B", {"thinking": True}, {"chat_template_kwargs": {"enable_thinking": True}}),
        ("gpt-5-mini", {"thinking": False}, {"reasoning_effort": "minimal"}),
        ("gpt-5-mini", {"thinking": "off", "reasoning_effort": "low"}, {"reasoning_effort": "low"}),
        (
            "qwen3",
            {"thinking": "off", "chat_template_kwargs": {"a": 1}},
            {"chat_template_kwargs": {"enable_thinking": False, "a": 1}},
        ),
        (
            "claude-x",
            {"thinking": {"type": "enabled", "budget_tokens": 9}},
            {"thinking": {"type": "enabled", "budget_tokens": 9}},
        ),
        ("m", {"thinking": None}, {}),
    ],
)
def test_thinking_is_switched_as_the_family_wants_it_and_what_the_user_says_goes_first(name, params, expected):
    assert sent(name, tools=None, **params) == {"model": name, "messages": HI, **expected}


@pytest.mark.parametrize(
    ("messages", "folded"),
    [
        (HI, HI),
        (
            [{"role": "system", "content": "A"}, {"role": "developer", "content": "B"}, *HI],
            [{"role": "user", "content": "A\n\nB\n\nhi"}],
        ),
        ([{"role": "system", "content": "A"}], [{"role": "user", "content": "A"}]),
        (
            [{"role": "system", "content": "A"}, {"role": "user", "content": [{"type": "text", "text": "hi"}]}],
            [{"role": "user", "content": [{"type": "text", "text": "A"}, {"type": "text", "text": "hi"}]}],
        ),
    ],
)
def test_system_text_is_folded(messages, folded):
    assert sent(messages=messages, fold=True, tools=None)["messages"] == folded


def encoded(request):
    model = EndpointModel("m", "http://h/v1", "", Limiter("h"))
    return model._encoded(model.body(request))


def test_half_a_surrogate_pair_is_sent_as_a_question_mark():
    assert b'"a?"' in encoded(Request([{"role": "user", "content": "a\ud83d"}]))


@pytest.mark.parametrize("params", [{"temperature": float("nan")}, {"stop": {1, 2}}, {"extra_body": "x"}])
def test_parameters_that_are_not_json_are_a_usage_error(params):
    with pytest.raises(UsageError, match="model 'm': "):
        encoded(Request(HI, None, params))
