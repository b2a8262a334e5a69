"""Judges and the models they judge, by name."""

from __future__ import annotations

import pytest

from memeval.judging.related import families, related


@pytest.mark.parametrize(
    ("judge", "reader"),
    [
        ("openai/gpt-4o-mini", "gpt-4.1"),
        ("openai/o3-mini", "azure/gpt-4o-2024-08-06"),
        ("anthropic/claude-sonnet-4", "bedrock/anthropic.claude-3-haiku"),
        ("Qwen/Qwen3-32B", "Qwen2.5-7B-Instruct"),
        ("deepseek/deepseek-chat", "DeepSeek-R1-Distill-Qwen-7B"),
        ("Qwen3-8B", "DeepSeek-R1-Distill-Qwen-7B"),
        ("my-finetune", "My-Finetune"),
        ("acme/one", "acme/two"),
        ("ollama/llama3.1", "meta-llama/Llama-3.3-70B"),
        ("offline", "offline"),
    ],
)
def test_kin(judge: str, reader: str) -> None:
    assert related(judge, reader)
    assert related(reader, judge)


@pytest.mark.parametrize(
    ("judge", "reader"),
    [
        ("openai/gpt-4o", "Qwen/Qwen3-32B"),
        ("openai/gpt-4o", "offline"),
        ("ollama/mistral", "meta-llama/Llama-3.3-70B"),
        ("TheBloke/Llama-2-7B-GPTQ", "openai/gpt-4o"),
        ("dolphin-2.9", "microsoft/phi-4"),
        ("turbo1-large", "o1"),
        ("my-finetune", "another"),
        ("acme/one", "two"),
        ("acme/one", "openai/gpt-4o"),
    ],
)
def test_strangers(judge: str, reader: str) -> None:
    assert not related(judge, reader)
    assert not related(reader, judge)


def test_families_of_a_distilled_model() -> None:
    assert families("deepseek-ai/DeepSeek-R1-Distill-Llama-70B") == {"DeepSeek", "Meta"}
    assert families("my-finetune") == frozenset()
