"""BookSum as Mem-alpha builds it: a chapter read over some weeks, and one question: what was it about?

After process_data.py (`process_booksum_dataset`): chapters of 5 to 20 chunks of at most 2048 tokens, cut at sentence ends,
one to three days apart. The gold is a list of keywords that a model draws from the reference summary; that model is a
callable here. Books are split, not chapters.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from memeval import tokens
from memeval.building.dialogue import FIRST_DAY, read
from memeval.building.instances import Built, Instance, Recipe, find
from memeval.data import records
from memeval.data.fields import text_field
from memeval.errors import UsageError
from memeval.task import Unit
from memeval.tasks import Settings
from memeval.tasks.chunking import pack

CHUNK_TOKENS, FEWEST, MOST = 2048, 5, 20
Keywords = Callable[[str], Sequence[str]]
"""Summary -> its keywords (names, events, places, themes, objects, dates, decisions), of one to three words each."""


def build(
    settings: Settings,
    recipe: Recipe,
    *,
    names: Sequence[str] = ("booksum/chapters.parquet", "booksum/chapters.jsonl"),
    keywords: Keywords | None = None,
) -> Built:
    """names: files of chapters (`text`, `summary`, `book_title`, `chapter_id`) in the data folder, best first. Without
    `keywords` the gold is the whole summary, which is for `rouge_l` and not for `keyword_share`; the metadata say so."""
    loaded = records.read(find(settings, names, [("ubaada/booksum-complete-cleaned", "chapters/train*.parquet")]))
    count = tokens.counter(recipe.tokenizer)
    instances = []
    chapters = 0
    for number, (place, row) in enumerate(loaded.rows()):
        title = text_field(row, "book_title", place)
        if not recipe.takes(title):
            continue
        chapters += 1
        text = text_field(row, "text", place)
        pieces = [chunk.text for chunk in pack([Unit(text)], CHUNK_TOKENS, count)]
        if not FEWEST <= len(pieces) <= MOST:
            continue
        dates = [FIRST_DAY]
        draw = recipe.random("booksum", number)
        dates += [
            dates[0] + datetime.timedelta(days=sum(steps)) for steps in _steps(draw.choices((1, 2, 3), k=len(pieces) - 1))
        ]
        question = {
            "question": f"Summarise what I read in the book from {dates[0]} to {dates[-1]}.",
            "answer": _gold(_summary(row, place), keywords, place),
        }
        chunks = tuple(read(piece, date) for piece, date in zip(pieces, dates, strict=True))
        facts = {"book_title": title, "chapter_id": str(row.get("chapter_id", ""))}
        instances.append(Instance(chunks, (question,), "booksum", (text,), facts))
    filters = {
        f"chapters of {FEWEST} to {MOST} chunks": f"dropped {chapters - len(instances)} of {chapters} chapters",
        "golds as keywords": "not applied: the gold is the whole summary" if keywords is None else "applied",
    }
    return Built("booksum", recipe, tuple(instances), filters, (loaded.facts,))


def _steps(days: Sequence[int]) -> list[Sequence[int]]:
    return [days[: end + 1] for end in range(len(days))]


def _summary(row: Mapping[str, Any], place: str) -> str:
    """A text, or the first of a list of `{"text"}`, as upstream."""
    summary = row.get("summary")
    first = summary[0] if isinstance(summary, list) and summary else summary
    return text_field(first if isinstance(first, Mapping) else {"text": first}, "text", f"{place}: summary")


def _gold(summary: str, keywords: Keywords | None, place: str) -> str | list[str]:
    if keywords is None:
        return summary
    found = [word.strip() for word in keywords(summary) if word.strip()]
    if not found:
        raise UsageError(f"{place}: the summary gave no keyword")
    return found
