"""Prompts beyond the window: found before anything is sent."""

import asyncio

import pytest
from gateways import gateway
from scripts import ScriptedModel

from memeval import tokens
from memeval.errors import UsageError
from memeval.models import window
from memeval.models.completion import Completion, ModelSpec, Request

URL = "http://127.0.0.1:1/v1"
WORDS = " apple" * 1000  # each of them one token of o200k_base


def asked(text, tools=None, **params):
    return Request([{"role": "user", "content": text}], tools, params)


@pytest.mark.parametrize("value", [0, -1, 1.5, "32k", True, [8]])
def test_a_window_is_a_whole_number_of_tokens(value):
    with pytest.raises(UsageError, match="context: .* is not a context window"):
        window.declared({"context": value})


def test_where_the_window_comes_from():
    request = asked("hi", temperature=1, context=4096)
    longest, sent = window.split(ModelSpec("m", URL), request)
    assert longest == 4096
    assert sent.params == {"temperature": 1}  # it is no sampling parameter: not sent, and not in the call's key
    assert window.split(ModelSpec("m", URL), asked("hi"))[0] is None
    listed = ModelSpec("m", URL, window=2048)
    assert (window.split(listed, asked("hi"))[0], window.split(listed, request)[0]) == (2048, 4096)  # the role's goes first
    assert window.split(ModelSpec("openai/gpt-4o"), asked("hi"))[0] == 128_000  # as OpenAI publishes it
    assert window.split(ModelSpec("gpt-4o", URL), asked("hi"))[0] is None  # whatever that server calls gpt-4o
    assert window.split(ModelSpec("offline"), asked("hi"))[0] is None


def test_the_window_is_exceeded_by_one_token_more():
    assert tokens.counter("o200k_base")(WORDS) == 1000
    parts = Request([{"role": "user", "content": [{"type": "text", "text": WORDS}, {"type": "image_url"}]}])
    for request in (asked(WORDS), parts, Request([{"role": "assistant", "content": None}, *asked(WORDS).messages])):
        assert not asyncio.run(window.exceeds(request, 1000))
        assert asyncio.run(window.exceeds(request, 999))


def test_tools_are_a_part_of_the_prompt():
    tool = {"type": "function", "function": {"name": "f", "description": WORDS}}
    assert asyncio.run(window.exceeds(asked("hi", [tool]), 1000))
    assert not asyncio.run(window.exceeds(asked("hi", [tool]), 1100))


def test_counting_ends_where_the_window_ends(monkeypatch):
    counted = []

    def count(text):
        counted.append(len(text))
        return len(text) // 4

    monkeypatch.setattr(tokens, "counter", lambda name: count)
    assert asyncio.run(window.exceeds(asked("word" * 10_000_000), 100_000))
    assert sum(counted) < 500_000
    counted.clear()
    assert not asyncio.run(window.exceeds(asked("word" * 1000), 32_000))
    assert counted == []  # far from the window nothing is counted


def test_what_does_not_fit_is_neither_sent_nor_kept(tmp_path):
    async def main():
        events = []
        model = ScriptedModel(lambda request: Completion("fine"))
        door = gateway(tmp_path / "j.sqlite", model, on_call=events.append)
        small, large = (ModelSpec("m", URL, {"context": size}) for size in (999, 1001))
        refused = await asyncio.gather(*(door.call(small, asked(WORDS)) for _ in range(3)))
        assert refused == [Completion(finish_reason="overflow")] * 3
        assert model.requests == []
        assert {event.source for event in events} == {"window"}
        assert [(event.attempts, event.status) for event in events] == [(0, "ok")] * 3
        assert (await door.call(large, asked(WORDS))).text == "fine"  # a wider window asks again
        assert (await door.call(ModelSpec("m", URL), asked(WORDS))).text == "fine"
        assert len(model.requests) == 1  # the window is not in the key
        assert model.requests[0].params == {}
        await door.close()

    asyncio.run(main())
