"""What a user sets once: a variable that is not read is named, and a key that is given twice is refused with its line."""

import pytest

from memeval import config
from memeval.errors import UsageError


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config._warn_of_unread_variables.cache_clear()
    return tmp_path


def test_a_misspelt_variable_is_named_once(monkeypatch, capsys):
    monkeypatch.setenv("MEMEVAL_DATA_DIR", "/data")
    monkeypatch.setenv("MEMEVAL_DATA", "/data")
    assert (config.read_config(), config.read_config()) == ({}, {})
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith("memeval: the variable MEMEVAL_DATA_DIR is not read; did you mean 'MEMEVAL_DATA'? (known: ")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("model: offline\nreader: offline\nmodel: m\n", "memeval.yaml:3: not valid YAML: the key 'model' occurs twice"),
        ("prices:\n  m: {prompt: 1}\n  m: {prompt: 2}\n", "memeval.yaml:3: not valid YAML: the key 'm' occurs twice"),
    ],
)
def test_a_key_that_occurs_twice_is_refused(elsewhere, text, place):
    (elsewhere / "memeval.yaml").write_text(text)
    with pytest.raises(UsageError) as caught:
        config.read_config()
    assert str(caught.value) == place


def test_a_merged_key_may_be_set_again(elsewhere):
    (elsewhere / "memeval.yaml").write_text(
        "prices:\n  a: &a {prompt: 1, completion: 2}\n  b: &b {<<: *a, prompt: 3}\n  c: {<<: *b, prompt: 4}\n"
    )
    assert config.read_config()["prices"]["c"] == {"prompt": 4, "completion": 2}
