import asyncio
import io
import shutil
import ssl
import subprocess
import time
from contextlib import redirect_stderr
from dataclasses import replace

import pytest
from call_counts import counts
from faster import faster
from faulty_server import FAULTS, FaultyServer, always, answer, first, mixed, saying
from gateways import gateway

from memeval.errors import UsageError
from memeval.models.completion import ModelSpec, Request
from memeval.models.endpoint import EndpointModel
from memeval.models.faults import EndpointDown, EndpointError, EndpointRefused
from memeval.models.limits import Limiter, Policy
from memeval.models.transport import authorities, headers, proxy_for

pytestmark = pytest.mark.usefixtures("clock", "whole_waits")
QUICK = faster(200)  # 3 s an attempt, down after 0.6 s at the start and 3 s later
IMPATIENT = replace(QUICK, timeout=0.3)
TOOLS = [{"type": "function", "function": {"name": "memory_insert", "parameters": {"type": "object"}}}]
KEY = "sk-very-secret-0123456789"


def asked(text, tools=None, **params):
    return Request([{"role": "user", "content": text}], tools, params)


def call(server, request, policy=QUICK, key="", name="m", cap=16):
    """One completion from a server that runs only for this call."""

    async def main():
        async with server:
            model = EndpointModel(name, server.url, key, Limiter(server.url, cap, policy))
            try:
                return await model.complete(request)
            finally:
                await model.close()

    return asyncio.run(main())


def test_a_call_as_it_goes_over_the_wire():
    server = FaultyServer()
    request = asked(
        "hi", TOOLS, temperature=0.5, stop=["x"], timeout=9, extra_body={"chat_template_kwargs": {"enable_thinking": False}}
    )
    completion = call(server, request, key=KEY)
    assert server.seen == [
        {
            "model": "m",
            "messages": [{"role": "user", "content": "hi"}],
            "temperature": 0.5,
            "stop": ["x"],
            "tools": TOOLS,
            "chat_template_kwargs": {"enable_thinking": False},
        }
    ]
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
    assert completion.tool_calls[0].arguments == {"content": "echo: hi"}
    assert (completion.usage.prompt, completion.usage.completion) == (2, 7)


def test_without_a_key_there_is_no_authorization_header():
    server = FaultyServer()
    assert call(server, asked("hi")).text == "echo: hi"
    assert "Authorization" not in server.headers[0]


def test_bodies_of_any_size_and_text():
    long = "wörd 😀 " * 200_000  # more than a megabyte
    server = FaultyServer()
    assert call(server, asked(long)).text == answer(long)


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_alone_costs_nothing_but_time(fault):
    policy = IMPATIENT if fault in ("hang", "drip") else QUICK
    for tools in (None, TOOLS):
        server = FaultyServer(first(1, fault))
        completion = call(server, asked("hi", tools), policy)
        assert completion.error is None
        if tools:
            assert completion.tool_calls[0].arguments == {"content": answer("hi")}
        else:
            assert completion.text == answer("hi")
        assert server.served == {"hi": 1}
        assert server.attempts["hi"] == (1 if fault == "damaged-arguments" else 2)


LASTING = [fault for fault in FAULTS if fault != "damaged-arguments"]


@pytest.mark.parametrize("fault", LASTING)
def test_each_fault_that_lasts_ends_in_an_error_of_one_line(fault):
    postponed = fault.startswith("429")
    policy = replace(IMPATIENT, wait=0.5 if postponed else 5.0, wait_at_start=5.0, timeout=0.05)

    async def main():
        """A call with the fault among others without it."""
        async with FaultyServer(lambda prompt, attempt: fault if prompt == "hi" else None) as server:
            model = EndpointModel("m", server.url, "", Limiter(server.url, 4, policy))
            bad = asyncio.create_task(model.complete(asked("hi")))
            while not bad.done():
                assert (await model.complete(asked("ho"))).error is None
                await asyncio.sleep(0.01)
            await model.close()
            return bad.result()

    completion = asyncio.run(main())
    assert "given up after" in completion.error
    assert "\n" not in completion.error
    assert len(completion.error) < 300


@pytest.mark.parametrize("fault", LASTING)
def test_each_fault_of_every_call_stops_the_run_with_one_line(fault):
    policy = replace(IMPATIENT, timeout=0.05, wait=0.3, wait_at_start=0.3)

    async def main():
        async with FaultyServer(always(fault)) as server:
            model = EndpointModel("m", server.url, "", Limiter(server.url, 4, policy))
            outcomes = await asyncio.gather(*(model.complete(asked(str(n))) for n in range(40)), return_exceptions=True)
            await model.close()
            return outcomes, server

    outcomes, server = asyncio.run(main())
    assert isinstance(outcomes[-1], EndpointError)
    assert str(outcomes[-1]).startswith(server.url)
    assert "\n" not in str(outcomes[-1])
    assert len(str(outcomes[-1])) < 300


def test_a_mixture_of_faults_changes_no_result_and_loses_and_doubles_nothing():
    prompts = [f"question {number}" for number in range(200)]

    async def answers(faults, seconds=1.0):
        async with FaultyServer(faults, drip_seconds=0.2) as server:
            rows = []
            policy = replace(QUICK, timeout=seconds, wait=20.0, wait_at_start=20.0)
            door = gateway(concurrency=32, on_call=rows.append, policy=policy)
            spec = ModelSpec("m", server.url)
            calls = (door.call(spec, asked(prompt, TOOLS if number % 2 else None)) for number, prompt in enumerate(prompts))
            completions = await asyncio.gather(*calls)
            await door.close()
            return completions, server, counts(rows)

    def without_wire_noise(completion):
        calls = [(tool.name, tool.arguments, tool.error) for tool in completion.tool_calls]
        return completion.text, calls, completion.usage, completion.finish_reason, completion.error

    clean, _, counters = asyncio.run(answers(lambda prompt, attempt: None, seconds=20.0))
    assert counters.requests == 200
    faulty, server, counters = asyncio.run(answers(mixed(0.2)))
    assert [without_wire_noise(each) for each in faulty] == [without_wire_noise(each) for each in clean]
    assert server.served == dict.fromkeys(prompts, 1)
    assert counters.requests == server.attempts.total() > 225  # some 20 % of the attempts failed
    assert counters.failures == 0


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_bad_request_is_an_error_at_once(status):
    server = FaultyServer(always(str(status)))
    completion = call(server, asked("hi"))
    assert completion.error == f"HTTP {status}: trouble {status}"
    assert server.attempts["hi"] == 1


@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        *((401, "MEMEVAL_API_KEY"), (402, "credit"), (403, "what it may be used for"), (404, "model name 'm'")),
        *((405, "/v1"), (307, "/v1")),
    ],
)
def test_a_wrong_configuration_stops_everything_at_once(status, remedy):
    server = FaultyServer(always(str(status)))
    with pytest.raises(EndpointRefused) as caught:
        call(server, asked("hi"))
    assert remedy in str(caught.value)
    assert server.url in str(caught.value)
    assert server.attempts["hi"] == 1


def test_a_prompt_beyond_the_window_is_an_overflow_and_no_error():
    for server in (
        saying(400, "This model's maximum context length is 4096 tokens, however you requested 5000 tokens"),
        saying(400, "too big", code="context_length_exceeded"),
        saying(413, "the request exceeds the available context size"),
        saying(500, "input is too large to process. increase the physical batch size"),
    ):
        completion = call(server, asked("hi"))
        assert (completion.error, completion.finish_reason, completion.text) == (None, "overflow", "")
        assert server.attempts["hi"] == 1


def test_an_error_under_status_200_is_that_error():
    def body(asked):
        return {"error": {"code": 400, "message": "This endpoint's maximum context length is 32768 tokens. However, ..."}}

    assert call(FaultyServer(body=body), asked("hi")).finish_reason == "overflow"


@pytest.mark.parametrize(
    "server",
    [
        lambda: saying(
            400, "The response was filtered due to Azure OpenAI's content management policy", code="content_filter"
        ),
        lambda: saying(403, "Your input was flagged by moderation"),
        lambda: saying(400, "Content Exists Risk"),
        lambda: FaultyServer(body=lambda asked: {"choices": [{"message": {"content": None}, "finish_reason": "SAFETY"}]}),
    ],
)
def test_a_content_filter_is_one_whatever_its_status(server):
    completion = call(server(), asked("hi"))
    assert (completion.error, completion.finish_reason, completion.text) == (None, "content_filter", "")


def test_after_a_reply_a_refusal_is_about_one_prompt():
    """403 is also what firewalls say about single prompts."""

    async def after_a_reply():
        async with FaultyServer(lambda prompt, attempt: "403" if prompt == "bad" else None) as server:
            model = EndpointModel("m", server.url, "", Limiter(server.url, 16, QUICK))
            try:
                return [await model.complete(asked(prompt)) for prompt in ("good", "bad", "good")]
            finally:
                await model.close()

    first, bad, last = (each.error for each in asyncio.run(after_a_reply()))
    assert (first, last) == (None, None)
    assert "HTTP 403: trouble 403" in bad


@pytest.mark.parametrize(
    ("status", "message", "tools", "remedy"),
    [
        (400, '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser', TOOLS, "--tool-call-parser"),
        (500, "tools param requires --jinja flag", TOOLS, "llama-server --jinja"),
        (400, "gemma3 does not support tools", TOOLS, "--memory NAME"),
        (404, "No endpoints found that support tool use", TOOLS, "--memory NAME"),
        (422, "function calling is not enabled for this deployment", TOOLS, "--memory NAME"),
        (500, "System role not supported", None, "--fold-system"),
        (400, "Conversation roles must alternate user/assistant/user/assistant/...", None, "--fold-system"),
        (400, "Developer instruction is not enabled for models/gemma-3-27b-it", None, "--fold-system"),
        (429, "You exceeded your current quota, please check your plan", None, "no credit left"),
        (400, "Your credit balance is too low to access the API", None, "no credit left"),
        (403, "Insufficient Balance", None, "no credit left"),
        (400, "The model `m` does not exist", None, "memeval doctor --model"),
        (400, "API key not valid. Please pass a valid API key.", None, "MEMEVAL_API_KEY"),
    ],
)
def test_what_every_call_would_be_refused_for_stops_at_once_with_a_remedy_to_type(status, message, tools, remedy):
    server = saying(status, message)
    with pytest.raises(EndpointRefused) as caught:
        call(server, asked("hi", tools))
    assert remedy in str(caught.value)
    assert message.split("`")[0] in str(caught.value)
    assert server.attempts["hi"] == 1


class Picky(FaultyServer):
    """Refuses a call as `check(body)` says: (status, message), or None to answer it."""

    def __init__(self, check, **options):
        super().__init__(**options)
        self.check = check

    async def _respond(self, request):
        import json

        from aiohttp import web

        refused = self.check(json.loads(await request.read()))
        if refused:
            self.seen.append(None)
            return web.json_response({"error": {"message": refused[1]}}, status=refused[0])
        return await super()._respond(request)


def two_calls(server, request, policy=QUICK):
    """Two completions of one model, and what it has learnt."""

    async def main():
        async with server:
            model = EndpointModel("m", server.url, "", Limiter(server.url, 4, policy))
            completions = [await model.complete(request) for _ in range(2)]
            await model.close()
            return completions, model.adapted

    return asyncio.run(main())


def takes_only(*allowed):
    """As o-series and gpt-5 models do."""

    def check(body):
        if "max_tokens" in body and "max_completion_tokens" in allowed:
            said = (
                "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
            )
            return 400, said
        bad = next((name for name in body if name not in ("model", "messages", "stream", *allowed)), None)
        return (400, f"Unsupported value: '{bad}' does not support 0.0 with this model.") if bad else None

    return check


def test_parameters_that_a_model_does_not_take_are_renamed_or_left_out_once_and_noted():
    server = Picky(takes_only("max_completion_tokens"))
    completions, adapted = two_calls(server, asked("hi", max_tokens=50, temperature=0.0, presence_penalty=0.1))
    assert [each.text for each in completions] == ["echo: hi"] * 2
    assert adapted == [
        "max_tokens is sent as max_completion_tokens",
        "temperature is left out",
        "presence_penalty is left out",
    ]
    sent = [body for body in server.seen if body]
    assert [sorted(body) for body in sent] == [["max_completion_tokens", "messages", "model"]] * 2
    assert len(server.seen) == 5  # the second call is sent once


def test_a_server_that_refuses_one_parameter_after_another_is_given_up_after_a_few_for_one_attempt():
    taken = ("temperature", "top_p", "top_k", "min_p", "seed", "presence_penalty", "frequency_penalty", "logprobs", "top_a")
    server = Picky(takes_only())
    completions, adapted = two_calls(server, asked("hi", **dict.fromkeys(taken, 1)))
    assert len(adapted) == len(taken) == 9
    assert "HTTP 400: Unsupported value" in completions[0].error
    assert completions[1].text == "echo: hi"  # what was learnt of the first is kept
    assert len(server.seen) == 8 + 2


@pytest.mark.parametrize("name", ["stop", "response_format", "tools"])
def test_what_changes_the_meaning_of_a_call_is_never_left_out(name):
    value = {"stop": ["x"], "response_format": {"type": "json_object"}, "tools": TOOLS}[name]
    server = Picky(lambda body: (400, f"Unsupported parameter: '{name}'") if name in body else None)
    request = asked("hi", TOOLS) if name == "tools" else asked("hi", **{name: value})
    try:
        error = call(server, request).error
    except EndpointRefused as refused:
        error = str(refused)
    assert name in error
    assert len(server.seen) == 1


def test_a_length_limit_is_never_left_out():
    server = Picky(lambda body: (400, "Unsupported parameter: max_completion_tokens") if len(body) > 2 else None)
    assert "HTTP 400" in call(server, asked("hi", max_completion_tokens=5)).error


def test_a_call_that_has_nothing_of_what_is_refused_is_not_sent_again():
    server = Picky(lambda body: (400, "Unsupported value: 'temperature' does not support 0.0 with this model."))
    assert "HTTP 400: Unsupported value: 'temperature'" in call(server, asked("hi")).error
    assert len(server.seen) == 1


def test_a_parameter_that_is_given_under_its_new_name_too_keeps_that_value():
    server = Picky(takes_only("max_completion_tokens"))
    assert call(server, asked("hi", max_tokens=50, max_completion_tokens=70)).text == "echo: hi"
    assert server.seen[-1]["max_completion_tokens"] == 70


@pytest.mark.parametrize(
    "said",
    [
        "max_tokens is too large: 100000. This model supports at most 16384 completion tokens.",
        "Invalid max_tokens value, the valid range of max_tokens is [1, 16384]",
        "max_tokens: 100000 > 16384, which is too many for m",
    ],
)
def test_a_length_limit_above_the_models_own_is_lowered_to_it_and_a_lower_one_is_kept(said):
    async def main():
        async with Picky(lambda body: (400, said) if body["max_tokens"] > 16384 else None) as server:
            model = EndpointModel("m", server.url, "", Limiter(server.url, 4, QUICK))
            texts = [(await model.complete(asked("hi", max_tokens=limit))).text for limit in (100_000, 100_000, 50)]
            await model.close()
            return texts, server.seen

    texts, seen = asyncio.run(main())
    assert texts == ["echo: hi"] * 3
    assert [body and body["max_tokens"] for body in seen] == [None, 16384, 16384, 50]


def test_refusals_of_calls_with_tools_are_counted_by_themselves():
    async def main():
        async with Picky(lambda body: (400, "odd") if "tools" in body else None) as server:
            model = EndpointModel("m", server.url, "", Limiter(server.url, 4, QUICK))
            for _ in range(2):
                assert "odd" in (await model.complete(asked("hi", TOOLS))).error
                assert (await model.complete(asked("hi"))).text == "echo: hi"
            with pytest.raises(EndpointRefused, match=r"odd \(3 calls in a row"):
                await model.complete(asked("hi", TOOLS))
            await model.close()

    asyncio.run(main())


def test_the_tokens_of_prompts_count_towards_the_tokens_a_minute():
    """3 calls of some 100 tokens, 1000 tokens a second."""

    async def main():
        async with FaultyServer(body=lambda asked: {"choices": [{"message": {"content": ""}}], "usage": {}}) as server:
            model = EndpointModel("m", server.url, "", Limiter(server.url, 4, replace(QUICK, tpm=60_000)))
            begun = time.monotonic()
            await asyncio.gather(*(model.complete(asked(f"{n} {'text' * 100}")) for n in range(3)))
            await model.close()
            return time.monotonic() - begun

    assert asyncio.run(main()) >= 0.2


def test_an_error_that_a_gateway_hands_on_is_shown_in_the_providers_own_words():
    said = {"error": {"message": "Provider returned error", "code": 400, "metadata": {"raw": "this is too odd"}}}
    server = FaultyServer(body=lambda asked: said)  # under status 200, as some do
    assert call(server, asked("hi")).error == "HTTP 400: Provider returned error: this is too odd"


def test_a_parameter_that_is_null_is_not_sent():
    server = FaultyServer()
    call(server, asked("hi", max_tokens=None, temperature=0.0, extra_body={"top_k": None}))
    assert sorted(server.seen[0]) == ["messages", "model", "temperature"]


STREAM = [
    {"choices": [{"index": 0, "delta": {"role": "assistant", "reasoning_content": "hm"}, "finish_reason": None}]},
    {"choices": [{"index": 0, "delta": {"content": "Ar"}, "finish_reason": None}], "model": "served"},
    {"choices": [{"index": 0, "delta": {"content": "len"}, "finish_reason": None}]},
    {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "memory_insert"}}]}}]},
    {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": '{"a":'}}]}}]},
    {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": " 1}"}}]}}]},
    {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
    {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}},
]


class Streaming(Picky):
    """Answers streamed calls alone, and breaks the first streams off."""

    def __init__(self, broken=0, counts=True):
        self.broken = broken
        self.counts = counts
        super().__init__(self.refusal)

    def refusal(self, body):
        if not body.get("stream"):
            return 400, "parameter.enable_thinking must be set to false for non-streaming calls"
        return None if self.counts or "stream_options" not in body else (400, "Unknown parameter: 'stream_options'")

    def _echo(self, asked, prompt):
        return None

    async def _respond(self, request):
        import json

        from aiohttp import web

        sent = json.loads(await request.read())
        if (refused := self.check(sent)) is not None:
            return web.json_response({"error": {"message": refused[1]}}, status=refused[0])
        self.seen.append(sent)
        self.broken -= 1
        events = [json.dumps(event) for event in STREAM[: 3 if self.broken >= 0 else None]]
        end = "" if self.broken >= 0 else "data: [DONE]\n\n"
        text = "".join(f"data: {event}\n\n" for event in events) + end
        return web.Response(text=": keep-alive\n\n" + text, content_type="text/event-stream")


@pytest.mark.parametrize("broken", [0, 1])
def test_a_server_that_only_streams_is_asked_for_a_stream(broken):
    server = Streaming(broken)
    (completion, again), adapted = two_calls(server, asked("hi", TOOLS, max_tokens=10_000))
    assert (completion.text, completion.reasoning, completion.model) == ("Arlen", "hm", "served")
    assert [(tool.name, tool.arguments, tool.id) for tool in completion.tool_calls] == [("memory_insert", {"a": 1}, "c")]
    assert (completion.usage.prompt, completion.usage.completion, completion.estimated) == (9, 4, False)
    assert again == completion
    assert adapted[0] == "replies are streamed"
    assert all(body["stream"] and body["stream_options"] == {"include_usage": True} for body in server.seen)
    assert len(server.seen) == 2 + broken


def test_a_stream_is_asked_for_without_its_counts_where_the_server_knows_no_such_option():
    server = Streaming(counts=False)
    (completion, _), adapted = two_calls(server, asked("hi", TOOLS))
    assert completion.text == "Arlen"
    assert adapted[:2] == ["replies are streamed", "stream_options is left out"]
    assert ["stream_options" in body for body in server.seen] == [False, False]


def test_system_text_is_folded_into_the_user_message_when_asked_for():
    request = Request([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}])
    server = FaultyServer()
    _, adapted = two_calls(server, request, replace(QUICK, fold_system=True))
    assert server.seen[0]["messages"] == [{"role": "user", "content": "Be brief.\n\nhi"}]
    assert adapted == ["system text is sent in the user message (--fold-system)"]
    server = FaultyServer()
    assert two_calls(server, request)[1] == []
    assert server.seen[0]["messages"] == request.messages


def thinker(limit):
    """Thinks for 500 tokens before it answers; `limit` names the parameter that limits it."""

    def reply(asked):
        cut = asked[limit] < 500
        message = {"content": None if cut else "Arlen", "reasoning_content": "hm " * 20}
        usage = {"prompt_tokens": 9, "completion_tokens": min(asked[limit], 510)}
        return {"choices": [{"message": message, "finish_reason": "length" if cut else "stop"}], "usage": usage}

    return FaultyServer(body=reply)


def test_the_first_reply_that_carries_thinking_raises_the_limit():
    server = thinker("max_tokens")
    completions, adapted = two_calls(server, asked("hi", max_tokens=64))
    assert [(each.text, each.finish_reason) for each in completions] == [("Arlen", "stop")] * 2
    assert [body["max_tokens"] for body in server.seen] == [64, 8192, 8192]
    assert completions[0].usage.completion == 64 + 510  # the reply that was cut is paid for, too
    assert adapted == ["the model thinks: its replies may have 8192 tokens"]


@pytest.mark.parametrize(
    ("params", "sent"),
    [
        ({"thinking_tokens": 600}, [64, 600, 600]),
        ({"thinking_tokens": 50}, [64, 64]),
        ({"thinking": "on"}, [8192, 8192]),
        ({"thinking": "off"}, [64, 64]),
        ({"max_tokens": 9000}, [9000, 9000]),
    ],
)
def test_a_role_says_whether_its_model_thinks_and_for_how_long(params, sent):
    server = thinker("max_tokens")
    two_calls(server, asked("hi", **{"max_tokens": 64, **params}))
    assert [body["max_tokens"] for body in server.seen] == sent
    assert all("thinking" not in body and "thinking_tokens" not in body for body in server.seen)
    switched = {body.get("chat_template_kwargs", {}).get("enable_thinking") for body in server.seen}
    assert switched == {{"on": True, "off": False}.get(params.get("thinking"))}


def test_a_server_that_is_still_loading_is_waited_for():
    loading = Picky(lambda body: next(said))
    said = iter([(503, "Loading model")] * 20 + [None])
    assert call(loading, asked("hi")).text == "echo: hi"


def test_headers_of_ones_own_are_sent_and_never_shown(monkeypatch):
    monkeypatch.setenv("MEMEVAL_HEADERS", '{"X-Team": "memory-team", "X-Gateway-Key": "very-secret-value"}')
    server = saying(400, "bad header very-secret-value")
    completion = call(server, asked("hi"))
    assert server.headers[0]["X-Team"] == "memory-team"
    assert completion.error == "HTTP 400: bad header [header]"
    for wrong in ("X-Team: a", "[1]", '{"X": 1}', '{"X Y": "very-secret-value"}', '{"X": "very-secret-\\n"}'):
        monkeypatch.setenv("MEMEVAL_HEADERS", wrong)
        with pytest.raises(UsageError) as caught:
            EndpointModel("m", "http://h/v1", "", Limiter("h"))
        assert "secret" not in str(caught.value)


def test_openais_organisation_and_project_are_sent_to_openai_alone(monkeypatch):
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-1")
    both = {"OpenAI-Organization": "org-1", "OpenAI-Project": "proj-1"}
    assert headers("https://api.openai.com/v1") == both
    assert headers("http://gpu:8000/v1") == {}
    monkeypatch.setenv("OPENAI_BASE_URL", "http://gpu:8000/v1/")
    assert headers("http://gpu:8000/v1") == both


def test_the_key_stands_nowhere():
    """A server that repeats the key in its errors (they do) does not get it into errors, reprs or stderr."""
    shown = io.StringIO()
    with redirect_stderr(shown):
        with pytest.raises(EndpointRefused) as caught:
            call(FaultyServer(key="another"), asked("hi"), key=KEY)
        texts = [str(caught.value), repr(caught.value)]
        completion = call(saying(400, f"bad key {KEY} in Bearer {KEY}"), asked("hi"), key=KEY)
        texts += [completion.error, repr(completion)]
        texts.append(call(saying(500, f"bad key {KEY} in Bearer {KEY}"), asked("hi"), key=KEY).error)
        html = FaultyServer(lambda prompt, attempt: "html" if prompt == "hi" else None)
        texts.append(call(html, asked("hi"), key="html>Bad").error)
        texts.append(repr(EndpointModel("m", "http://127.0.0.1:1/v1", KEY, Limiter("x"))))
    texts.append(shown.getvalue())
    assert not [text for text in texts if KEY in text or KEY[3:] in text]
    assert "[key]" in texts[0]


def test_a_dead_endpoint_stops_within_a_bounded_time_with_one_line():
    async def main():
        model = EndpointModel("m", "http://127.0.0.1:9/v1", "", Limiter("http://127.0.0.1:9/v1", 8, QUICK))
        begun = time.monotonic()
        outcomes = await asyncio.gather(*(model.complete(asked(str(n))) for n in range(20)), return_exceptions=True)
        await model.close()
        return outcomes, time.monotonic() - begun

    outcomes, seconds = asyncio.run(main())
    assert {type(outcome) for outcome in outcomes} == {EndpointDown}
    assert 0.3 <= seconds < 5
    assert "http://127.0.0.1:9/v1" in str(outcomes[0])
    assert "\n" not in str(outcomes[0])


def test_a_server_restarted_in_time_costs_no_call():
    async def main():
        server = FaultyServer(latency=0.01)
        async with server:
            model = EndpointModel("m", server.url, "", Limiter(server.url, 4, replace(QUICK, wait_at_start=5.0)))
            calls = [asyncio.create_task(model.complete(asked(str(n)))) for n in range(100)]
            await asyncio.sleep(0.1)
        await asyncio.sleep(0.3)
        async with server:  # on the same port
            completions = await asyncio.gather(*calls)
        await model.close()
        return completions

    assert [completion.text for completion in asyncio.run(main())] == [answer(str(n)) for n in range(100)]


def test_connections_are_used_again_and_not_after_the_server_dropped_them():
    async def main():
        async with FaultyServer(latency=0.01) as server:
            model = EndpointModel("m", server.url, "", Limiter(server.url, 4, QUICK))
            await asyncio.gather(*(model.complete(asked(str(n))) for n in range(40)))
            ports = len(model._session.connector._conns[next(iter(model._session.connector._conns))])
            widest = server.widest
            await model.close()
            return ports, widest

    assert asyncio.run(main()) == (4, 4)


def test_slow_replies_do_not_hold_up_others():
    async def main():
        async with FaultyServer(lambda prompt, attempt: "hang" if prompt == "slow" else None) as server:
            model = EndpointModel("m", server.url, "", Limiter(server.url, 4, Policy(timeout=30)))
            slow = asyncio.create_task(model.complete(asked("slow")))
            fast = await asyncio.wait_for(asyncio.gather(*(model.complete(asked(str(n))) for n in range(50))), 10)
            slow.cancel()
            await asyncio.gather(slow, return_exceptions=True)
            await model.close()
            return fast

    assert all(completion.error is None for completion in asyncio.run(main()))


@pytest.fixture
def no_proxies(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch.setenv


@pytest.mark.parametrize(
    ("variable", "value", "url", "named"),
    [
        ("https_proxy", "http://proxy:3128", "https://api.example.com/v1", "http://proxy:3128 (https_proxy"),
        ("HTTP_PROXY", "proxy.corp:3128", "http://gpu-node:8000/v1", "http://proxy.corp:3128 (HTTP_PROXY"),
        ("all_proxy", "http://me:pass@proxy:3128", "http://gpu-node:8000/v1", "http://...@proxy:3128 (all_proxy"),
    ],
)
def test_proxies_come_from_the_environment_with_and_without_scheme(variable, value, url, named, no_proxies):
    no_proxies(variable, value)
    found = proxy_for(url)
    assert found.url == (value if "://" in value else f"http://{value}")
    assert named in found.named
    assert "pass" not in found.named
    no_proxies("no_proxy", "gpu-node,example.com")
    assert proxy_for(url) is None


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "[::1]", "0.0.0.0", "a.localhost"])
def test_this_machine_is_never_reached_through_a_proxy(host, no_proxies):
    no_proxies("http_proxy", "http://proxy:3128")
    assert proxy_for(f"http://{host}:8000/v1") is None


@pytest.mark.parametrize("value", ["socks5://proxy:1080", "http://", "http://proxy:port", "ftp://proxy"])
def test_a_proxy_that_cannot_be_used_names_its_variable(value, no_proxies):
    no_proxies("http_proxy", value)
    with pytest.raises(UsageError, match="http_proxy: .* NO_PROXY=gpu-node"):
        EndpointModel("m", "http://gpu-node:8000/v1", "", Limiter("h"))


def test_a_proxy_that_is_not_there_is_named(no_proxies):
    no_proxies("http_proxy", "127.0.0.1:9")

    async def main():
        model = EndpointModel("m", "http://gpu-node:8000/v1", "", Limiter("http://gpu-node:8000/v1", policy=QUICK))
        try:
            await model.complete(asked("hi"))
        finally:
            await model.close()

    with pytest.raises(EndpointDown, match=r"cannot connect to the proxy http://127.0.0.1:9 \(http_proxy"):
        asyncio.run(main())


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_certificates_of_an_authority_of_ones_own(variable, tmp_path, monkeypatch):
    if not shutil.which("openssl"):
        pytest.skip("needs the program openssl")
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    key, certificate = tmp_path / "k.pem", tmp_path / "c.pem"
    line = f"openssl req -x509 -newkey rsa:2048 -nodes -keyout {key} -out {certificate} -days 2 -subj /CN=localhost"
    subprocess.run([*line.split(), "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)

    async def main():
        from aiohttp import web

        app = web.Application()
        reply = {"choices": [{"message": {"content": "Arlen"}, "finish_reason": "stop"}]}

        async def answer(request):
            return web.json_response(reply)

        app.router.add_post("/v1/chat/completions", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        url = f"https://localhost:{site._server.sockets[0].getsockname()[1]}/v1"
        model = EndpointModel("m", url, "", Limiter(url, policy=QUICK))
        try:
            return (await model.complete(asked("hi"))).text
        finally:
            await model.close()
            await runner.cleanup()

    with pytest.raises(EndpointRefused, match="set SSL_CERT_FILE to the file"):
        asyncio.run(main())
    monkeypatch.setenv(variable, str(certificate))
    assert asyncio.run(main()) == "Arlen"
    monkeypatch.setenv(variable, str(tmp_path / "none.pem"))
    with pytest.raises(UsageError, match=f"{variable}: .*none.pem"):
        authorities("https://localhost/v1")


def test_a_host_that_does_not_exist_stops_at_once(monkeypatch):
    import socket

    async def nowhere(self, *args, **options):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr("asyncio.base_events.BaseEventLoop.getaddrinfo", nowhere)

    async def main():
        model = EndpointModel("m", "http://no-such-host.invalid/v1", "", Limiter("no-such-host"))
        try:
            await model.complete(Request([{"role": "user", "content": "hi"}]))
        finally:
            await model.close()

    with pytest.raises(EndpointRefused, match="Name or service not known; check the host name in the URL"):
        asyncio.run(main())
