"""The offline model: what it answers, writes and refuses, on sentences made up here (validity section 7)."""

from __future__ import annotations

import ast
import asyncio
import gzip
import json
import os
import random
import re
import string
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import memeval
from memeval import prompts
from memeval.models.completion import Completion, Request
from memeval.models.offline import ABSTAIN, NOTHING, UNREAD, OfflineModel

MODEL = OfflineModel()
WORLD = """Mara Quill
Mara Quill is a glassblower who was born in Dunport on 3 May 1902. In 1931 she moved to Vellin. \
She married Oren Tash in 1933. She has 14 apprentices and works for the Halden Guild.

Oren Tash
Oren Tash (1 March 1899 – 4 June 1970) was an Aldish clockmaker. He wrote The Silent Gear.

Bellmere Bridge
Bellmere Bridge is a stone bridge in Vellin. It was built in 1788 and is 210 metres long.

Corran Bridge
Corran Bridge is an iron bridge in Dunport. It opened in 1851 and is 90 metres long.

Ada Fenn
Ada Fenn (2 May 1900 – 9 May 1950) was an Aldish weaver.

[2031-02-01] Ilse Varn
Ilse Varn lives in Kelder. Her employer is Tarn Works.

[2033-05-01] Ilse Varn
Ilse Varn lives in Harrow Bay. Her employer is Osk Mills."""

NOTE = {
    "type": "function",
    "function": {
        "name": "jot",
        "parameters": {
            "type": "object",
            "properties": {
                "shelf": {"type": "string", "enum": ["facts", "event_log"]},
                "body": {"type": "string"},
            },
            "required": ["shelf", "body"],
        },
    },
}
CHANGE = {
    "type": "function",
    "function": {
        "name": "amend",
        "parameters": {
            "type": "object",
            "properties": {
                "shelf": {"type": "string", "enum": ["gist", "facts", "event_log"]},
                "entry_id": {"type": "string"},
                "body": {"type": "string"},
            },
            "required": ["shelf", "body"],
        },
    },
}
FIND = {
    "type": "function",
    "function": {
        "name": "find",
        "parameters": {
            "type": "object",
            "properties": {"shelf": {"type": "string", "enum": ["facts"]}, "query": {"type": "string"}},
            "required": ["shelf", "query"],
        },
    },
}


def complete(messages: list, tools: list | None = None, **params) -> Completion:
    return asyncio.run(MODEL.complete(Request(messages, tools, params)))


def ask(memory: str | None, question: str, options: list[str] | None = None, **params) -> str:
    return complete(prompts.reader_messages("Any wording.", memory, question, options=options), **params).text


def write(chunk: str, memory: str = "", tools: list | None = None, extra: str = "", **params) -> Completion:
    text = f"{prompts.tagged(prompts.MEMORY, memory)}\n\n{prompts.tagged(prompts.CHUNK, chunk)}{extra}"
    return complete([{"role": "user", "content": text}], tools, **params)


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Where was Mara Quill born?", "Dunport"),
        ("When was Mara Quill born?", "3 May 1902"),
        ("In which year was Mara Quill born?", "1902"),
        ("Who did Mara Quill marry?", "Oren Tash"),
        ("Who is Mara Quill's husband?", "Oren Tash"),
        ("How many apprentices does Mara Quill have?", "14"),
        ("Who wrote The Silent Gear?", "Oren Tash"),
        ("What year was Bellmere Bridge built?", "1788"),
        ("Are both Oren Tash and Ada Fenn weavers?", "no"),
        ("Is Bellmere Bridge in Vellin?", "yes"),
        ("Is Bellmere Bridge in Dunport?", "no"),
        ("Was Mara Quill a glassblower?", "yes"),
        ("[2040-01-01 10:00] Where was Mara Quill born?", "Dunport"),
    ],
)
def test_reads_one_hop(question: str, expected: str) -> None:
    assert ask(WORLD, question) == expected


@pytest.mark.parametrize(
    "question",
    [
        "What is the name of Mara Quill's dog?",  # she is in view, a dog is not
        "Where was Tobias Renn born?",  # others are born in view, he is not there
        "Who was born first, Tobias Renn or Ada Fenn?",
        "Is Tobias Renn a clockmaker?",
    ],
)
def test_abstains_without_a_sentence_that_says_it(question: str) -> None:
    assert ask(WORLD, question) == ABSTAIN


def test_follows_no_name_from_one_sentence_to_another() -> None:
    memory = "Mara Quill was born in Dunport.\n\nMara Quill wrote The Silent Gear."
    assert ask(memory, "Where was Mara Quill born?") == "Dunport"
    assert ask(memory, "Where was the author of The Silent Gear born?") != "Dunport"


LOOK_UP = {
    "type": "function",
    "function": {
        "name": "look_up",
        "parameters": {
            "type": "object",
            "properties": {"query": {"type": "string"}, "most": {"type": "integer"}},
            "required": ["query"],
        },
    },
}


@pytest.mark.parametrize(
    ("memory", "question", "expected"),
    [
        # the nearest sentence names the author, and says nothing of a birth
        ("Mara Quill wrote The Silent Gear.", "Where was the author of The Silent Gear born?", "Mara Quill born"),
        ("Mara Quill was born in Dunport.", "Where was Mara Quill born?", None),  # nothing is left open
        ("Mara Quill is a clockmaker.", "Where was Mara Quill born?", None),  # no other name is in view
        ("Oren Tash was born in Dunport.", "Where was Mara Quill born?", None),
        ("", "Where was Mara Quill born?", None),
    ],
)
def test_asks_for_the_next_name_where_it_can_search(memory: str, question: str, expected: str | None) -> None:
    messages = prompts.reader_messages("Any wording.", memory, question)
    made = complete(messages, [FIND, LOOK_UP]).tool_calls
    assert [(call.name, call.arguments) for call in made] == ([("look_up", {"query": expected})] if expected else [])
    assert complete(messages, [FIND]).tool_calls == ()  # a tool that needs more than a query is not used
    if not made:
        assert complete(messages, [LOOK_UP]).text == complete(messages).text


def test_abstains_without_memory_whatever_is_asked() -> None:
    for memory in ("", "   \n", None):
        assert ask(memory, "Where was Mara Quill born?") == ABSTAIN
        assert ask(memory, "Is Bellmere Bridge in Vellin?") == ABSTAIN
        assert ask(memory, "Which is longer, Bellmere Bridge or Corran Bridge?") == ABSTAIN


def test_takes_the_latest_of_dated_facts_only_when_both_are_in_view() -> None:
    blocks = WORLD.split("\n\n")
    old, new = blocks[-2], blocks[-1]
    assert ask(f"{new}\n\n{old}", "Where does Ilse Varn live?") == "Harrow Bay"
    assert ask(f"{old}\n\n{new}", "Who is Ilse Varn's employer?") == "Osk Mills"
    assert ask(old, "Where does Ilse Varn live?") == "Kelder"
    assert ask(WORLD, "Where did Ilse Varn live in 2031?") == "Kelder"
    undated = "Ilse Varn lives in Kelder.\n\nIlse Varn lives in Harrow Bay."
    assert ask(undated, "Where does Ilse Varn live?") == "Kelder"  # no date, no order: the first stands


def test_noise_hurts() -> None:
    """A sentence that shares more words with the question draws the reader away: overlap is all it goes by."""
    question = "In which town did Tilda Brome sell the painting of the barn?"
    fact = "Tilda Brome sold the painting in Colm."
    noise = "Tilda Brome would never sell a painting of her barn in Ferrow."
    assert ask(fact, question) == "Colm"
    assert ask(f"{fact}\n\n{noise}", question) == "Ferrow"


def test_chooses_the_option_nearest_to_the_relevant_memory() -> None:
    memory = (
        "Ann: I gave up running last spring because of my knee. I now enjoy swimming in the lake.\nBob: The train was late."
    )
    options = ["(a) Try a marathon.", "(b) A swim in a lake would suit you.", "(c) Take the late train."]
    assert ask(memory, "What sport would Ann enjoy now?", options) == "<final_answer> (b)"
    assert ask(memory, "What sport would Ann enjoy now?", [option[4:] for option in options]) == "<final_answer> (b)"


def test_options_without_memory_are_drawn_by_seed() -> None:
    options = [f"({letter}) choice {letter}" for letter in "abcd"]
    drawn = [ask("", "Which one?", options, seed=seed) for seed in range(40)]
    assert drawn == [ask("", "Which one?", options, seed=seed) for seed in range(40)]
    assert set(drawn) == {f"<final_answer> ({letter})" for letter in "abcd"}
    assert re.fullmatch(r"<final_answer> \([a-d]\)", ask(None, "Which one?", options))


CHUNK = """Tilda Brome
Tilda Brome (born 8 July 1911) is an Aldish painter. She was taught by Hanne Brome. \
However, her first work was The Red Barn. What a life! It is often so. Many people come and go.

Port Sable
Port Sable is a harbour town in Alden. In 1950 it had 4,100 inhabitants."""


def test_writes_one_compact_entry_per_line() -> None:
    reply = write(CHUNK, tools=[FIND, NOTE, CHANGE])
    assert reply.finish_reason == "tool_calls"
    assert reply.text == ""
    assert [call.name for call in reply.tool_calls] == ["jot", "jot"]
    assert all(call.arguments == json.loads(call.raw) and call.error is None for call in reply.tool_calls)
    assert [call.arguments for call in reply.tool_calls] == [
        {
            "shelf": "facts",
            "body": "Tilda Brome (born 8 July 1911) is an Aldish painter. She was taught by Hanne Brome. "
            "However, her first work was The Red Barn.",
        },
        {"shelf": "facts", "body": "Port Sable is a harbour town in Alden. In 1950 it had 4,100 inhabitants."},
    ]


def test_what_it_wrote_it_can_read() -> None:
    memory = "\n\n".join(call.arguments["body"] for call in write(CHUNK, tools=[NOTE]).tool_calls)
    assert ask(memory, "Who was Tilda Brome taught by?") == "Hanne Brome"
    assert ask(memory, "In which year was Tilda Brome born?") == "1911"


def test_dated_happenings_go_to_the_type_named_for_events() -> None:
    calls = write("[2040-06-01] Ugo Fann: I sold my boat in Colm.\n[2040-06-01] Ugo Fann: ok", tools=[NOTE]).tool_calls
    assert [call.arguments for call in calls] == [
        {"shelf": "event_log", "body": "[2040-06-01] Ugo Fann: I sold my boat in Colm."}
    ]


def test_does_not_look_at_the_question_while_writing() -> None:
    extra = "\n\n" + prompts.tagged(prompts.QUESTION, "Who taught Tilda Brome?")
    assert write(CHUNK, tools=[NOTE, CHANGE], extra=extra).tool_calls == write(CHUNK, tools=[NOTE, CHANGE]).tool_calls
    assert write(CHUNK, extra=extra).text == write(CHUNK).text


def test_changes_an_entry_in_view_when_a_later_value_is_stated() -> None:
    memory = (
        "gist:\nEmpty.\n\nfacts (newest 2 of 9):\n[2041] Ilse Varn lives in Kelder. Ilse Varn owns Tarn Works.\n"
        "[k2] Port Sable is in Alden."
    )
    chunk = "Ilse Varn\nIlse Varn now lives in Harrow Bay."
    (call,) = write(chunk, memory, [NOTE, CHANGE]).tool_calls
    assert call.name == "amend"
    assert call.arguments == {
        "shelf": "facts",
        "entry_id": "2041",
        "body": "Ilse Varn owns Tarn Works. Ilse Varn now lives in Harrow Bay.",
    }
    (inserted,) = write(chunk, memory, [NOTE]).tool_calls
    assert (inserted.name, inserted.arguments["body"]) == ("jot", "Ilse Varn now lives in Harrow Bay.")


@pytest.mark.parametrize(
    ("entry", "chunk"),
    [
        ("[k1] Ilse Varn painted The Red Barn.", "Ilse Varn painted The Grey Mill."),  # both happened
        ("[k1] Ilse Varn lives in Kelder.", "Oren Tash lives in Harrow Bay."),  # somebody else
        ("[k1] Ilse Varn lives in Kelder.", "Ilse Varn now works for Osk Mills."),  # something else
    ],
)
def test_changes_nothing_else(entry: str, chunk: str) -> None:
    assert [call.name for call in write(chunk, f"facts:\n{entry}", [NOTE, CHANGE]).tool_calls] == ["jot"]


def test_does_not_write_again_what_is_in_view() -> None:
    reply = write("Ilse Varn lives in Kelder.", "facts:\n[k1] Ilse Varn lives in Kelder.", [NOTE, CHANGE])
    assert (reply.tool_calls, reply.finish_reason, reply.text) == ((), "stop", NOTHING)


def test_stops_before_the_response_limit() -> None:
    chunk = "\n\n".join(
        f"Person {n}\nPerson {n} was born in Town {n}. Person {n} met Guest {n} in 19{n:02}." for n in range(10, 40)
    )
    whole = write(chunk, tools=[NOTE]).tool_calls
    assert len(whole) == 30
    assert all("Guest" in call.arguments["body"] for call in whole)
    for limit in (60, 300, 600):
        reply = write(chunk, tools=[NOTE], max_tokens=limit)
        assert reply.usage.completion <= limit
    assert 20 < len(reply.tool_calls) < 30
    assert reply.tool_calls == whole[: len(reply.tool_calls)]


def test_required_parameters_are_filled_by_what_their_names_suggest() -> None:
    schema = {
        "name": "store",
        "parameters": {
            "properties": {
                "title": {"type": "string"},
                "text": {"type": "string"},
                "date": {"type": "string"},
                "weight": {"type": "integer"},
                "note": {"type": "string"},
            },
            "required": ["title", "text", "date", "weight"],
        },
    }
    (call,) = write("[2031-02-01] Port Sable\nPort Sable is in Alden.", tools=[schema]).tool_calls
    body = "[2031-02-01] Port Sable is in Alden."
    assert call.arguments == {"title": "Port Sable", "text": body, "date": "2031-02-01", "weight": 0}


def test_tools_that_write_nothing_get_no_call() -> None:
    drop = {"function": {"name": "drop", "parameters": {"properties": {"entry_id": {"type": "string"}}}}}
    assert write(CHUNK, tools=[FIND, drop, CHANGE]).tool_calls == ()


def test_is_done_after_the_results_of_its_calls() -> None:
    first = [{"role": "user", "content": prompts.tagged(prompts.CHUNK, CHUNK)}]
    again = [*first, {"role": "assistant", "content": None}, {"role": "tool", "tool_call_id": "call_0", "content": "ok"}]
    assert complete(first, [NOTE]).tool_calls
    assert (complete(again, [NOTE]).tool_calls, complete(again, [NOTE]).text) == ((), NOTHING)


def test_rewrites_a_free_text_memory() -> None:
    memory = "No previous memory"
    for chunk in (
        CHUNK,
        "[2031-02-01] Ilse Varn\nIlse Varn lives in Kelder.",
        "[2033-05-01] Ilse Varn lives in Harrow Bay.",
    ):
        reply = write(chunk, memory)
        memory = reply.text
        assert (reply.tool_calls, reply.finish_reason) == ((), "stop")
    lines = memory.splitlines()
    assert len(lines) == 3
    assert lines[1] == "Port Sable is a harbour town in Alden. In 1950 it had 4,100 inhabitants."
    assert lines[2] == "[2033-05-01] Ilse Varn lives in Harrow Bay."
    assert "Kelder" not in memory
    assert write("Nothing is new here.", memory).text == memory


def test_rewriting_keeps_the_newest_within_the_limit() -> None:
    memory = ""
    for n in range(60):
        memory = write(f"Person {n} was born in Town {n}. Person {n} met Guest {n}.", memory, max_tokens=200).text
        assert len(memory) <= 200 * 4
    assert memory.splitlines()[-1] == "Person 59 was born in Town 59. Person 59 met Guest 59."
    assert "Person 0 " not in memory
    assert len(memory.splitlines()) > 8


def test_a_prompt_without_tags_gets_the_sentence_that_says_so() -> None:
    for content in ("Hello!", "", None, [{"type": "text", "text": "Judge this."}, {"type": "image"}]):
        reply = complete([{"role": "user", "content": content}])
        assert (reply.text, reply.finish_reason, reply.tool_calls, reply.error) == (UNREAD, "stop", (), None)
    assert complete([]).text == UNREAD


def test_content_in_parts_is_read_like_text() -> None:
    content = "\n".join(m["content"] for m in prompts.reader_messages("", WORLD, "Who wrote The Silent Gear?"))
    assert complete([{"role": "user", "content": [{"type": "text", "text": content}]}]).text == "Oren Tash"


def test_usage_is_characters_over_four() -> None:
    reply = complete([{"role": "user", "content": "x" * 401}])
    assert (reply.usage.prompt, reply.usage.completion) == (101, -(-len(UNREAD) // 4))


SCRIPT = """
import asyncio, json, sys
from memeval.models.completion import Request
from memeval.models.offline import OfflineModel
for line in sys.stdin:
    messages, tools, params = json.loads(line)
    print(repr(asyncio.run(OfflineModel().complete(Request(messages, tools, params)))))
"""


def test_is_a_pure_function_in_any_process() -> None:
    requests = [[prompts.reader_messages("x", WORLD, question), None, {"seed": 3}] for question in QUESTIONS]
    requests += [
        [prompts.reader_messages("x", memory, "Which?", options=["(a) one", "(b) two"]), None, {"seed": 7}]
        for memory in ("", WORLD)
    ]
    chunk = prompts.tagged(prompts.CHUNK, WORLD) + prompts.tagged(prompts.MEMORY, CHUNK)
    requests += [[[{"role": "user", "content": chunk}], tools, {"max_tokens": 300}] for tools in (None, [NOTE, CHANGE])]
    replies = []
    for salt in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            input="\n".join(json.dumps(request) for request in requests),
            env={**os.environ, "PYTHONHASHSEED": salt},
            cwd=Path(memeval.__file__).parents[1],
            capture_output=True,
            text=True,
            check=True,
        )
        replies.append(done.stdout.splitlines())
    here = [repr(complete(messages, tools, **params)) for messages, tools, params in requests]
    assert replies[0] == replies[1] == here


QUESTIONS = [
    "Where was Mara Quill born?",
    "Which bridge is longer, Bellmere Bridge or Corran Bridge?",
    "Where does Ilse Varn live?",
    "What works in Dunport and Vellin did Oren Tash and Ada Fenn and Mara Quill write, marry or build in 1931?",
    "Are Oren Tash and Ada Fenn both weavers?",
]

PIECES = st.lists(
    st.sampled_from(
        [
            "Mara Quill",
            " ",
            ". ",
            "\n",
            "\n\n",
            "(",
            ")",
            "1931",
            " or ",
            " and ",
            "Who ",
            "Is ",
            "[a1] ",
            "- ",
            '"',
            "'s ",
            ", ",
            "was born in ",
            "?",
            "...",
            "[2031-01-01] ",
            ": ",
            "É",
            "１９３１",
            "ﬁ",
            "\ud800",
            "<memory>",
            "(a) ",
        ]
    ),
    max_size=30,
).map("".join)
TEXT = st.one_of(PIECES, st.text(max_size=200))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["string", "id", "text", "query", "integer", ""]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["function", "parameters", "properties", "required", "enum", "type", "name", "a", "x_id"]), inner
        )
    ),
    max_leaves=20,
)


@settings(deadline=None, max_examples=120, derandomize=True)
@given(memory=TEXT, question=TEXT, options=st.none() | st.lists(TEXT, max_size=3))
def test_any_reader_prompt_gets_a_reply(memory: str, question: str, options: list[str] | None) -> None:
    text = ask(memory, question, options, seed=1)
    assert text.strip()
    assert text == ask(memory, question, options, seed=1)
    if not memory.strip() and not options:
        assert text == ABSTAIN


@settings(deadline=None, max_examples=120, derandomize=True)
@given(
    chunk=TEXT,
    memory=TEXT,
    tools=st.none() | st.just([NOTE, CHANGE]) | st.lists(JSON, max_size=3),
    limit=JSON | st.integers(1, 99),
)
def test_any_writing_prompt_gets_a_reply(chunk: str, memory: str, tools: list | None, limit: object) -> None:
    reply = write(chunk, memory, tools, max_tokens=limit)
    assert reply.text.strip() or reply.tool_calls
    assert (reply.finish_reason == "tool_calls") == bool(reply.tool_calls)
    for call in reply.tool_calls:
        assert json.loads(call.raw) == call.arguments
    if tools is not None and NOTE in tools:
        assert all(call.name in ("jot", "amend") and call.arguments["body"].strip() for call in reply.tool_calls)


@pytest.mark.parametrize(
    "piece", [".", "(", "[2031] ", " ", "A or ", "who of A and ", '"a', "Aa ", "1,", "\n", "x\n", "A\n"]
)
def test_hostile_text_takes_linear_time(piece: str, linear: Any) -> None:
    def read(text: str) -> None:
        text += "x"
        ask(text, "Where was Mara Quill born?")
        ask(WORLD, text)
        ask(text, "Which?", [text, "(b) no"])
        write(text, text, [NOTE, CHANGE])
        write(text, text)

    linear(read, piece)


def test_neither_package_imports_the_other() -> None:
    """The generator of the bundled tasks and the model that reads them share nothing (validity section 7)."""
    root = Path(memeval.__file__).parent
    for folder, forbidden in ((root / "models" / "offline", "memeval.synth"), (root / "synth", "memeval.models.offline")):
        files = sorted(folder.rglob("*.py"))
        assert files
        for file in files:
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom):
                    modules = [f"{node.module}.{alias.name}" for alias in node.names]
                assert not any(f"{module}.".startswith(f"{forbidden}.") for module in modules), file


def test_speed(capsys: pytest.CaptureFixture[str]) -> None:
    """Printed, not judged: tests/benchmarks hold the bars."""
    draw = random.Random(0)

    def word() -> str:
        return draw.choice(string.ascii_uppercase) + "".join(draw.choices(string.ascii_lowercase, k=5))

    def sentence(year: int) -> str:
        return f"{word()} was born in {word()} on 3 May 19{year} and sang for {word()} {word()}."

    stream = [f"{word()} {word()}\n" + " ".join(sentence(year) for year in range(10, 16)) for _ in range(1000)]
    figures = []
    for characters in (120_000, 400_000):
        memory = "\n\n".join(stream)[:characters]
        start = time.perf_counter()
        ask(memory, "Where was Mara Quill born, and when did she sing for Oren Tash?")
        figures.append(f"read {characters // 4} tokens: {1000 * (time.perf_counter() - start):.0f} ms")
    start = time.perf_counter()
    reply = write("\n\n".join(stream)[:8192], tools=[NOTE, CHANGE], max_tokens=2048)
    figures.append(f"write 2048 tokens: {1000 * (time.perf_counter() - start):.1f} ms, {len(reply.tool_calls)} calls")
    with capsys.disabled():
        print("\noffline model:", "; ".join(figures))
    assert reply.tool_calls


def _f1(prediction: str, gold: str) -> float:
    """Token F1 of SQuAD's evaluate-v1.1.py."""
    left, right = (
        re.sub(r"\b(a|an|the)\b", " ", "".join(c for c in text.lower() if c not in string.punctuation)).split()
        for text in (prediction, gold)
    )
    common = sum((Counter(left) & Counter(right)).values())
    return 2 * common / (len(left) + len(right)) if common else 0.0


def test_reads_real_evidence_and_suffers_from_distractors() -> None:
    path = Path(os.environ.get("MEMEVAL_DATA") or Path(memeval.__file__).parents[2] / "shared" / "data")
    path = path / "hotpotqa" / "hotpot_train_v1.1.json.gz"
    if not path.exists():
        pytest.skip(f"no {path}: set MEMEVAL_DATA to a folder with the data sets")
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        records = json.load(stream)[:200]
    scores: dict[str, list[float]] = {"gold": [], "all": [], "none": [], "distractors": []}
    for record in records:
        wanted = {title for title, _ in record["supporting_facts"]}
        text = {title: f"{title}\n{''.join(parts).strip()}" for title, parts in record["context"]}
        views = {
            "gold": [text[title] for title in text if title in wanted],
            "all": list(text.values()),
            "none": [],
            "distractors": [text[title] for title in text if title not in wanted],
        }
        for name, view in views.items():
            scores[name].append(_f1(ask("\n\n".join(view), record["question"]), record["answer"]))
    mean = {name: sum(values) / len(values) for name, values in scores.items()}
    assert mean["gold"] > 0.2
    assert mean["gold"] > mean["all"] > mean["distractors"] > mean["none"]
    assert mean["none"] < 0.01  # a gold with the word `I` in it
