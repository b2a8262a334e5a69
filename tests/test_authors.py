"""`memeval prompts fetch` of an agent, against a local tree with upstream's paths and texts of our own in them; and the
requests of memalpha-paper with these texts, field by field.

How Mem-alpha's code builds its requests: memory.py (`render_system_prompt`), functions.py (`to_schema`), main.py, and
memory_server.py (`construct_system_prompt`, `batch_process`) at 9c0e1f6.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import preloaded
import pytest
import yaml
from click.testing import CliRunner
from faulty_server import FaultyServer, in_thread
from made_upstream import TREES, pins, served
from msgspec.structs import replace

from memeval import authors, prompts
from memeval.authors import Rule, Upstream
from memeval.cards import AgentCard, TaskCard
from memeval.cli import main
from memeval.errors import UsageError
from memeval.plugins import find_agent
from memeval.runs import prompts as run_prompts
from memeval.runs.prompts import deviations, users_parts


@pytest.fixture
def fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the made texts. The pins are those of the made tree."""
    monkeypatch.setenv("MEMEVAL_CACHE", str(tmp_path / "cache"))
    with served(tmp_path / "tree") as url:
        monkeypatch.setenv("MEMEVAL_UPSTREAM", url)
        authors.fetch(pins(), tmp_path / "texts", "memalpha-paper", lambda line: None)
    return tmp_path / "texts"


def test_a_part_is_made_as_its_rules_say(fetched: Path) -> None:
    def texts(part: str) -> dict[str, str]:
        return yaml.safe_load((fetched / f"{part}.yaml").read_text())

    assert (fetched / "system.txt").read_text() == "WRITE.\n{kinds}\nSTATE:\n{memory}\n\nEND 'Done'.\n"
    assert (fetched / "user.txt").read_text() == (
        "REMEMBER {{x}}:\n<new_chunk>\n{chunk}\n</new_chunk>\nAT MOST {limit} TOKENS.\n"
    )
    assert texts("kinds")["core"] == "* core_memory: CORE {{braces}}"
    assert texts("view") == {
        "core": "<core_memory>\n{text}\n</core_memory>",
        "semantic": "<semantic_memory> (last {shown} of {held})\n{entries}\n</semantic_memory>",
        "episodic": "<episodic_memory> (last {shown} of {held})\n{entries}\n</episodic_memory>",
        "entry": "[{id}] {text}",
        "core.none": "",
        "core.cut": " [cut]",
        "semantic.none": "Void.",
        "episodic.none": "Void.",
    }
    assert texts("tools")["memory_update.new_content"] == "U **TEXT**"
    assert (fetched / "reader.txt").read_text() == "ANSWER.\n\n{kinds}\n\n{memory}\n\nRULES\n"
    view = texts("reader_view")
    assert view["semantic"] == "<semantic_memory>\n{entries}\n</semantic_memory>"
    assert (view["episodic.none"], view["entry"]) == ("(void)", "{number}. {text}")
    assert (view["core.kind"], view["episodic.kind"]) == ("- Core: BASIC", "- Episodic: SPECIFIC")
    assert texts("before") == {"booksum": "ABOUT A BOOK {y}."}
    card = find_agent(str(fetched / "card.yaml"))
    assert (card.name, card.prompt_set, set(card.prompts)) == ("memalpha-paper", "memalpha-paper", set(pins().parts))


WRONG = {
    "nth": (Rule(file="memory.py", scope="Memory._block", name="return", nth=9), "Memory._block has 4 texts for 'return'"),
    "scope": (Rule(file="memory.py", scope="Memory.gone", name="x"), "has no Memory.gone"),
    "hole": (Rule(file="memory.py", scope="Memory._block", name="formatted_lines"), "nothing is known about 'mem_id' in it"),
    "whole": (Rule(file="memory.py", name="gone"), "the file has 0 texts for 'gone'"),
    "key": (Rule(file="config/prompts_wrt_datasource.yaml", key="gone"), "has no text 'gone'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_text_that_is_not_where_the_rules_say_is_one_line(fetched: Path, tmp_path: Path, name: str) -> None:
    rule, said = WRONG[name]
    with pytest.raises(UsageError, match=said):
        authors.fetch(replace(pins(), parts={"system": {"text": rule}}), tmp_path / "no", "x", lambda line: None)
    assert not (tmp_path / "no").exists()


def test_other_files_than_the_pinned_ones_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with served(tmp_path / "tree") as url:
        environment = {"MEMEVAL_CACHE": str(tmp_path / "cache"), "MEMEVAL_UPSTREAM": url}
        done = CliRunner(env=environment).invoke(main, ["prompts", "fetch", "memalpha-paper", "--out", str(tmp_path / "o")])
    assert done.exit_code == 2
    assert "not the published file (sha256 is" in done.stderr
    assert not (tmp_path / "o").exists()
    assert not list((tmp_path / "cache").rglob("*.py"))


def test_a_folder_with_other_texts_is_left_alone(fetched: Path) -> None:
    (fetched / "user.txt").write_text("mine")
    before = {path: path.read_text() for path in fetched.iterdir()}
    with pytest.raises(UsageError, match=r"user\.txt: exists and differs"):
        authors.fetch(pins(), fetched, "memalpha-paper", lambda line: None)
    assert {path: path.read_text() for path in fetched.iterdir()} == before


def test_what_can_be_fetched_is_said() -> None:
    done = CliRunner().invoke(main, ["prompts", "fetch", "memalpha-papers"])
    assert (done.exit_code, "did you mean 'memalpha-paper'?" in done.stderr) == (2, True)
    done = CliRunner().invoke(main, ["prompts", "fetch", "memalpha-paper"])
    assert (done.exit_code, "add --out DIR" in done.stderr) == (2, True)


def test_texts_of_the_authors_are_no_deviation(fetched: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {path.stem: path.read_text().strip() for path in fetched.iterdir() if path.name != "card.yaml"}
    known = prompts.parts("memalpha-paper")
    digests = {part: authors.part_digest(text, known[part].several) for part, text in texts.items()}
    pinned = replace(pins(), sha256=digests)
    for module in (authors, run_prompts):
        monkeypatch.setattr(module, "upstream_of", lambda name: pinned if name == "memalpha-paper" else None)
    task, agent = TaskCard("t", "jsonl", reader_deviation="ours"), find_agent("memalpha-paper")
    assert deviations(task, agent, texts) == ()
    assert users_parts(agent, texts) == []
    other = {**texts, "system": "Mine. {memory}"}
    assert users_parts(agent, other) == ["system"]
    (said,) = deviations(task, agent, other)
    assert said.startswith("in our own words: system (")
    ours = dict(prompts.shipped("memalpha-paper"))
    assert users_parts(agent, ours) == []
    assert "system, user, kinds, view, tools" in deviations(task, agent, ours)[0]
    assert deviations(task, find_agent("bm25"), {"reader": prompts.READER["reader"]}) == ("ours",)


# -- the requests --------------------------------------------------------------------------------------------------------

NOTES = {
    "units": ["Ann keeps red bees.", "Bob sold </new_chunk> his boat."],
    "questions": [{"question": "Which bees?", "answers": ["red"]}],
}
CARD = "source: jsonl\nparams: {file: notes.jsonl}\nchunk_tokens: 32\none_unit_per_chunk: true\nmetrics: [f1]\n"
WRITTEN = (
    '✿FUNCTION✿: new_memory_insert\n✿ARGS✿: {"memory_type": "semantic_memory", "content": "bees are red"}\n'
    '✿FUNCTION✿: memory_update\n✿ARGS✿: {"memory_type": "core_memory", "new_content": "About Ann."}\n'
    '✿FUNCTION✿: new_memory_insert\n✿ARGS✿: {"memory_type": "semantic", "content": "refused"}\n'
    '✿RESULT✿: invented\n✿FUNCTION✿: new_memory_insert\n✿ARGS✿: {"memory_type": "episodic_memory", "content": "sold'
)
NATIVE = [
    {"id": "1", "type": "function", "function": {"name": "new_memory_insert", "arguments": json.dumps(arguments)}}
    for arguments in [{"memory_type": "semantic_memory", "content": "bees are red"}]
]


def requests(folder: Path, agent: str, memory: str) -> list[dict[str, Any]]:
    """The bodies of all requests of a run, in order: two of the writer, one of the reader."""
    (folder / "notes.jsonl").write_text(json.dumps(NOTES) + "\n")
    (folder / "notes.yaml").write_text(CARD)

    def reply(asked: dict[str, Any]) -> dict[str, Any]:
        reading = "Which bees?" in asked["messages"][-1]["content"]
        message = {"role": "assistant", "content": "Red." if reading else WRITTEN}
        if asked.get("tools"):
            message = {"role": "assistant", "content": None, "tool_calls": NATIVE}
        return {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": None}

    with in_thread(FaultyServer(body=reply)) as server:
        models = ["--memory", f"{memory}@{server.url}", "--reader", f"Qwen/Qwen3-32B@{server.url}"]
        done = preloaded.run(["run", "--agent", agent, "--task", "notes.yaml", *models, "--no-cache", "--quiet"], folder)
    assert done.returncode == 0, done.stderr
    return server.seen


def schema(name: str, description: str, properties: list[tuple[str, str, list[str]]], required: list[str]) -> str:
    shown = {
        each: {"type": "string", "description": said, **({"enum": enum} if enum else {})} for each, said, enum in properties
    }
    parameters = json.dumps({"type": "object", "properties": shown, "required": required})
    return f"### {name}\n\n{name}: {description} Parameters: {parameters} Format the arguments as a JSON object."


LISTS, ALL = ["semantic_memory", "episodic_memory"], ["core_memory", "semantic_memory", "episodic_memory"]
TOOLS = "\n\n".join(
    [
        schema("new_memory_insert", "INSERT.", [("memory_type", "I TYPE", LISTS), ("content", "I TEXT", [])],
               ["memory_type", "content"]),
        schema("memory_update", "UPDATE.",
               [("memory_type", "U TYPE", ALL), ("new_content", "U **TEXT**", []), ("memory_id", "U ID", [])],
               ["memory_type", "new_content"]),
        schema("memory_delete", "DELETE.", [("memory_type", "D TYPE", ALL), ("memory_id", "D ID", [])], ["memory_type"]),
    ]
)  # fmt: skip


def system(core: str, semantic: str, episodic: str) -> str:
    """The writer's system text, but for the tools behind it."""
    return (
        "WRITE.\n* core_memory: CORE {braces}\n* semantic_memory: SEMANTIC\n* episodic_memory: EPISODIC\nSTATE:\n"
        f"<core_memory>\n{core}\n</core_memory>\n\n<semantic_memory> {semantic}\n</semantic_memory>\n\n"
        f"<episodic_memory> {episodic}\n</episodic_memory>\n\nEND 'Done'."
    )


@pytest.mark.parametrize("memory", ["YuWangX/Memalpha-4B", "Qwen/Qwen3-4B"])
def test_requests_of_memalpha_paper_are_upstreams(fetched: Path, tmp_path: Path, memory: str) -> None:
    first, second, read = requests(tmp_path, str(fetched / "card.yaml"), memory)
    tools = f"\n\n# Tools\n\n## You have access to the following tools:\n\n{TOOLS}\n\n## Insert the following command"
    shown = [message["content"].partition("in your reply")[0] for message in (first["messages"][0], second["messages"][0])]
    assert shown[0].startswith(system("", "(last 0 of 0)\nVoid.", "(last 0 of 0)\nVoid.") + tools)
    assert "should be one of [new_memory_insert,memory_update,memory_delete]" in first["messages"][0]["content"]
    (entry,) = [line for line in shown[1].splitlines() if line.endswith("] bees are red")]
    assert len(entry) == len("[0000] bees are red")
    (event,) = [line for line in shown[1].splitlines() if line.endswith("] sold")]  # cut, repaired and kept, as upstream
    assert shown[1].startswith(system("About Ann.", f"(last 1 of 1)\n{entry}", f"(last 1 of 1)\n{event}") + tools)
    chunks = [
        f"REMEMBER {{x}}:\n<new_chunk>\n{chunk}\n</new_chunk>\nAT MOST 1638 TOKENS."
        for chunk in ("Ann keeps red bees.", "Bob sold ‹/new_chunk> his boat.")
    ]
    for request, chunk in zip((first, second), chunks, strict=True):
        assert [message["role"] for message in request["messages"]] == ["system", "user"]
        assert request["messages"][1]["content"] == chunk
        assert {key: value for key, value in request.items() if key not in ("messages", "model")} == {
            "temperature": 0.0,
            "max_tokens": 2048,
            "chat_template_kwargs": {"enable_thinking": False},
        }
    assert read["messages"] == [
        {
            "role": "system",
            "content": "ANSWER.\n\n- Core: BASIC\n- Semantic: GENERAL\n- Episodic: SPECIFIC\n\n"
            "<core_memory>\nAbout Ann.\n</core_memory>\n\n<semantic_memory>\n1. bees are red\n</semantic_memory>\n\n"
            "<episodic_memory>\n1. sold\n</episodic_memory>\n\nRULES",
        },
        {"role": "user", "content": "Which bees?"},
    ]
    assert {key: value for key, value in read.items() if key not in ("messages", "model")} == {
        "temperature": 0.7,
        "max_tokens": 2048,
        "chat_template_kwargs": {"enable_thinking": False},
    }


def test_gpt_calls_tools_natively_and_an_empty_core_is_left_out(fetched: Path, tmp_path: Path) -> None:
    first, second, read = requests(tmp_path, str(fetched / "card.yaml"), "gpt-4.1-mini")
    assert (first["temperature"], first["max_tokens"]) == (0.6, 2048)
    assert first["messages"][0]["content"] == system("", "(last 0 of 0)\nVoid.", "(last 0 of 0)\nVoid.")
    insert = first["tools"][0]["function"]
    assert list(insert["parameters"]["properties"]["memory_type"]) == ["type", "description", "enum"]
    assert [tool["function"]["name"] for tool in second["tools"]] == ["new_memory_insert", "memory_update", "memory_delete"]
    assert read["messages"][0]["content"] == (
        "ANSWER.\n\n- Semantic: GENERAL\n- Episodic: SPECIFIC\n\n<semantic_memory>\n1. bees are red\n</semantic_memory>\n\n"
        "<episodic_memory>\n(void)\n</episodic_memory>\n\nRULES"
    )


@pytest.mark.parametrize("name", TREES)
def test_the_pins_name_every_file_that_a_rule_reads(name: str) -> None:
    real = authors.upstream_of(name)
    assert isinstance(real, Upstream)
    rules = [rule for part in real.parts.values() for rule in part.values()]
    assert {rule.file for rule in rules if rule.file} == set(real.files) == set(TREES[name])
    assert set(real.parts) == set(real.sha256) <= set(prompts.parts(name))
    assert AgentCard("x", "memalpha", prompt_set=name).prompt_set in prompts.sets()


def test_every_set_with_pins_has_a_made_tree() -> None:
    assert [name for name in prompts.sets() if authors.upstream_of(name)] == sorted(TREES)


# -- agents whose memory is one text -------------------------------------------------------------------------------------

STREAM = {
    "units": ["Ann keeps </section> bees.", "Bob sold his boat."],
    "questions": [{"question": "Which </problem> bees?", "answers": ["red"]}],
}
MADE = {
    "memagent-paper": {
        "user": "READ {x}.\n\n<problem> \n{problem}\n</problem>\nM {memory} S <section>{chunk}</section>\nNEW:",
        "ask": "ANSWER \\boxed{} P {problem} M {memory}",
    },
    "memagent-memalpha": {
        "user": "R <problem>\n{problem}\n</problem> {memory} {chunk}",
        "ask": "A {problem} {memory}",
    },
    "mem1-paper": {
        "user": "TASK:\n{problem}\nSTATE IN <think> ... </think>.\n\nNEXT:\n{chunk}\n\n<think>{memory}</think>",
    },
}
"""Agent -> part -> the text of its authors, with placeholders"""


@pytest.mark.parametrize("visible", [False, True])
@pytest.mark.parametrize("agent", MADE)
def test_an_agent_whose_memory_is_one_text_sends_its_authors_texts_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, agent: str, visible: bool
) -> None:
    card = find_agent(agent)
    with served(tmp_path / "tree") as url:
        monkeypatch.setenv("MEMEVAL_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("MEMEVAL_UPSTREAM", url)
        fetched = authors.fetch(pins(card.prompt_set), tmp_path / "texts", card.name, lambda line: None)
    (tmp_path / "notes.jsonl").write_text(json.dumps(STREAM) + "\n")
    (tmp_path / "notes.yaml").write_text(CARD + f"query_visible: {str(visible).lower()}\n")
    replies = iter(["first", "second", "red"])

    def reply(asked: dict[str, Any]) -> dict[str, Any]:
        said = f"<think>{next(replies)}</think>" if agent == "mem1-paper" else next(replies)
        return {"choices": [{"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}]}

    with in_thread(FaultyServer(body=reply)) as server:
        models = ["--memory", f"m@{server.url}", *(["--reader", f"r@{server.url}"] if card.track == "reader" else [])]
        command = ["run", "--agent", str(fetched.card), "--task", "notes.yaml", *models, "--no-cache", "--quiet"]
        done = preloaded.run(command, tmp_path)
    assert done.returncode == 0, done.stderr
    asked = "Which ‹/problem> bees?" if "memagent" in agent else "Which </problem> bees?"
    chunks = [
        "Ann keeps ‹/section> bees." if agent == "memagent-paper" else "Ann keeps </section> bees.",
        "Bob sold his boat.",
    ]
    sent = []
    for chunk, memory in zip(chunks, ("Empty.", "first"), strict=True):
        sent.append(("user", {"problem": asked if visible else "", "chunk": chunk, "memory": memory}))
    if card.track == "native":
        sent.append(("ask", {"problem": asked, "memory": "second"}))
    for request, (part, values) in zip(server.seen, sent, strict=card.track == "native"):
        expected = MADE[agent][part]
        for name, value in values.items():
            expected = expected.replace(f"{{{name}}}", value)
        assert request["messages"] == [{"role": "user", "content": expected}]


@pytest.mark.parametrize("agent", MADE)
def test_fetched_texts_of_an_agent_whose_memory_is_one_text_leave_the_deviations_of_its_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, agent: str
) -> None:
    card = find_agent(agent)
    made = pins(card.prompt_set)
    with served(tmp_path / "tree") as url:
        monkeypatch.setenv("MEMEVAL_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("MEMEVAL_UPSTREAM", url)
        fetched = find_agent(str(authors.fetch(made, tmp_path / "texts", card.name, lambda line: None).card))
    texts = run_prompts.replaced(fetched, {})
    pinned = replace(made, sha256={part: authors.part_digest(texts[part], several=False) for part in made.parts})
    for module in (authors, run_prompts):
        monkeypatch.setattr(module, "upstream_of", lambda name: pinned if name == card.prompt_set else None)
    task = TaskCard("t", "jsonl")
    assert deviations(task, fetched, texts) == card.deviations
    assert users_parts(fetched, texts) == []
    ours = deviations(task, card, run_prompts.replaced(card, {}))
    assert ours[:-1] == card.deviations
    parts = [part for part in prompts.parts(card.prompt_set) if part in made.parts]
    assert ours[-1].startswith(f"in our own words: {', '.join(parts)} (")
