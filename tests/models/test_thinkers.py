import pytest

from memeval.models.thinkers import thinks

THINK = [
    "Qwen/Qwen3-4B",
    "qwen3:8b",
    "Qwen/Qwen3-235B-A22B-Thinking-2507",
    "Qwen/QwQ-32B",
    "deepseek-ai/DeepSeek-R1",
    "deepseek/deepseek-reasoner",
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B",
    "openai/o1",
    "openai/o3",
    "openai/o4-mini",
    "openai/gpt-5",
    "openai/gpt-5-mini",
    "openai/gpt-5.1",
    "openai/gpt-oss-20b",
    "gpt-oss:20b",
    "gemini/gemini-2.5-pro",
    "xai/grok-4",
    "xai/grok-3-mini",
    "mistral/magistral-small-latest",
    "moonshotai/Kimi-K2-Thinking",
    "microsoft/Phi-4-reasoning",
    "zai-org/GLM-4.6",
    "vllm/Qwen/Qwen3-32B",
]
DO_NOT = [
    "openai/gpt-4.1-mini",
    "openai/gpt-4o",
    "openai/gpt-5-chat-latest",
    "Qwen/Qwen3-4B-Instruct-2507",
    "Qwen/Qwen3-Coder-30B-A3B-Instruct",
    "Qwen/Qwen3-Embedding-0.6B",
    "Qwen/Qwen2.5-7B-Instruct",
    "deepseek/deepseek-chat",
    "meta-llama/Llama-3.1-8B-Instruct",
    "YuWangX/Memalpha-4B",
    "anthropic/claude-sonnet-4-5",
    "gemini/gemini-2.0-flash",
    "gemini/gemini-2.5-flash-lite",
    "xai/grok-3",
    "xai/grok-4-fast-non-reasoning",
    "mistral/mistral-large-latest",
    "wordy",
    "offline",
]


@pytest.mark.parametrize("name", THINK)
def test_names_of_models_that_think(name):
    assert thinks(name, {"temperature": 0.0, "max_tokens": 2048})


@pytest.mark.parametrize("name", DO_NOT)
def test_names_of_models_that_do_not(name):
    assert not thinks(name, {})


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"chat_template_kwargs": {"enable_thinking": False}}, False),
        ({"chat_template_kwargs": {"enable_thinking": True}}, True),
        ({"extra_body": {"chat_template_kwargs": {"enable_thinking": False}}}, False),
        ({"chat_template_kwargs": {"thinking": True}}, True),
        ({"extra_body": {"enable_thinking": False}}, False),
        ({"reasoning_effort": "none"}, False),
        ({"reasoning_effort": "high"}, True),
        ({"thinking": {"type": "disabled"}}, False),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, True),
        ({"reasoning": {"enabled": False}}, False),
        ({"extra_body": {"reasoning": {"effort": "low"}}}, True),
        ({"reasoning": {"max_tokens": 2000}}, True),
    ],
)
def test_switches_go_before_names(params, expected):
    for name in ("Qwen/Qwen3-4B", "Qwen/Qwen2.5-7B-Instruct"):
        assert thinks(name, params) is expected


@pytest.mark.parametrize(
    "params", [{"chat_template_kwargs": 7}, {"extra_body": "x"}, {"chat_template_kwargs": {"other": 1}}]
)
def test_what_is_no_switch_says_nothing(params):
    assert thinks("Qwen/Qwen3-4B", params)
    assert not thinks("wordy", params)
