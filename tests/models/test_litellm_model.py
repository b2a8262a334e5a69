"""litellm against a local server: its `hosted_vllm` provider speaks the same protocol. Importing litellm takes seconds."""

import asyncio

import pytest
from faulty_server import FaultyServer, always, first, saying

from memeval.errors import UsageError
from memeval.models.completion import ModelSpec, Request
from memeval.models.faults import EndpointRefused
from memeval.models.limits import Limiter, Policy
from memeval.models.registry import open_model

pytestmark = pytest.mark.slow
QUICK = Policy(first_wait=0.002, longest_wait=0.02, wait_at_start=0.2)
TOOLS = [{"type": "function", "function": {"name": "memory_insert", "parameters": {"type": "object", "properties": {}}}}]


def call(server, monkeypatch, tools=None, **params):
    async def main():
        async with server:
            monkeypatch.setenv("HOSTED_VLLM_API_BASE", server.url)
            model = open_model(ModelSpec("hosted_vllm/m"), Limiter("hosted_vllm", policy=QUICK))
            try:
                return await model.complete(Request([{"role": "user", "content": "hi"}], tools, params))
            finally:
                await model.close()

    return asyncio.run(main())


def test_a_call_and_its_tools(monkeypatch):
    server = FaultyServer()
    completion = call(server, monkeypatch, temperature=0.5, timeout=20)
    assert (completion.text, completion.usage.prompt, completion.usage.completion) == ("echo: hi", 2, 7)
    assert (server.seen[0]["model"], server.seen[0]["temperature"]) == ("m", 0.5)
    completion = call(FaultyServer(), monkeypatch, TOOLS)
    assert completion.tool_calls[0].arguments == {"content": "echo: hi"}
    assert completion.finish_reason == "tool_calls"


@pytest.mark.parametrize("fault", ["429", "500", "503", "reset"])
def test_faults_are_repeated_by_us_and_by_us_alone(monkeypatch, fault):
    server = FaultyServer(first(2, fault))
    assert call(server, monkeypatch).text == "echo: hi"
    assert server.attempts["hi"] == 3


def test_bad_requests_and_wrong_configurations(monkeypatch):
    server = FaultyServer(always("400"))
    completion = call(server, monkeypatch)
    assert "trouble 400" in completion.error
    assert server.attempts["hi"] == 1
    for status in ("401", "404"):
        with pytest.raises(EndpointRefused, match="hosted_vllm"):
            call(FaultyServer(always(status)), monkeypatch)


def test_a_prompt_beyond_the_window(monkeypatch):
    message = "This model's maximum context length is 4096 tokens, however you requested 5000 tokens"
    completion = call(saying(400, message), monkeypatch)
    assert (completion.finish_reason, completion.error) == ("overflow", None)


def test_a_server_that_only_streams_is_left_with_its_own_words(monkeypatch):
    server = saying(400, "This model only support stream mode, please enable the stream parameter")
    completion = call(server, monkeypatch)
    assert "only support stream mode" in completion.error
    assert server.attempts["hi"] == 1  # nothing that is never done is noted or tried


def test_unknown_providers_and_missing_keys(monkeypatch):
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    with pytest.raises(UsageError, match="ANTHROPIC_API_KEY"):
        open_model(ModelSpec("anthropic/claude-3-5-haiku-latest"))
    with pytest.raises(UsageError, match="did you mean 'anthropic'"):
        open_model(ModelSpec("anthropc/claude"))


def test_the_same_name_at_another_server_is_another_model(monkeypatch):
    from memeval.models.litellm_model import server

    assert server("ollama") == ""
    monkeypatch.setenv("OLLAMA_API_BASE", "http://user:secret@one:11434/?key=secret")
    assert server("ollama") == " at one:11434"
    monkeypatch.setenv("HOSTED_VLLM_API_BASE", "http://two:8000/v1/")
    assert open_model(ModelSpec("hosted_vllm/m")).identity == "litellm hosted_vllm/m at two:8000/v1"
