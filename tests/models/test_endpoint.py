import asyncio
import io
import time
from contextlib import redirect_stderr
from dataclasses import replace

import pytest
from call_counts import counts
from faulty_server import FAULTS, FaultyServer, always, answer, first, mixed

from memeval.models.completion import ModelSpec, Request, Usage
from memeval.models.endpoint import EndpointModel, proxy_for
from memeval.models.faults import EndpointDown, EndpointRefused
from memeval.models.gateway import Gateway
from memeval.models.limits import Limiter, Policy

QUICK = Policy(timeout=3.0, first_wait=0.002, longest_wait=0.02, dead_after=2.0, dead_at_start=0.3, jitter=False)
IMPATIENT = Policy(timeout=0.5, first_wait=0.002, longest_wait=0.02, dead_after=2.0, jitter=False)
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


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault != "damaged-arguments"])
def test_each_fault_that_lasts_ends_in_an_error_of_one_line(fault):
    policy = IMPATIENT if fault in ("hang", "drip", "429", "429-seconds", "429-date") else QUICK
    completion = call(FaultyServer(lambda prompt, attempt: fault if prompt == "hi" else None), asked("hi"), policy)
    assert "given up after" in completion.error
    assert completion.usage == Usage(len("Say OK."), 7)  # the probe, which the server answered
    with pytest.raises(EndpointDown) as caught:
        call(FaultyServer(always(fault)), asked("hi"), replace(policy, dead_after=0.6))
    for line in (completion.error, str(caught.value)):
        assert "\n" not in line
        assert len(line) < 300


def test_a_mixture_of_faults_changes_no_result_and_loses_and_doubles_nothing():
    prompts = [f"question {number}" for number in range(200)]

    async def answers(faults):
        async with FaultyServer(faults, drip_seconds=0.05) as server:
            rows = []
            gateway = Gateway(None, concurrency=32, on_event=rows.append, policy=replace(QUICK, timeout=1.6))
            spec = ModelSpec("m", server.url)
            calls = (
                gateway.call(spec, asked(prompt, TOOLS if number % 2 else None)) for number, prompt in enumerate(prompts)
            )
            completions = await asyncio.gather(*calls)
            await gateway.close()
            return completions, server, counts(rows)

    def without_wire_noise(completion):
        calls = [(tool.name, tool.arguments, tool.error) for tool in completion.tool_calls]
        return completion.text, calls, completion.usage, completion.finish_reason, completion.error

    clean, _, counters = asyncio.run(answers(lambda prompt, attempt: None))
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


def saying(status, message, **fields):
    """A server whose every reply is this error."""

    class Saying(FaultyServer):
        async def _fail(self, fault, request, asked, prompt):
            from aiohttp import web

            return web.json_response({"error": {"message": message, **fields}}, status=status)

    return Saying(always("said"))


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


def test_a_prompt_that_is_forbidden_is_not_a_key_that_is():
    """403 is also what moderation says, and what firewalls say about single prompts."""
    flagged = saying(403, "Your input was flagged by moderation")
    assert call(flagged, asked("hi")).error == "HTTP 403: Your input was flagged by moderation"

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


def test_misconfigured_servers_are_named():
    tools = saying(400, '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set')
    with pytest.raises(EndpointRefused, match="start the server with tool calling on"):
        call(tools, asked("hi", TOOLS))
    with pytest.raises(EndpointRefused, match="credit"):
        call(saying(429, "You exceeded your current quota", code="insufficient_quota"), asked("hi"))
    with pytest.raises(EndpointRefused, match="check the model name"):
        call(saying(400, "The model `m` does not exist"), asked("hi"))


def test_the_key_stands_nowhere():
    """A server that repeats the key in its errors (they do) does not get it into errors, reprs or stderr."""
    shown = io.StringIO()
    with redirect_stderr(shown):
        with pytest.raises(EndpointRefused) as caught:
            call(FaultyServer(key="another"), asked("hi"), key=KEY)
        texts = [str(caught.value), repr(caught.value)]
        completion = call(saying(400, f"bad key {KEY} in Bearer {KEY}"), asked("hi"), key=KEY)
        texts += [completion.error, repr(completion)]
        with pytest.raises(EndpointDown) as down:
            call(saying(500, f"bad key {KEY} in Bearer {KEY}"), asked("hi"), key=KEY)
        texts.append(str(down.value))
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
            model = EndpointModel("m", server.url, "", Limiter(server.url, 4, QUICK))
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


def test_proxies_come_from_the_environment_but_never_for_this_machine(monkeypatch):
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    monkeypatch.setenv("no_proxy", "intern.example")
    assert proxy_for("https://api.example.com/v1") == "http://proxy:3128"
    assert proxy_for("https://intern.example/v1") is None
    for own in ("http://localhost:8000/v1", "http://127.0.0.1:8000/v1", "http://[::1]:8000/v1"):
        assert proxy_for(own) is None
