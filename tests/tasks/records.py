"""Records of question sets over paragraphs, made up, in upstream's schema and as rows of the hub; and what a task makes of
such data."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memeval.errors import UsageError
from memeval.task import Context
from memeval.tasks import Task


def everything(task: Task) -> dict[str, Context]:
    """Every context, by id, in the order of its first question."""
    return {ref.context_id: task.context(ref) for ref in task.refs(task.order)}


def refusal(load: Callable[..., Task], *given: Any, **params: Any) -> str:
    """The one line by which a task's data are refused when it is loaded or its contexts are built."""
    with pytest.raises(UsageError) as caught:
        everything(load(*given, **params))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def write(root: Path, name: str, rows: Any) -> Path:
    """A .json, .jsonl (both also .gz) or .parquet file. rows: records, or the bytes of the file."""
    path = root / name
    if name.endswith(".parquet"):
        return parquet(path, rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(rows, bytes):
        data = rows
    else:
        data = ("".join(f"{json.dumps(row)}\n" for row in rows) if ".jsonl" in name else json.dumps(rows)).encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    import pyarrow
    import pyarrow.parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


def multihop(n: int) -> dict[str, Any]:
    """A record in upstream's schema: four paragraphs, two of them gold."""
    context = [[f"Place {n}-{i}", [f"Place {n}-{i} is a town.", f" It has {n + i} mills.", " It is old."]] for i in range(4)]
    return {
        "_id": f"id{n}",
        "type": "bridge" if n % 2 else "comparison",
        "level": "hard",
        "question": f"How many mills has the town near Place {n}-0?",
        "answer": f"{n + 2} mills",
        "supporting_facts": [[f"Place {n}-2", 1], [f"Place {n}-0", 0], [f"Place {n}-2", 2]],
        "context": context,
    }


def multihop_row(item: dict[str, Any]) -> dict[str, Any]:
    """The same record as a row of the hub."""
    row = {key: value for key, value in item.items() if key not in ("_id", "context", "supporting_facts")}
    row["id"] = item["_id"]
    row["supporting_facts"] = {
        "title": [title for title, _ in item["supporting_facts"]],
        "sent_id": [number for _, number in item["supporting_facts"]],
    }
    row["context"] = {"title": [title for title, _ in item["context"]], "sentences": [parts for _, parts in item["context"]]}
    return row


def nq(n: int, distractors: int = 0, gold_at: int = 0) -> dict[str, Any]:
    """A record in lost-in-the-middle's schema."""
    gold = {"title": f"River {n}", "text": f"River {n} is {n + 3} km long.", "hasanswer": True, "isgold": True}
    ctxs: list[dict[str, Any]] = [
        {
            "id": str(100 * n + i),
            "title": f"Hill {n}-{i}",
            "text": f"Hill {n}-{i} is not a river.",
            "score": 1.0 / (i + 1),
            "hasanswer": False,
            "isgold": False,
            "original_retrieval_index": i,
        }
        for i in range(distractors)
    ]
    ctxs.insert(gold_at, gold)
    return {
        "question": f"how long is river {n}",
        "answers": [f"{n + 3} km", f"{n + 3} kilometres"],
        "ctxs": ctxs,
        "nq_annotated_gold": {
            "title": gold["title"],
            "long_answer": gold["text"],
            "chunked_long_answer": gold["text"],
            "short_answers": [f"{n + 3} km"],
        },
    }


def triviaqa_pages(n: int) -> dict[str, str]:
    """File name -> text of the evidence pages of question n, three paragraphs each."""
    about = " ".join(f"detail{n}.{i}" for i in range(20))
    return {
        f"Composer_{n}.txt": (
            f"Composer {n} was born in Town {n} and left it early, {about}.\n\n"
            f"The musical of Composer {n} that opened in the year {1900 + n} is Opus {n}, {about}.\n\n"
            f"Later years brought nothing, {about}.\n"
        ),
        f"Town_{n}.txt": (
            f"Town {n} has a river, a mill and a church, {about}.\n\n"
            f"Opus {n} is played in Town {n} every summer, {about}.\n\n"
            f"Its mayor is not known, {about}."
        ),
    }


def triviaqa(n: int) -> dict[str, Any]:
    """A row of the hub."""
    pages = triviaqa_pages(n)
    return {
        "question": f"Which musical of Composer {n} opened in {1900 + n}?",
        "question_id": f"tc_{n}",
        "question_source": "http://www.triviacountry.com/",
        "entity_pages": {
            "doc_source": ["TagMe", "TagMe"],
            "filename": list(pages),
            "title": [name[:-4].replace("_", " ") for name in pages],
            "wiki_context": [text.strip() for text in pages.values()],
        },
        "search_results": {"title": [], "search_context": []},
        "answer": {
            "aliases": [f"Opus {n}", f"Opus-{n}", f"The Opus {n}", "!!!", f"Op. {n}"],
            "normalized_aliases": [f"opus {n}", f"op {n}"],
            "normalized_value": f"opus {n}",
            "type": "WikipediaEntity",
            "value": f"Opus {n}",
        },
    }
