"""Run folders made by hand, and judges that follow a rule given by the test."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from memeval.judging.judge import Judge
from memeval.records.rows import QuestionRow, SampleRow


def question(name: str, **fields: Any) -> dict[str, Any]:
    """A line of questions.jsonl."""
    return {
        "question_id": name,
        "context_id": f"c-{name}",
        "cluster": name,
        "text": f"What about {name}?",
        "answers": [f"gold of {name}"],
        "kind": "all",
        "time": None,
        "options": None,
        "position": None,
        "answerable": True,
        "evidence": [],
        **fields,
    }


def sample(name: str, answer: str | None, **fields: Any) -> dict[str, Any]:
    """A line of samples.jsonl, as far as a judge reads it."""
    return {
        "question_id": name,
        "context_id": f"c-{name}",
        "repeat": 0,
        "answer_repeat": 0,
        "answer": answer,
        "failure": None,
        "finish_reason": "stop",
        **fields,
    }


def write_run(folder: Path, questions: Sequence[Any], samples: Sequence[Any], **manifest: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    facts = {
        **{"format": 0, "hash": "", "ingest_hash": "", "typed": {}, "agent": "a", "track": "reader", "source": "jsonl"},
        "models": {"memory": "openai/gpt-4o", "reader": "Qwen/Qwen3-32B"},
        **manifest,
    }
    (folder / "manifest.json").write_text(json.dumps(facts))
    for name, lines in (("questions", questions), ("samples", samples)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def rules(path: Path, *pairs: tuple[str, str]) -> str:
    """The name of a scripted judge: (text in the prompt, reply), the first that matches."""
    path.write_text("".join(json.dumps({"contains": text, "reply": reply}) + "\n" for text, reply in pairs))
    return f"scripted:{path}"


def judged_lines(
    samples: Sequence[Any],
    questions: dict[str, Any],
    family: str,
    generate: Any,
    params: dict[str, Any] | None = None,
    prompt: str | None = None,
    **options: Any,
) -> list[dict[str, Any]]:
    """The lines of a judge's scores file without what is empty."""
    rows = msgspec.convert(samples, list[SampleRow])
    asked = msgspec.convert(questions, dict[str, QuestionRow])
    found = asyncio.run(Judge(family, generate, params or {}, prompt).samples(rows, asked, **options))
    empty = ("reply", "counts", "points", "order", "scorer")
    return [{key: value for key, value in msgspec.to_builtins(row).items() if key not in empty or value} for row in found]
