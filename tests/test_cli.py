"""The command line: what it prints, and one clear line with exit code 2 for every kind of bad input."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from memeval.cli import main

CARD = "source: jsonl\nparams: {file: notes.jsonl}\nquestions: 0\n"
NOTES = [
    {
        "units": [f"{name} lives in {town}."],
        "questions": [
            {
                "id": number,
                "text": f"Where does {name} live?",
                "answer": town,
                "evidence": [{"text": f"{name} lives in {town}."}],
            }
        ],
    }
    for number, name, town in (("a", "Ann Lee", "Arlen"), ("b", "Bob Ray", "Castro"))
]


@pytest.fixture
def project(project: Path) -> Path:
    (project / "notes.yaml").write_text(CARD)
    (project / "notes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in NOTES))
    return project


def memeval(*words: str) -> Any:
    return CliRunner().invoke(main, list(words))


def run(*words: str) -> Any:
    return memeval("run", "--task", "notes.yaml", "--model", "offline", *words)


BAD = {
    "--agent memalfa": "no agent 'memalfa'; did you mean 'memalpha'?",
    "--agent bm25 --task 2wiki-100": "no task '2wiki-100'; did you mean '2wiki-100k'?",
    "--agent bm25 --task 2wiki": "task '2wiki' is a base for others; name one of 2wiki-100k",
    "--agent bm25 --task synth-10k@hrad": "no variant 'hrad'; did you mean 'hard'?",
    "--agent bm25 --task gone.yaml": "gone.yaml: cannot read the card",
    "--agent bm25 --set kk=3": "no agent of this run has a parameter 'kk'; did you mean 'k'?",
    "--agent bm25 --set K=3": "no agent of this run has a parameter 'K'; did you mean 'k'?",
    "--agent bm25 --set ｋ=3": "no agent of this run has a parameter 'ｋ'; did you mean 'k'?",
    "--agent bm25 --set k=３": "bm25: 'k' is '３', expected a whole number",
    "--agent ,": "--agent ,: expected NAME[,NAME...]",
    "--agent BM25": "no agent 'BM25'; did you mean 'bm25'?",
    "--agent bm25 --set k": "--set k: expected key=value",
    "--agent bm25 --set k=1 --set k=2": "--set k=2: 'k' is set twice; write all its values in one k=A,B",
    "--agent bm25 --set k=0": "bm25: 'k' is 0, expected a whole number of hits",
    "--agent bm25 --set k=[": "--set k=[: '[' is not a value",
    "--agent bm25 --reader gpt-5": "model 'gpt-5' is unknown",
    "--agent bm25 --reader ofline": "model 'ofline' is unknown; did you mean 'offline'?",
    "--agent bm25 --reader openai/gpt-5": "set OPENAI_API_KEY",
    "--agent bm25 --base-url ftp://x": "expected http://HOST",
    "--agent bm25 --data-dir nowhere": "--data-dir nowhere: no such folder",
    "--agent bm25 --prompt reader=gone.txt": "--prompt reader=gone.txt: cannot read the prompt file",
    "--agent bm25 --prompt raeder=notes.yaml": "--prompt raeder: no such part; did you mean 'reader'?",
    "--agent bm25 --prompt reader": "--prompt reader: expected PART=FILE",
    "--agent gone.py:Mine": "no file gone.py",
    "--agent no.module:Mine": "'no.module:Mine': no module 'no'; is it installed?",
    "--agent bm25 --runs-dir notes.yaml/x": "cannot be written (Not a directory); use --runs-dir",
}


@pytest.mark.parametrize("words", BAD, ids=list(BAD))
def test_bad_input_is_one_line(project: Path, words: str) -> None:
    result = run(*words.split())
    assert result.exit_code == 2, result.output
    assert BAD[words] in result.stderr
    assert result.stdout == ""
    assert len(result.stderr.strip().splitlines()) == 1
    assert "Traceback" not in result.stderr


FILES = {
    (
        "notes.yaml",
        "source: jsonl\nchunk_token: 5\n",
    ): "notes.yaml:2: unknown key 'chunk_token'; did you mean 'chunk_tokens'?",
    ("notes.yaml", CARD + "headline: f2\n"): "unknown metric 'f2'; did you mean 'f1'?",
    ("notes.yaml", CARD + "metrics: [f1, substrng]\n"): "unknown metric 'substrng'; did you mean 'substring'?",
    ("notes.yaml", CARD + "metrics: [f1]\nheadline: exact_match\n"): "headline 'exact_match' is not among its metrics",
    ("notes.yaml", CARD + "judge: locmo\n"): "notes.yaml:4: judge family 'locmo' is unknown; did you mean 'locomo'?",
    ("notes.yaml", CARD + "reader_prompt: redaer\n"): "no reader prompt 'redaer'; did you mean 'reader'?",
    ("notes.yaml", CARD + "tokenizer: o201k\n"): "notes.yaml:4: unknown tokenizer 'o201k'",
    ("notes.jsonl", '{"units": [}\n'): "notes.jsonl:1",
    ("notes.jsonl", json.dumps(NOTES[0]) + "\n" + json.dumps({"unit": []}) + "\n"): "notes.jsonl:2",
    ("memeval.yaml", "modle: offline\n"): "memeval.yaml: unknown key 'modle'; did you mean 'model'?",
    ("memeval.yaml", "base_url: ftp://x\n"): "memeval.yaml: base URL 'ftp://x': expected http://HOST",
    ("memeval.yaml", "data_dir: nowhere\n"): "memeval.yaml: data_dir nowhere: no such folder",
    ("memeval.yaml", "- model\n"): "memeval.yaml: expected a mapping of keys to values",
}


@pytest.mark.parametrize(("file", "line"), FILES.items(), ids=[f"{name}-{n}" for n, (name, _) in enumerate(FILES)])
def test_bad_file_is_one_line(project: Path, file: tuple[str, str], line: str) -> None:
    (project / file[0]).write_text(file[1])
    result = run("--agent", "bm25")
    assert result.exit_code == 2, result.output
    assert line in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_nothing_runs_before_everything_is_checked(project: Path) -> None:
    result = run("--agent", "bm25", "--agent", "memalfa")
    assert result.exit_code == 2
    assert not (project / "runs").exists()


def test_json_is_one_object_and_nothing_else(project: Path) -> None:
    result = run("--agent", "bm25", "--agent", "none", "--format", "json")
    assert result.exit_code == 0, result.stderr
    runs = json.loads(result.stdout)["runs"]
    assert [row["agent"] for row in runs] == ["bm25", "none"]
    assert runs[0]["headline"].keys() >= {"metric", "value", "low", "high"}
    assert runs[0]["metrics"]["exact_match"].keys() >= {"value", "low", "high", "n"}
    wanted = (
        "path agent task model reader status n failed headline metrics memory_tokens stream_tokens calls requests tokens"
    )
    assert {*wanted.split(), "seconds", "build_seconds"} <= runs[0].keys()
    assert runs[0]["task"] == "notes.yaml"
    assert runs[0]["memory_tokens"].keys() == {"mean", "max"}
    assert runs[0]["stream_tokens"].keys() == {"min", "mean", "max", "tokenizer"}


def test_table_says_what_it_is(project: Path) -> None:
    result = run("--agent", "bm25")
    assert "95% interval" in result.stdout
    assert "ranks nothing" in result.stdout
    assert "model offline" in result.stdout
    assert "controls not run: none, oracle (add --agent none --agent oracle)" in result.stdout


def test_an_oracle_without_evidence_says_why_it_has_no_score(project: Path) -> None:
    bare = [
        {**note, "questions": [{k: v for k, v in q.items() if k != "evidence"} for q in note["questions"]]} for note in NOTES
    ]
    (project / "notes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in bare))
    result = run("--agent", "oracle", "--agent", "none")
    assert result.exit_code == 0, result.output
    row = next(line for line in result.stdout.splitlines() if line.startswith("| oracle"))
    assert row.split("|")[2].strip() == "n/a"
    why = "n/a for 2 of 2 questions: the data have no gold evidence for them"
    assert f"oracle on notes.yaml: {why}" in result.stdout
    assert why in memeval("show", json.loads(run("--agent", "oracle", "--format", "json").stdout)["runs"][0]["path"]).output


def test_a_grid_is_a_row_for_each_value(project: Path) -> None:
    result = run("--agent", "bm25", "--agent", "recent", "--set", "k=1,2", "--format", "json")
    assert [(row["agent"], row["params"]["k"]) for row in json.loads(result.stdout)["runs"]] == [
        ("bm25", 1), ("bm25", 2), ("recent", 1), ("recent", 2),
    ]  # fmt: skip


def test_limit_counts_questions_both_ways(project: Path) -> None:
    assert json.loads(run("--agent", "none", "--limit", "1", "--format", "json").stdout)["runs"][0]["n"] == 1
    assert json.loads(run("--agent", "none", "--limit", "0", "--format", "json").stdout)["runs"][0]["n"] == 2


def test_a_suite_goes_on_without_a_task_that_has_no_data_and_says_so(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(project / "hub"))
    (project / "tasks").mkdir()
    (project / "tasks" / "pair.yaml").write_text("tasks: [synth-10k, nq-10k]\n")
    (project / "tasks" / "lost.yaml").write_text("tasks: [nq-10k, triviaqa-10k]\n")
    words = ("run", "--agent", "constant", "--model", "offline", "--limit", "8", "--task")
    done = memeval(*words, "pair")
    assert done.exit_code == 3
    assert "memeval: left out of its suite: task 'nq-10k': no data; put nq/nq-open-oracle.jsonl" in done.stderr
    assert done.stdout.splitlines()[-3].split("|")[-3:-1] == ["       1 ", " nq-10k    "]
    assert "pair: plain mean of the tasks' headlines (f1), each task counting the same" in done.stdout
    for name in ("lost", "nq-10k"):
        refused = memeval(*words, name)
        assert refused.exit_code == 2
        assert refused.stderr.splitlines()[-1].startswith("memeval: task 'nq-10k': no data;")


def test_order_of_settings(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def reader(*words: str) -> str:
        result = memeval("run", "--task", "notes.yaml", "--agent", "none", "--format", "json", "--quiet", *words)
        assert result.exit_code == 0, result.stderr
        return str(json.loads(result.stdout)["runs"][0]["reader"])

    def script(name: str) -> str:
        (project / f"{name}.jsonl").write_text('{"reply": "Arlen"}\n')
        return f"scripted:{name}.jsonl"

    assert reader() == "offline"
    (project / "memeval.yaml").write_text(f"model: {script('config')}\n")
    assert reader() == "scripted:config.jsonl"
    monkeypatch.setenv("MEMEVAL_MODEL", script("environment"))
    assert reader() == "scripted:environment.jsonl"
    monkeypatch.setenv("MEMEVAL_READER", script("role"))
    assert reader() == "scripted:role.jsonl"
    assert reader("--model", script("flag")) == "scripted:flag.jsonl"
    assert reader("--model", script("flag"), "--reader", script("own")) == "scripted:own.jsonl"


def test_a_role_may_be_a_mapping_in_the_configuration(project: Path) -> None:
    (project / "replies.jsonl").write_text('{"reply": "Arlen"}\n')
    (project / "memeval.yaml").write_text("reader: {name: 'scripted:replies.jsonl', temperature: 0.5, context: 100000}\n")
    result = memeval("run", "--task", "notes.yaml", "--agent", "none", "--format", "json", "--quiet")
    done = json.loads(result.stdout)["runs"][0]
    assert done["reader"] == "scripted:replies.jsonl"
    manifest = json.loads((Path(done["path"]) / "manifest.json").read_text())
    assert manifest["identity"]["models"]["reader"]["params"] == {"temperature": 0.5, "context": 100000}
    (project / "memeval.yaml").write_text("# reader: {temperature: 0.5}\n")
    assert run("--agent", "none").exit_code == 0
    (project / "memeval.yaml").write_text("reader: {temperature: 0.5}\n")
    assert "expected a string, or a mapping with a 'name'" in run("--agent", "none").stderr
    (project / "memeval.yaml").write_text("data_dir: {name: x}\n")
    assert "'data_dir' is {'name': 'x'}, expected a string" in run("--agent", "none").stderr
    (project / "memeval.yaml").unlink()
    (project / "memeval.yaml").symlink_to("nowhere")
    assert "memeval.yaml: not a file; move it away" in run("--agent", "none").stderr


DENSE = """
import numpy as np
from memeval import Item, Recall

class Dense:
    def begin(self, session): self.model, self.chunks, self.rows = session.models["embedder"], [], []
    async def observe(self, chunk):
        self.chunks.append(chunk)
        self.rows.append((await self.model.embed([chunk.text]))[0])
    async def recall(self, query):
        best = int(np.argmax(np.stack(self.rows) @ (await self.model.embed([query.text]))[0]))
        return Recall([Item(self.chunks[best].text, (self.chunks[best].id,))])
"""


def test_an_agent_with_an_embedder(project: Path) -> None:
    (project / "dense.py").write_text(DENSE)
    result = json.loads(run("--agent", "dense.py:Dense", "--format", "json").stdout)["runs"][0]
    assert (result["status"], result["headline"]["value"]) == ("complete", 1.0)
    assert result["calls"] == {"embedder": 4, "reader": 2}
    assert memeval("check", "--agent", "dense.py:Dense").exit_code == 0


def test_notice_when_no_model_is_given(project: Path) -> None:
    result = memeval("run", "--task", "notes.yaml", "--agent", "none")
    assert "no model given, using 'offline'" in result.stderr
    assert "no model given" not in memeval("run", "--task", "notes.yaml", "--agent", "none", "--quiet").stderr
    assert "the embedder was not called" not in result.stderr
    idle = memeval("run", "--task", "notes.yaml", "--agent", "bm25", "--model", "offline", "--embedder", "offline")
    assert "the embedder was not called: none of these agents embeds" in idle.stderr


def test_show(project: Path) -> None:
    done = json.loads(run("--agent", "memalpha", "--format", "json").stdout)["runs"][0]
    whole = memeval("show", done["path"])
    assert "memalpha on notes.yaml   complete" in whole.output
    one = memeval("show", done["path"], "--question", "a").output
    assert "gold      Arlen" in one
    assert "new_memory_insert(" in one
    assert "among the recalled" in one or "recalled" in one
    assert memeval("show", done["path"], "--question", "aa").exit_code == 2
    assert memeval("show", "nowhere").exit_code == 2


def test_an_entry_that_moves_the_cursor_is_defused(project: Path) -> None:
    asked = [{**question, "evidence": []} for question in NOTES[0]["questions"]]  # which is in no unit now
    notes = [{"units": ["Ann Lee \x1b[2J lives in Arlen."], "questions": asked}]
    (project / "notes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in notes))
    done = json.loads(run("--agent", "bm25", "--format", "json").stdout)["runs"][0]
    assert "\x1b" not in memeval("show", done["path"], "--question", "a").output


def test_every_metric_is_listed_with_a_whole_sentence() -> None:
    lines = memeval("list", "metrics").output.splitlines()[1:]
    names = "exact_match f1 substring substring_two_way substring_guarded letter boxed keyword_share rouge_l"
    assert {*names.split(), "evidence_any", "evidence_all", "abstention", "judge"} <= {line.split()[0] for line in lines}
    assert all(line.endswith(".") for line in lines)


def test_list_and_help() -> None:
    assert "synth-10k" in memeval("list", "tasks").output
    assert "oracle" in memeval("list", "agents").output
    assert "offline" in memeval("list", "models").output
    assert "f1" in memeval("list", "metrics").output
    assert "did you mean 'tasks'" in memeval("list", "task").stderr
    assert "did you mean 'list'" in memeval("lits").stderr
    assert memeval("--version").output.startswith("memeval, version")
    for verb in main.commands:
        assert memeval(verb, "--help").exit_code == 0


def test_every_parameter_of_the_agents_that_search_is_explained() -> None:
    for agent in ("bm25", "dense", "hybrid", "iterative", "long-context"):
        rows = [line.split() for line in memeval("list", "agents", agent).output.splitlines() if line]
        head = next(place for place, row in enumerate(rows) if row[0] == "PARAMETER")
        assert all(len(row) > 4 for row in rows[head + 1 : -1]), agent  # its name, its default, and words about it


def test_an_agent_is_listed_with_its_parameters(project: Path) -> None:
    (project / "mine.py").write_text(
        "class Mine:\n"
        '    """Keeps notes. size: notes that are kept.\n\n    Forgets the `oldest` first."""\n'
        "    def __init__(self, size, oldest=True, style='short'): pass\n"
        "    def begin(self, session): pass\n    def observe(self, chunk): pass\n    def recall(self, query): pass\n"
    )
    (project / "card.yaml").write_text("agent: mine.py:Mine\nparams: {size: 3}\n")
    for name, size in (("mine.py:Mine", "required"), ("card.yaml", "3")):
        done = memeval("list", "agents", name)
        assert done.exit_code == 0, done.output
        rows = [line.split(maxsplit=2) for line in done.output.splitlines()[3:6]]
        assert rows == [
            ["size", size, "notes that are kept"],
            ["oldest", "True", "Forgets the `oldest` first."],
            ["style", "'short'"],
        ]
    assert ["k", "2"] in [line.split()[:2] for line in memeval("list", "agents", "bm25").output.splitlines()]
    assert "It has no parameters." in memeval("list", "agents", "oracle").output
    assert "did you mean 'bm25'" in memeval("list", "agents", "bm26").stderr
    assert memeval("list", "tasks", "synth-10k").exit_code == 2


def typed(output: str) -> list[list[str]]:
    """The commands that a verb says to type."""
    return [line.split()[1:] for line in output.splitlines() if line.startswith("  memeval ")]


@pytest.mark.parametrize(
    ("words", "files"),
    [
        (["agent", "my_notes"], {"my_notes.py"}),
        (["agent", "my-notes.py"], {"my_notes.py"}),
        (["task", "diary"], {"diary.yaml", "diary.jsonl"}),
    ],
)
def test_what_new_writes_runs_at_once_and_is_never_overwritten(project: Path, words: list[str], files: set[str]) -> None:
    before = {path.name for path in project.iterdir()}
    made = memeval("new", *words)
    assert made.exit_code == 0, made.output
    assert {path.name for path in project.iterdir()} - before == files
    assert len(typed(made.output)) == 2
    for command in typed(made.output):
        done = memeval(*command)
        assert done.exit_code == 0, done.output
    texts = {name: (project / name).read_text() for name in files}
    again = memeval("new", *words)
    assert (again.exit_code, "exists already" in again.stderr) == (2, True)
    (project / sorted(files)[0]).unlink()
    assert memeval("new", *words).exit_code == (0 if len(files) == 1 else 2)  # not even in part
    assert all((project / name).read_text() == texts[name] for name in files if (project / name).exists())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["agnet", "x"], "did you mean 'agent'?"),
        (["agent", "../x"], "expected a name of letters"),
        (["task", "1st"], "expected a name of letters"),
    ],
)
def test_new_refuses_other_names(project: Path, words: list[str], says: str) -> None:
    before = sorted(project.iterdir())
    done = memeval("new", *words)
    assert (done.exit_code, says in done.stderr) == (2, True)
    assert sorted(project.iterdir()) == before


def test_an_unknown_task_is_refused_before_any_data_are_read(project: Path) -> None:
    done = memeval("data", "verify", "notes.yaml", "synth-10")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == (
        "memeval: no task 'synth-10'; did you mean 'synth-10k'? "
        "(memeval list tasks shows all; or give card.yaml or file.py:Class)\n"
    )
    done = memeval("data", "verify", "notes.yaml")
    assert "memeval: notes.yaml (1 of 1): reading" in done.stderr or "notes (1 of 1): reading" in done.stderr


def test_ctrl_c_before_a_run_begins(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("memeval.runs.run_all.plan", interrupted)
    result = run("--agent", "bm25")
    assert (result.exit_code, result.stderr) == (130, "memeval: interrupted\n")


def test_spending_limits_stop_and_resume(project: Path) -> None:
    (project / "replies.jsonl").write_text('{"reply": "Arlen"}\n')
    words = ["run", "--task", "notes.yaml", "--agent", "bm25", "--reader", "scripted:replies.jsonl", "--format", "json"]
    first = memeval(*words, "--max-calls", "1", "--concurrency", "1")
    assert first.exit_code == 3
    assert "--max-calls 1 is used up" in first.stderr
    assert json.loads(first.stdout)["runs"][0]["status"] == "partial"
    second = json.loads(memeval(*words).stdout)["runs"][0]
    assert (second["status"], second["requests"]) == ("complete", 1)
    unpriced = memeval("run", "--task", "notes.yaml", "--agent", "bm25", "--model", "x", "--base-url", "http://127.0.0.1:9",
                       "--max-cost", "1")  # fmt: skip
    assert unpriced.exit_code == 2
    assert "the price of model 'x' is not known" in unpriced.stderr


def test_estimate_doctor_and_cache(project: Path) -> None:
    estimated = memeval("estimate", "--task", "notes.yaml", "--agent", "bm25", "--model", "offline", "--format", "json")
    assert json.loads(estimated.stdout)["total"]["calls"] == 2
    assert not (project / "runs").exists()
    assert memeval("doctor", "--model", "offline", "--task", "notes.yaml").exit_code == 0
    broken = memeval("doctor", "--model", "openai/gpt-5")
    assert broken.exit_code == 3
    assert "OPENAI_API_KEY" in broken.stdout
    assert re.search(r"the records of \d+ data files?", memeval("cache", "stats").stdout)
    assert "did you mean 'stats'" in memeval("cache", "stat").stderr
    assert "did you mean 'verify'" in memeval("data", "verfy").stderr


def test_check_finds_what_is_wrong(project: Path) -> None:
    (project / "leaky.py").write_text(
        "from memeval import Item, Recall\n"
        "from memeval.task import Question\n"
        "KEEP = []\n"
        "class Leaky:\n"
        "    gold = {'x': [Question('q', 'What?', ('secret',))]}\n"
        "    def begin(self, session): self.asked = 0\n"
        "    def observe(self, chunk): KEEP.append(chunk.text)\n"
        "    def recall(self, query):\n"
        "        self.asked += 1\n"
        "        return Recall([Item(f'{self.asked} {len(KEEP)}')])\n"
    )
    result = memeval("check", "--agent", "leaky.py:Leaky")
    assert result.exit_code == 3
    rows = {line.strip().rsplit("  ", 1)[0].strip(): line for line in result.output.splitlines()}
    failed = [line.split("FAILED")[0].strip() for line in rows.values() if "FAILED" in line]
    assert failed == ["pure recall", "question order", "isolation", "fork", "leaks"]
    assert "Leaky" not in result.output.split("may claim")[1]
    assert "agent.gold['x'][0] is a Question" in result.output
    good = memeval("check", "--agent", "bm25", "--agent", "memalpha")
    assert good.exit_code == 0, good.output
    assert "evidence metrics and attribution" in good.output


# -- the user's own code, lists of names, paths -------------------------------------------------------------------------

OWN_AGENT = """
class Mine:
    def __init__(self, k=1):
        self.k = open("/not/there")
    def begin(self, session): pass
    def observe(self, chunk): pass
    def recall(self, query): pass
"""
OWN_TASK = """
class Diary:
    def load(self, card, settings):
        return {}["monday"]
"""


def test_an_agent_that_cannot_be_made_names_the_users_line(project: Path) -> None:
    (project / "mine.py").write_text(OWN_AGENT)
    result = run("--agent", "mine.py:Mine")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"memeval: {project}/mine.py:4: agent 'Mine': __init__ raised FileNotFoundError(")
    assert result.stderr.count("\n") == 1


def test_a_task_that_cannot_be_loaded_names_the_users_line(project: Path) -> None:
    (project / "diary.py").write_text(OWN_TASK)
    result = memeval("run", "--agent", "bm25", "--task", "diary.py:Diary", "--model", "offline")
    assert result.exit_code == 2
    assert result.stderr == f"memeval: {project}/diary.py:4: loading the task raised KeyError('monday')\n"


@pytest.mark.parametrize(
    ("agents", "has"),
    [(["recent"], "(known: k)"), (["none"], "(they have none)"), (["bm25", "recent"], "(known: budget, k, neigh")],
)
def test_a_parameter_that_no_agent_has_is_told_with_those_they_have(project: Path, agents: list[str], has: str) -> None:
    result = run(*(word for agent in agents for word in ("--agent", agent)), "--set", "zzz=1")
    assert result.exit_code == 2
    assert f"no agent of this run has a parameter 'zzz' {has}" in result.stderr


def test_names_may_be_lists(project: Path) -> None:
    result = run("--agent", "bm25,none", "--task", "notes.yaml,notes.yaml@shared", "--format", "json")
    assert result.exit_code == 2  # of the second task, which was found by its name
    assert "task 'notes@shared': 'shared' has no effect" in result.stderr
    result = run("--agent", "bm25,none", "--format", "json")
    assert [row["agent"] for row in json.loads(result.stdout)["runs"]] == ["bm25", "none"]
    (project / "mine.py").write_text("from memeval.agents.recent import Recent\n\n\nclass Mine(Recent):\n    pass\n")
    result = run("--agent", "mine.py:Mine,none", "--format", "json")
    assert [row["agent"] for row in json.loads(result.stdout)["runs"]] == ["mine.py:Mine", "none"]
    (project / "notes.yaml").rename(project / "my, notes.yaml")
    result = memeval("run", "--task", "my, notes.yaml", "--model", "offline", "--agent", "bm25")
    assert result.exit_code == 0, result.output


def test_a_tilde_is_the_home_folder_in_every_path(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = project / "home"
    monkeypatch.setenv("HOME", str(home))
    for name in ("tasks", "agents"):
        (home / name).mkdir(parents=True)
    (project / "notes.yaml").rename(home / "tasks" / "notes.yaml")
    (project / "notes.jsonl").rename(home / "notes.jsonl")
    (home / "agents" / "ours.yaml").write_text("agent: bm25\n")
    (home / "reader.md").write_text("Answer from the memory.")
    own = ["--model", "offline", "--runs-dir=~/runs", "--data-dir=~", "--prompt", "reader=~/reader.md", "--format", "json"]
    by_path = memeval("run", "--task", "~/tasks/notes.yaml", "--agent", "~/agents/ours.yaml", *own)
    by_name = memeval("run", "--task", "notes", "--agent", "ours", "--tasks-dir=~/tasks", "--agents-dir=~/agents", *own)
    paths = {json.loads(result.stdout)["runs"][0]["path"] for result in (by_path, by_name)}
    assert len(paths) == 1
    assert paths.pop().startswith(f"{home}/runs/notes/ours-")
    assert not (project / "~").exists()
    shown = memeval("show", f"~/runs/notes/{next((home / 'runs' / 'notes').glob('ours-*')).name}")
    assert shown.exit_code == 0, shown.output


def test_an_agent_may_change_the_working_directory(project: Path) -> None:
    elsewhere = project / "elsewhere"
    elsewhere.mkdir()
    (project / "mine.py").write_text(
        "import os\nfrom memeval import Item, Recall\n"
        "class Mine:\n"
        f"    def begin(self, session): self.notes = []; os.chdir({str(elsewhere)!r})\n"
        "    def observe(self, chunk): self.notes.append(chunk)\n"
        "    def recall(self, query): return Recall([Item(c.text, chunks=(c.id,)) for c in self.notes])\n"
    )
    result = run("--agent", "mine.py:Mine", "--format", "json", "--concurrency", "1")
    assert result.exit_code == 0, result.output
    (row,) = json.loads(result.stdout)["runs"]
    assert (row["headline"]["value"], row["failed"]) == (1.0, 0)
    assert (project / row["path"] / "summary.json").is_file()
    assert list(elsewhere.iterdir()) == []


def test_python_m_memeval() -> None:
    done = subprocess.run([sys.executable, "-m", "memeval", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("memeval, version ")


def test_a_shell_pattern_shows_all_runs_and_passes_over_their_memories(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = CliRunner().invoke(
        main, ["run", "--agent", "bm25,recent", "--task", "synth-10k", "--limit", "1", "--model", "offline", "--quiet"]
    )
    assert ran.exit_code == 0, ran.output
    found = sorted(str(path) for path in Path("runs").glob("*/*"))
    assert "runs/synth-10k/memories" in found
    shown = CliRunner().invoke(main, ["show", *found])
    assert shown.exit_code == 0, shown.output
    assert [line.split()[0] for line in shown.output.splitlines() if " on synth-10k " in line] == ["bm25", "recent"]
    refused = CliRunner().invoke(main, ["show", "runs/synth-10k/memories"])
    assert (refused.exit_code, "not a run folder" in refused.output) == (2, True)


WORDS = {
    "run --agent bm25 --taks x": "run: no such option '--taks'. (Did you mean one of: '--tag', '--task', '--tasks-dir'?)",
    "run --agent bm25": "run: missing option '--task' (memeval run --help shows all)",
    "run --agent bm25 --task x --limit -1": "run: invalid value for '--limit': -1 is not in the range x>=0 (memeval run",
    "run --agent bm25 --task x --max-cost x": "run: invalid value for '--max-cost': 'x' is not a valid number (memeval run",
    "data verify --contexts x": "data verify: invalid value for '--contexts': 'x' is not a valid whole number (memeval data",
    "export x --to xls": "export: invalid value for '--to': 'xls' is not one of 'csv', 'baseline' (memeval export --help",
    "new agent": "new: missing argument 'NAME' (memeval new --help shows all)",
    "data --foo": "data: no such option '--foo' (memeval data --help shows all)",
    "--foo": "no such option '--foo' (memeval --help shows all)",
    "list tasks synth-10k": "memeval list tasks synth-10k: memeval list tasks takes no name",
}


@pytest.mark.parametrize("words", WORDS)
def test_words_that_no_verb_takes_are_one_line(words: str) -> None:
    result = CliRunner().invoke(main, words.split())
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"memeval: {WORDS[words]}")
    assert result.stderr.count("\n") == 1


def test_a_group_without_a_verb_shows_its_help() -> None:
    for words, verb in (((), "run"), (("data",), "verify")):
        assert f"\n  {verb} " in CliRunner().invoke(main, words).output
