"""What a role says of its model is checked before anything is sent."""

import pytest

from memeval.errors import UsageError
from memeval.models.parameters import check, timeout


def test_what_servers_take_passes():
    check({"temperature": 0, "top_p": 0.9, "top_a": 0.1, "max_tokens": 50, "seed": 1, "timeout": 2.5, "context": 4096})
    check({"num_ctx": 8192, "dimensions": 256, "prompt_cache_key": "a", "stop": ["x"], "temperature": None})
    check({"extra_body": {"chat_template_kwargs": {"enable_thinking": False}, "eos_token": "<end>"}})


@pytest.mark.parametrize("thinking", ["auto", "on", "off", True, False, None, {"type": "enabled", "budget_tokens": 1024}])
def test_thinking_is_a_mode_or_a_providers_own_parameter(thinking):
    check({"thinking": thinking, "thinking_tokens": 4096})


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"thinking": "maybe"}, "thinking: 'maybe'; use auto, on, off"),
        ({"thinking_tokens": 0}, "thinking_tokens: 0 is not a number of tokens"),
        ({"api_key": "abcdefgh"}, "'api_key': keys are read from the environment"),
        ({"extra_body": {"aws_secret_access_key": "abcdefgh"}}, "keys are read from the environment"),
        ({"extra_headers": {"Authorization": "Bearer abcdefgh"}}, "keys are read from the environment"),
        ({"base_url": "http://host/v1"}, "write NAME@URL"),
        ({"api_base": "http://host/v1"}, "write NAME@URL"),
        ({"temprature": 0.3}, "did you mean 'temperature'"),
        ({"max_token": 100}, "did you mean 'max_tokens'"),
        ({"temperature": "hot"}, "temperature: 'hot' is not a number"),
        ({"temperature": True}, "temperature: True is not a number"),
        ({"max_tokens": "100"}, "max_tokens: '100' is not a number of tokens"),
        ({"max_tokens": 0}, "max_tokens: 0 is not a number of tokens"),
        ({"extra_body": "x"}, "extra_body: 'x' is not a mapping"),
    ],
)
def test_what_is_wrong_is_named_and_no_key_is_shown(params, said):
    with pytest.raises(UsageError) as caught:
        check(params)
    assert said in str(caught.value)
    assert "abcdefgh" not in str(caught.value)


def test_timeouts():
    assert timeout({}) is None
    assert timeout({"timeout": 30}) == 30.0
    for bad in ("30", 0, -1, True, float("nan")):
        with pytest.raises(UsageError, match="timeout"):
            check({"timeout": bad})
