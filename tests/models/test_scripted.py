import asyncio
import json

import pytest

from memeval.errors import UsageError
from memeval.models.completion import Completion, Request, Usage
from memeval.models.scripted import ScriptedModel

TOOLS = [{"type": "function", "function": {"name": "f"}}]


def asked(text, tools=None):
    return Request([{"role": "system", "content": "rules"}, {"role": "user", "content": text}], tools)


def ask(model, *requests):
    async def main():
        return [await model.complete(request) for request in requests]

    return asyncio.run(main())


def test_a_list_is_used_in_order_and_ends_in_an_error():
    model = ScriptedModel(["one", Completion("two", usage=Usage(1, 2))])
    requests = [asked("a"), asked("b"), asked("c")]
    one, two, none = ask(model, *requests)
    assert (one.text, one.usage) == ("one", Usage(2, 1))  # 6 and 3 characters
    assert two == Completion("two", usage=Usage(1, 2))
    assert none.error == "the script holds 2 replies and no more"
    assert model.requests == requests


def test_a_function_of_the_request():
    model = ScriptedModel(lambda request: request.messages[-1]["content"].upper())
    assert ask(model, asked("abc"))[0].text == "ABC"


def test_tool_calls_are_read_from_a_string_when_tools_are_offered():
    text = 'Sure. <tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>'
    plain, called = ask(ScriptedModel([text, text]), asked("a"), asked("a", TOOLS))
    assert (plain.text, plain.tool_calls, plain.finish_reason) == (text, (), "stop")
    assert (called.text, called.tool_calls[0].arguments, called.finish_reason) == ("Sure.", {"a": 1}, "tool_calls")


def test_rules_of_a_file(tmp_path):
    path = tmp_path / "rules.jsonl"
    rules = [
        {"contains": "capital", "reply": "Paris"},
        {
            "contains": "note",
            "reply": {"text": "noted", "tool_calls": [{"name": "f", "arguments": {"a": 1}}, {"name": "g"}]},
        },
        {"contains": "rules", "reply": "as the system says"},
    ]
    path.write_text("\n\n".join(json.dumps(rule) for rule in rules))
    model = ScriptedModel.from_file(path)
    capital, note, other = ask(model, asked("the capital?"), asked("note this"), asked("?"))
    assert (capital.text, other.text) == ("Paris", "as the system says")
    assert [(call.name, call.arguments) for call in note.tool_calls] == [("f", {"a": 1}), ("g", {})]
    assert (note.text, note.finish_reason) == ("noted", "tool_calls")
    (unknown,) = ask(model, Request([{"role": "user", "content": "?"}]))
    assert unknown.error == "no rule of rules.jsonl matches the request"

    identity = model.identity
    path.write_text('{"reply": "changed"}')
    assert ScriptedModel.from_file(path).identity != identity
    assert ask(ScriptedModel.from_file(path), asked("anything"))[0].text == "changed"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "not valid JSON"),
        ("[]", "is [], expected a mapping"),
        ('{"reply": 5}', "'reply' is 5, expected a text"),
        ("{}", "'reply' is missing"),
        ('{"contains": 5, "reply": "x"}', "'contains' is 5, expected a text"),
        ('{"contain": "x", "reply": "x"}', "unknown key 'contain'; did you mean 'contains'"),
        ('{"reply": {"text": 5}}', "'reply.text' is 5, expected a text"),
        ('{"reply": {"tool_calls": {}}}', "'reply.tool_calls' is {}, expected a list"),
        ('{"reply": {"tool_calls": [{"arguments": {}}]}}', "'reply.tool_calls[0].name' is missing"),
        ('{"reply": {"tool_calls": [{"name": "f", "arguments": "x"}]}}', "arguments' is 'x', expected a mapping"),
    ],
)
def test_a_bad_rule_is_named_with_file_and_line(tmp_path, line, problem):
    path = tmp_path / "rules.jsonl"
    path.write_text(f'{{"reply": "fine"}}\n{line}\n')
    with pytest.raises(UsageError) as caught:
        ScriptedModel.from_file(path)
    assert f"{path}:2: " in str(caught.value)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UsageError, match="cannot read the rules"):
        ScriptedModel.from_file(tmp_path / "none.jsonl")
