"""Prices: goldens are the providers' own price lists, and arithmetic by hand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memeval.errors import UsageError
from memeval.models import prices
from memeval.models.completion import Usage
from memeval.models.prices import Price, context_window, cost, price

PER_MILLION = Price(2e-6, 10e-6, 0.5e-6, "test")
"""2 USD a million prompt tokens, 0.5 from the cache, 10 for the completion."""


@pytest.fixture(autouse=True)
def empty_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_cost_by_hand() -> None:
    # 600,000 fresh at 2 = 1.2; 400,000 cached at 0.5 = 0.2; 50,000 at 10 = 0.5
    assert cost(Usage(1_000_000, 50_000, 400_000, reasoning=30_000), PER_MILLION) == pytest.approx(1.9)
    assert cost(Usage(), PER_MILLION) == 0.0
    assert cost(Usage(10, 10), None) is None


def test_more_cached_than_read_is_not_a_refund() -> None:
    assert cost(Usage(100, 0, cached=500), PER_MILLION) == pytest.approx(100 * 0.5e-6)


def test_long_prompts_cost_more_where_they_do() -> None:
    stepped = Price(1e-6, 4e-6, 1e-6, "test", ((200_000, Price(2e-6, 6e-6, 2e-6, "test")),))
    assert cost(Usage(200_000, 1000), stepped) == pytest.approx(0.2 + 0.004)
    assert cost(Usage(200_001, 1000), stepped) == pytest.approx(0.400002 + 0.006)
    assert cost(Usage(600_000, 1000), stepped, calls=3) == pytest.approx(0.6 + 0.004)  # 200,000 each


@settings(deadline=None, max_examples=50, derandomize=True)
@given(st.tuples(*[st.integers(0, 10**7)] * 6))
def test_cost_adds_up(numbers: tuple[int, ...]) -> None:
    one = Usage(max(numbers[0], numbers[2]), numbers[1], min(numbers[0], numbers[2]))
    two = Usage(max(numbers[3], numbers[5]), numbers[4], min(numbers[3], numbers[5]))
    parts = (cost(one, PER_MILLION) or 0.0) + (cost(two, PER_MILLION) or 0.0)
    assert cost(one + two, PER_MILLION) == pytest.approx(parts, rel=1e-12, abs=1e-12)


def test_the_table_is_where_we_read_it() -> None:
    """Breaks when litellm moves or renames its table."""
    path = prices.table_path()
    assert path is not None
    assert path.is_file()
    assert len(prices.table()) > 1000


@pytest.mark.parametrize(
    ("name", "listed", "window"),
    [  # USD per million tokens (prompt, completion, cached), as the providers' price pages print them
        ("openai/gpt-4o-mini", (0.15, 0.60, 0.075), 128_000),
        ("openai/gpt-4o-mini-2024-07-18", (0.15, 0.60, 0.075), 128_000),
        ("anthropic/claude-sonnet-4-5", (3.0, 15.0, 0.30), 200_000),  # the table has it without the provider
        ("gemini/gemini-2.5-pro", (1.25, 10.0, 0.125), 1_048_576),
        ("openai/text-embedding-3-small", (0.02, 0.0, 0.02), 8191),
    ],
)
def test_listed_prices(name: str, listed: tuple[float, ...], window: int) -> None:
    found = price(name)
    assert found is not None
    assert found.to_json() == {"prompt": listed[0], "completion": listed[1], "cached": listed[2], "source": "litellm"}
    assert context_window(name) == window


def test_steps_of_the_table() -> None:
    found = price("gemini/gemini-2.5-pro")
    assert found is not None
    assert [(tokens, dearer.to_json()["prompt"], dearer.to_json()["completion"]) for tokens, dearer in found.above] == [
        (200_000, 2.5, 15.0)
    ]


@pytest.mark.parametrize(
    ("name", "base_url"),
    [
        ("offline", None),
        ("scripted:gpt-4o-mini", None),
        ("hf/openai/gpt-4o-mini", None),
        ("vllm/openai/gpt-4o-mini", None),
        ("openai/no-such-model", None),
        ("gpt-4o-mini", None),  # no provider: no such model of ours
        ("anthropic/gpt-4o-mini", None),  # another provider's
        ("ollama/llama3", None),  # the table says 0
        ("perplexity/pplx-7b-online", None),  # 0 for the prompt, a price for the completion
        ("gpt-4o-mini", "http://localhost:8000/v1"),
        ("openai/gpt-4o-mini", "http://localhost:8000/v1"),
        ("sample_spec", None),
        ("", None),
    ],
)
def test_unknown_prices_are_none(name: str, base_url: str | None) -> None:
    assert price(name, base_url) is None


def test_openais_own_url_is_openai() -> None:
    assert price("gpt-4o-mini", "https://api.openai.com/v1") == price("openai/gpt-4o-mini")
    assert context_window("gpt-4o-mini", "https://api.openai.com/v1") == 128_000
    assert context_window("gpt-4o-mini", "http://localhost:8000/v1") is None


def test_without_litellm_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prices.importlib.util, "find_spec", lambda name: None)
    prices.table.cache_clear()
    try:
        assert prices.table_path() is None
        assert price("openai/gpt-4o-mini") is None
        assert context_window("openai/gpt-4o-mini") is None
    finally:
        prices.table.cache_clear()


def test_a_damaged_table_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "table.json").write_text("{")
    monkeypatch.setattr(prices, "table_path", lambda: tmp_path / "table.json")
    prices.table.cache_clear()
    try:
        with pytest.raises(UsageError, match="cannot read litellm's price table"):
            price("openai/gpt-4o-mini")
    finally:
        prices.table.cache_clear()


def test_prices_of_the_project_come_first(tmp_path: Path) -> None:
    (tmp_path / "memeval.yaml").write_text(
        "prices:\n"
        "  Qwen/Qwen3-4B: {prompt: 0.1, completion: 0.4}\n"
        "  openai/gpt-4o-mini: {prompt: 1, completion: 2, cached: 0.5}\n"
        "  offline: {prompt: 0, completion: 0}\n"
    )
    found = price("Qwen/Qwen3-4B", "http://localhost:8000/v1")
    assert found is not None
    assert found.to_json() == {"prompt": 0.1, "completion": 0.4, "cached": 0.1, "source": "memeval.yaml"}
    assert price("openai/gpt-4o-mini") == Price(1e-6, 2e-6, 0.5e-6, "memeval.yaml")
    assert cost(Usage(10**6, 10**6), price("offline")) == 0.0  # said to be free, which is not the same as unknown
    assert price("offline2") is None


def test_input_and_output_are_prompt_and_completion(tmp_path: Path) -> None:
    (tmp_path / "memeval.yaml").write_text("prices: {m: {input: 0.1, output: 0.4, cached: 0.05}}\n")
    found = price("m", "http://localhost:8000/v1")
    assert found is not None
    assert found.to_json() == {"prompt": 0.1, "completion": 0.4, "cached": 0.05, "source": "memeval.yaml"}


@pytest.mark.parametrize(
    ("yaml", "line"),
    [
        ("prices: 3\n", "'prices' is 3, expected"),
        ("prices: {m: 0.1}\n", "prices.m is 0.1, expected"),
        ("prices: {m: {promt: 1, completion: 1}}\n", "unknown key 'promt'; did you mean 'prompt'?"),
        ("prices: {m: {prompt: 1}}\n", "prices.m: 'completion' (or 'output') is missing"),
        ("prices: {m: {prompt: cheap, completion: 1}}\n", "prices.m.prompt is 'cheap'"),
        ("prices: {m: {input: cheap, output: 1}}\n", "prices.m.input is 'cheap'"),
        ("prices: {m: {prompt: -1, completion: 1}}\n", "prices.m.prompt is -1"),
        ("prices: {m: {prompt: true, completion: 1}}\n", "prices.m.prompt is True"),
        ("prices: {m: {input: 1, prompt: 1, output: 1}}\n", "prices.m: 'input' and 'prompt' are the same; give one of them"),
        ("prices: {m: {inputs: 1, output: 1}}\n", "unknown key 'inputs'; did you mean 'input'?"),
        ("prices: {m: {prompt: .nan, completion: 1}}\n", "prices.m.prompt is nan"),
    ],
)
def test_wrong_prices_are_one_line(tmp_path: Path, yaml: str, line: str) -> None:
    (tmp_path / "memeval.yaml").write_text(yaml)
    with pytest.raises(UsageError) as caught:
        price("openai/gpt-4o-mini")
    assert line in str(caught.value)
    assert "memeval.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_litellm_is_not_imported() -> None:
    code = "from memeval.models.prices import price; assert price('openai/gpt-4o-mini'); import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"litellm", "aiohttp", "numpy", "asyncio"} & set(done.stdout.split())
