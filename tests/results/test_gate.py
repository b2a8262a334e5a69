"""`memeval gate`: verdicts and exit codes, on runs made of rows and on real ones."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from made_runs import Asked
from msgspec.structs import replace

from memeval.cli import main
from memeval.errors import UsageError
from memeval.records.files import write_rows
from memeval.records.folder import RunFolder
from memeval.records.rows import CallRow
from memeval.records.summary import ReadBack
from memeval.results.checks import Rules
from memeval.results.gate import Gate, gate

Make = Callable[..., Path]
GOOD, BAD = [1.0] * 80 + [0.0] * 20, [1.0] * 50 + [0.0] * 50


def verdict(found: Gate, what: str) -> str:
    (check,) = [check for check in found.checks if check.what == what]
    return check.verdict


def gated(*arguments: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(main, ["gate", *map(str, arguments)])
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture
def good(make_run: Make) -> Path:
    return make_run(GOOD, label="good")


# -- the verdicts of validity section 1 ----------------------------------------------------------------------------------


def test_the_same_agent_twice_passes(make_run: Make, good: Path) -> None:
    again = make_run(GOOD, label="again")
    code, said, warned = gated("--baseline", good, "--candidate", again)
    assert (code, "gate: inconclusive" in said) == (0, True)  # no number of questions shows a difference to be 0
    assert "--max-drop" in warned
    code, said, warned = gated("--baseline", good, "--candidate", again, "--max-drop", 0.05, "--strict")
    assert (code, "gate: pass" in said, warned) == (0, True, "")


def test_a_worse_agent_is_stopped(make_run: Make, good: Path) -> None:
    worse = make_run(BAD, label="worse")
    code, said, _ = gated("--baseline", good, "--candidate", worse)
    assert (code, "gate: regression" in said) == (1, True)
    found = gate(good, worse)
    (score, failures) = found.checks
    assert (score.what, score.baseline, score.candidate) == ("score f1", 0.8, 0.5)
    assert score.change == pytest.approx(-0.3)
    assert score.high < 0
    assert failures.verdict == "pass"
    assert found.lost == {"toy-10k": tuple(f"q{number:03}" for number in range(50, 80))}


def test_too_few_questions_are_inconclusive(make_run: Make) -> None:
    a, b = make_run([1.0] * 8 + [0.0] * 4, label="a"), make_run([1.0] * 6 + [0.0] * 6, label="b")
    code, said, warned = gated("--baseline", a, "--candidate", b)
    assert (code, "gate: inconclusive" in said) == (0, True)
    assert "questions would decide" in warned
    assert gated("--baseline", a, "--candidate", b, "--strict")[0] == 1


def test_it_says_how_many_questions_would_decide(make_run: Make) -> None:
    """Of 20 questions 5 are lost and 3 won: -.1, with a standard deviation of .62. By the normal distribution it takes
    (1.645 x .62 / .1)^2 = 104 to tell it from 0; for 20 alone the limits are a little wider."""

    def made(copies: int, changed: bool) -> Path:
        first = [0.0] * 5 + [1.0] * 3 if changed else [1.0] * 5 + [0.0] * 3
        return make_run((first + [1.0] * 12) * copies, label=f"{copies}, {changed}")

    decides = gate(made(1, False), made(1, True)).checks[0].decides
    assert 104 <= decides <= 140
    copies = decides // 20 + 1
    assert verdict(gate(made(copies, False), made(copies, True)), "score f1") == "regression"
    assert verdict(gate(made(copies // 2, False), made(copies // 2, True)), "score f1") == "inconclusive"


@pytest.mark.parametrize(("side", "what"), [("baseline", "baseline"), ("candidate", "candidate")])
@pytest.mark.parametrize("fault", ["invalid", "partial"])
def test_a_run_that_is_not_whole_is_not_judged(
    make_run: Make, good: Path, side: str, what: str, fault: str, tmp_path: Path
) -> None:
    broken = make_run(
        [1.0] * 90 + [None] * 10 if fault == "invalid" else GOOD, label="broken", asked=None if fault == "invalid" else 200
    )
    sides = (broken, good) if side == "baseline" else (good, broken)
    code, said, _ = gated("--baseline", sides[0], "--candidate", sides[1], "--junit", tmp_path / "j.xml")
    assert code == 3
    assert f"{what} {broken}: {fault}" in said
    assert ElementTree.parse(tmp_path / "j.xml").getroot().get("errors") == "1"


def test_max_drop_is_what_may_be_lost(make_run: Make, good: Path) -> None:
    worse = make_run([1.0] * 70 + [0.0] * 30, label="worse")  # ten points lower
    assert gate(good, worse).verdict == "regression"
    assert gate(good, worse, Rules(max_drop=0.08)).verdict == "inconclusive"
    assert gate(good, worse, Rules(max_drop=0.25)).verdict == "pass"
    assert gate(good, worse, Rules(max_drop=0.08, strict=True)).exit_code == 1


def test_a_smaller_alpha_asks_for_more(make_run: Make, good: Path) -> None:
    worse = make_run([1.0] * 74 + [0.0] * 26, label="worse")  # six of a hundred lost, none won: p = 1 / 2^6
    assert gate(good, worse, Rules(alpha=0.05)).verdict == "regression"
    assert gate(good, worse, Rules(alpha=0.0001)).verdict == "inconclusive"


def test_few_streams_are_barred(make_run: Make) -> None:
    a, b = (
        make_run([Asked(f"q{n}", value, cluster=f"book {n % 2}") for n in range(60)], label=str(value))
        for value in (1.0, 0.0)
    )
    code, _, said = gated("--baseline", a, "--candidate", b)
    assert (code, said.count("\n"), "--within-stream" in said) == (2, 1, True)
    code, said, _ = gated("--baseline", a, "--candidate", b, "--within-stream")
    assert (code, "within these streams only" in said) == (1, True)


def test_what_may_not_be_compared_is_refused(make_run: Make, good: Path) -> None:
    code, _, said = gated("--baseline", good, "--candidate", make_run(GOOD[:50], label="short"))
    assert (code, said.count("\n"), "questions: 100 against 50" in said) == (2, 1, True)


# -- the other checks ----------------------------------------------------------------------------------------------------


def test_more_failures_are_a_regression_also_of_a_valid_run(make_run: Make) -> None:
    good = make_run([1.0] * 600, label="good")
    failing = make_run([1.0] * 588 + [None] * 12, label="failing")  # 2 % is still valid
    assert RunFolder(failing).summary().status == "complete"
    found = gate(good, failing, Rules(max_drop=0.1))
    assert (verdict(found, "failures"), verdict(found, "score f1"), found.exit_code) == ("regression", "pass", 1)
    assert verdict(gate(failing, good, Rules(max_drop=0.1)), "failures") == "pass"


def test_the_least_of_a_metric(make_run: Make, good: Path) -> None:
    again = make_run(GOOD, label="again")
    for least, expected in ((0.6, "pass"), (0.8, "inconclusive"), (0.95, "regression")):
        found = gate(good, again, Rules(max_drop=0.1, minimum={"exact_match": least}))
        assert verdict(found, "min exact_match") == expected
    code, _, said = gated("--baseline", good, "--candidate", again, "--min", "f3=0.3")
    assert (code, "no metric 'f3'" in said) == (2, True)


def test_memory_and_cost_may_grow_so_far(make_run: Make) -> None:
    def asked(size: int) -> list[Asked]:
        return [Asked(f"q{n}", 1.0, memory_tokens=size + n) for n in range(40)]

    a, b = make_run(asked(1000), label="a", usd_per_call=0.01), make_run(asked(1300), label="b", usd_per_call=0.02)
    rules = Rules(max_drop=0.2, max_memory_growth=0.5, max_cost_growth=0.5)
    found = gate(a, b, rules)
    assert (verdict(found, "memory"), verdict(found, "cost"), found.exit_code) == ("pass", "regression", 1)
    memory, cost = found.checks[2:]
    assert memory.change == pytest.approx(300 / 1019.5)
    assert (cost.change, cost.unit) == (pytest.approx(1.0), "USD an answer")
    assert verdict(gate(a, b, Rules(max_memory_growth=0.2)), "memory") == "regression"
    uneven = make_run([Asked(f"q{n}", 1.0, memory_tokens=1000 + n + 600 * (n % 2)) for n in range(40)], label="uneven")
    for most, expected in ((0.2, "regression"), (0.32, "inconclusive"), (0.27, "inconclusive"), (0.5, "pass")):
        assert verdict(gate(a, uneven, Rules(max_memory_growth=most)), "memory") == expected
    twice = make_run(asked(1000), label="twice", repeats=2, usd_per_call=0.01)
    assert gate(a, twice, Rules(max_cost_growth=0.0)).checks[2].change == pytest.approx(0.0)  # an answer costs the same
    unpriced = make_run(asked(1000), label="c")
    (_, _, cost) = gate(unpriced, b, Rules(max_cost_growth=0.0)).checks
    assert (cost.unit, cost.baseline, cost.verdict) == ("tokens an answer", 110 + 2 * 520, "pass")


def test_one_question_says_nothing_of_growth(make_run: Make) -> None:
    a, b = (make_run([Asked("q", 1.0, memory_tokens=size)], label=str(size)) for size in (100, 150))
    code, said, warned = gated("--baseline", a, "--candidate", b, "--within-stream", "--max-memory-growth", 0.1)
    row = next(line for line in said.splitlines() if "| memory " in line)
    assert [cell.strip() for cell in row.split("|")[3:9]] == ["inconclusive", "100", "150", "+50.0%", "-", "at most +10.0%"]
    assert "memory: one question does not show how much others differ." in said
    assert (code, "inf" in said + warned) == (0, False)


def test_latency_is_as_measured(make_run: Make, good: Path) -> None:
    slow = make_run(GOOD, label="slow")
    calls = [CallRow(phase="answer", source="model", seconds=0.5 if n < 90 else 3.0, attempts=1) for n in range(100)]
    write_rows(slow / "events.jsonl", calls)
    from memeval.runs.times import latencies

    summary = RunFolder(slow).summary()
    RunFolder(slow).write_summary(replace(summary, latency=latencies(calls, False)))
    for flag, expected in (("p95=2s", 1), ("p95=3000ms", 0), ("p50=0.5", 0), ("p50=400ms", 1)):
        code, said, _ = gated("--baseline", good, "--candidate", slow, "--max-drop", 0.1, "--max-latency", flag)
        assert (code, flag[:3] in said) == (expected, True), flag
    code, _, said = gated("--baseline", good, "--candidate", slow, "--max-latency", "p99=2s")
    assert (code, "p50 or p95" in said) == (2, True)


@pytest.mark.parametrize(
    "flag",
    ["--max-drop=nan", "--max-drop=2", "--alpha=0", "--alpha=1e-320", "--alpha=0.5", "--min=f1=20", "--max-cost-growth=-1"],
)
def test_a_number_out_of_its_range_is_refused(good: Path, flag: str) -> None:
    code, said, warned = gated("--baseline", good, "--candidate", good, flag)
    name = flag[2:].partition("=")[0].replace("-", "_").replace("min", "minimum")
    assert (code, said) == (2, "")
    assert f"gate: '{name}" in warned


def test_tasks_are_judged_together(make_run: Make, tmp_path: Path) -> None:
    for task, new in (("toy-10k", GOOD), ("toy-30k", BAD)):
        make_run(GOOD, task=task, label="old")
        make_run(new, task=task, label="new")
    found = gate("old", "new", Rules(max_drop=0.1), tmp_path / "runs")
    assert [(check.task, check.verdict) for check in found.checks if check.what == "score f1"] == [
        ("toy-10k", "pass"),
        ("toy-30k", "regression"),
    ]
    make_run(GOOD, task="toy-100k", label="old")
    with pytest.raises(UsageError, match="no candidate on toy-100k"):
        gate("old", "new", runs_dir=tmp_path / "runs")


def test_tasks_share_alpha(make_run: Make, tmp_path: Path) -> None:
    """Four of a hundred lost, none won. Alone that is a regression at .05; one of many tasks where all else is equal, it is
    none: the level of each is .05 / 6."""
    worse = [1.0] * 76 + [0.0] * 24
    assert gate(make_run(GOOD, label="first"), make_run(worse, label="second")).verdict == "regression"
    for number in range(6):
        make_run(GOOD, task=f"toy-{number}", label="old")
        make_run(GOOD if number else worse, task=f"toy-{number}", label="new")
    found = gate("old", "new", runs_dir=tmp_path / "runs")
    assert {check.verdict for check in found.checks if check.what == "score f1"} == {"inconclusive"}


# -- of which model the answers are --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "tag", "code"),
    [("http://new:1/v1", "", 3), ("http://old:1/v1", "", 0), ("http://new:1/v1", "step-2", 0), ("", "", 0)],
)
def test_an_untagged_candidate_that_another_server_made_is_refused(
    make_run: Make, good: Path, asked: str, tag: str, code: int
) -> None:
    candidate = make_run(GOOD, label="candidate", tag=tag)
    back = ReadBack("reader", "http://old:1/v1", "2026-01-01", asked)
    RunFolder(candidate).write_summary(replace(RunFolder(candidate).summary(), read_back=(back,)))
    found, said, _ = gated("--baseline", good, "--candidate", candidate)
    assert found == code
    assert ("made by http://old:1/v1 on 2026-01-01" in said) == (code == 3)
    assert ("--tag reader=NAME" in said) == (code == 3)


# -- what CI reads -------------------------------------------------------------------------------------------------------


def test_junit_summary_and_json(make_run: Make, tmp_path: Path) -> None:
    hostile = "<b>|`\x1b"
    a = make_run([Asked(f"{hostile}{n}", 1.0) for n in range(40)], label="a")
    b = make_run([Asked(f"{hostile}{n}", float(n > 15)) for n in range(40)], label="b")
    (tmp_path / "s.md").write_text("before\n")
    files = ("--junit", tmp_path / "deep" / "j.xml", "--summary", tmp_path / "s.md")
    code, said, _ = gated("--baseline", a, "--candidate", b, "--min", "f1=0.6", *files, "--format", "json")
    assert code == 1
    found = json.loads(said)
    assert (found["verdict"], found["exit_code"], len(found["checks"])) == ("regression", 1, 3)
    suite = ElementTree.parse(tmp_path / "deep" / "j.xml").getroot()
    assert [suite.get(name) for name in ("tests", "failures", "errors", "skipped")] == ["3", "1", "0", "1"]
    assert {case.get("name"): [child.tag for child in case] for case in suite} == {
        "score f1": ["failure"],
        "failures": [],
        "min f1": ["skipped"],
    }
    summary = (tmp_path / "s.md").read_text()
    assert summary.startswith("before\n### gate: regression")
    assert ("| toy-10k" in summary, "answered worse than by the baseline (16)" in summary) == (True, True)
    assert ("<b>" in summary, "\x1b" in summary) == (False, False)
    gated("--baseline", a, "--candidate", b, "--min", "f1=0.6", "--strict", *files)
    assert ElementTree.parse(tmp_path / "deep" / "j.xml").getroot().get("failures") == "2"


def test_bad_flags_are_one_line(good: Path, tmp_path: Path) -> None:
    for flags in (
        ("--min", "f1"),
        ("--min", "f1=much"),
        ("--max-latency", "p95=soon"),
        ("--min", "=0.3"),
        ("--min", "f1=nan"),
    ):
        code, _, said = gated("--baseline", good, "--candidate", good, *flags)
        assert (code, said.count("\n"), flags[0] in said) == (2, 1, True)
    (tmp_path / "file").write_text("")
    code, _, said = gated("--baseline", good, "--candidate", good, "--junit", tmp_path / "file" / "j.xml")
    assert (code, "cannot be written" in said) == (2, True)
