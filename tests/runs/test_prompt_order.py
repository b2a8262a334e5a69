"""What never changes comes first in every prompt, and what changes most comes last: servers reuse the prefix that two
prompts share, and providers charge less for it."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from faulty_server import FaultyServer, in_thread
from toys import context

from memeval import prompts
from memeval.agents.long_context import LongContext
from memeval.agents.memalpha import MemAlpha
from memeval.memory import tools
from memeval.models.completion import ModelSpec
from memeval.runs.run import run
from memeval.task import Question

DAYS = [
    "Anna bakes bread.",
    "Bert mends a boat.",
    "Carla paints the gate.",
    "Nothing happens.",
    "Dora sails away.",
    "Emil sings.",
]
ASKED = ["What does Anna bake?", "Who mends a boat?", "What does Carla paint?", "Who sails away?"]


def rendered(asked: dict[str, Any]) -> str:
    """A prompt as chat templates write it: tools with the system text, then the other messages."""
    return "\n".join([json.dumps(asked.get("tools")), *(f"{m['role']}: {m['content']}" for m in asked["messages"])])


def shared(one: str, other: str) -> str:
    """The longest common prefix."""
    same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return "".join(char for char, _ in same)


def reply(asked: dict[str, Any]) -> dict[str, Any]:
    """Writes the core memory at the first chunk, an entry at every other one, and nothing where nothing happens."""
    prompt = asked["messages"][-1]["content"]
    message: dict[str, Any] = {"role": "assistant", "content": "Done"}
    chunk = prompts.untag("new_chunk", prompt)
    if chunk and "Nothing" not in chunk:
        text = f"It is known: {chunk}"
        name, arguments = tools.INSERT, {"memory_type": "semantic", "content": text}
        if "Anna" in chunk:
            name, arguments = tools.UPDATE, {"memory_type": "core", "new_content": text}
        function = {"name": name, "arguments": json.dumps(arguments)}
        message = {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "1", "type": "function", "function": function}],
        }
    return {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": None}


def prompts_of(toy: Any, agent: type) -> list[dict[str, Any]]:
    """All requests of a run with one stream and several questions about it, in the order of their arrival."""
    questions = [Question(f"q{number}", text, ("x",)) for number, text in enumerate(ASKED)]
    stream = context("c", DAYS, questions)
    with in_thread(FaultyServer(body=reply)) as server:
        spec = ModelSpec("tiny", server.url)
        planned = toy.planned(
            agent, [stream], models={"memory": spec, "reader": spec}, card={"chunk_tokens": 8, "one_unit_per_chunk": True}
        )
        assert run(planned, quiet=True).summary.failed == 0
    return server.seen


def test_questions_of_one_memory_share_all_of_it(toy: Any) -> None:
    reading = [rendered(asked) for asked in prompts_of(toy, LongContext)]
    assert len(reading) == len(ASKED)
    for one, other in itertools.pairwise(reading):
        common = shared(one, other)
        assert all(day in common for day in DAYS)
        assert "\n</memory>\n\n<question>\n" in common


def test_the_readers_of_memalpha_share_its_core_memory(toy: Any) -> None:
    """The entries beside it are chosen for the question, and so differ."""
    reading = [rendered(asked) for asked in prompts_of(toy, MemAlpha) if not asked.get("tools")]
    assert len(reading) == len(ASKED)
    for one, other in itertools.pairwise(reading):
        assert "[core] It is known: Anna bakes bread." in shared(one, other)


def test_the_writer_of_memalpha_shares_tools_instructions_and_the_memory_that_stays(toy: Any) -> None:
    writing = [asked for asked in prompts_of(toy, MemAlpha) if asked.get("tools")]
    assert len(writing) == len(DAYS)
    assert len({json.dumps(asked["tools"]) for asked in writing}) == 1
    assert len({asked["messages"][0]["content"] for asked in writing}) == 1
    texts = [rendered(asked) for asked in writing]
    for number, (one, other) in enumerate(itertools.pairwise(texts)):
        common = shared(one, other)
        assert "user: <memory>\n" in common
        assert f"<new_chunk>\n{DAYS[number]}" not in common
        if number:  # written at the first chunk
            assert "Core memory:\nIt is known: Anna bakes bread." in common
        if DAYS[number] == "Nothing happens.":
            assert common.endswith("</memory>\n\n<new_chunk>\n")  # the whole memory


@pytest.mark.parametrize("name", sorted(prompts.READER))
def test_every_reader_has_instructions_memory_question_options_in_this_order(name: str) -> None:
    def prompt(question: str, options: list[str]) -> str:
        messages = prompts.reader_messages(prompts.READER[name], "the memory", question, "2024-05-01", options)
        return rendered({"messages": messages})

    one, other = prompt("Who?", ["a", "b"]), prompt("Why?", ["c", "d"])
    assert shared(one, other).endswith("<memory>\nthe memory\n</memory>\n\n<question>\n[2024-05-01] Wh")
    assert one.index("<question>\n") < one.index("<options>\n")
