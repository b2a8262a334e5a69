"""No key of the environment in a message or a child's environment, whatever provider it is for."""

import json
from urllib.parse import quote

import pytest

from memeval.models.keys import environment, hide
from memeval.models.reply import one_line

KEY = 'or/secret+key"987<65'


@pytest.mark.parametrize(
    "variable",
    ["GEMINI_API_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "HF_TOKEN", "AZURE_CLIENT_SECRET", "DB_PASSWORD"],
)
def test_keys_of_all_providers_are_hidden_and_handed_to_no_child(monkeypatch, variable):
    monkeypatch.setenv(variable, f" {KEY}\n")
    assert (
        hide(f"is {KEY} right? {json.dumps(KEY)} ?key={quote(KEY, safe='')}&b=1") == 'is [key] right? "[key]" ?key=[key]&b=1'
    )
    assert one_line(f"wrong key:\n{KEY}.") == "wrong key: [key]."
    assert variable not in environment()


def test_what_is_no_key_stays(monkeypatch):
    for variable, value in {"OPENAI_API_KEY": "EMPTY", "MAX_TOKENS": "100000", "KEYBOARD_LAYOUT": "german"}.items():
        monkeypatch.setenv(variable, value)
    assert hide("EMPTY german 100000") == "EMPTY german 100000"
    assert {"MAX_TOKENS", "KEYBOARD_LAYOUT"} <= set(environment())


def test_slashes_as_some_servers_escape_them(monkeypatch):
    monkeypatch.setenv("ONE_API_KEY", "ab/cd/efgh")
    assert hide(r'{"error": "ab\/cd\/efgh"}') == '{"error": "[key]"}'


def test_a_key_that_is_a_part_of_another_leaves_nothing_of_it(monkeypatch):
    monkeypatch.setenv("ONE_API_KEY", "abcdefgh")
    monkeypatch.setenv("TWO_API_KEY", "abcdefgh12345678")
    assert hide("abcdefgh12345678 abcdefgh") == "[key] [key]"
