import asyncio
import json

import pytest

from memeval.errors import UsageError
from memeval.models.completion import Request, Usage
from memeval.models.scripted import ScriptedModel

TOOLS = [{"type": "function", "function": {"name": "f"}}]


def asked(text, tools=None):
    return Request([{"role": "system", "content": "rules"}, {"role": "user", "content": text}], tools)


def ask(model, *requests):
    async def main():
        return [await model.complete(request) for request in requests]

    return asyncio.run(main())


def test_tool_calls_are_read_from_a_text_when_tools_are_offered(tmp_path):
    text = 'Sure. <tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>'
    (tmp_path / "rules.jsonl").write_text(json.dumps({"reply": text}))
    plain, called = ask(ScriptedModel(tmp_path / "rules.jsonl"), asked("a"), asked("a", TOOLS))
    assert (plain.text, plain.tool_calls, plain.finish_reason) == (text, (), "stop")
    assert plain.usage == Usage(2, 17)  # 6 and 65 characters
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
    model = ScriptedModel(path)
    capital, note, other = ask(model, asked("the capital?"), asked("note this"), asked("?"))
    assert (capital.text, other.text) == ("Paris", "as the system says")
    assert [(call.name, call.arguments) for call in note.tool_calls] == [("f", {"a": 1}), ("g", {})]
    assert (note.text, note.finish_reason) == ("noted", "tool_calls")
    (unknown,) = ask(model, Request([{"role": "user", "content": "?"}]))
    assert unknown.error == "no rule of rules.jsonl matches the request"

    identity = model.identity
    path.write_text('{"reply": "changed"}')
    assert ScriptedModel(path).identity != identity
    assert ask(ScriptedModel(path), asked("anything"))[0].text == "changed"


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
        ScriptedModel(path)
    assert f"{path}:2: " in str(caught.value)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UsageError, match="cannot read the rules"):
        ScriptedModel(tmp_path / "none.jsonl")
