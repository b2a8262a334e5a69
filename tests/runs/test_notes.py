"""What contradicts a result is printed with it: one real run per kind of note, against a real server, as a user runs it.

A note is the same in the table, in `--format json` and in `memeval show`, and a run without its cause does not have it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from faulty_server import FaultyServer, in_thread

from memeval.cli import main

CITY = ("Arlen", "Borvik", "Castro", "Delmar")


def streams(length: int = 3, positions: tuple[int | None, ...] = (None,)) -> str:
    """Four streams with a question at each position."""
    lines = []
    for number, city in enumerate(CITY):
        who = f"Ann{number} Lee"
        units = [f"{who} lives in {city}.", *(f"On day {day} the market opened at nine." for day in range(length))]
        asked = {"text": f"Where does {who} live?", "answers": [city]}
        questions = [{**asked, "id": f"q{number}-{position}", "position": position} for position in positions]
        lines.append(json.dumps({"id": f"s{number}", "units": units, "questions": questions}))
    return "\n".join(lines) + "\n"


CARD = """
source: jsonl
params: {file: own.jsonl}
chunk_tokens: 64
metrics: [f1]
headline: f1
cluster: context
questions: 0
"""
Body = Callable[[dict[str, Any]], Any]


def body(text: str | None = "Arlen", usage: Any = None, finish: str = "stop", **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": text, **more.pop("message", {})}
    return {"choices": [{"index": 0, "message": message, "finish_reason": finish}], "usage": usage, **more}


def counted(asked: dict[str, Any]) -> dict[str, int]:
    """What an honest server counts."""
    read = sum(len(str(message.get("content") or "")) for message in asked["messages"])
    return {"prompt_tokens": 20 + read // 4, "completion_tokens": 3, "total_tokens": 23 + read // 4}


def called(*arguments: dict[str, Any], name: str = "new_memory_insert", finish: str = "tool_calls") -> Body:
    """A server whose model writes these calls, and answers `Arlen`."""

    def reply(asked: dict[str, Any]) -> dict[str, Any]:
        if not asked.get("tools"):
            return body(usage=counted(asked))
        calls = [
            {"id": str(at), "type": "function", "function": {"name": name, "arguments": json.dumps(given)}}
            for at, given in enumerate(arguments)
        ]
        return body(None, counted(asked), finish, message={"tool_calls": calls})

    return reply


def prose(text: str, finish: str = "stop") -> Body:
    return lambda asked: body(
        text if asked.get("tools") else "Arlen", counted(asked), finish if asked.get("tools") else "stop"
    )


GOOD = called({"memory_type": "semantic_memory", "content": "Ann Lee lives in Arlen."})


def with_usage(**usage: Any) -> Body:
    return lambda asked: body(usage={**counted(asked), **usage})


def named(model: Any) -> Body:
    return lambda asked: body(usage=counted(asked), model=model)


class Place:
    """A folder with a task of one's own, and commands in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write("own.yaml", CARD)
        self.write("own.jsonl", streams())

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text, encoding="utf-8")

    def call(self, *words: str) -> tuple[int, str, str]:
        found = CliRunner().invoke(main, words)
        if found.exception is not None and not isinstance(found.exception, SystemExit):
            raise found.exception
        return found.exit_code, found.stdout, found.stderr

    def run(self, *words: str, form: str = "json", quiet: bool = True) -> tuple[int, str, str]:
        task = () if "--task" in words else ("--task", "own.yaml")
        return self.call("run", *task, "--format", form, "--no-cache", *(["--quiet"] if quiet else []), *words)

    def result(self, *words: str) -> dict[str, Any]:
        """The only run of a command."""
        code, out, err = self.run(*words)
        assert code in (0, 3), err
        (run,) = json.loads(out)["runs"]
        return dict(run)

    def model(self, server: FaultyServer, name: str = "m") -> tuple[str, ...]:
        return "--model", name, "--base-url", server.url


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEMEVAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    return Place(tmp_path)


def texts(run: dict[str, Any], code: str) -> list[str]:
    return [note["text"] for note in run["notes"] if note["code"] == code]


def codes(run: dict[str, Any]) -> set[str]:
    return {note["code"] for note in run["notes"]}


LONG = {"length": 300}  # some 3,000 tokens
BM25, MEMALPHA, WHOLE = ("--agent", "bm25"), ("--agent", "memalpha"), ("--agent", "long-context")
TABLE: list[tuple[str, tuple[str, ...], Body, str, str | None]] = [
    # a window that cuts silently
    ("long", WHOLE, with_usage(prompt_tokens=1024, total_tokens=None), "silent-cut", "in 4 calls the server counts fewer"),
    ("long", WHOLE, with_usage(prompt_tokens=1024, prompt_tokens_details={"cached_tokens": 900}), "silent-cut", None),
    ("long", WHOLE, lambda asked: body(usage=counted(asked)), "silent-cut", None),
    ("short", WHOLE, with_usage(prompt_tokens=5, total_tokens=None), "silent-cut", None),
    # operations of a writer
    ("short", MEMALPHA, GOOD, "operations", None),
    ("short", MEMALPHA, prose("I have noted it."), "operations", "4 no call"),
    ("short", MEMALPHA, prose("I have noted", "length"), "operations", "4 cut"),
    ("short", MEMALPHA, prose("I have noted", "MAX_TOKENS"), "operations", "4 cut"),
    ("short", MEMALPHA, prose("<think>I have"), "operations", "4 cut"),
    (
        "short",
        MEMALPHA,
        called({"memory_type": "semantic_memory"}),
        "operations",
        "4 error; most often: the argument 'content'",
    ),
    (
        "short",
        MEMALPHA,
        called({"content": "x"}, name="store"),
        "operations",
        "4 error; most often: no tool 'store' was offered",
    ),
    ("short", MEMALPHA, called(*[{"memory_type": "semantic", "content": "x"}] * 2), "operations", None),  # one is skipped
    # a writer that stores nothing
    ("short", MEMALPHA, GOOD, "nothing-stored", None),
    (
        "short",
        MEMALPHA,
        prose("I have noted it."),
        "nothing-stored",
        'of 4 of 4 chunks; the first reply: "I have noted it."',
    ),
    ("short", MEMALPHA, prose("a\n\n b\x1b[2J" + "x" * 500), "nothing-stored", 'the first reply: "a b'),
    ("short", MEMALPHA, prose(""), "nothing-stored", "the first reply is empty"),
    ("short", MEMALPHA, called({"memory_type": "semantic_memory"}), "nothing-stored", '{"memory_type": "semantic_memory"}"'),
    ("short", MEMALPHA, prose("I have noted it."), "empty-memory", "for 4 of 4 answers"),
    ("short", MEMALPHA, GOOD, "empty-memory", None),
    ("short", ("--agent", "none"), prose(""), "empty-memory", None),  # a control is meant to be empty
    ("short", ("--agent", "none"), prose(""), "nothing-stored", None),
    # another model than asked for
    ("short", BM25, named("tiny-model-0.5b"), "other-model", "reader 'm' was answered by 'tiny-model-0.5b' (4 calls)"),
    ("short", BM25, named("m"), "other-model", None),
    ("short", BM25, named("org/m-2024-08-06"), "other-model", None),
    ("short", BM25, named(None), "other-model", None),
    ("short", BM25, named(7), "other-model", None),
    # usage that is missing or cannot be true
    ("short", BM25, with_usage(), "estimated", None),
    ("short", BM25, lambda asked: body(), "estimated", "tokens of 4 of 4 calls are estimated"),
    ("short", BM25, with_usage(prompt_tokens=0), "estimated", "4 of 4"),
    ("short", BM25, with_usage(prompt_tokens=-3), "estimated", "4 of 4"),
    ("short", BM25, with_usage(completion_tokens=0), "estimated", "4 of 4"),
    ("short", BM25, with_usage(prompt_tokens=10**8), "estimated", "4 of 4"),
    ("short", BM25, with_usage(total_tokens=1), "estimated", "4 of 4"),
    ("short", BM25, with_usage(total_tokens="many"), "estimated", None),
]


@pytest.mark.parametrize(("size", "agent", "reply", "code", "says"), TABLE)
def test_a_run_that_contradicts_itself(
    place: Place, size: str, agent: tuple[str, ...], reply: Body, code: str, says: str | None
) -> None:
    if size == "long":
        place.write("own.jsonl", streams(**LONG))
    with in_thread(FaultyServer(body=reply)) as server:
        run = place.result(*agent, *place.model(server))
    found = texts(run, code)
    if says is None:
        assert found == []
        return
    (text,) = found
    assert says in text
    assert text.isprintable()
    assert len(text) < 400
    shown = place.call("show", run["path"])[1]
    assert f"note: {text}\n" in shown


def test_the_same_note_is_in_every_output(place: Place) -> None:
    with in_thread(FaultyServer(body=named("tiny-model-0.5b"))) as server:
        run = place.result(*BM25, *place.model(server))
        _, table, _ = place.run(*BM25, *place.model(server), form="table")
    (text,) = texts(run, "other-model")
    assert text in table
    stored = json.loads(Path(run["path"], "summary.json").read_text())
    assert text in [note["text"] for note in stored["notes"]]
    manifest = json.loads(Path(run["path"], "manifest.json").read_text())
    assert manifest["served"] == {"reader": ["tiny-model-0.5b"]}


def test_a_judge_and_an_embedder_that_are_another_model(place: Place) -> None:
    place.write(
        "near.py",
        "from memeval import Item, Recall\n"
        "class Near:\n"
        "    async def begin(self, session): self.session, self.notes = session, []\n"
        "    async def observe(self, chunk): self.notes.append(chunk)\n"
        "    async def recall(self, query):\n"
        "        await self.session.models['embedder'].embed([query.text])\n"
        "        return Recall([Item(chunk.text, (chunk.id,)) for chunk in self.notes])\n",
    )

    def reply(asked: dict[str, Any]) -> Any:
        return body("Verdict: right", counted(asked), model=asked["model"] if asked["model"] == "m" else "other-judge")

    with in_thread(FaultyServer(body=reply)) as server:
        server.embedder = "bge-small"
        roles = ("--embedder", f"e5@{server.url}", "--judge", f"gpt-4o@{server.url}")
        run = place.result("--agent", "near.py:Near", *place.model(server), *roles)
        shown = place.call("score", run["path"], "--judge", f"gpt-4o@{server.url}", "--quiet", "--no-cache")[1]
    assert texts(run, "other-model") == [
        "another model than asked for: embedder 'e5' was answered by 'bge-small' (4 calls)",
        "another model than asked for: judge 'gpt-4o' was answered by 'other-judge' (4 calls)",
    ]
    assert "judge 'gpt-4o' was answered by 'other-judge' (4 calls)" in shown


DICE = """
import itertools
from memeval import Item, MemoryStats, Recall

class {name}:
    numbers = itertools.count(1)
    def begin(self, session): self.notes, self.size = [], 0
    def observe(self, chunk):
        self.notes.append(chunk)
        self.size += {size}
    def recall(self, query): return Recall([Item(chunk.text, (chunk.id,)) for chunk in self.notes])
    def memory(self): return MemoryStats({{"text": self.size}})
"""


@pytest.mark.parametrize(("name", "size", "says"), [("Dice", "next(self.numbers)", True), ("Same", "1", False)])
def test_a_memory_that_comes_out_otherwise_from_the_same_replies(place: Place, name: str, size: str, says: bool) -> None:
    place.write("dice.py", DICE.format(name=name, size=size))
    with in_thread(FaultyServer(body=named("m"))) as server:
        command = ("--agent", f"dice.py:{name}", *place.model(server))
        assert texts(place.result(*command), "differing") == []
        again = place.result(*command, "--answer-budget", "60")
        more = place.result(*command, "--fresh")
        shown = place.call("show", more["path"], "--limit", "1")[1]
    assert ("steps of reading gave another result" in shown) is says
    for run in (again, more):
        assert [text[:29] for text in texts(run, "differing")] == ["8 steps of reading gave anoth"] * says


def test_two_calls_are_no_silent_window(place: Place) -> None:
    place.write("own.jsonl", "".join(streams(**LONG).splitlines(keepends=True)[:2]))
    with in_thread(FaultyServer(body=with_usage(prompt_tokens=1024, total_tokens=None))) as server:
        assert "silent-cut" not in codes(place.result(*WHOLE, *place.model(server)))


def test_operations_are_counted_by_status_and_reason(place: Place) -> None:
    replies = iter(
        [
            called({"memory_type": "semantic", "content": "x"}, {"memory_type": "semantic", "content": "x"}),
            called({"memory_type": "semantic"}),
            prose("Done"),
            prose("I have", "length"),
        ]
    )
    made: dict[str, Body] = {}

    def reply(asked: dict[str, Any]) -> Any:
        if not asked.get("tools"):
            return body(usage=counted(asked))
        stream = re.findall(r"Ann\d", asked["messages"][-1]["content"])[0]
        return made.setdefault(stream, next(replies, prose("Done")))(asked)

    with in_thread(FaultyServer(body=reply)) as server:
        run = place.result(*MEMALPHA, *place.model(server), "--concurrency", "1")
    found = run["operations"]
    assert found["counts"] == {"ok": 1, "skipped": 1, "error": 1, "no call": 1, "cut": 1}
    skipped, wrong = {"exactly this text is already there": 1}, {"the argument 'content' is missing": 1}
    assert found["reasons"] == {"skipped": skipped, "error": wrong}
    assert (found["chunks"], found["unstored"]) == (4, 3)
    shown = place.call("show", run["path"])[1]
    assert "operations ok 1, skipped 1, error 1, " in shown
    assert "1 x error: the argument 'content' is missing" in shown


QWEN = ("--agent", "memalpha", "--set", "wire=qwen")


def test_a_writer_whose_calls_are_text_is_seen_through_too(place: Place) -> None:
    with in_thread(FaultyServer(body=lambda asked: body("Nothing to note.", counted(asked)))) as server:
        run = place.result(*QWEN, *place.model(server))
    (text,) = texts(run, "nothing-stored")
    assert 'of 4 of 4 chunks; the first reply: "Nothing to note."' in text


# -- money ------------------------------------------------------------------------------------------------------------

APART = {"prompt_tokens": 100, "completion_tokens": 5, "total_tokens": 2105}
PRICES = "prices:\n  m: {prompt: 1000, completion: 10000}\n"


@pytest.mark.parametrize(
    ("usage", "usd"),
    [
        ({**APART, "completion_tokens_details": {"reasoning_tokens": 2000}}, 20.15),  # 100 x 0.001 + 2,005 x 0.01
        (APART, 20.15),
        ({"prompt_tokens": 100, "completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 2000}}, 20.15),
        ({"prompt_tokens": 100, "completion_tokens": 2005, "total_tokens": 2105}, 20.15),
    ],
)
def test_thinking_that_is_counted_apart_is_paid_for_and_ends_at_the_cost(
    place: Place, usage: dict[str, Any], usd: float
) -> None:
    place.write("memeval.yaml", PRICES)
    with in_thread(FaultyServer(body=lambda asked: body(usage=usage))) as server:
        command = (*BM25, *place.model(server), "--concurrency", "1")
        stopped = place.result(*command, "--max-cost", str(usd * 2.5))
        assert (stopped["status"], len(server.seen)) == ("partial", 2)
        run = place.result(*command)
    assert run["cost"]["usd"] == pytest.approx(4 * usd)


def test_a_price_that_is_wrong_is_refused_before_anything_is_paid_for(place: Place) -> None:
    place.write("memeval.yaml", "prices: {m: {inptu: 1}}\n")
    with in_thread(FaultyServer(body=lambda asked: body())) as server:
        code, _, err = place.run(*BM25, *place.model(server))
        assert (code, server.seen) == (2, [])
    assert err.startswith("memeval: memeval.yaml: prices.m: unknown key 'inptu'; did you mean 'input'?")


@pytest.mark.parametrize("usage", [None, {"prompt_tokens": 0, "completion_tokens": 0}, {"prompt_tokens": 10**8}])
def test_a_server_that_counts_wrongly_does_not_break_the_limit_of_cost(place: Place, usage: Any) -> None:
    place.write("memeval.yaml", PRICES)
    with in_thread(FaultyServer(body=lambda asked: body("word " * 400, usage))) as server:
        run = place.result(*BM25, *place.model(server), "--concurrency", "1", "--max-cost", "11")
        assert (run["status"], len(server.seen)) == ("partial", 2)  # a reply has some 500 tokens at 0.01
    assert run["cost"]["usd"] > 8


AGENT = """
from memeval import Item, Recall
class Agent:
    {head}
    def begin(self, session): self.session, self.chunks = session, []
    def observe(self, chunk):
        {observe}
        self.chunks.append(chunk)
    def recall(self, query): return Recall([Item(chunk.text, (chunk.id,)) for chunk in self.chunks])
"""


def agent(place: Place, observe: str = "pass", head: str = "pass", name: str = "agent_of_notes.py") -> tuple[str, str]:
    place.write(name, AGENT.format(observe=observe, head=head))
    return "--agent", f"{name}:Agent"


@pytest.mark.parametrize(
    ("spent", "usd"), [("tokens=10, usd=0.5", 2.0), ("tokens=10", None), ("usd=0.0", 0.0), ("tokens=0, usd=None", None)]
)
def test_what_a_service_costs_is_in_the_sum_or_leaves_it_blank(place: Place, spent: str, usd: float | None) -> None:
    place.write("memeval.yaml", "prices:\n  offline: {prompt: 0, completion: 0}\n")
    used = agent(place, f"self.session.spend({spent})")
    run = place.result(*used)
    assert run["cost"]["usd"] == usd
    assert run["cost"]["usd_by_phase"]["ingest"] == usd
    assert run["services"]["service"]["calls"] == 4
    assert ("service" in run["cost"]["unpriced"]) == (usd is None)
    assert "service-read-back" not in codes(run)
    again = place.result(*used)
    assert texts(again, "service-read-back") == [
        "read back, 0 calls: the agent's service may have changed since; --fresh asks again"
    ]
    changed = {"notes": [], "service_read_back": False, "requests": 0}
    assert {**again, **changed} == {**run, **changed}


# -- the agent ---------------------------------------------------------------------------------------------------------


def test_an_agent_that_cannot_be_copied(place: Place) -> None:
    place.write("own.jsonl", streams(length=8, positions=(3, 6, None)))
    run = place.result(*agent(place, head="fork = None"))
    (text,) = texts(run, "rebuilt")
    assert text.startswith("the agent cannot be copied (the class sets fork = None)")
    assert run["rebuilt"]["factor"] > 1
    assert f"{run['rebuilt']['factor']:.1f}x the chunks" in text
    assert "rebuilt" not in codes(place.result(*BM25))


def test_the_price_of_rebuilding_is_counted_in_chunks(place: Place) -> None:
    """Chunks of one unit: an agent that can fork reads 9 of a stream, one that cannot 9 + 3 + 6."""
    place.write("own.yaml", CARD.replace("chunk_tokens: 64", "chunk_tokens: 12"))
    place.write("own.jsonl", streams(length=8, positions=(3, 6, None)))
    run = place.result(*agent(place, head="fork = None"))
    assert run["rebuilt"]["factor"] == pytest.approx(18 / 9)


def test_an_agent_whose_prompts_the_offline_model_cannot_read(place: Place) -> None:
    asks = "self.session.models['memory'].generate_sync([{'role': 'user', 'content': f'Sum up: {chunk.text}'}])"
    (text,) = texts(place.result(*agent(place, asks)), "unreadable")
    assert text.startswith("the offline model cannot read 4 prompts of this agent")
    tagged = "self.session.models['memory'].generate_sync([{'role': 'user', 'content': "
    tagged += "f'<new_chunk>\\n{chunk.text}\\n</new_chunk>'}])"
    assert "unreadable" not in codes(place.result(*agent(place, tagged, name="tagged_agent.py")))


def test_an_agent_that_cannot_be_closed(place: Place) -> None:
    used = agent(place, head="def close(self): raise OSError('the disk is gone')", name="open_agent.py")
    run = place.result(*used)
    said = ["after the answers were given, 4 times: agent raised OSError(the disk is gone) in close at open_agent.py:4"]
    assert (run["status"], texts(run, "trouble")) == ("complete", said)
    assert texts(place.result(*used), "trouble") == said  # read back
    assert said[0] in place.call("show", "latest")[1]
    assert "trouble" not in codes(place.result(*agent(place, name="closed_agent.py")))


def test_numbers_that_json_cannot_hold(place: Place) -> None:
    records = "from memeval import ToolResult; "
    noted = "{'size': float('-inf'), 'kept': 10**30, 'share': float('nan'), 'n': 1}"
    records += f"self.session.record(ToolResult('note', {noted}, 'ok'))"
    run = place.result(*agent(place, records))
    assert run["lost_numbers"] == 8
    assert texts(run, "lost-numbers") == ["left blank in the rows: 8 numbers, not finite or too large for JSON"]


def test_an_agent_that_changes_or_imports_unseen_while_it_runs(place: Place) -> None:
    place.write("unseen_module.py", "")
    imports = "import importlib, sys; sys.path.insert(0, '.'); importlib.import_module('unseen' + '_module'); "
    edits = "open('changing_agent.py', 'a').write('# edited\\n')"
    run = place.result(*agent(place, imports + edits, name="changing_agent.py"))
    assert run["agent_files"] == {"changed": ["changing_agent.py"], "missed": ["unseen_module.py"]}
    assert texts(run, "agent-changed")[0].startswith("changing_agent.py changed while the run went on")
    assert texts(run, "agent-missed")[0].startswith("unseen_module.py was imported")
    assert not {"agent-changed", "agent-missed"} & codes(place.result(*agent(place, name="quiet_agent.py")))


def test_a_folder_that_is_not_used_again_says_what_changed(place: Place) -> None:
    used = agent(place, name="edited_agent.py")
    place.result(*used)
    agent(place, "self.more = 1", name="edited_agent.py")
    code, _, err = place.run(*used, quiet=False)
    assert code == 0
    (line,) = [line for line in err.splitlines() if "edited_agent.py" in line]
    assert "changed since" in line


# -- the server ---------------------------------------------------------------------------------------------------------


def test_what_a_server_wants_sent_otherwise(place: Place) -> None:
    class Picky(FaultyServer):
        async def _respond(self, request: Any) -> Any:
            from aiohttp import web

            asked = json.loads(await request.read())
            if "max_tokens" in asked:
                said = "Unsupported parameter: 'max_tokens' is not supported with this model. "
                said += "Use 'max_completion_tokens' instead."
                error = {"message": said, "param": "max_tokens", "code": "unsupported_parameter"}
                return web.json_response({"error": error}, status=400)
            return web.json_response(body(usage=counted(asked)))

    with in_thread(Picky()) as server:
        run = place.result(*BM25, *place.model(server))
    (text,) = texts(run, "adapted")
    assert "m: max_tokens is sent as max_completion_tokens" in text
    assert json.loads(Path(run["path"], "manifest.json").read_text())["adapted"] == run["adapted"]


def test_a_run_without_a_reply_has_no_score(place: Place) -> None:
    with in_thread(FaultyServer(body=lambda asked: {"error": {"message": "no", "code": 418}})) as server:
        run = place.result(*BM25, *place.model(server))
        _, table, _ = place.run(*BM25, *place.model(server), form="table")
    assert run["failed"] == run["n"] > 0
    assert {key: run["headline"][key] for key in ("value", "low", "high")} == dict.fromkeys(("value", "low", "high"))
    assert [row["value"] for row in (*run["metrics"].values(), *run["kinds"].values())] == [None, None]
    (row,) = [line for line in table.splitlines() if line.startswith("| bm25")]
    assert [cell.strip() for cell in row.split("|")[2:4]] == ["-", "-"]
    assert f"\nf1 -, n = {run['n']}, {run['n']} failed\n" in place.call("show", run["path"])[1]


def test_a_row_is_printed_once(place: Place) -> None:
    twice = ("--agent", "bm25", "--agent", "bm25", "--agent", "bm25,none", "--task", "own.yaml", "--task", "own.yaml")
    _, out, _ = place.run(*twice)
    assert [run["agent"] for run in json.loads(out)["runs"]] == ["bm25", "none"]
    _, table, _ = place.run(*twice, form="table")
    rows = [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ")]
    assert rows.count("bm25") == rows.count("none") == 1
    assert len(table.splitlines()) == len(dict.fromkeys(table.splitlines())) + table.splitlines().count("") - 1


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with in_thread(FaultyServer(body=lambda asked: body(usage=counted(asked)))) as found:
        yield found


def test_the_window_that_a_server_has_limits_what_fills_it(place: Place) -> None:
    """llama.cpp says it in `meta`, vLLM as `max_model_len`."""
    place.write("own.jsonl", streams(**LONG))
    seen = []
    for models in (None, [{"id": "m", "meta": {"n_ctx": 2048}}], [{"id": "m", "max_model_len": 2048}]):
        with in_thread(FaultyServer(body=lambda asked: body(usage=counted(asked)), models=models)) as endpoint:
            run = place.result(*WHOLE, *place.model(endpoint), "--runs-dir", f"runs-{len(seen)}")
            longest = max(len(str(asked["messages"])) for asked in endpoint.seen)
        seen.append((longest > 8000, run["window"], "window" in codes(run)))
    assert seen == [(True, None, False), (False, 2048, True), (False, 2048, True)]


def test_a_prompt_beyond_the_window_that_a_server_has_is_not_sent(place: Place) -> None:
    used = agent(place, "self.session.models['memory'].generate_sync([{'role': 'user', 'content': 'apple ' * 3000}])")
    models = [{"id": "m", "max_model_len": 2048}]
    with in_thread(FaultyServer(body=lambda asked: body(usage=counted(asked)), models=models)) as endpoint:
        run = place.result(*used, *place.model(endpoint))
        assert max(len(str(asked["messages"])) for asked in endpoint.seen) < 12_000
    assert run["unread"] == {"the prompt exceeds the model's window": 4}
