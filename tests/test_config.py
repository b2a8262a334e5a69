"""What a user sets once: variables that nobody reads are told of, and a key that stands twice is refused with its line."""

import pytest

from memeval import config
from memeval.errors import UsageError


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config._tell_of_unread_variables.cache_clear()
    return tmp_path


def test_a_misspelt_variable_is_told_of_once(monkeypatch, capsys):
    monkeypatch.setenv("MEMEVAL_DATA_DIR", "/data")
    monkeypatch.setenv("MEMEVAL_DATA", "/data")
    assert (config.read_config(), config.read_config()) == ({}, {})
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith("memeval: the variable MEMEVAL_DATA_DIR is not read (but MEMEVAL_MODEL, ")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("model: offline\nreader: offline\nmodel: m\n", "memeval.yaml:3: not valid YAML: the key 'model' stands twice"),
        ("prices:\n  m: {prompt: 1}\n  m: {prompt: 2}\n", "memeval.yaml:3: not valid YAML: the key 'm' stands twice"),
    ],
)
def test_a_key_that_stands_twice_is_refused(elsewhere, text, place):
    (elsewhere / "memeval.yaml").write_text(text)
    with pytest.raises(UsageError) as caught:
        config.read_config()
    assert str(caught.value) == place


def test_a_merged_key_may_be_set_again(elsewhere):
    (elsewhere / "memeval.yaml").write_text(
        "prices:\n  a: &a {prompt: 1, completion: 2}\n  b: &b {<<: *a, prompt: 3}\n  c: {<<: *b, prompt: 4}\n"
    )
    assert config.read_config()["prices"]["c"] == {"prompt": 4, "completion": 2}
