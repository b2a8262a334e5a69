import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memeval.models import rules
from memeval.models.completion import Completion, Request, Usage
from memeval.models.faults import Fault, error_message
from memeval.models.reply import estimate, one_line, read_reply, split_thinking
from memeval.models.store import decoded
from memeval.records.clean import encode


def overflows(message, status=400):
    found = rules.refusal(status, message)
    return found is not None and found[0].finish == "overflow"


ASKED = Request([{"role": "system", "content": "x" * 10}, {"role": "user", "content": "y" * 9}])
TOOLS = [{"type": "function", "function": {"name": "f"}}]
WITH_TOOLS = Request(ASKED.messages, TOOLS)


def body(content=None, finish="stop", usage=None, **message):
    choice = {"index": 0, "message": {"role": "assistant", "content": content, **message}, "finish_reason": finish}
    return {"choices": [choice], "usage": usage}


def native(arguments, name="f"):
    return [{"id": "call-7", "type": "function", "function": {"name": name, "arguments": arguments}}]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Paris", ("Paris", "", True)),
        (" as is \n", (" as is \n", "", True)),
        ("<think>\nhm\n</think>\n\nParis", ("Paris", "hm", True)),
        ("<think></think>Paris", ("Paris", "", True)),
        ("hm\n</think>\nParis", ("Paris", "hm", True)),  # the chat template opened the block
        ("<think>a</think>Par<think>b</think>is", ("Paris", "a\nb", True)),
        ("<think>a <think> b </think> c </think> Paris", ("Paris", "a <think> b\nc", True)),
        ("<think>never ends", ("", "never ends", False)),
        ("<think>a</think>Paris<think>again", ("", "a\nParisagain", False)),
    ],
)
def test_thinking_is_split_off(text, expected):
    assert split_thinking(text) == expected


@settings(deadline=None, max_examples=300, derandomize=True)
@given(st.lists(st.sampled_from(["<think>", "</think>", "a", "b ", "\n"]), max_size=12).map("".join))
def test_no_answer_holds_a_thinking_tag(text):
    answer, _, closed = split_thinking(text)
    assert "think>" not in answer
    assert closed or answer == ""


@pytest.mark.parametrize("finish", ["error", "abort"])
def test_a_reply_that_the_server_broke_off_is_asked_for_again(finish):
    with pytest.raises(Fault, match=finish):
        read_reply(body("half an ans", finish=finish), ASKED)


def test_a_plain_reply_with_its_usage():
    usage = {
        "prompt_tokens": 30,
        "completion_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 16},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    assert read_reply(body("Paris", usage=usage), ASKED) == Completion("Paris", usage=Usage(30, 5, 16, 2))


def counted(prompt, completion, **more):
    return {"prompt_tokens": prompt, "completion_tokens": completion, **more}


def thinking(tokens):
    return {"completion_tokens_details": {"reasoning_tokens": tokens}}


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        counted("many", -1, prompt_tokens_details=4),
        counted(0, 3),  # no prompt is empty
        counted(30, 0),  # something was written
        counted(30, True),
        counted(10**12, 5),
        counted(500_000, 5),  # of 19 characters
        counted(30, 5, total_tokens=7),
    ],
)
def test_usage_that_is_missing_or_cannot_be_true_is_estimated_and_marked(usage):
    completion = read_reply(body("z" * 9, usage=usage), ASKED)
    assert (completion.usage, completion.estimated) == (Usage(prompt=5, completion=3), True)  # 19 / 4 and 9 / 4, rounded up


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (counted(100, 5, total_tokens=105), Usage(100, 5)),
        (counted(100, 5, total_tokens=2105, **thinking(2000)), Usage(100, 2005, 0, 2000)),  # xAI's, thinking apart
        (counted(100, 5, total_tokens=2105), Usage(100, 2005)),
        (counted(100, 5, **thinking(2000)), Usage(100, 2005, 0, 2000)),
        (counted(100, 2005, total_tokens=2105, **thinking(2000)), Usage(100, 2005, 0, 2000)),  # OpenAI's, thinking within
        (counted(100, 5, prompt_tokens_details={"cached_tokens": 900}), Usage(1000, 5, 900)),  # cached tokens apart
        (counted(100, 5, prompt_cache_hit_tokens=64), Usage(100, 5, 64)),
    ],
)
def test_what_servers_count_apart_is_booked(usage, expected):
    completion = read_reply(body("z" * 9, usage=usage), ASKED)
    assert (completion.usage, completion.estimated) == (expected, False)


def test_a_hidden_thought_that_used_up_the_limit_is_unclosed_thinking():
    completion = read_reply(body("", "length", counted(100, 64, **thinking(64))), ASKED)
    assert completion.finish_reason == "unclosed_think"
    assert read_reply(body("", "length", counted(100, 64)), ASKED).finish_reason == "length"


@pytest.mark.parametrize("finish", ["length", "MAX_TOKENS", "model_length", "max_output_tokens"])
def test_a_reply_that_was_cut_says_so_whatever_its_server_calls_it(finish):
    assert read_reply(body("The answer is", finish), ASKED).finish_reason == "length"


def test_the_name_under_which_the_server_answers_is_kept():
    assert read_reply({**body("Paris"), "model": "tiny-0.5b"}, ASKED).model == "tiny-0.5b"
    assert read_reply({**body("Paris"), "model": 7}, ASKED).model is None


def test_the_estimate_counts_the_text_of_parts():
    parts = Request([{"role": "user", "content": [{"type": "text", "text": "y" * 8}, {"type": "image_url"}]}])
    assert estimate(parts, "").prompt == 2


def test_thinking_from_any_field_is_counted_and_never_in_the_text():
    usage = {"prompt_tokens": 1, "completion_tokens": 100}
    for reply in (
        body("<think>" + "t" * 75 + "</think>" + "a" * 25, usage=usage),
        body("a" * 25, usage=usage, reasoning_content="t" * 75),
        body("a" * 25, usage=usage, reasoning="t" * 75),
        body([{"type": "thinking", "thinking": "t" * 75}, {"type": "text", "text": "a" * 25}], usage=usage),
    ):
        assert read_reply(reply, ASKED) == Completion("a" * 25, "t" * 75, usage=Usage(1, 100, 0, 75))


def test_thinking_that_never_ends_is_named():
    for reply in (body("<think>on and on", "length"), body(None, "length", reasoning_content="on and on")):
        completion = read_reply(reply, ASKED)
        assert (completion.text, completion.finish_reason, completion.reasoning) == ("", "unclosed_think", "on and on")


def test_content_in_parts_null_and_refusals():
    parts = [{"type": "text", "text": "Pa"}, {"type": "text", "text": "ris"}]
    assert read_reply(body(parts), ASKED).text == "Paris"
    assert read_reply(body(None), ASKED).text == ""
    assert read_reply(body(None, refusal="I cannot"), ASKED).text == "I cannot"
    assert read_reply(body("a\ud83d"), ASKED).text == "a\ufffd"
    assert read_reply(body("Paris", finish=None), ASKED).finish_reason == "stop"


def test_native_tool_calls():
    completion = read_reply(body(None, "stop", tool_calls=native('{"a": 1,}')), WITH_TOOLS)
    (call,) = completion.tool_calls
    assert (call.name, call.arguments, call.id, call.raw) == ("f", {"a": 1}, "call-7", '{"a": 1,}')
    assert completion.finish_reason == "tool_calls"
    (call,) = read_reply(body(None, tool_calls=native({"a": 1})), WITH_TOOLS).tool_calls
    assert call.arguments == {"a": 1}
    (call,) = read_reply(body(None, tool_calls=native("no JSON")), WITH_TOOLS).tool_calls
    assert call.arguments is None
    assert call.error.startswith("not JSON")
    (call,) = read_reply(body(None, tool_calls=native("{}", "functions.f")), WITH_TOOLS).tool_calls
    assert (call.name, call.error) == ("f", None)
    (call,) = read_reply(body(None, tool_calls=native("{}", "g")), WITH_TOOLS).tool_calls
    assert (call.arguments, call.error) == (None, "no tool 'g' was offered")
    (older,) = read_reply(body(None, function_call={"name": "f", "arguments": '{"a": 1}'}), WITH_TOOLS).tool_calls
    assert (older.name, older.arguments) == ("f", {"a": 1})
    assert read_reply(body("Paris", function_call={"name": "", "arguments": ""}), WITH_TOOLS).text == "Paris"


@pytest.mark.parametrize("finish", ["length", "MAX_TOKENS", "content_filter"])
def test_of_a_reply_that_was_cut_the_last_call_is_not_carried_out(finish):
    """Some servers close the brackets of what was cut: half a memory would be stored as a whole one."""
    calls = [*native('{"a": "whole"}'), *native('{"a": "b"}')]
    whole, cut = read_reply(body(None, finish, tool_calls=calls), WITH_TOOLS).tool_calls
    assert (whole.arguments, whole.error) == ({"a": "whole"}, None)
    assert (cut.arguments, cut.error) == (None, "the reply was cut off in this call")


def test_calls_in_the_text_of_a_reply_that_was_cut_are_text():
    text = '<tool_call>{"name": "f", "arguments": {"a": "b"}}</tool_call><tool_call>{"name": "f", "arg'
    completion = read_reply(body(text, "length"), WITH_TOOLS)
    assert (completion.text, completion.tool_calls, completion.finish_reason) == (text, (), "length")


def test_tool_calls_in_the_text_are_read_only_when_tools_were_offered():
    thinking = '<think>perhaps <tool_call>{"name": "no"}</tool_call></think>'
    text = f'{thinking}Yes.<tool_call>{{"name": "f", "arguments": {{}}}}</tool_call>'
    completion = read_reply(body(text), WITH_TOOLS)
    assert (completion.text, [call.name for call in completion.tool_calls]) == ("Yes.", ["f"])
    assert completion.finish_reason == "tool_calls"
    assert read_reply(body(text), ASKED).tool_calls == ()
    assert read_reply(body("<think><tool_call>{}</tool_call>"), WITH_TOOLS).tool_calls == ()


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        "text",
        {},
        {"choices": None},
        {"choices": []},
        {"choices": {}},
        {"choices": ["x"]},
        {"choices": [{}]},
        {"choices": [{"message": "x"}]},
        body(17),
        body(["x"]),
        body(None, tool_calls="x"),
        body(None, tool_calls=["x"]),
        body(None, tool_calls=[{"function": "x"}]),
    ],
)
def test_what_is_not_a_reply_is_a_fault(data):
    with pytest.raises(Fault):
        read_reply(data, WITH_TOOLS)


KEYS = [
    "choices",
    "message",
    "content",
    "tool_calls",
    "function",
    "arguments",
    "name",
    "usage",
    "text",
    "finish_reason",
    "id",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None, max_examples=300, derandomize=True)
@given(JSON, JSON, JSON)
def test_any_json_is_a_reply_or_a_fault(message, usage, whole):
    for data in (whole, {"choices": [{"message": message}], "usage": usage}, body(message, usage, usage, tool_calls=whole)):
        try:
            completion = read_reply(data, WITH_TOOLS)
        except Fault:
            continue
        assert completion == decoded(encode(msgspec.to_builtins(completion)))


OVERFLOWS = {
    "openai, azure": [
        "This model's maximum context length is 4096 tokens. However, your messages resulted in 5000 tokens.",
        "Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in 509178 tokens.",
        "Your input exceeds the context window of this model. Please adjust your input and try again.",
        "Invalid 'messages[1].content': string too long. Expected a string with maximum length 10485760, but got 12000000",
    ],
    "vllm": [
        "The decoder prompt (length 5000) is longer than the maximum model length of 4096.",
        "This model's maximum context length is 16384 tokens. However, you requested 4096 output tokens and your prompt "
        "contains at least 12289 input tokens, for a total of at least 16385 tokens. Please reduce the length of the input "
        "prompt or the number of requested output tokens. (parameter=input_tokens, value=12289)",
        "You passed 98305 input tokens and requested 32768 output tokens. However, the model's context length is only "
        "131072 tokens, resulting in a maximum input length of 98304 tokens.",
        "'max_tokens' or 'max_completion_tokens' is too large: 512. This model's maximum context length is 2048 tokens and "
        "your request has 1551 input tokens (512 > 2048 - 1551).",
        "max_tokens must be at least 1, got -186.",
    ],
    "sglang": [
        "The input (5000 tokens) is longer than the model's context length (4096 tokens).",
        "Input length (5000 tokens) exceeds the maximum allowed length (4096 tokens). Use a shorter input.",
        "Requested token count exceeds the model's maximum context length of 65536 tokens. You requested a total of 67298 "
        "tokens: 50914 tokens from the input messages and 16384 tokens for the completion.",
    ],
    "tensorrt-llm": [
        "The sum of prompt length (5000.0), query length (0) should not exceed max_num_tokens (4096)",
        "The sum of prompt length (4000.0) and query length (0) max_tokens (2048) should not exceed max_seq_len (4096)",
        "Encountered an error when fetching new request: Prompt length (200) exceeds maximum input length (100)",
        "Cannot process new request: Prompt length (5056) exceeds maximum sequence length (2048)",
        "submit request failed: [TensorRT-LLM][ERROR] Assertion failed: mMaxNewTokens > 0",
    ],
    "llama.cpp": [
        "the request exceeds the available context size, try increasing it",
        "request (5000 tokens) exceeds the available context size (4096 tokens), try increasing it",
        "input is too large to process. increase the physical batch size",
        "input (1007 tokens) is too large to process. increase the physical batch size (current batch size: 512)",
    ],
    "lm studio": [
        "Trying to keep the first 14538 tokens when context the overflows. However, the model is loaded with context length "
        "of only 2048 tokens, which is not enough.",
        "The number of tokens to keep from the initial prompt is greater than the context length.",
        "Context size has been exceeded.",
    ],
    "ollama": [
        "prompt too long; exceeded max context length by 100918 tokens",
        "the input length exceeds the context length",
    ],
    "tgi": [
        "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 `inputs` tokens",
        "Input validation error: `inputs` must have less than 4096 tokens. Given: 5000",
    ],
    "mistral": ["Prompt contains 200000 tokens, too large for model with 131072 maximum context length"],
    "deepseek": [
        "This model's maximum context length is 131072 tokens. However, you requested 131134 tokens (122942 in the "
        "messages, 8192 in the completion). Please reduce the length of the messages or completion.",
    ],
    "together": ["The input (516368 tokens) is longer than the model's context length (262144 tokens)."],
    "groq": ["Please reduce the length of the messages or completion."],
    "cerebras": ["Current length is 30009 while limit is 8192"],
    "fireworks": ["The prompt is too long: 131073, model maximum context length: 131071"],
    "deepinfra": ["Requested input length 39818 exceeds maximum input length 32767"],
    "xai": ["This model's maximum prompt length is 131072 but the request contains 537812 tokens."],
    "kimi": ["Invalid request: Your request exceeded model token limit: 256000 (requested: 300000)"],
    "qwen": ["Range of input length should be [1, 98304]"],
    "minimax": ["invalid params, context window exceeds limit"],
    "anthropic": [
        "prompt is too long: 210000 tokens > 200000 maximum",
        "input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000, decrease input length or `max_tokens`",
    ],
    "gemini": ["The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."],
    "bedrock": [
        "Input Tokens Exceeded: Number of input tokens exceeds maximum length.",
        "Input is too long for requested model.",
        "prompt tokens (140000) exceed model maximum (131072)",
    ],
}
"""server -> what it says of a prompt that does not fit, as its source has it or as its users reported it"""


@pytest.mark.parametrize("message", [message for messages in OVERFLOWS.values() for message in messages])
def test_messages_that_name_an_overflow(message):
    assert overflows(message)


@pytest.mark.parametrize(
    "message",
    [
        "temperature must be between 0 and 2",
        "Invalid value for 'content': expected a string",
        "Invalid 'user': string too long. Expected a string with maximum length 64, but got a string with length 100.",
        "max_tokens must be at least 1",
        "max_tokens must be at least 1, got 0.",
        "max_tokens is too large: 100000. This model supports at most 16384 completion tokens.",
        "'max_tokens' or 'max_completion_tokens' is too large: 40960. This model's maximum context length is 8192 tokens "
        "and your request has 300 input tokens (40960 > 8192 - 300).",
        "max_tokens: 30000 > 16000, which is the maximum allowed number of output tokens for this model",
        "Invalid max_tokens value, the valid range of max_tokens is [1, 8192]",
        "Could not finish the message because max_tokens or model output limit was reached. Please try again with higher "
        "max_tokens.",
        "Request too large for model `m` on tokens per minute (TPM): Limit 6000, Requested 8000",
        "Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 40000. The input or output tokens "
        "must be reduced in order to run successfully.",
        "This request would exceed your organization's rate limit of 30,000 input tokens per minute. Please reduce the "
        "prompt length or the maximum tokens requested.",
        "Number of input tokens has exceeded your per-minute rate limit",
        "Throttling error: Too many tokens, please wait before trying again.",
        "Too many tokens per day, please wait before trying again.",
        "You exceeded your current quota for input tokens",
        "batch size 64 > maximum allowed batch size 32",
    ],
)
def test_messages_that_do_not(message):
    assert not overflows(message)


@pytest.mark.parametrize(
    "data",
    [
        {"error": {"message": "bad\n thing"}},
        {"error": "bad thing"},
        {"message": "bad thing"},
        {"detail": [{"msg": "bad thing"}]},
        "bad thing",
    ],
)
def test_error_bodies_of_all_shapes(data):
    assert one_line(error_message(data)[0]) == "bad thing"


def test_what_the_provider_said_to_openrouter():
    raw = '{"error":{"message":"Requested input length 39818 exceeds maximum input length 32767"}}'
    error = {"message": "Provider returned error", "code": 400, "metadata": {"raw": raw, "provider_name": "DeepInfra"}}
    assert error_message({"error": error})[0] == f"Provider returned error: {raw}"
    assert overflows(error_message({"error": error})[0])
    assert error_message({"error": {"message": "bad thing", "metadata": {"raw": 7}}})[0] == "bad thing"
    assert error_message({"error": {"message": "bad thing", "metadata": "none"}})[0] == "bad thing"


def test_keys_never_stand_in_a_message():  # those of the environment: test_keys.py
    key = "abcdef123456"
    assert one_line(f"key {key}\nBearer {key} sk-proj-1234567890 hf_abcdefgh", key) == "key [key] Bearer [key] [key] [key]"
    assert one_line("EMPTY is empty", "EMPTY") == "EMPTY is empty"  # a placeholder of a local server
    assert len(one_line("x " * 1000)) == 200
