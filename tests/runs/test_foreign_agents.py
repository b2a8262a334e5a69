"""Agents that are programs: what they are sent, what of them counts, and what becomes of those that misbehave."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import preloaded
import pytest
from faulty_server import FaultyServer, always, in_thread
from folders import memory_of, read_lines, run_folders, steps
from hypothesis import given
from hypothesis import strategies as st
from toys import Diary, context, simple

from memeval.agents.foreign import messages
from memeval.agents.foreign.program import Program
from memeval.errors import ForeignFailed, UsageError
from memeval.models.completion import ModelSpec
from memeval.runs.options import as_typed
from memeval.runs.run import run
from memeval.runs.run_all import anew
from memeval.task import Question

PAGE = (Path(__file__).parents[2] / "docs" / "foreign.md").read_text(encoding="utf-8")

PROGRAM = """
import json, os, subprocess, sys, time, urllib.request

notes, given = {}, {}

def model(text):
    body = {"model": "memory", "messages": [{"role": "user", "content": text}], "temperature": 0}
    headers = {"Authorization": "Bearer " + os.environ["OPENAI_API_KEY"], "Content-Type": "application/json"}
    request = urllib.request.Request(os.environ["OPENAI_BASE_URL"] + "/chat/completions", json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request) as response:
            return json.load(response)["choices"][0]["message"]["content"]
    except urllib.error.HTTPError:
        return "?"

def reply(m):
    mine = notes.setdefault(m["context"], [])
    if m["method"] == "begin":
        given.update(m)
        METHODS
    elif m["method"] == "observe":
        OBSERVE
        mine.append({"text": m["chunk"]["text"], "chunks": [m["chunk"]["id"]]})
    elif m["method"] == "recall":
        RECALL
        return {"items": mine, "order": "stream"}
    elif m["method"] == "memory":
        return {"entries": mine}
    elif m["method"] == "answer":
        return {"text": m["items"][0]["text"]}
    elif m["method"] == "fork":
        notes[m["to"]] = list(mine)
    return {}

for line in sys.stdin:
    m = json.loads(line)
    print(json.dumps({"id": m["id"], **reply(m)}), flush=True)
"""
ALL = 'return {"methods": ["memory", "fork", "answer"]}'
MODELS = {"memory": ModelSpec("offline"), "reader": ModelSpec("offline")}


FIELDS = ["items", "text", "chunks", "score", "order", "tokens", "entries", "spent", "usd", "methods", "error", "kind"]
SHAPES = [messages.Begun, messages.Recalled, messages.Answered, messages.Held, messages.Reply]


def program(folder: Path, observe: str = "pass", methods: str = ALL, recall: str = "pass") -> str:
    """The command of a program that keeps every chunk, with lines of its own where it reads and recalls."""
    text = PROGRAM.replace("METHODS", methods).replace("RECALL", recall).replace("OBSERVE", observe)
    (folder / "agent.py").write_text(text, encoding="utf-8")
    return f"{sys.executable} agent.py"


def planned(toy: Any, folder: Path, contexts: list[Any], options: dict[str, Any] | None = None, **more: Any) -> Any:
    params = {"command": program(folder, **(options or {})), **more.pop("params", {})}
    return toy.planned(Program.beside(folder), contexts, params=params, **{"models": MODELS, **more})


def failures(outcome: Any, folder: Path) -> dict[str, Any]:
    return {sample["question_id"]: sample["failure"] for sample in read_lines(folder / "samples.jsonl")}


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and is still in the table does not."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def ends(pid: int) -> bool:
    """Whether a process has ended within ten seconds."""
    return any(not alive(pid) or time.sleep(0.05) for _ in range(200))


# -- what it is sent, and what counts ---------------------------------------------------------------------------------


def test_its_calls_are_booked_in_the_steps_that_made_them(toy: Any, tmp_path: Path) -> None:
    with in_thread(FaultyServer()) as server:
        models = {"memory": ModelSpec("tiny", server.url), "reader": ModelSpec("offline")}
        options = {"observe": 'model(m["chunk"]["text"])'}
        made = planned(toy, tmp_path, [simple(n) for n in range(2)], options, models=models)
        outcome = run(made, quiet=True)
        served = dict(server.served)
    assert (outcome.summary.status, outcome.summary.headline.value) == ("complete", 1.0)
    rows = steps(made.spec.folder)
    assert [row["calls"] for row in rows] == [{"memory": 1}] * len(served)
    assert outcome.summary.calls == {"memory": len(served), "reader": 2}
    assert outcome.summary.memory_tokens.mean > 0  # those of its entries are counted


def test_read_anew_it_gets_the_replies_that_are_stored(toy: Any, tmp_path: Path) -> None:
    """As a run is that was interrupted; its card says that nothing else decides about its memory."""
    with in_thread(FaultyServer()) as server:
        models = {"memory": ModelSpec("tiny", server.url), "reader": ModelSpec("offline")}
        made = planned(toy, tmp_path, [simple(0)], {"observe": 'model(m["chunk"]["text"])'}, models=models)
        first = run(made, quiet=True)
        asked = len(server.seen)
        (fresh,) = anew([made], fresh=True)
        again = run(fresh, quiet=True)
    assert again.summary.requests == 1  # the reader's
    assert len(server.seen) == asked == first.summary.calls["memory"]
    assert again.summary.calls == first.summary.calls


def test_a_visible_question_is_shown_when_it_begins(toy: Any, tmp_path: Path) -> None:
    recall = 'return {"items": [{"text": given["query"]["text"]}]}'
    made = planned(toy, tmp_path, [simple(3)], {"recall": recall}, card={"query_visible": True})
    events = toy.events(made)
    (sample,) = (event for event in events if event["event"] == "sample")
    assert _recalled(events, sample) == ["Where does Person3 Smith live?"]
    assert sample["query_used"] is True


def test_a_command_with_commas_is_one_agent() -> None:
    assert as_typed(["cmd:node a.js --k=1,2", "none,oracle"], [], {}).agents == ("cmd:node a.js --k=1,2", "none", "oracle")


def test_questions_at_positions_are_asked_of_copies(toy: Any, tmp_path: Path) -> None:
    """Call for call what an agent recalls that saw only the prefix."""
    units = [f"Fact {number} of this stream is {number * 7}." for number in range(12)]
    questions = [Question(f"q{n}", f"What is fact {n}?", (str(n * 7),), position=n) for n in (3, 7, 11)]
    made = planned(toy, tmp_path, [context("c", units, questions)])
    texts = {sample["question_id"]: sample["recall"] for sample in _samples(made)}
    plain = toy.planned(Diary, [context("c", units, questions)], models=MODELS)
    assert texts == {sample["question_id"]: sample["recall"] for sample in _samples(plain)}
    assert not any(row.get("rebuilt") for row in read_lines(memory_of(made.spec.folder) / "operations.jsonl"))


def _samples(made: Any) -> list[dict[str, Any]]:
    outcome = run(made, quiet=True)
    assert outcome.summary.failed == 0
    return read_lines(made.spec.folder / "samples.jsonl")


def test_without_fork_it_reads_anew_for_each_position(toy: Any, tmp_path: Path) -> None:
    units = [f"Fact {number} of this stream is {number * 7}." for number in range(12)]
    questions = [Question(f"q{n}", f"What is fact {n}?", (str(n * 7),), position=n) for n in (3, 11)]
    made = planned(toy, tmp_path, [context("c", units, questions)], {"methods": "return {}"})
    outcome = run(made, quiet=True)
    assert outcome.summary.failed == 0
    assert outcome.summary.rebuilt
    assert outcome.summary.rebuilt.why == ("its fork() returned None",)


def test_it_answers_by_itself_where_its_card_says_so(project: Path) -> None:
    program(project)
    (project / "mine.yaml").write_text(f"agent: cmd\ntrack: native\nparams: {{command: {sys.executable} agent.py}}\n")
    words = ["run", "--agent", "mine.yaml", "--task", "synth-10k", "--limit", "1", "--model", "offline", "--format", "json"]
    (row,) = json.loads(preloaded.run(words, project).stdout)["runs"]
    assert (row["failed"], row["calls"]) == (0, {})
    (sample,) = read_lines(run_folders(project / "runs")[0] / "samples.jsonl")
    assert len(sample["answer"]) > 1000  # its first chunk


def test_it_inherits_no_secret(toy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-mine-0123456789")
    monkeypatch.setenv("DATABASE_PASSWORD", "hunter2")
    monkeypatch.setenv("ASKED_FOR", "yes")
    recall = 'return {"items": [{"text": json.dumps(dict(os.environ))}, {"text": json.dumps(given)}]}'
    params = {"environment": ["ASKED_FOR"], "params": {"k": 3}}
    made = planned(toy, tmp_path, [simple(0)], {"recall": recall}, params=params)
    events = toy.events(made)
    (sample,) = (event for event in events if event["event"] == "sample")
    environment, given = (json.loads(text) for text in _recalled(events, sample))
    kept = {"PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "HOME", "TMPDIR", "OPENAI_BASE_URL", "OPENAI_API_KEY", "ASKED_FOR"}
    assert set(environment) <= kept
    assert environment["OPENAI_API_KEY"] != "sk-mine-0123456789"
    assert environment["HOME"] == given["workdir"] != os.environ["HOME"]
    assert (given["params"], given["models"], given["base_url"]) == (
        {"k": 3},
        ["memory", "reader"],
        environment["OPENAI_BASE_URL"],
    )
    assert not Path(given["workdir"]).exists()  # deleted at the end
    assert "ctx0" not in json.dumps(given)  # names of contexts are not for agents


def _recalled(events: list[dict[str, Any]], sample: dict[str, Any]) -> list[str]:
    texts = {event["sha"]: event["text"] for event in events if event["event"] == "text"}
    return [texts[item["text"]] for item in sample["recall"]]


# -- what misbehaves --------------------------------------------------------------------------------------------------

FAULTS = {
    "dies": (
        'sys.exit("no more " + os.environ["OPENAI_API_KEY"])',
        "observe: ended instead of replying (exit code 1); its ",
    ),
    "killed": ("os.kill(os.getpid(), 9)", "observe: ended instead of replying (killed by signal 9)"),
    "garbage": (
        'print("Reading chunk 1 ..." + chr(27) + "[31m")',
        "observe: sent what is not JSON: Reading chunk 1 ... [31m",
    ),
    "number": ('print("17")', "observe: sent 17, expected a JSON object"),
    "other id": ('print(json.dumps({"id": 999}))', "observe: replied with id 999, expected "),
    "deep": ('print("[" * 100000)', "observe: sent what is not JSON: [[[["),
    "error": ('return {"error": "I am\\nlost"}', "observe: reported an error: I am lost"),
    "spent": ('return {"spent": [{"usd": -1}]}', "sent a reply that does not fit: Expected `float` >= 0"),
    "raises": ("1 / 0", " ZeroDivisionError: division by zero"),
    "hangs": ("time.sleep(600)", "observe: no reply within 0.8 s"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_misbehaves_fails_its_context_and_no_other(toy: Any, tmp_path: Path, fault: str) -> None:
    line, said = FAULTS[fault]
    options = {"observe": f"if 'Person1 Smith' in m['chunk']['text']: {line}"}
    seconds = 0.8 if fault == "hangs" else 60.0
    contexts = [simple(1), simple(2)] if fault != "hangs" else [simple(1)]  # a slow machine may be late with the other
    made = planned(toy, tmp_path, contexts, options, params={"timeout": seconds})
    outcome = run(made, quiet=True)
    found = failures(outcome, made.spec.folder)
    assert found["q1"].startswith("ingest: agent.py: ")
    assert said in found["q1"]
    assert found.get("q2") is None
    assert "\n" not in found["q1"]
    assert "sk-" not in found["q1"]  # the key of the proxy, which it wrote to stderr


RECALLS = {
    "no items": ("return {}", "missing required field `items`"),
    "items": ('return {"items": "text"}', "Expected `array`, got `str` - at `$.items`"),
    "text": ('return {"items": [{"text": 3}]}', "Expected `str`, got `int` - at `$.items[0].text`"),
    "chunks": ('return {"items": [{"text": "a", "chunks": [1]}]}', "Expected `str`, got `int` - at `$.items[0].chunks[0]`"),
    "order": ('return {"items": [], "order": "best"}', "Invalid enum value 'best' - at `$.order`"),
    "large": ("return {'items': [{'text': 'x' * 2**21}] * 20}", "sent more than 33,554,432 bytes in one reply"),
}


@pytest.mark.parametrize("fault", RECALLS)
def test_a_recall_that_does_not_fit_fails_its_question(toy: Any, tmp_path: Path, fault: str) -> None:
    line, said = RECALLS[fault]
    made = planned(toy, tmp_path, [simple(0)], {"recall": line})
    outcome = run(made, quiet=True)
    assert said in failures(outcome, made.spec.folder)["q0"]


def test_an_error_that_is_reported_fails_one_question(toy: Any, tmp_path: Path) -> None:
    questions = [Question("q1", "What is lost?", ("x",)), Question("q2", "What is here?", ("y",))]
    recall = 'if "lost" in m["query"]["text"]: return {"error": "nothing there"}'
    made = planned(toy, tmp_path, [context("c", ["A text."], questions)], {"recall": recall})
    outcome = run(made, quiet=True)
    assert failures(outcome, made.spec.folder) == {"q1": "agent.py: recall: reported an error: nothing there", "q2": None}


def test_what_json_cannot_hold_is_cleaned(toy: Any, tmp_path: Path) -> None:
    recall = 'return {"items": [{"text": "Person0 Smith lives in Arlen. " + chr(0xD800), "score": float("nan"), "id": 7}]}'
    made = planned(toy, tmp_path, [simple(0)], {"recall": recall})
    events = toy.events(made)
    (sample,) = (event for event in events if event["event"] == "sample")
    assert sample["failure"] is None
    assert _recalled(events, sample) == ["Person0 Smith lives in Arlen. ?"]
    assert sample["recall"][0].get("score") is None


def test_a_failed_call_fails_the_question_though_the_program_goes_on(toy: Any, tmp_path: Path) -> None:
    with in_thread(FaultyServer(always("400"))) as server:
        models = {"memory": ModelSpec("tiny", server.url), "reader": ModelSpec("offline")}
        made = planned(toy, tmp_path, [simple(0)], {"observe": 'model(m["chunk"]["text"])'}, models=models)
        outcome = run(made, quiet=True)
    assert failures(outcome, made.spec.folder)["q0"] == "ingest: memory: HTTP 400: trouble 400"


def test_the_time_limit_of_agents_holds_and_ends_the_program(toy: Any, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    options = {"observe": f"open({str(pids)!r}, 'w').write(str(os.getpid())); time.sleep(600)"}
    made = planned(toy, tmp_path, [simple(0)], options, agent_timeout=3.0)
    outcome = run(made, quiet=True)
    assert "observe had not returned after 3 s (--agent-timeout)" in failures(outcome, made.spec.folder)["q0"]
    assert ends(int(pids.read_text()))


def test_its_whole_group_ends_with_the_context(toy: Any, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    child = "subprocess.Popen(['sleep', '600'], stdin=subprocess.DEVNULL).pid"
    options = {"methods": f"open({str(pids)!r}, 'a').write('%d %d ' % ({child}, os.getpid())); {ALL}"}
    outcome = run(planned(toy, tmp_path, [simple(0), simple(1)], options), quiet=True)
    assert outcome.summary.failed == 0
    found = [int(pid) for pid in pids.read_text().split()]
    assert len(found) == 4
    assert all(map(ends, found))


def test_ctrl_c_ends_the_program(project: Path) -> None:
    command = program(project, "open('pids', 'w').write(str(os.getpid())); time.sleep(600)")
    words = ["run", "--agent", f"cmd:{command}", "--task", "synth-10k", "--limit", "1", "--model", "offline", "--quiet"]
    process = preloaded.start(words, project, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert any((project / "pids").is_file() or time.sleep(0.05) for _ in range(400))
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 130
    assert ends(int((project / "pids").read_text()))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(FIELDS) | st.text(), inner, max_size=4),
)


@given(JSON.map(lambda value: json.dumps(value).encode()) | st.binary(), st.sampled_from(SHAPES))
def test_whatever_is_sent_is_a_reply_or_a_failure_of_one_line(raw: bytes, shape: Any) -> None:
    reply, said = None, ""
    try:
        value = messages.parse(raw)
        reply = messages.shaped(value if not isinstance(value, dict) else {**value, "id": 1}, 1, shape)
    except ForeignFailed as failed:
        said = str(failed)
    assert said.isprintable()
    assert len(said) < 1000
    assert isinstance(reply, shape) != bool(said)
    json.dumps(msgspec.to_builtins(reply), allow_nan=False).encode()


# -- which program it is ----------------------------------------------------------------------------------------------


def test_its_files_are_part_of_what_a_run_is(project: Path) -> None:
    command = program(project)
    words = ["run", "--agent", f"cmd:{command}", "--task", "synth-10k", "--limit", "1", "--model", "offline"]
    first = preloaded.run(words, project)
    assert first.returncode == 0, first.stderr
    again = preloaded.run([*words, "--format", "json", "--set", "timeout=500"], project)  # a longer wait is the same run
    assert json.loads(again.stdout)["runs"][0]["requests"] == 0
    with (project / "agent.py").open("a") as file:
        file.write("# better\n")
    changed = preloaded.run(words, project)
    assert "agent.py changed since runs/synth-10k/python" in changed.stderr
    assert len(run_folders(project / "runs")) == 2


def test_the_packages_of_a_python_environment_are_part_of_it(tmp_path: Path) -> None:
    package = tmp_path / "venv" / "lib" / "python3" / "site-packages" / "words-1.2.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Name: words")
    (tmp_path / "venv" / "bin").mkdir()
    (tmp_path / "venv" / "bin" / "python").symlink_to(sys.executable)
    (tmp_path / "venv" / "pyvenv.cfg").touch()
    (tmp_path / "agent.py").touch()
    files = Program.beside(tmp_path)("venv/bin/python -I agent.py missing.py").files()
    assert set(files) == {"python", "agent.py", "python: words-1.2"}
    assert files["python: words-1.2"] == package / "METADATA"


@pytest.mark.parametrize(
    ("agent", "said"),
    [
        ("cmd:", "cmd: '' is not a command; write it as in cmd:'node agent.js'"),
        ("cmd:'node", "not a command (No closing quotation)"),
        ("cmd:no-such-program agent.js", "cmd: no program 'no-such-program' to start (looked in PATH and in "),
        ("cmd:./agent.js", "cmd: no program './agent.js' to start"),
        ("http:nowhere", "http: 'nowhere' is not a server URL; write it as in http:http://127.0.0.1:8000"),
        ("http:http://me:secret@127.0.0.1:1", "http: the address has a password in it; put that into a variable"),
        ("http://127.0.0.1:1", "127.0.0.1:1: POST /begin: no connection; is the server running?"),
    ],
)
def test_what_cannot_be_an_agent_is_said_before_the_run(project: Path, agent: str, said: str) -> None:
    done = preloaded.run(["run", "--agent", agent, "--task", "synth-10k", "--limit", "1", "--model", "offline"], project)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_program_is_found_beside_its_card(project: Path) -> None:
    (project / "agents").mkdir()
    program(project / "agents")
    (project / "agents" / "mine.yaml").write_text(f"agent: cmd\nparams: {{command: {sys.executable} agent.py}}\n")
    done = preloaded.run(
        [
            "run",
            "--agent",
            "agents/mine.yaml",
            "--task",
            "synth-10k",
            "--limit",
            "1",
            "--model",
            "offline",
            "--format",
            "json",
        ],
        project,
    )
    (row,) = json.loads(done.stdout)["runs"]
    assert (row["n"], row["failed"], row["agent"]) == (1, 0, "agents/mine.yaml")


def test_parameters_of_another_kind_are_refused() -> None:
    for wrong in ({"command": [1]}, {"command": "true", "timeout": 0}, {"command": "true", "params": [1]}, {"command": 3}):
        with pytest.raises(UsageError):
            Program(**wrong)


# -- the page ---------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(
    shutil.which("node") is None, reason="the example of docs/foreign.md is in JavaScript: no 'node' in PATH"
)
def test_the_example_of_the_page(project: Path) -> None:
    (code,) = re.findall(r"```js\n(.*?)```", PAGE, re.DOTALL)
    assert len(code.splitlines()) <= 20
    (project / "agent.js").write_text(code, encoding="utf-8")
    (block,) = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    _, line = (shlex.split(line)[1:] for line in block.strip().splitlines())
    with in_thread(FaultyServer()) as server:  # it echoes
        done = preloaded.run([*line, "--memory", f"tiny@{server.url}", "--format", "json", "--quiet"], project)
        asked = len(server.seen)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["runs"]
    assert (row["n"], row["failed"], row["calls"]["memory"]) == (2, 0, asked)
    assert row["memory_tokens"]["mean"] > 5000  # it notes all, and says so


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("node") is None, reason="the example of docs/foreign.md is in JavaScript: no 'node' in PATH"
)
def test_the_example_of_the_page_keeps_the_contract(project: Path) -> None:
    (code,) = re.findall(r"```js\n(.*?)```", PAGE, re.DOTALL)
    (project / "agent.js").write_text(code, encoding="utf-8")
    done = preloaded.run(["check", "--agent", "cmd:node agent.js"], project)
    assert (done.returncode, "FAILED" in done.stdout) == (0, False), done.stdout
    assert "one ingest for all positions" in done.stdout
    assert "native answers" not in done.stdout
