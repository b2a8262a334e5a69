"""Judges as published: their prompts are fetched, pinned, and never run; a reply is read as upstream reads it.

The texts of upstream are not in the project. A server here has files of our own in their places, under a table with the
hashes of these.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from handmade import judged_lines, question, sample
from scripts import ScriptedModel

from memeval.cli import main
from memeval.errors import UsageError
from memeval.judging import official as module
from memeval.judging.official import OfficialJudge, official
from memeval.judging.prompts import prompt_hash
from memeval.judging.scorer import judge_spec, scorer_name
from memeval.models.completion import Completion
from memeval.task import Question

ROWS: dict[str, dict[str, Any]] = yaml.safe_load(module.TABLE.read_text())
BY_TYPE = """
import shutil
shutil.rmtree("must never be run")

def check(task):
    if task == "one":
        template = "DEFAULT Q {} G {} A {}"
    elif task == "two":
        template = "DAYS Q {} G {} A {}"
    elif task == "three":
        template = "UPDATE Q {} G {} A {}"
    elif task == "four":
        template = "RUBRIC Q {} G {} A {}"
    else:
        template = "NOTHING Q {} G {} A {}"
    prompt = template.format(task)
    other = "no template"
"""
FILES = {
    "longmemeval-official": BY_TYPE,
    "lme-memalpha": 'if True:\n    template = "ONE Q {} G {} A {}"\n',
    "locomo-mem0": 'ACCURACY_PROMPT = """LOCOMO Q {question} G {gold_answer} A {generated_answer}"""',
}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A tree with upstream's paths, and the table with the hashes of what is in it."""
    tree, rows = tmp_path / "tree", {}
    for name, row in ROWS.items():
        file = tree / row["repository"] / row["commit"] / row["path"]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(FILES[name])
        rows[name] = {**row, "sha256": hashlib.sha256(FILES[name].encode()).hexdigest()}
    table = tmp_path / "judges.yaml"
    table.write_text(yaml.safe_dump(rows))
    monkeypatch.setattr(module, "TABLE", table)
    official.cache_clear()
    served = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tree)))
    threading.Thread(target=served.serve_forever, daemon=True).start()
    monkeypatch.setenv("MEMEVAL_UPSTREAM", f"http://127.0.0.1:{served.server_port}")
    yield tree
    served.shutdown()
    served.server_close()
    official.cache_clear()


def fetched(*names: str) -> None:
    for name in names or FILES:
        done = CliRunner().invoke(main, ["prompts", "fetch", name, "--format", "json"])
        assert done.exit_code == 0, done.output
        assert Path(json.loads(done.stdout)["path"]).is_file()


def asked(family: str, about: Question, answer: str = "ans") -> str:
    (message,) = official()[family].messages(about, answer)
    assert message["role"] == "user"
    return message["content"]


def test_every_row_is_pinned_and_names_its_licence() -> None:
    for row in official().values():
        assert re.fullmatch(r"[0-9a-f]{40}", row.commit)
        assert re.fullmatch(r"[0-9a-f]{64}", row.sha256)
        assert row.licence
        assert row.types[0] == "default"


def test_the_text_of_a_type_of_question_is_filled_as_upstream_does(server: Path) -> None:
    fetched()
    about = {"one": "single-session-user", "two": "temporal-reasoning"}
    about |= {"three": "knowledge-update", "four": "single-session-preference"}
    words = {"one": "DEFAULT", "two": "DAYS", "three": "UPDATE", "four": "RUBRIC"}
    for name, kind in about.items():
        found = asked("longmemeval-official", Question("q", "Who {}?", ("gold",), kind=kind))
        assert found == f"{words[name]} Q Who {{}}? G gold A ans"
    nothing = Question("q", "Who?", ("It was never said.",), kind="multi-session", answerable=False)
    assert asked("longmemeval-official", nothing) == "NOTHING Q Who? G It was never said. A ans"
    # one rubric for all questions; an answer is put in as it is
    assert asked("lme-memalpha", Question("q", "Who?", ("g",), kind="knowledge-update"), "{x}") == "ONE Q Who? G g A {x}"
    assert asked("locomo-mem0", Question("q", "Who?", ("g",)), "{question}") == "LOCOMO Q Who? G g A {question}"


@pytest.mark.parametrize(
    ("family", "reply", "verdict"),
    [
        ("longmemeval-official", "Yes", "right"),
        ("longmemeval-official", "Yes, it is not wrong", "right"),  # any yes
        ("longmemeval-official", "No.", "wrong"),
        ("longmemeval-official", "I cannot say", "wrong"),
        ("lme-memalpha", "yes.", "right"),
        ("lme-memalpha", "Yes, I know that", "wrong"),  # "know" has the letters of no
        ("lme-memalpha", "", "wrong"),
        ("locomo-mem0", 'It fits. ```json\n{"label": "CORRECT"}\n```', "right"),
        ("locomo-mem0", '{"label": "WRONG"}', "wrong"),
        ("locomo-mem0", '{"label": "correct"}', "wrong"),  # as upstream compares
        ("locomo-mem0", "CORRECT", None),
        ("locomo-mem0", '{"verdict": 1}', None),
    ],
)
def test_a_reply_is_read_as_upstream_reads_it(family: str, reply: str, verdict: str | None) -> None:
    assert official()[family].read(reply) == verdict


def test_answers_are_judged_with_upstreams_parameters(server: Path) -> None:
    fetched()
    samples = [sample("a", "good"), sample("b", "bad"), sample("c", "good", finish_reason="length"), sample("d", "")]
    known = {row["question_id"]: question(row["question_id"]) for row in samples}
    model = ScriptedModel(lambda request: "Yes" if "A good" in request.messages[0]["content"] else "No")
    lines = judged_lines(samples, known, "longmemeval-official", model.complete)
    assert [line["verdict"] for line in lines] == ["right", "wrong", "right", "wrong"]  # a reply that was cut off is judged
    assert len(model.requests) == 3  # an empty one needs no judge
    assert [dict(request.params) for request in model.requests] == [{"temperature": 0.0, "max_tokens": 10}] * 3
    unreadable = ScriptedModel(lambda request: "CORRECT")
    (line,) = judged_lines([sample("a", "x")], known, "locomo-mem0", unreadable.complete)
    assert (line["verdict"], len(unreadable.requests)) == ("failed", 2)


def test_a_prompt_beyond_the_judges_window_is_no_verdict(server: Path) -> None:
    fetched("longmemeval-official")
    model = ScriptedModel([Completion(finish_reason="overflow")])
    (line,) = judged_lines([sample("a", "x")], {"a": question("a")}, "longmemeval-official", model.complete)
    assert (line["verdict"], line["reason"]) == ("failed", "judge gave up: the prompt exceeds its window")


def test_prompts_that_were_not_fetched_are_one_line(server: Path) -> None:
    with pytest.raises(UsageError, match="`memeval prompts fetch longmemeval-official` fetches it") as caught:
        prompt_hash("longmemeval-official")
    assert "\n" not in str(caught.value)
    fetched("longmemeval-official")
    before = prompt_hash("longmemeval-official")
    kept = official()["longmemeval-official"]
    module.upstream.cache_path(kept.file).write_text("template = 'mine'")
    with pytest.raises(UsageError, match="fetches it"):  # an edited file is not upstream's
        prompt_hash("longmemeval-official")
    fetched("longmemeval-official")
    assert prompt_hash("longmemeval-official") == before


def test_another_file_than_the_pinned_one_is_refused(server: Path) -> None:
    row: OfficialJudge = official()["locomo-mem0"]
    (server / row.file.name).write_text("ACCURACY_PROMPT = 'other'")
    done = CliRunner().invoke(main, ["prompts", "fetch", "locomo-mem0"])
    assert done.exit_code == 2
    assert "not the published file" in done.output
    done = CliRunner().invoke(main, ["prompts", "fetch", "locomo-mem"])
    assert done.exit_code == 2
    assert "did you mean 'locomo-mem0'" in done.output


def test_the_offline_judge_reads_no_official_prompt(server: Path) -> None:
    fetched("lme-memalpha")
    with pytest.raises(UsageError, match="name a model"):
        scorer_name(judge_spec("offline"), "lme-memalpha")
    assert scorer_name(judge_spec("openai/m"), "lme-memalpha").startswith("judge-")
