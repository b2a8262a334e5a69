"""`memeval report`: what is in the page. How it behaves in a browser is in test_report_page.py."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from made_runs import Asked

from memeval.cli import main
from memeval.errors import UsageError
from memeval.records.attribution import AttributedAnswer, Attribution
from memeval.records.folder import RunFolder
from memeval.results.export import to_baseline
from memeval.results.load import load_runs
from memeval.results.report import report
from memeval.results.report.overview import family
from memeval.results.report.pack import Pack

MakeRun = Callable[..., Path]
HOSTILE = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"


def unpacked(text: str) -> Any:
    return json.loads(gzip.decompress(base64.b64decode(text)))


class Made:
    """A page, read back."""

    def __init__(self, path: Path) -> None:
        self.text = path.read_text(encoding="utf-8")
        found = re.search(r'<script type="application/json" id="overview">(.*?)</script>', self.text, re.DOTALL)
        rows = re.search(r'<script type="text/plain" id="rows">(.*?)</script>', self.text, re.DOTALL)
        assert found
        assert rows
        self.data = json.loads(found[1])
        self.questions, self.answers = (unpacked(rows[1])[name] for name in ("questions", "answers"))
        blocks = re.findall(r'<script type="text/plain" class="block">(.*?)</script>', self.text)
        self.values = [value for block in blocks for value in unpacked(block)]

    def story(self, run: int, question: str) -> Any:
        (number,) = [row[-1] for row in self.answers if row[0] == run and self.questions[row[1]][0] == question]
        return None if number < 0 else self.values[number]


@pytest.fixture
def page(tmp_path: Path) -> Callable[..., Made]:
    """`page(**options)`: the page of all runs of the test."""

    def make(**options: Any) -> Made:
        path = tmp_path / "page.html"
        report(load_runs(tmp_path / "runs"), path, **options)
        return Made(path)

    return make


# -- one answer -------------------------------------------------------------------------------------------------------


def test_the_story_of_an_answer(make_run: MakeRun, page: Callable[..., Made]) -> None:
    recalled = ("Ada Lovelace lives in Paris.", "Bob lives in Rome.")
    make_run([Asked("a", 0.0, answer="Rome", recalled=recalled, wrote=("Ada moved to Paris.", "Bob lives in Rome."))])
    made = page()
    story = made.story(0, "a")
    (given,) = story["answers"]
    assert (given["answer"], given["metrics"]) == ("Rome", {"f1": 0.0, "exact_match": 0.0})
    assert made.values[story["question"]]["answers"] == ["Paris"]
    assert [made.values[item["text"]] for item in story["recalled"]] == list(recalled)
    assert [item["holds"] for item in story["recalled"]] == [[0], []]
    assert story["found"] == [True]
    memory = made.values[story["memory"]]
    assert (memory["chunks"], memory["held"]) == (2, {"semantic": 8})
    entries = [made.values[number] for number in memory["entries"]]
    texts = {entry["id"]: made.values[entry["text"]] for entry in entries}
    assert texts == {"m0": "Ada moved to Paris.", "m1": "Bob lives in Rome."}
    calls = [made.values[number] for number in memory["operations"]]
    assert {call["chunk"] for call in calls} == {"c00000"}
    assert [call["arguments"]["text"] for call in calls] == ["Ada moved to Paris.", "Bob lives in Rome."]


def test_an_item_names_the_evidence_that_it_holds(make_run: MakeRun, page: Callable[..., Made]) -> None:
    """The first piece is in no chunk: the stream does not have it."""
    evidence = ("Ada Lovelace was a poet's daughter.", "Ada Lovelace lives in Paris.")
    path = make_run([Asked("a", evidence=evidence)])
    rows = (path / "questions.jsonl").read_text()
    (path / "questions.jsonl").write_text(rows.replace('"chunks":["c00000"]', '"chunks":[]', 1))
    made = page()
    story = made.story(0, "a")
    assert [piece["chunks"] for piece in made.values[story["question"]]["evidence"]] == [[], ["c00000"]]
    assert [item["holds"] for item in story["recalled"]] == [[1]]
    assert story["found"] == [True]


def test_a_control_has_no_memory(make_run: MakeRun, page: Callable[..., Made]) -> None:
    make_run([Asked("a", recalled=())], agent="none", control=True)
    story = page().story(0, "a")
    assert story["memory"] is None
    assert story["found"] == [False]


def test_a_failed_answer_says_why(make_run: MakeRun, page: Callable[..., Made]) -> None:
    make_run([Asked("a", None), Asked("b")])
    made = page()
    assert [(row[4], row[7]) for row in made.answers] == [("failed", "HTTP 500"), ("right", "Paris")]
    assert made.story(0, "a")["answers"][0]["failure"] == "HTTP 500"


def test_repeats_are_rows_of_their_own(make_run: MakeRun, page: Callable[..., Made]) -> None:
    make_run([Asked("a", (1.0, 0.0))], repeats=2, answer_repeats=2)
    made = page()
    assert len(made.questions) == 1
    assert [(row[2], row[3], row[4]) for row in made.answers] == [
        (0, 0, "right"),
        (0, 1, "right"),
        (1, 0, "wrong"),
        (1, 1, "wrong"),
    ]


def test_a_baseline_has_scores_and_no_texts(make_run: MakeRun, page: Callable[..., Made], tmp_path: Path) -> None:
    run = make_run([Asked("a", 0.0), Asked("b")])
    to_baseline(load_runs(run), tmp_path / "base")
    report(load_runs(tmp_path / "base"), tmp_path / "base.html")
    made = Made(tmp_path / "base.html")
    assert [row[4:6] for row in made.answers] == [["wrong", 0.0], ["right", 1.0]]
    story = made.story(0, "a")
    assert (story["answers"][0]["answer"], story["recalled"]) == (None, [])
    assert made.data["overview"]["runs"][0]["summary"]["headline"]["value"] == 0.5


# -- size -------------------------------------------------------------------------------------------------------------


def test_texts_are_in_the_page_once(make_run: MakeRun, page: Callable[..., Made]) -> None:
    text = "Ada Lovelace lives in Paris, as everybody in the street of the old bakers knows well enough."
    asked = [Asked(f"q{number}", recalled=(text,), wrote=(text,)) for number in range(5)]
    for agent in ("bm25", "recent"):
        make_run(asked, agent=agent)
    assert page().values.count(text) == 1


def test_the_stories_of_wrong_answers_go_in_first(
    make_run: MakeRun, page: Callable[..., Made], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memeval.results.report.page.LIMIT", 2000)
    monkeypatch.setattr("memeval.results.report.pack.BLOCK", 100)
    make_run([Asked(f"q{number:02}", float(number % 2), text=f"Where is {number * 77777}?") for number in range(40)])
    made = page()
    kept = [row[4] for row in made.answers if row[-1] >= 0]
    assert 0 < made.data["stories"] == len(kept) < 40
    assert set(kept) == {"wrong"}
    assert len(made.answers) == made.data["answers"] == 40
    assert page(all_stories=True).data["stories"] == 40


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(st.integers(-(2**63), 2**63 - 1) | TEXTS, lambda inner: st.lists(inner, max_size=3), max_leaves=5)


@settings(max_examples=40, deadline=None)
@given(st.lists(VALUES))
def test_a_pack_gives_back_what_was_added(values: list[Any]) -> None:
    pack = Pack()
    numbers = [pack.add(value) for value in values]
    starts, blocks = pack.blocks()
    inside = [value for block in blocks for value in unpacked(block)]
    assert [inside[number] for number in numbers] == values
    assert len(inside) == len(set(numbers))
    assert starts == [0][: len(blocks)]


# -- what is computed -------------------------------------------------------------------------------------------------


def test_the_front_holds_what_nothing_beats(make_run: MakeRun, page: Callable[..., Made]) -> None:
    """By hand: (10 tokens, .25), (20, .75), (30, .5), (40, .75) and a control that has all for nothing."""
    for agent, right, tokens in (("a", 1, 10), ("b", 3, 20), ("c", 2, 30), ("d", 3, 40)):
        make_run([Asked(f"q{n}", float(n < right), memory_tokens=tokens) for n in range(4)], agent=agent)
    make_run([Asked(f"q{n}") for n in range(4)], agent="none", control=True)
    runs = page().data["overview"]["runs"]
    assert {run["name"]: "memory" in run["fronts"] for run in runs} == {
        "a": True,
        "b": True,
        "c": False,
        "d": False,
        "none": False,
    }


def test_pairs_are_of_agents_that_were_asked_the_same(make_run: MakeRun, page: Callable[..., Made]) -> None:
    make_run([1.0, 1.0, 1.0, 0.0, 0.5], agent="a")
    make_run([1.0, 0.0, 0.0, 1.0, 0.5], agent="b")
    make_run([0.0, 0.0, 0.0, 0.0, 0.0], agent="none", control=True)
    overview = page().data["overview"]
    (pair,) = overview["pairs"]
    assert (overview["runs"][pair["a"]]["name"], overview["runs"][pair["b"]]["name"]) == ("a", "b")
    assert pair["difference"]["value"] == pytest.approx(0.2)
    assert (pair["won"], pair["lost"], pair["difference"]["n"]) == (2, 1, 5)


def test_where_answers_are_lost(make_run: MakeRun, page: Callable[..., Made]) -> None:
    """One of each kind; the agent records what it writes."""
    elsewhere = ("Bob lives in Rome.",)
    make_run(
        [
            Asked("misread", 0.0),
            Asked("unread", 0.0, recalled=elsewhere),
            Asked("unwritten", 0.0, wrote=elsewhere, recalled=elsewhere),
            Asked("lucky", 1.0, wrote=elsewhere, recalled=elsewhere),
            Asked("sound", 1.0),
        ]
    )
    made = page()
    (run,) = made.data["overview"]["runs"]
    assert run["lost"] == {"read": 1, "recall": 1, "write": 1}
    assert run["unsupported"] == 1
    assert [row[6] for row in made.answers] == ["misread", "not recalled", "never written", "unsupported", ""]


def test_what_attribute_found_is_shown(make_run: MakeRun, page: Callable[..., Made]) -> None:
    run = make_run([Asked("a", 0.0), Asked("b", 0.0)])
    answer = AttributedAnswer(question_id="b", where="write", with_evidence="Paris", with_memory="Rome")
    found = Attribution(reader="m", scorer="f1", wrong=2, counts={"write": 1}, answers=(answer,), memory="operations")
    RunFolder(run).write_attribution(found)
    made = page()
    assert made.data["overview"]["runs"][0]["asked"] == "of 1 of 2 wrong, asked again: 1 never written"
    (first,), (second,) = (made.story(0, name)["answers"] for name in "ab")
    assert first["attributed"] is None
    assert made.data["words"][second["attributed"]["where"]] == "never written"
    assert [second["attributed"][name] for name in ("with_evidence", "with_memory")] == ["Paris", "Rome"]


def test_lift_needs_both_controls(make_run: MakeRun, page: Callable[..., Made]) -> None:
    """By hand: the agent is right on half of what the oracle is right on and none is not."""
    make_run([float(number % 2) for number in range(40)], agent="a")
    make_run([0.0] * 40, agent="none", control=True)
    assert [run["lift"] for run in page().data["overview"]["runs"]] == [None, None]
    make_run([1.0] * 40, agent="oracle", control=True)
    agent, none, oracle = page().data["overview"]["runs"]
    assert agent["lift"]["value"] == pytest.approx(0.5)
    assert agent["lift"]["low"] < 0.5 < agent["lift"]["high"]
    assert (none["lift"], oracle["lift"]) == (None, None)


def test_a_run_without_a_score_is_shown_and_compared_with_nothing(make_run: MakeRun, page: Callable[..., Made]) -> None:
    """As the oracle is where the data have no evidence, and an agent whose every question is unanswerable."""
    unanswerable = [Asked(f"q{number}", answerable=False) for number in range(3)]
    for agent in ("a", "b", "none", "oracle"):
        make_run(unanswerable, agent=agent, control=agent in ("none", "oracle"))
    overview = page().data["overview"]
    assert [run["summary"]["headline"]["value"] for run in overview["runs"]] == [None] * 4
    assert (overview["pairs"], [run["lift"] for run in overview["runs"]]) == ([], [None] * 4)


def test_runs_that_may_not_be_compared_are_in_groups_of_their_own(make_run: MakeRun, page: Callable[..., Made]) -> None:
    make_run([1.0, 0.0], agent="a", started=1.0)
    make_run([0.0, 0.0], agent="b", started=2.0)
    make_run([1.0, 1.0], agent="c", track="native", started=3.0)
    overview = page().data["overview"]
    assert [group["runs"] for group in overview["groups"]] == [[0, 1], [2]]
    assert [group["title"] for group in overview["groups"]] == ["toy-10k, track: reader", "toy-10k, track: native"]
    assert [(pair["a"], pair["b"]) for pair in overview["pairs"]] == [(0, 1)]


def test_paths_of_the_machine_stay_out(make_run: MakeRun, page: Callable[..., Made], tmp_path: Path) -> None:
    make_run([1.0, None, None, None], agent="a")
    text = page().text
    assert str(tmp_path) not in text
    assert "invalid, 3 failed" in text


def test_runs_of_one_agent_are_told_apart(make_run: MakeRun, page: Callable[..., Made]) -> None:
    make_run([1.0], agent="bm25", params={"k": 2}, started=1.0)
    make_run([1.0], agent="bm25", params={"k": 5}, reader="other", started=2.0)
    make_run([1.0], agent="bm25", params={"k": 5}, reader="other", label="tuned", started=3.0)
    assert [run["name"] for run in page().data["overview"]["runs"]] == [
        "bm25 k=2",
        "bm25 k=5",
        "bm25 k=5 tuned",
    ]


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("synth-10k", "synth"),
        ("2wiki-100k@memocr-b256", "2wiki@memocr-b256"),
        ("hotpotqa-1m@hard", "hotpotqa@hard"),
        ("synth-10k@tokens-5000", "synth"),
        ("mab-factconsolidation_sh_262k", "mab-factconsolidation_sh"),
        ("mab-eventqa_65536", "mab-eventqa"),
        ("mab-icl_nlu_8296shot_balance", "mab-icl_nlu_8296shot_balance"),
        ("longmemeval-s", "longmemeval-s"),
    ],
)
def test_a_family_is_a_task_without_its_length(task: str, expected: str) -> None:
    assert family(task) == expected


# -- one file, and safe -----------------------------------------------------------------------------------------------


def test_texts_of_others_stay_data(make_run: MakeRun, page: Callable[..., Made]) -> None:
    asked = Asked(HOSTILE, 0.0, text=HOSTILE, answers=(HOSTILE,), answer=HOSTILE, kind=HOSTILE, recalled=(HOSTILE,))
    make_run([asked], agent="a<b", label=HOSTILE, task="t")
    made = page(title=HOSTILE)
    assert not re.search(r"<script>window|<img", made.text)
    assert made.questions[0][3] == HOSTILE
    assert made.story(0, HOSTILE)["answers"][0]["answer"] == HOSTILE


def test_the_page_names_nothing_outside_itself(make_run: MakeRun, page: Callable[..., Made]) -> None:
    make_run([1.0])
    text = page().text
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy
    assert policy[1].startswith("default-src 'none';")
    assert "unsafe-inline" not in policy[1].split("script-src")[1]
    assert len(re.findall("sha256-", policy[1])) == len(re.findall(r"<script>", text))
    assert not re.search(r"<(link|img|iframe)\b|<script[^>]*\bsrc=|@import", text)
    assert not any("url(" in style for style in re.findall(r"<style>(.*?)</style>", text, re.DOTALL))
    assert len(text) < 3_000_000


def test_the_licences_are_in_the_page(make_run: MakeRun, page: Callable[..., Made]) -> None:
    make_run([1.0])
    text = page().text
    for name in ("Mike Bostock", "Observable, Inc.", "Oli Folkerd", "Mikola Lysenko", "Charles Karney"):
        assert f"{name}" in text.split("<style>")[0]
    for version in re.findall(r"// https://d3js.org v([\d.]+)|Tabulator v([\d.]+)|plot v([\d.]+)", text):
        assert "".join(version) in text.split("<style>")[0]


# -- the verb ---------------------------------------------------------------------------------------------------------


def invoke(*arguments: str | Path) -> Any:
    return CliRunner().invoke(main, [str(part) for part in arguments])


def test_the_verb_writes_the_page_and_says_what_is_in_it(make_run: MakeRun, tmp_path: Path) -> None:
    make_run([1.0, 0.0], agent="a")
    make_run([1.0, 1.0], agent="b")
    found = invoke("report", "toy-10k/a", "toy-10k/b", "-o", tmp_path / "x.html", "--runs-dir", tmp_path / "runs")
    assert found.exit_code == 0, found.output
    assert "2 runs, 4 answers" in found.output
    found = invoke("report", "-o", tmp_path / "y.html", "--runs-dir", tmp_path / "runs", "--format", "json")
    assert json.loads(found.stdout)["stories"] == 4
    assert (tmp_path / "x.html").read_bytes() == (tmp_path / "y.html").read_bytes()


def test_bad_input_is_one_line(make_run: MakeRun, tmp_path: Path) -> None:
    make_run([1.0])
    for arguments, said in (
        (["toy-10k/bm52"], "no run 'toy-10k/bm52'"),
        (["-o", tmp_path / "no" / "x.html"], "x.html: cannot be written"),
    ):
        found = invoke("report", *arguments, "--runs-dir", tmp_path / "runs")
        assert found.exit_code == 2
        assert said in found.output
        assert len(found.output.strip().splitlines()) == 1


def test_without_runs_there_is_no_page(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no runs"):
        report([], tmp_path / "x.html")
