"""Token counts: golden values are those OpenAI prints in its cookbook ("How to count tokens with tiktoken")."""

from __future__ import annotations

import itertools
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memeval import tokens
from memeval.errors import UsageError

ODD = st.text(alphabet=st.sampled_from(list("ab A.,/!'\n\t –é中\U0001f600\u0301 12_<|>\u00a0")), max_size=40)


def test_the_vocabularies_are_where_litellm_ships_them() -> None:
    folder = tokens.litellm_vocabularies()
    assert folder is not None
    # sha1 of .../encodings/o200k_base.tiktoken and .../cl100k_base.tiktoken: how tiktoken names its cache
    assert (folder / "fb374d419588a4632f3f557e76b4b70aebbca790").is_file()
    assert (folder / "9b5ad71b2ce5302211f9c61530b329a4922fc6a4").is_file()


def test_counting_needs_neither_network_nor_litellm() -> None:
    code = (
        "import socket, sys\n"
        "def refuse(*a, **k): raise AssertionError('network')\n"
        "socket.socket.connect = refuse; socket.getaddrinfo = refuse\n"
        "from memeval import tokens\n"
        "print(tokens.counter()('tiktoken is great!'), 'litellm' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["6", "False"]


@pytest.mark.parametrize(
    ("text", "cl100k", "o200k"),
    [("antidisestablishmentarianism", 6, 6), ("2 + 2 = 4", 7, 7), ("お誕生日おめでとう", 9, 8), ("", 0, 0)],
)
def test_published_counts(text: str, cl100k: int, o200k: int) -> None:
    assert tokens.counter("cl100k_base")(text) == cl100k
    assert tokens.counter("o200k_base")(text) == o200k


def test_a_model_name_means_its_encoding() -> None:
    assert tokens.counter("gpt-4o").name == "o200k_base"
    assert not tokens.counter("gpt-4o").approximate


def test_special_tokens_in_data_are_text() -> None:
    count = tokens.counter()
    assert count("<|endoftext|>") > 1
    assert count.truncate("before <|endoftext|> after", 100) == "before <|endoftext|> after"


def test_the_environment_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))  # a folder without vocabularies does not hide litellm's
    tokens.counter.cache_clear()
    assert tokens.counter("p50k_base")("two words") == 2
    assert __import__("os").environ["TIKTOKEN_CACHE_DIR"] == str(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_vocabulary_that_is_not_here_is_a_usage_error(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr(tokens, "_vocabulary_folders", lambda: [tmp_path])
    tokens.counter.cache_clear()
    with pytest.raises(UsageError, match=r"'o200k_base': its vocabulary is not on this machine.*TIKTOKEN_CACHE_DIR"):
        tokens.counter("o200k_base")
    tokens.counter.cache_clear()


def test_unknown_names_get_a_suggestion() -> None:
    with pytest.raises(UsageError, match=r"unknown tokenizer 'o200k_bass'; did you mean 'o200k_base'\?"):
        tokens.counter("o200k_bass")


def test_a_hub_tokenizer_that_is_not_here_is_approximated_and_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    count = tokens.counter("some-org/some-model")
    assert count.approximate
    assert "o200k_base" in count.name
    assert "some-org/some-model" in count.name
    assert count("tiktoken is great!") == 6


@pytest.fixture
def word_tokenizer(tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit

    model = tokenizers.Tokenizer(WordLevel({"one": 0, "two": 1, "<unk>": 2, "<end>": 3}, unk_token="<unk>"))
    model.pre_tokenizer = WhitespaceSplit()
    model.add_special_tokens(["<end>"])
    model.enable_truncation(3)  # some published tokenizers ship with it on
    model.save(str(tmp_path / "tokenizer.json"))
    return tmp_path


def test_a_hugging_face_tokenizer_folder(word_tokenizer) -> None:
    count = tokens.counter(str(word_tokenizer))
    assert not count.approximate
    assert count("one two three four") == 4
    assert count.truncate("one  two three four", 2) == "one  two"
    assert count("one<end>two") == 1  # text like any other: no token of its own
    assert count.joint("one", "two") is None  # nothing is promised for an unknown tokenizer


def test_a_broken_tokenizer_file_is_a_usage_error(tmp_path) -> None:
    pytest.importorskip("tokenizers")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(UsageError, match=r"tokenizer\.json: not a tokenizer"):
        tokens.counter(str(tmp_path))


@settings(deadline=None, max_examples=120, derandomize=True)
@given(ODD, st.integers(0, 12))
def test_truncate_keeps_a_beginning_within_the_limit(text: str, limit: int) -> None:
    count = tokens.counter()
    cut = count.truncate(text, limit)
    assert text.startswith(cut)
    assert count(cut) <= limit
    if count(text) <= limit:
        assert cut == text


@pytest.mark.parametrize("name", ["o200k_base", "cl100k_base", "p50k_base"])
@settings(deadline=None, max_examples=120, derandomize=True)
@given(parts=st.lists(ODD.map(str.strip).filter(bool), min_size=2, max_size=5))
def test_a_joint_equals_a_recount(name: str, parts: list[str]) -> None:
    count = tokens.counter(name)
    total, whole = count(parts[0]), parts[0]
    for last, text in itertools.pairwise(parts):
        whole = f"{whole}\n\n{text}"
        between, apart = count.joint(last, text), total + count(text)
        total = count(whole)
        assert between in (total - apart, None)
        assert between is not None or "/" in (text[0], last[0])


@pytest.mark.parametrize("piece", [" ", "a", "A", ".", "\n", "aA", "中", "\u0301", "^_", " \n"])
def test_a_million_equal_characters_take_linear_time_and_little_error(piece: str, linear: Any) -> None:
    count = tokens.TokenCounter("fresh", tokens.counter()._codec)
    linear(count, piece)
    linear(lambda text: count.truncate(text, 1000), piece)
    size = count(piece * (1_000_000 // len(piece)))
    small = count(piece * (10_000 // len(piece)))
    assert abs(size - 100 * small) <= 0.02 * size + 100


def test_cuts_in_long_runs_change_the_count_by_a_token_or_two_each() -> None:
    encoding = tokens.counter()._codec._encoding
    for text in ("x" * 40_000, " " * 40_000 + "x", "ab" * 20_000, "=" * 40_000):
        exact = len(encoding.encode_ordinary(text))
        assert abs(tokens.counter()(text) - exact) <= 2 * (len(text) // 4096)


def test_half_a_surrogate_pair_is_counted_not_raised() -> None:
    count = tokens.counter()
    assert count("a\ud83db") >= 2
    assert count("a" * 100 + "\ud83d") >= 2
    assert count.truncate("a\ud83db", 1) == "a"


def test_counts_are_remembered_and_the_oldest_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    class Codec:
        additive = False
        counted = 0

        def size(self, text: str) -> int:
            self.counted += 1
            return len(text)

        def prefix(self, text: str, tokens: int) -> str:
            return text[:tokens]

    codec = Codec()
    count = tokens.TokenCounter("toy", codec)
    texts = [f"{'word ' * 20}{n}" for n in range(50)]
    assert [count(text) for text in texts * 3] == [len(text) for text in texts * 3]
    assert codec.counted == 50
    count = tokens.TokenCounter("toy", codec)
    monkeypatch.setattr(tokens, "MEMO", 2_000)  # some ten of these texts, and ten older ones
    assert [count(text) for text in texts * 3] == [len(text) for text in texts * 3]
    assert codec.counted > 100
    before = codec.counted
    for _ in range(5):
        assert count(texts[-1]) == len(texts[-1])
    assert codec.counted == before
