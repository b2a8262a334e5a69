"""mem0 in its own interpreter: what is said where it is missing, and a real run that reaches nothing but this machine."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import preloaded
import pytest

from memeval.agents.mem0 import REQUIREMENTS, VERSION

TESTS = Path(__file__).parents[1]
RUN = ["run", "--agent", "mem0", "--task", "synth-10k", "--limit", "1", "--model", "offline"]

# Each sentence of the new messages is a fact, as a model would extract it that keeps everything.
SCRIPT = """
import json, re, sys
sys.path[:0] = [{models!r}, {runs!r}]
from faulty_server import FaultyServer, in_thread
from memeval.cli import main

def body(asked):
    new = asked["messages"][-1]["content"].partition("## New Messages")[2].partition("## Observation Date")[0]
    facts = [{{"id": str(n), "text": text}} for n, text in enumerate(re.findall(r"Fact [0-9]+ is [a-z]+[.]", new))]
    seen.append(asked)
    reply = {{"role": "assistant", "content": json.dumps({{"memory": facts}})}}
    usage = {{"prompt_tokens": 9, "completion_tokens": 9}}
    return {{"choices": [{{"message": reply, "finish_reason": "stop"}}], "usage": usage}}

seen = []
with in_thread(FaultyServer(body=body)) as server:
    try:
        main([*sys.argv[1:], "--memory", "tiny@" + server.url], standalone_mode=False)
    finally:
        json.dump(seen, open("seen.json", "w"))
"""


def test_without_its_interpreter_the_command_that_makes_it_is_printed(project: Path) -> None:
    done = preloaded.run(RUN, project)
    assert done.returncode == 2
    folder = project / "cache" / "mem0"
    assert done.stderr == (
        f"memeval: mem0: no interpreter with mem0ai {VERSION} at {folder}/bin/python; make it with: "
        f"python3 -m venv {folder} && {folder}/bin/pip install -r {REQUIREMENTS}\n"
    )


def test_its_packages_are_pinned() -> None:
    lines = [line for line in REQUIREMENTS.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    assert f"mem0ai=={VERSION}" in lines
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9.]+", line) for line in lines)


def test_an_interpreter_without_it_is_none(project: Path) -> None:
    done = preloaded.run([*RUN, "--set", f"python={sys.executable}"], project)
    assert done.returncode == 2
    assert f"no interpreter with mem0ai {VERSION} at {sys.executable}" in done.stderr


@pytest.fixture(scope="session")
def interpreter(tmp_path_factory: pytest.TempPathFactory) -> str:
    """`MEM0_PYTHON`, else one that is made by the command that memeval prints."""
    if "MEM0_PYTHON" in os.environ:
        return os.environ["MEM0_PYTHON"]
    folder = tmp_path_factory.mktemp("mem0")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    made = subprocess.run([folder / "bin" / "pip", "install", "-q", "-r", REQUIREMENTS], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"mem0 cannot be installed here: {made.stderr[-200:]}")
    return str(folder / "bin" / "python")


@pytest.mark.long
def test_it_reads_and_recalls_without_any_connection_to_elsewhere(project: Path, interpreter: str) -> None:
    isolated = ["unshare", "--map-root-user", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    if shutil.which("unshare") is None or subprocess.run([*isolated, "true"], capture_output=True).returncode:
        pytest.skip("a network of its own, with this machine alone in it, cannot be made here (unshare --net)")
    words = ["amber", "birch", "cedar", "delta", "ember", "frost"]
    units = [f"Fact {number} is {word}." for number, word in enumerate(words)]
    questions = [
        {"id": "early", "text": "What is Fact 1?", "answer": "birch", "position": 3},
        {"id": "late", "text": "What is Fact 5?", "answer": "frost"},
    ]
    (project / "notes.jsonl").write_text(json.dumps({"units": units, "questions": questions}) + "\n")
    (project / "notes.yaml").write_text("source: jsonl\nparams: {file: notes.jsonl}\nchunk_tokens: 14\nquestions: 0\n")
    (project / "script.py").write_text(SCRIPT.format(models=str(TESTS / "models"), runs=str(TESTS / "runs")))
    command = ["run", "--agent", "mem0", "--task", "notes.yaml", "--reader", "offline", "--embedder", "offline"]
    command += ["--set", f"python={interpreter}", "--format", "json", "--quiet"]
    done = subprocess.run([*isolated, sys.executable, "script.py", *command], capture_output=True, text=True, cwd=project)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["runs"]
    assert (row["n"], row["failed"], row["rebuilt"]) == (2, 0, None)
    (folder,) = (path.parent for path in project.glob("runs/*/*/samples.jsonl"))
    samples = {one["question_id"]: one for one in map(json.loads, (folder / "samples.jsonl").read_text().splitlines())}
    texts = {one["sha"]: one["text"] for one in map(json.loads, (folder / "texts.jsonl").read_text().splitlines())}
    recalled = {name: {texts[item["text"]] for item in sample["recall"]} for name, sample in samples.items()}
    assert recalled["early"] == set(units[:3])  # the fork has its part alone
    assert recalled["late"] == set(units)
    assert all(item["chunks"] for sample in samples.values() for item in sample["recall"])
    seen = json.loads((project / "seen.json").read_text())
    chunks = [line for line in _operations(folder) if line["chunk_tokens"]]
    assert len(seen) == len(chunks) == sum(line["calls"]["memory"] for line in chunks)  # one call a chunk
    assert {line["calls"]["embedder"] for line in chunks} == {2}
    assert all(asked["model"] == "tiny" and asked["response_format"] == {"type": "json_object"} for asked in seen)
    assert all(len(asked["messages"][0]["content"]) > 30_000 for asked in seen)


def _operations(folder: Path) -> list[dict[str, object]]:
    memory = json.loads((folder / "manifest.json").read_text())["memory"]
    return [json.loads(line) for line in ((folder / memory).resolve() / "operations.jsonl").read_text().splitlines()]
