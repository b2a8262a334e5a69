"""The tables of what servers do differently: every row's example is a test of the row."""

import pytest

from memeval.models import rules
from memeval.models.faults import Fault, error_message, outcome
from memeval.models.toolcalls import parse_text

TOOLS = [{"type": "function", "function": {"name": "remember", "parameters": {"properties": {"fact": {"type": "string"}}}}}]


def said(row):
    message, codes = error_message(row.example["body"])
    return f"{codes}: {message}"


WORDINGS = [
    (row, status, text)
    for row in rules.refusals()
    for status, text in [(row.example["status"], said(row)), *((status, f": {text}") for status, text in row.also)]
]


@pytest.mark.parametrize(("row", "status", "text"), WORDINGS, ids=[f"{row.name}: {text[:50]}" for row, _, text in WORDINGS])
def test_each_refusal_is_found_by_its_examples_and_no_other_row_is(row, status, text):
    found = [
        other.name
        for other in rules.refusals()
        if (other.match is None) == (row.match is None) and other.groups(status, text, tools=True) is not None
    ]
    assert found == [row.name]
    assert rules.refusal(status, text, tools=True)[0] is row


@pytest.mark.parametrize("row", rules.refusals(), ids=lambda row: row.name)
def test_each_refusal_says_what_to_do(row):
    assert row.does in ("stop", "adapt", "finish", "wait", "retry")
    assert bool(row.remedy) == (row.does == "stop")
    assert "\n" not in row.remedy.format(name="m", url="http://h/v1")
    assert bool(row.finish) == (row.does == "finish")
    changes = [row.rename, row.stream, row.limit, row.match is not None and "param" in row.match.groupindex]
    assert sum(map(bool, changes)) == (row.does == "adapt")


@pytest.mark.parametrize(("status", "slower"), [(429, True), (503, True), (529, True), (500, False), (502, False)])
def test_an_overloaded_server_gets_fewer_calls_at_once(status, slower):
    with pytest.raises(Fault) as fault:
        outcome(status, {}, ": busy", "busy", tools=False)
    assert fault.value.slower is slower


@pytest.mark.parametrize("row", rules.finish_reasons(), ids=lambda row: row.gives)
def test_each_finish_reason_is_read_from_its_example(row):
    assert rules.finish_reason(row.example) == row.gives
    assert [other.gives for other in rules.finish_reasons() if row.spelt & other.spelt] == [row.gives]


@pytest.mark.parametrize(
    ("spelt", "reason"),
    [
        *((None, "stop"), ("", "stop"), (7, "stop"), ("FinishReason.SAFETY", "content_filter"), ("odd", "odd")),
        *(("max_new_tokens", "length"), ("TRUNCATED", "length"), ("limit", "length"), ("LENGTH_LIMIT_REACHED", "length")),
        *(("IMAGE_SAFETY", "content_filter"), ("blocked_by_policy", "content_filter"), ("USER_CANCEL", "broken")),
        *(("server_error", "broken"), ("ERROR_LIMIT", "length")),
    ],
)
def test_finish_reasons_that_no_row_has(spelt, reason):
    assert rules.finish_reason(spelt) == reason


@pytest.mark.parametrize("row", rules.spellings(), ids=lambda row: row.name)
def test_each_spelling_of_a_call_is_read_from_its_example(row):
    _, (call,) = parse_text(row.example, TOOLS)
    assert (call.name, call.arguments, call.error) == ("remember", {"fact": "opens at nine"}, None)
    marked = [other for other in rules.spellings() if other.holds not in ("json", "python")]
    if row in marked:
        assert [other.name for other in marked if other.starts.search(row.example)] == [row.name]


@pytest.mark.parametrize("row", rules.decorations(), ids=lambda row: row.name)
def test_each_decoration_of_a_name_is_taken_off(row):
    assert row.match.sub("", row.example) == "remember"
    assert [other.name for other in rules.decorations() if other.match.search(row.example)] == [row.name]


@pytest.mark.parametrize("row", rules.switches(), ids=lambda row: row.name)
def test_each_family_has_its_switches(row):
    assert rules.switch(row.example, True) == row.on != row.off == rules.switch(row.example, False)
    others = [other.name for other in rules.switches() if other.match and other.match.search(row.example)]
    assert others == ([row.name] if row.match else [])
