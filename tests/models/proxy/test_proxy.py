"""The proxy as the openai package sees it, and what it books."""

import asyncio
import contextlib
import json
import logging
import socket
from dataclasses import replace

import aiohttp
import numpy as np
import openai
import pytest

from memeval.errors import BadParameter, StopRun, UsageError
from memeval.models import usage
from memeval.models.bound import BoundModel, close_route, open_route
from memeval.models.completion import Completion, ToolCall, Usage
from memeval.models.embeddings import pack, texts_of
from memeval.models.parameters import check
from memeval.models.proxy import server as proxy_module
from memeval.models.proxy import wire
from memeval.models.proxy.server import Proxy
from memeval.models.usage import Ledger

TOOLS = [{"type": "function", "function": {"name": "store", "parameters": {"type": "object", "properties": {}}}}]


def user(text):
    return [{"role": "user", "content": text}]


MESSAGES = user("hi")
CALL = ToolCall("store", {"content": "wörd", "n": [1]}, '{"content": "wörd", "n": [1],}', None, "call_7")


def vector(text):
    """Numbers that 32-bit floats hold exactly."""
    return np.array([len(text), 0.5, -1.25])


def echo(request):
    if request.tools:
        return Completion("", "", (CALL, ToolCall("store", None, "{bad", "no JSON", "call_8")), Usage(8, 4), "tool_calls")
    return Completion(f"echo: {request.messages[-1]['content']}", usage=Usage(5, 3, 2, 1))


class Foreign:
    """Proxies, the requests that went through them, and clients for them. `proxy`: the last that was opened."""

    def __init__(self, stack, numbers):
        self._stack = stack
        self.requests = []
        self.arrivals = asyncio.Queue()
        self._numbers = numbers

    def models(self, reply=echo, delay=0.0, params=None, **names):
        async def call(request):
            self.requests.append(request)
            self.arrivals.put_nowait(request)
            if delay:
                await asyncio.sleep(delay)
            if not request.embeds:
                return reply(request)
            if isinstance(reply, str):
                return Completion(error=reply)
            texts = texts_of(request)
            return Completion("\n".join(pack(vector(text)) for text in texts), usage=Usage(sum(map(len, texts))))

        number = open_route(call, asyncio.get_running_loop())
        self._numbers.append(number)
        names = names or {"memory": "tiny/one", "reader": "two"}
        return {role: BoundModel(name, role, number, params or {}) for role, name in names.items()}

    async def open(self, **options):
        """(client, proxy, token)"""
        self.proxy = await self._stack.enter_async_context(Proxy(self.models(**options)))
        return self.client(self.proxy.token), self.proxy, self.proxy.token

    def client(self, token):
        return openai.AsyncOpenAI(api_key=token, base_url=self.proxy.base_url, timeout=300)


def served(scenario):
    """Run an async scenario(foreign) against a proxy."""

    async def main():
        numbers = []
        async with contextlib.AsyncExitStack() as stack:
            foreign = Foreign(stack, numbers)
            try:
                return await asyncio.wait_for(scenario(foreign), 30)
            finally:
                for number in numbers:
                    close_route(number)

    return asyncio.run(main())


@contextlib.contextmanager
def step(proxy, phase="ingest"):
    """A step as the engine makes it; yields its ledger."""
    ledger = Ledger(phase)
    usage.current.set(ledger)
    with proxy.step():
        yield ledger


async def status_of(call):
    with pytest.raises(openai.APIStatusError) as caught:
        await call
    return caught.value


def test_a_chat_through_the_openai_package():
    async def scenario(foreign):
        client, proxy, _ = await foreign.open(params={"temperature": 0.0})
        with step(proxy) as ledger:
            options = {"temperature": 1.0, "stop": ["x"], "user": "me"}
            reply = await client.chat.completions.create(model="memory", messages=MESSAGES, **options)
        assert reply.id.startswith("chatcmpl-")
        assert reply._request_id == reply.id
        assert (reply.object, reply.model) == ("chat.completion", "tiny/one")
        (choice,) = reply.choices
        assert (choice.index, choice.finish_reason, choice.message.role) == (0, "stop", "assistant")
        assert (choice.message.content, choice.message.tool_calls, choice.logprobs) == ("echo: hi", None, None)
        assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.total_tokens) == (5, 3, 8)
        assert reply.usage.prompt_tokens_details.cached_tokens == 2
        assert reply.usage.completion_tokens_details.reasoning_tokens == 1
        (request,) = foreign.requests
        assert (request.messages, request.tools) == (MESSAGES, None)
        assert request.params == {"temperature": 0.0, "stop": ["x"]}  # what the user set for the role overrules
        assert dict(ledger.calls) == {"memory": 1}
        assert ledger.spent().tokens == {"memory": Usage(5, 3, 2, 1)}
        assert ledger.failures == []

    served(scenario)


def test_the_synchronous_client_from_another_thread():
    async def scenario(foreign):
        _, proxy, token = await foreign.open()
        client = openai.OpenAI(api_key=token, base_url=foreign.proxy.base_url)

        def talk():
            plain = client.chat.completions.create(model="two", messages=MESSAGES)
            with client.chat.completions.create(model="two", messages=MESSAGES, stream=True, temperature=0) as stream:
                pieces = [chunk.choices[0].delta.content or "" for chunk in stream]
            return plain.choices[0].message.content, "".join(pieces), [model.id for model in client.models.list()]

        with step(proxy) as ledger:
            names = ["memory", "reader", "tiny/one", "two"]
            assert await asyncio.to_thread(talk) == ("echo: hi", "echo: hi", names)
        assert dict(ledger.calls) == {"reader": 2}

    served(scenario)


def test_tool_calls_and_tool_choice():
    async def scenario(foreign):
        client, proxy, _ = await foreign.open()
        choice = {"type": "function", "function": {"name": "store"}}
        with step(proxy):
            reply = await client.chat.completions.create(
                model="memory", messages=MESSAGES, tools=TOOLS, tool_choice=choice, parallel_tool_calls=True
            )
        assert foreign.requests[0].tools == TOOLS
        assert foreign.requests[0].params == {"tool_choice": choice, "parallel_tool_calls": True}
        assert reply.choices[0].finish_reason == "tool_calls"
        assert reply.choices[0].message.content is None
        first, second = reply.choices[0].message.tool_calls
        assert (first.id, first.type, first.function.name) == ("call_7", "function", "store")
        assert json.loads(first.function.arguments) == {"content": "wörd", "n": [1]}  # mended, not as it was written
        assert second.function.arguments == "{bad"

    served(scenario)


def test_a_conversation_with_tool_results_and_parts_passes_unchanged():
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {"role": "system", "content": [{"type": "text", "text": "Be brief."}]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "done"},
    ]

    async def scenario(foreign):
        client, proxy, _ = await foreign.open()
        with step(proxy):
            await client.chat.completions.create(model="memory", messages=messages, tools=[])
        assert foreign.requests[0].messages == messages
        assert foreign.requests[0].tools is None

    served(scenario)


def test_streams_of_text_thinking_and_usage():
    def thoughtful(request):
        return Completion("Paris", "hm", usage=Usage(5, 3, 2, 1))

    async def scenario(foreign):
        client, proxy, _ = await foreign.open(reply=thoughtful)
        with step(proxy) as ledger:
            stream = await client.chat.completions.create(
                model="memory", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
            )
            chunks = [chunk async for chunk in stream]
            async with client.chat.completions.stream(model="memory", messages=MESSAGES) as helper:
                final = await helper.get_final_completion()
        assert {chunk.id for chunk in chunks} == {chunks[0].id}
        assert [chunk.object for chunk in chunks] == ["chat.completion.chunk"] * len(chunks)
        *parts, last = chunks
        assert (last.choices, last.usage.total_tokens) == ([], 8)
        assert [part.usage for part in parts] == [None] * len(parts)
        deltas = [part.choices[0].delta for part in parts]
        assert deltas[0].role == "assistant"
        assert "".join(delta.content or "" for delta in deltas) == "Paris"
        assert [delta.reasoning_content for delta in deltas if hasattr(delta, "reasoning_content")] == ["hm"]
        assert [part.choices[0].finish_reason for part in parts] == [None, None, None, "stop"]
        assert final.choices[0].message.content == "Paris"
        assert dict(ledger.calls) == {"memory": 2}
        stream = await client.chat.completions.create(model="memory", messages=MESSAGES, stream=True)
        assert all(chunk.choices and chunk.usage is None for chunk in [chunk async for chunk in stream])

    served(scenario)


def test_streamed_tool_calls_come_together_again():
    strict = [{"type": "function", "function": {**TOOLS[0]["function"], "strict": True}}]

    def good(request):
        return Completion("", "", (CALL, replace(CALL, id="call_9")), finish_reason="tool_calls")

    async def scenario(foreign):
        client, proxy, _ = await foreign.open(reply=good)
        with step(proxy):
            async with client.chat.completions.stream(model="memory", messages=MESSAGES, tools=strict) as stream:
                kinds = [event.type async for event in stream]
                final = await stream.get_final_completion()
        assert "tool_calls.function.arguments.done" in kinds
        calls = final.choices[0].message.tool_calls
        assert [(call.id, call.function.name) for call in calls] == [("call_7", "store"), ("call_9", "store")]
        assert [json.loads(call.function.arguments) for call in calls] == [CALL.arguments] * 2
        assert final.choices[0].finish_reason == "tool_calls"

        client, proxy, _ = await foreign.open()
        with step(proxy):
            raw = await client.chat.completions.create(model="memory", messages=MESSAGES, tools=TOOLS, stream=True)
            pieces = [call async for chunk in raw for call in chunk.choices[0].delta.tool_calls or []]
        assert [(piece.index, piece.id, piece.function.name) for piece in pieces] == [
            (0, "call_7", "store"), (0, None, None), (1, "call_8", "store"), (1, None, None)
        ]  # fmt: skip
        assert pieces[3].function.arguments == "{bad"

    served(scenario)


def test_reasons_that_the_api_does_not_know():
    async def scenario(foreign):
        for reason, shown in (("unclosed_think", "length"), ("length", "length"), ("content_filter", "content_filter")):
            client, proxy, _ = await foreign.open(
                reply=lambda request, reason=reason: Completion("", "on", finish_reason=reason)
            )
            with step(proxy) as ledger:
                reply = await client.chat.completions.create(model="memory", messages=MESSAGES)
            assert reply.choices[0].finish_reason == shown
            assert ledger.last.finish_reason == reason  # the engine knows better

    served(scenario)


# -- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["", "sk-wrong", "wörng"])
def test_an_unknown_token_is_an_authentication_error(key):
    async def scenario(foreign):
        await foreign.open()
        headers = {"Authorization": f"Bearer {key}".strip()}
        async with aiohttp.ClientSession() as session:
            body = {"model": "memory", "messages": MESSAGES}
            async with session.post(f"{foreign.proxy.base_url}/chat/completions", json=body, headers=headers) as response:
                assert response.status == 401
                assert (await response.json())["error"]["code"] == "invalid_api_key"
        assert foreign.requests == []

    served(scenario)


def test_a_closed_proxy_ends_its_calls():
    async def scenario(foreign):
        client, proxy, token = await foreign.open(delay=30)
        with step(proxy):
            pending = asyncio.create_task(client.chat.completions.create(model="memory", messages=MESSAGES))
            await foreign.arrivals.get()
            await foreign.proxy.__aexit__()
            await foreign.proxy.__aexit__()
            assert isinstance(await status_of(pending), openai.InternalServerError)
            with pytest.raises(openai.APIConnectionError) as caught:
                await client.with_options(max_retries=0).models.list()
        assert token not in str(caught.value)

    served(scenario)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"n": 2}, "n"),
        ({"n": "1"}, "n"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [{"content": "hi"}]}, "messages[0]"),
        ({"messages": [{"role": "wizard", "content": "hi"}]}, "messages[0]"),
        ({"messages": [{"role": "assistant", "tool_calls": "store"}]}, "messages[0].tool_calls"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": "a"}]}]}, "messages[0].tool_calls"),
        ({"messages": [{"role": "user", "content": 17}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": ["hi"]}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": 1}]}]}, "messages[0].content"),
        ({"tools": {}}, "tools"),
        ({"tools": [{"type": "web_search"}]}, "tools[0]"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0]"),
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": 1}}]}, "tools[0].function.parameters"),
        ({"model": None}, "model"),
        ({"model": 4}, "model"),
        ({"stream": "yes"}, "stream"),
        ({"stream": True, "stream_options": 1}, "stream_options"),
        ({"temperature": "hot"}, "temperature"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"max_completion_tokens": 0}, "max_completion_tokens"),
        ({"logprobs": True}, "logprobs"),
        ({"functions": []}, "functions"),
        ({"api_base": "http://evil.example"}, "api_base"),
        ({"base_url": "http://evil.example"}, "base_url"),
        ({"extra_body": {"model": "dear"}}, "extra_body"),
        ({"timeout": 9e9}, "timeout"),
        ({"sample": 3}, "sample"),
        ({"self": 3}, "self"),
        ({"context": 3}, "context"),
    ],
)
def test_what_does_not_fit_is_a_bad_request_that_names_the_field(change, param):
    async def scenario(foreign):
        client, proxy, _ = await foreign.open()
        body = {"model": "memory", "messages": MESSAGES, **change}
        with step(proxy) as ledger:
            error = await status_of(client.post("/chat/completions", body=body, cast_to=object))
        assert isinstance(error, openai.BadRequestError)
        assert error.param.startswith(param)
        assert error.type == "invalid_request_error"
        assert param in error.message
        assert foreign.requests == []
        assert not ledger.calls

    served(scenario)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"17", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 900 + b"1" + b"}" * 900])
def test_malformed_bodies_are_bad_requests(body):
    async def scenario(foreign):
        _, proxy, token = await foreign.open()
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session:
            for path in ("chat/completions", "embeddings"):
                async with session.post(f"{foreign.proxy.base_url}/{path}", data=body) as response:
                    assert response.status == 400
                    assert set((await response.json())["error"]) == {"message", "type", "param", "code"}
        assert proxy._steps.waiting == []

    served(scenario)


def test_every_parameter_that_passes_on_is_known_to_the_check():
    """A name that is no other name misspelt, as parameters.py sees it."""
    check(dict.fromkeys(wire._PASSED))


def test_bodies_beyond_the_bound_are_refused(monkeypatch):
    monkeypatch.setattr(proxy_module, "LARGEST_REQUEST", 100_000)

    async def scenario(foreign):
        client, proxy, _ = await foreign.open()
        with step(proxy):
            reply = await client.chat.completions.create(model="memory", messages=user("x" * 90_000))
            assert len(reply.choices[0].message.content) > 90_000
            error = await status_of(client.chat.completions.create(model="memory", messages=user("x" * 110_000)))
        assert error.status_code == 413
        assert len(foreign.requests) == 1

    served(scenario)


def test_unknown_models_and_paths_are_not_found():
    async def scenario(foreign):
        client, proxy, _ = await foreign.open(memory="tiny/one", reader="two", embedder="three")
        with step(proxy):
            for name in ("gpt-4o-mini", "embedder", "three"):
                error = await status_of(client.chat.completions.create(model=name, messages=MESSAGES))
                assert isinstance(error, openai.NotFoundError)
                assert error.code == "model_not_found"
                assert "memory, reader" in error.message
            assert isinstance(await status_of(client.responses.create(model="memory", input="hi")), openai.NotFoundError)
        assert foreign.requests == []

    served(scenario)


def test_a_call_that_failed_for_good_is_a_502_and_booked_as_a_failure():
    def down(request):
        return Completion(error="HTTP 500: trouble (given up after 6 attempts)", finish_reason="error")

    async def scenario(foreign):
        client, proxy, _ = await foreign.open(reply=down)
        with step(proxy) as ledger:
            for stream in (False, True):
                error = await status_of(client.chat.completions.create(model="memory", messages=MESSAGES, stream=stream))
                assert (error.status_code, error.code, error.type) == (502, "upstream_error", "server_error")
                assert "given up after 6 attempts" in error.message
        assert ledger.failures == ["memory: HTTP 500: trouble (given up after 6 attempts)"] * 2
        assert len(foreign.requests) == 2  # the client does not retry what has been retried already

    served(scenario)


def test_what_the_model_server_refuses_keeps_its_status():
    def refuse(request):
        return Completion(error="HTTP 400: response_format is not supported", finish_reason="error")

    async def scenario(foreign):
        client, proxy, _ = await foreign.open(reply=refuse)
        with step(proxy) as ledger:
            error = await status_of(client.chat.completions.create(model="memory", messages=MESSAGES))
        assert isinstance(error, openai.BadRequestError)
        assert len(ledger.failures) == 1

    served(scenario)


def test_a_prompt_beyond_the_window():
    async def scenario(foreign):
        client, proxy, _ = await foreign.open(reply=lambda request: Completion(finish_reason="overflow"))
        with step(proxy) as ledger:
            error = await status_of(client.chat.completions.create(model="memory", messages=MESSAGES))
        assert isinstance(error, openai.BadRequestError)
        assert error.code == "context_length_exceeded"
        assert "maximum context length" in error.message
        assert ledger.failures == []
        assert ledger.last.finish_reason == "overflow"

    served(scenario)


class Bug(Exception):
    pass


@pytest.mark.parametrize(
    ("error", "status"), [(StopRun("endpoint down"), 503), (UsageError("no key"), 503), (Bug("secret detail"), 500)]
)
def test_what_must_stop_the_run_is_raised_by_the_step_whatever_the_agent_does(error, status):
    def broken(request):
        raise error

    async def scenario(foreign):
        client, proxy, _ = await foreign.open(reply=broken)

        async def agent(swallow):
            with step(proxy):
                found = await status_of(client.chat.completions.create(model="memory", messages=MESSAGES))
                if not swallow:
                    raise found
                return found

        with pytest.raises(type(error)) as caught:
            await agent(swallow=True)
        assert caught.value is error
        with pytest.raises(type(error)):
            await agent(swallow=False)
        assert len(foreign.requests) == 2
        found = await status_of(client.chat.completions.create(model="memory", messages=MESSAGES))
        assert found.status_code == status
        assert "secret detail" not in found.message

    served(scenario)


def test_what_a_model_does_not_have_is_refused_and_the_run_goes_on():
    def without(request):
        raise BadParameter("tool_choice", "tool_choice is 'required'; only 'auto' works here")

    async def scenario(foreign):
        client, proxy, _ = await foreign.open(reply=without)
        with step(proxy):
            error = await status_of(client.chat.completions.create(model="memory", messages=MESSAGES))
        assert isinstance(error, openai.BadRequestError)
        assert (error.code, error.param) == ("unsupported_parameter", "tool_choice")
        client, proxy, _ = await foreign.open(reply=without, params={"tool_choice": "required"})
        with pytest.raises(BadParameter), step(proxy):  # what the user set for the role is no agent's fault
            await status_of(client.chat.completions.create(model="memory", messages=MESSAGES))

    served(scenario)


# -- embeddings -------------------------------------------------------------------------------------------------------


def test_embeddings_through_the_openai_package():
    async def scenario(foreign):
        client, proxy, _ = await foreign.open(memory="tiny/one", embedder="vectors/two")
        with step(proxy) as ledger:
            for name, options in (("embedder", {}), ("vectors/two", {"encoding_format": "float", "dimensions": 3})):
                reply = await client.embeddings.create(model=name, input=["abc", "d"], **options)
                assert [row.index for row in reply.data] == [0, 1]
                assert [row.embedding for row in reply.data] == [[3.0, 0.5, -1.25], [1.0, 0.5, -1.25]]
                assert (reply.model, reply.usage.prompt_tokens, reply.usage.total_tokens) == ("vectors/two", 4, 4)
            single = await client.embeddings.create(model="embedder", input="abcd", user="me")
            assert single.data[0].embedding[0] == 4.0
        asked = [(texts_of(request), request.params) for request in foreign.requests]
        assert asked == [(["abc", "d"], {}), (["abc", "d"], {"dimensions": 3}), (["abcd"], {})]
        assert dict(ledger.calls) == {"embedder": 3}
        assert ledger.tokens["embedder"] == Usage(12)

    served(scenario)


def test_embeddings_that_cannot_be_had():
    async def scenario(foreign):
        client, proxy, _ = await foreign.open(memory="tiny/one", embedder="two")
        with step(proxy):
            for wrong in ([1, 2, 3], [[1]], [], ["a", 1]):
                error = await status_of(client.embeddings.create(model="embedder", input=wrong))
                assert (error.status_code, error.param.partition("[")[0]) == (400, "input")
            for options in ({"dimensions": 0}, {"encoding_format": "hex"}):
                error = await status_of(client.embeddings.create(model="embedder", input="a", **options))
                assert (error.status_code, error.param) == (400, next(iter(options)))
            assert foreign.requests == []
            error = await status_of(client.embeddings.create(model="embedder", input="a", dimensions=64))
            assert (error.status_code, error.param) == (400, "dimensions")
            assert "have 3" in error.message
            assert isinstance(await status_of(client.embeddings.create(model="memory", input="a")), openai.NotFoundError)
        client, proxy, _ = await foreign.open(reply="HTTP 500: trouble (given up after 6 attempts)", embedder="two")
        with step(proxy) as ledger:
            error = await status_of(client.embeddings.create(model="embedder", input="a"))
        assert (error.status_code, error.code) == (502, "upstream_error")
        assert ledger.failures == ["embedder: HTTP 500: trouble (given up after 6 attempts)"]

    served(scenario)


# -- who pays ---------------------------------------------------------------------------------------------------------


def test_usage_stays_with_its_token_fifty_at_a_time():
    def sized(request):
        return Completion("x", usage=Usage(int(request.messages[-1]["content"]), 1))

    async def scenario(foreign):
        agents = [await foreign.open(reply=sized, delay=0.05) for _ in range(5)]

        async def agent(index, client, proxy):
            ledger = Ledger("ingest")
            usage.current.set(ledger)
            with proxy.step():
                calls = (
                    client.chat.completions.create(model="memory", messages=user(str(100 * index + n))) for n in range(10)
                )
                replies = await asyncio.gather(*calls)
            assert sorted(reply.usage.prompt_tokens for reply in replies) == [100 * index + n for n in range(10)]
            return ledger

        ledgers = await asyncio.gather(*(agent(index, client, proxy) for index, (client, proxy, _) in enumerate(agents)))
        for index, ledger in enumerate(ledgers):
            assert dict(ledger.calls) == {"memory": 10}
            assert ledger.tokens["memory"] == Usage(1000 * index + 45, 10)

    served(scenario)


def test_calls_between_two_steps_are_booked_in_the_next():
    async def scenario(foreign):
        client, proxy, _ = await foreign.open(delay=0.05)
        with step(proxy) as first:
            await client.chat.completions.create(model="memory", messages=MESSAGES)
            late = asyncio.create_task(client.chat.completions.create(model="reader", messages=MESSAGES))
            for _ in range(2):
                await foreign.arrivals.get()
        await late
        assert dict(first.calls) == {"memory": 1}
        assert [call[0] for call in proxy._steps.waiting] == ["reader"]
        with step(proxy) as second:
            pass
        assert dict(second.calls) == {"reader": 1}
        assert proxy._steps.waiting == []

    served(scenario)


def test_one_step_at_a_time():
    async def scenario(foreign):
        _, proxy, _ = await foreign.open()
        with step(proxy), pytest.raises(RuntimeError, match="has not ended"), proxy.step():
            pass

    served(scenario)


def test_equal_requests_are_told_apart_unless_they_are_greedy_seeded_or_repeated():
    async def scenario(foreign):
        client, proxy, _ = await foreign.open()

        async def samples(**options):
            foreign.requests.clear()
            ids = [(await client.chat.completions.create(model="memory", messages=MESSAGES, **options)).id for _ in range(3)]
            assert len(set(ids)) == len({request.sample for request in foreign.requests})
            return [request.sample for request in foreign.requests]

        with step(proxy):
            assert await samples(temperature=1) == [0, 1, 2]
            assert await samples(temperature=0.0) == [0, 0, 0]
            assert await samples(seed=7) == [0, 0, 0]
            again = {"x-stainless-retry-count": "1"}  # as the package sends it after a time-out of its own
            assert await samples(temperature=1, extra_headers=again) == [2, 2, 2]
        other, proxy, _ = await foreign.open()  # another context, or the same one after a crash, begins anew
        with step(proxy):
            foreign.requests.clear()
            await other.chat.completions.create(model="memory", messages=MESSAGES, temperature=1)
            assert foreign.requests[0].sample == 0

    served(scenario)


def test_the_limit_that_the_user_set_stands_under_either_name():
    async def scenario(foreign):
        client, proxy, _ = await foreign.open(params={"max_tokens": 7})
        with step(proxy):
            await client.chat.completions.create(model="memory", messages=MESSAGES, max_completion_tokens=900)
        assert foreign.requests[0].params == {"max_tokens": 7}

    served(scenario)


# -- safety -----------------------------------------------------------------------------------------------------------


def test_only_this_machine_is_served():
    async def scenario(foreign):
        await foreign.open()
        assert foreign.proxy.base_url.startswith("http://127.0.0.1:")
        port = int(foreign.proxy.base_url.split(":")[2].split("/")[0])
        others = {row[4][0] for row in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)} - {"127.0.0.1"}
        for host in others:
            with pytest.raises(ConnectionRefusedError):
                (await asyncio.open_connection(host, port))[1].close()

    served(scenario)


def test_tokens_are_random_and_stand_nowhere(caplog, capfd):
    caplog.set_level(logging.DEBUG)

    async def scenario(foreign):
        tokens = []
        for reply in (echo, lambda request: 1 / 0):
            client, proxy, token = await foreign.open(reply=reply)
            tokens.append(token)
            with contextlib.suppress(openai.APIStatusError, ZeroDivisionError), step(proxy):
                await client.chat.completions.create(model="memory", messages=MESSAGES)
            await status_of(client.get("/nothing", cast_to=object))
        assert len(set(tokens)) == 2
        assert all(len(token) > 40 for token in tokens)
        return tokens

    tokens = served(scenario)
    ours = [record for record in caplog.records if record.name.startswith(("aiohttp", "memeval", "asyncio"))]
    logged = " ".join(record.getMessage() for record in ours)
    out, err = capfd.readouterr()
    assert not [token for token in tokens if token in logged + out + err]


def test_the_server_ends_with_its_block_also_while_calls_are_under_way():
    async def main():
        async with contextlib.AsyncExitStack() as stack:
            foreign = Foreign(stack, [])
            client, proxy, _ = await foreign.open(delay=60)
            with step(proxy):
                pending = asyncio.create_task(client.chat.completions.create(model="memory", messages=MESSAGES))
                await foreign.arrivals.get()
        with pytest.raises(openai.APIError):
            await pending
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientConnectorError):
                await session.get(foreign.proxy.base_url)

    asyncio.run(asyncio.wait_for(main(), 10))
