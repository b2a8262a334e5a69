"""Substitutes for models in a dry run. What they count is worked out by hand: "hello world" is two tokens of o200k_base."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from memeval import tokens
from memeval.agents import qwen_wire
from memeval.dry_run import Substitute
from memeval.memory import tools
from memeval.models.completion import Completion, ModelSpec, Request, Usage
from memeval.models.embeddings import asked
from memeval.models.offline import OfflineModel
from memeval.prompts import several, tagged

TOOLS = tools.schemas(several("memalpha", "tools"))
FAR = ModelSpec("wordy", "http://127.0.0.1:9/v1")
CHUNK = tagged(
    "new_chunk", "Ann Lee lives in Arlen. Bob Ray was born in Castro in 1950. The Fox Inn opened on 3 May 1960. " * 20
)


def reply(substitute: Substitute, *messages: dict[str, Any], phase: str = "answer", **rest: Any) -> Completion:
    return asyncio.run(substitute.complete(Request(messages, rest.pop("tools", None), rest, phase=phase)))


def user(text: Any) -> dict[str, Any]:
    return {"role": "user", "content": text}


def test_prompts_are_counted_as_the_cookbook_does() -> None:
    substitute = Substitute(FAR, "o200k_base")
    one = reply(substitute, user("hello world")).usage.prompt
    assert one == 3 + (3 + 1 + 2)  # to open the reply; a message, its role, its text
    assert reply(substitute, user("hello world"), user("hello world")).usage.prompt == 15
    assert reply(substitute, user([{"type": "text", "text": "hello world"}])).usage.prompt == one
    assert reply(substitute, user(None)).usage.prompt == 7
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    size = tokens.counter("o200k_base")(json.dumps(tool))
    assert reply(substitute, user("hello world"), tools=[tool]).usage.prompt == one + size


def test_replies_are_sized_by_their_limit() -> None:
    substitute = Substitute(FAR, "o200k_base")
    assert reply(substitute, user("Who?"), max_tokens=256).usage.completion == 64
    assert reply(substitute, user("Who?"), max_tokens=10).usage.completion == 2
    assert reply(substitute, user(CHUNK), phase="ingest", max_tokens=1000).usage.completion == 250
    assert reply(substitute, user(CHUNK), phase="ingest", max_completion_tokens=400).usage.completion == 100
    assert reply(substitute, user(CHUNK), phase="ingest").usage.completion == 512


def test_a_text_has_the_length_that_it_counts_for() -> None:
    """It may become a memory, and so a part of later prompts."""
    written = reply(Substitute(FAR, "o200k_base"), user(CHUNK), phase="ingest", max_tokens=1000)
    assert tokens.counter("o200k_base")(written.text) == pytest.approx(250, abs=2)


def test_what_costs_nothing_answers_itself(tmp_path: Path) -> None:
    request = Request([user(CHUNK)], TOOLS, {"max_tokens": 300}, phase="ingest")
    substitute = Substitute(ModelSpec("offline"), "o200k_base")
    assert asyncio.run(substitute.complete(request)) == asyncio.run(OfflineModel().complete(request))
    (tmp_path / "rules.jsonl").write_text('{"reply": "Arlen"}\n')
    assert reply(Substitute(ModelSpec(f"scripted:{tmp_path}/rules.jsonl"), "o200k_base"), user("Who?")).text == "Arlen"


def test_nothing_is_opened_for_a_model_that_is_far() -> None:
    for name in ("openai/gpt-4o", "anthropic/claude-sonnet-4-5", "vllm/no/such-weights", "hf/no/such-weights"):
        substitute = Substitute(ModelSpec(name), "o200k_base")  # no key, no import of litellm, no weights
        assert not substitute.exact
        assert reply(substitute, user("hello world")).usage.prompt == 9


def test_the_tokenizer_of_the_model_counts_where_it_is_at_hand() -> None:
    assert Substitute(ModelSpec("openai/gpt-4"), "o200k_base").counter.name == "cl100k_base"
    assert Substitute(FAR, "cl100k_base").counter.name == "cl100k_base"
    approximate = Substitute(ModelSpec("Qwen/Qwen3-4B-no-such", "http://127.0.0.1:9/v1"), "o200k_base").counter
    assert approximate.approximate


def test_tools_in_the_words_of_qwen_agent_are_used_in_its_format() -> None:
    system = {"role": "system", "content": f"Remember.\n\n{qwen_wire.tool_prompt(TOOLS)}"}
    substitute = Substitute(FAR, "o200k_base")
    completion = reply(substitute, system, user(CHUNK), phase="ingest", max_tokens=2048)
    assert completion.tool_calls == ()
    calls = qwen_wire.parse(completion.text)
    assert calls
    assert {call.name for call in calls} <= {tool["function"]["name"] for tool in TOOLS}
    assert all(call.arguments for call in calls)
    broken = {"role": "system", "content": "### f\n\nf: x Parameters: {no json} Format the arguments as a JSON object."}
    assert qwen_wire.parse(reply(substitute, broken, user(CHUNK), phase="ingest").text) == []


def test_a_prompt_beyond_the_window_is_not_sent() -> None:
    substitute = Substitute(ModelSpec("wordy", "http://127.0.0.1:9/v1", {"context": 20}), "o200k_base")
    completion = reply(substitute, user("hello world " * 50), context=20)
    assert (completion.finish_reason, completion.usage, substitute.overflows) == ("overflow", Usage(), 1)
    assert reply(substitute, user("hello world"), context=20).finish_reason == "stop"


def test_embeddings() -> None:
    found = asyncio.run(Substitute(FAR, "o200k_base").complete(asked(["hello world", "hello"], {})))
    assert found.usage == Usage(3)
    offline = asyncio.run(Substitute(ModelSpec("offline"), "o200k_base").complete(asked(["hello world"], {})))
    assert offline.text == found.text.split()[0]
    assert offline.usage == Usage(3)  # its own count: characters / 4


@pytest.mark.parametrize("content", [[{"type": "image_url"}], [None], 5])
def test_content_of_other_kinds_counts_nothing_and_breaks_nothing(content: Any) -> None:
    assert reply(Substitute(FAR, "o200k_base"), user(content)).usage.prompt >= 7
