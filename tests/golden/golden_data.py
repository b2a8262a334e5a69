"""Made-up rows in the published schemas of the data sets that are not at hand, and a JSON lines task of one's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

WORDS = (
    *("river", "mill", "ferry", "copper", "lantern", "orchard", "harbour"),
    *("ledger", "winter", "bridge", "tailor", "meadow", "signal", "quarry"),
)


def prose(seed: int, words: int) -> str:
    """Text without meaning, the same on every machine."""
    found, state = [], seed * 2654435761 % 2**32
    for place in range(words):
        state = (state * 1664525 + 1013904223) % 2**32
        found.append(WORDS[state % len(WORDS)] + ("." if place % 9 == 8 else ""))
    return " ".join(found)


def triviaqa_row(n: int) -> dict[str, Any]:
    pages = [
        f"Composer {n} was born early, {prose(n, 40)}\n\nThe musical of Composer {n} is Opus {n}, {prose(n + 50, 320)}",
        f"Town {n} has a river, {prose(n + 100, 30)}\n\nOpus {n} is played there, {prose(n + 150, 25)}\n\nShort line.",
    ]
    return {
        "question": f"Which musical of Composer {n} opened in {1900 + n}?",
        "question_id": f"tc_{n}",
        "question_source": "made",
        "entity_pages": {"title": [f"Composer {n}", f"Town {n}"], "wiki_context": pages},
        "search_results": {"title": [], "search_context": []},
        "answer": {
            "value": f"Opus {n}",
            "aliases": [f"Opus {n}", f"Opus-{n}", f"The Opus {n}", "!!!", f"Op. {n}"],
            "normalized_aliases": [f"opus {n}", f"op {n}"],
        },
    }


def memalpha_row(n: int, source: str) -> dict[str, Any]:
    chunks = [f"<User>New facts:\nFact {n}-{part} is so. {prose(10 * n + part, 60)}" for part in range(3)]
    asked: list[dict[str, Any]] = [
        {"question": f"What of fact {n}-1?", "answer": [f"it is so {n}", "so"], "evidence": [f"Fact {n}-1 is so."]},
        {"question": f"How many facts has {n}?", "answer": 3},
        {"question": f"Which fact of {n} is cut?", "answer": "none", "evidence": [["A title", "is in no chunk"]]},
    ]
    return {
        "instance_id": n,
        "prompt": "",
        "chunks": json.dumps(chunks),
        "questions_and_answers": json.dumps(asked),
        "data_source": source,
        "metadata": json.dumps({"book_title": float("nan")}),
        "num_chunks": 3,
        "num_questions": 3,
    }


MAB_META = (
    "qa_pair_ids",
    "question_dates",
    "question_ids",
    "question_types",
    "previous_events",
    "keypoints",
    "haystack_sessions",
)
MAB_CHATS = [
    *(
        "Chat Time: 2023/05/20 (Sat) 02:21",
        [{"role": "user", "content": "I play the viola."}, {"role": "assistant", "content": ""}],
    ),
    *(
        "Chat Time: 2023/05/21 (Sun) 16:10",
        [{"role": "user", "content": 'It\'s "new".'}, {"role": "assistant", "content": "Nice!"}],
    ),
]
_CONTEXTS = {
    "ruler_qa1_197K": "\n".join(f"Document {n}:\nTopic {n}\n{prose(n, 80)}\n" for n in range(1, 9)),
    "eventqa_full": f"It rained.\n\nAnn left.\n  \n{prose(3, 2400)}",
    "longmemeval_s*": repr(MAB_CHATS),
    "icl_nlu_8296shot_balance": "".join(f"{prose(n, 8)}\nlabel: {n}\n\n" for n in range(6)),
    "recsys_redial_full": "Dialogue 1:\nSystem: Hi\nUser: I liked Heat\n\nDialogue 2:\nUser: Hello",
    "infbench_sum_eng_shots2": f"Chapter 1\n\n{prose(4, 300)}",
    "factconsolidation_sh_6k": "Here is a list of facts:\n" + "".join(f"{n}. {prose(n, 7)}\n" for n in range(12)),
}
MAB = {
    "Accurate_Retrieval": ("ruler_qa1_197K", "eventqa_full", "longmemeval_s*"),
    "Test_Time_Learning": ("icl_nlu_8296shot_balance", "recsys_redial_full"),
    "Long_Range_Understanding": ("infbench_sum_eng_shots2",),
    "Conflict_Resolution": ("factconsolidation_sh_6k",),
}


def mab_row(source: str) -> dict[str, Any]:
    meta: dict[str, Any] = {**dict.fromkeys(MAB_META), "demo": None, "source": source}
    if source.startswith("longmemeval"):
        meta |= {"question_ids": ["q0", "q9_abs"], "question_types": ["single-session-user"] * 2}
        meta["question_dates"] = ["2023/05/30 (Tue) 23:40"] * 2
        turn = {"role": "user", "content": 'It\'s "new".', "has_answer": True}
        meta["haystack_sessions"] = [[[turn, {"role": "assistant", "content": "Nice!", "has_answer": None}]]] * 2
    if source.startswith("infbench"):
        meta["keypoints"] = ["it rained", "Ann left"]
    golds = ["509", "7"] if source.startswith("recsys") else ["the viola", "viola"]
    return {
        "context": _CONTEXTS[source],
        "questions": ["Question 0?", "Question 1?"],
        "answers": [golds] * 2,
        "metadata": meta,
    }


def own_line(n: int) -> dict[str, Any]:
    units: list[Any] = [
        f"Diary of day {n}. {prose(n, 50)}",
        {"text": f"Ann has {n} keys.", "time": "2024-05-01", "speaker": "Ann"},
    ]
    asked: list[dict[str, Any]] = [
        {"text": f"How many keys has Ann on day {n}?", "answers": [str(n)], "evidence": [{"text": f"Ann has {n} keys."}]},
        {"question": "Who has a dog?", "answerable": False, "kind": "absent", "position": 1},
        {"id": f"own-{n}", "text": "Who speaks?", "answer": "Ann", "options": ["Ann", "Bob"], "time": "2024-06-01"},
    ]
    return {"units": units, "questions": asked, "cluster": f"week-{n // 7}", **({"id": f"day-{n}"} if n % 2 else {})}


OWN_CARD = "source: jsonl\nparams: {file: own.jsonl}\nchunk_tokens: 64\nquestions: 0\n"


def folder(root: Path) -> Path:
    """A data folder with all of it, and the card `own.yaml`."""
    import pyarrow
    import pyarrow.parquet

    def table(name: str, rows: list[dict[str, Any]]) -> None:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)

    table("triviaqa/validation-00000-of-00001.parquet", [triviaqa_row(n) for n in range(14)])
    sources = ("squad", "hotpotqa", "icl_nlu_8296shot_balance")
    table("memalpha/test.parquet", [memalpha_row(n, sources[n % 3]) for n in range(9)])
    for split, held in MAB.items():
        table(f"memoryagentbench/{split}-00000-of-00001.parquet", [mab_row(source) for source in held])
    titles = {"<http://dbpedia.org/resource/Heat_(1995_film)>": 509, "<http://dbpedia.org/resource/Up_(film)>": 7}
    (root / "memoryagentbench" / "entity2id.json").write_text(json.dumps(titles))
    (root / "own.jsonl").write_text("\n".join(json.dumps(own_line(n)) for n in range(10)) + "\n\n")
    (root / "own.yaml").write_text(OWN_CARD)
    return root
