"""`memeval compare`: differences worked by hand, what was won and lost, refusals, forms."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from made_runs import Asked

from memeval.cli import main
from memeval.errors import UsageError
from memeval.results.compare import compare
from memeval.results.gate import gate

Make = Callable[..., Path]


def told(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["compare", *map(str, arguments)])
    return done.exit_code, done.output


def test_a_pair_worked_by_hand(make_run: Make) -> None:
    """Of 40 questions 10 are won and 2 lost: +8/40; exact McNemar: 2 (1 + 12 + 66) / 2^12."""
    a = make_run([0.0] * 10 + [1.0] * 2 + [1.0] * 20 + [0.0] * 8, agent="bm25")
    b = make_run([1.0] * 10 + [0.0] * 2 + [1.0] * 20 + [0.0] * 8, agent="recent")
    (found,) = compare(a, b)
    effect = found.effect
    assert (found.a.value, found.b.value, effect.value) == pytest.approx((22 / 40, 30 / 40, 8 / 40))
    assert (effect.p, effect.p_holm, effect.method) == (pytest.approx(158 / 4096), effect.p, "mcnemar")
    assert (found.verdict, effect.n, effect.clusters) == ("higher", 40, 40)
    assert effect.low < 0.2 < effect.high
    assert [row.question_id for row in found.won] == [f"q{number:03}" for number in range(10)]
    assert [row.question_id for row in found.lost] == ["q010", "q011"]
    assert found.tied == 28
    assert effect.detectable >= 2.8 * (0.2 / 40) ** 0.5 - 1e-3  # (1.96 + .84) sqrt(.2 / n)
    (mirrored,) = compare(b, a)
    assert (mirrored.verdict, mirrored.effect.value) == ("lower", pytest.approx(-0.2))


def test_p_values_of_several_pairs_are_adjusted(make_run: Make) -> None:
    base = make_run([0.0] * 30, agent="none")
    others = [make_run([1.0] * wins + [0.0] * (30 - wins), agent=agent) for wins, agent in ((6, "bm25"), (7, "recent"))]
    found = compare(base, *others)
    assert [one.effect.p for one in found] == pytest.approx([2 / 2**6, 2 / 2**7])
    assert [one.effect.p_holm for one in found] == pytest.approx([2 / 2**6, 4 / 2**7])
    assert [one.verdict for one in found] == ["higher", "higher"]
    third = make_run([1.0] * 6 + [0.0] * 24, agent="memalpha")
    verdicts = [one.verdict for one in compare(base, *others, third)]
    assert verdicts == ["not told apart", "higher", "not told apart"]  # 2 x 2/2^6 = .0625, 3 x 2/2^7 = .047


def test_names_with_a_run_on_each_task_are_matched(make_run: Make, tmp_path: Path) -> None:
    for task in ("toy-10k", "toy-30k"):
        make_run([1.0, 0.0, 1.0, 0.0, 1.0], task=task, label="old")
        make_run([1.0, 1.0, 1.0, 0.0, 1.0], task=task, label="new")
    found = compare("old", "new", runs_dir=tmp_path / "runs")
    assert [(one.a.task, one.b.task, one.b.name) for one in found] == [
        ("toy-10k", "toy-10k", "new"),
        ("toy-30k", "toy-30k", "new"),
    ]
    make_run([1.0, 1.0, 1.0, 0.0, 1.0], task="toy-10k", label="new", params={"k": 2})
    with pytest.raises(UsageError, match="new: 2 runs on toy-10k; name one of them"):
        compare("old", "new", runs_dir=tmp_path / "runs")


def test_what_may_not_be_compared_is_refused_or_forced(make_run: Make) -> None:
    a = make_run([1.0, 0.0, 1.0, 0.0, 1.0, 1.0], agent="bm25")
    b = make_run([1.0, 1.0, 1.0, 0.0], agent="recent", answer_budget=64)
    code, said = told(a, b)
    assert (code, said.count("\n")) == (2, 1)
    assert "questions: 6 against 4 (4 in both)" in said
    assert "no answer budget against answer budget 64" in said
    assert "--force" in said
    (found,) = compare(a, b, force=True)
    assert (found.effect.n, found.effect.value) == (4, pytest.approx(1 / 4))
    assert len(found.forced) == 2
    code, said = told(a, b, "--force")
    assert code == 0
    assert "not comparable, forced: questions: 6 against 4 (4 in both); compared: the 4 questions" in said
    code, said = told(a, make_run([Asked("other")], agent="none"), "--force")
    assert (code, "no question with a score was asked in both" in said) == (2, True)


def test_one_question_shows_no_difference_that_there_can_be(make_run: Make) -> None:
    code, said = told(make_run([1.0], agent="bm25"), make_run([0.0], agent="recent"))
    row = next(line for line in said.splitlines() if line.startswith("| recent against bm25"))
    assert (code, row.split("|")[-2].strip()) == (0, "-")


def test_one_run_or_an_unknown_one_is_one_line(make_run: Make, tmp_path: Path) -> None:
    a = make_run([1.0])
    for arguments, words in (((a,), "name a second one"), ((a, "nothing"), "nothing"), ((a, a, "--metric", "f2"), "f1")):
        code, said = told(*arguments, "--runs-dir", tmp_path / "runs")
        assert (code, said.count("\n")) == (2, 1)
        assert words in said


def test_kinds_cost_and_conditions_are_beside(make_run: Make) -> None:
    def asked(value: float, size: int) -> list[Asked]:
        hops = [Asked(f"h{n}", value, kind="one-hop", memory_tokens=size) for n in range(6)]
        return [*hops, *(Asked(f"u{n}", 1.0, answerable=False, memory_tokens=size) for n in range(6))]

    a = make_run(asked(0.0, 100), agent="bm25", usd_per_call=0.01, seconds=6.0)
    b = make_run(asked(1.0, 150), agent="recent", usd_per_call=0.02, seconds=12.0, tag="step-2")
    (found,) = compare(a, b)
    assert found.effect.n == 6  # answerable questions
    assert {kind: (row.metric, row.n, row.difference) for kind, row in found.kinds.items()} == {
        "one-hop": ("f1", 6, 1.0),
        "unanswerable": ("abstention", 6, 0.0),
    }
    beside = found.beside
    assert (beside["memory_tokens"].a, beside["memory_tokens"].b) == (100, 150)
    assert beside["usd"].b == pytest.approx(2 * beside["usd"].a)
    assert (beside["seconds"].a, beside["seconds"].b) == (0.5, 1.0)
    assert "reader model: offline against offline step-2" in found.named
    said = told(a, b)[1]
    assert "memory tokens" in said
    assert "+50%" in said


def test_repeats_are_averaged_before_they_are_paired(make_run: Make) -> None:
    a = make_run([Asked(f"q{n}", (1.0, 0.0)) for n in range(20)], agent="bm25", repeats=2)
    b = make_run([Asked(f"q{n}", 1.0) for n in range(20)], agent="recent")
    (found,) = compare(a, b)
    assert (found.effect.n, found.effect.value) == (20, pytest.approx(0.5))
    assert "repeats: 2 against 1" in found.named
    assert (found.a.repeats, found.b.repeats) == ((1.0, 0.0), ())
    assert "bm25 in each repeat: 100.0, 0.0 (standard deviation 70.7)" in told(a, b)[1]


def test_what_limits_a_run_is_said_with_the_difference(make_run: Make) -> None:
    a = make_run([1.0] * 12, agent="bm25", model="writer", reader="m")
    b = make_run([1.0] * 11 + [None], agent="recent", model="writer", reader="m")
    (found,) = compare(a, b)
    assert [note for note in found.notes if note.startswith("recent: ") and "failed" in note]
    assert not [note for note in found.notes if note.startswith("bm25: ")]  # what both have is said once
    said, judged = told(a, b)[1], gate(a, b).notes
    for note in found.notes:
        assert note in said
        assert any(note in text for text in judged)


def test_few_streams_have_no_verdict(make_run: Make) -> None:
    def asked(value: float) -> list[Asked]:
        return [Asked(f"q{n}", value, cluster=f"book {n % 3}") for n in range(60)]

    a, b = make_run(asked(0.0), agent="bm25"), make_run(asked(1.0), agent="recent")
    (found,) = compare(a, b)
    assert (found.effect.within_stream, found.verdict) == (True, "not told apart")
    assert "within these streams only" in told(a, b)[1]


def test_five_clusters_are_decided_by_the_interval(make_run: Make) -> None:
    def asked(value: float) -> list[Asked]:
        return [Asked(f"q{n}", value * (0.8 + n % 5 / 25), cluster=f"book {n % 5}") for n in range(50)]

    (found,) = compare(make_run(asked(0.0), agent="none"), make_run(asked(1.0), agent="bm25"))
    assert found.effect.p == pytest.approx(0.0625)
    assert (found.verdict, found.effect.low > 0) == ("higher", True)
    assert "the interval decides" in found.effect.note


def test_all_questions_are_listed_on_demand(make_run: Make) -> None:
    a, b = make_run([0.0] * 30, agent="bm25"), make_run([1.0] * 30, agent="recent")
    short, whole = told(a, b)[1], told(a, b, "--all")[1]
    assert ("q009" in short, "q010" in short, "20 more; --all lists them" in short) == (True, False, True)
    assert ("q029" in whole, "--all lists" in whole) == (True, False)


def test_every_form_holds_hostile_text(make_run: Make) -> None:
    text = "<script>alert(1)</script> | [x](http://a) \x1b[31m\n=1+1"
    a = make_run([Asked("q|1", 0.0, text=text, kind="<b>"), Asked("q2")], agent="bm25")
    b = make_run([Asked("q|1", 1.0, text=text, kind="<b>"), Asked("q2")], agent="recent", label="a|b<i>")
    said = told(a, b, "--format", "md")[1]
    assert ("<script>" in said, "\x1b" in said, "a\\|b&lt;i&gt;" in said) == (False, False, True)
    assert "\x1b" not in told(a, b)[1]
    (row,) = json.loads(told(a, b, "--format", "json")[1])["comparisons"]
    assert row["won"][0]["text"] == text
    assert set(row) >= {"a", "b", "metric", "effect", "verdict", "won", "lost", "tied", "kinds", "beside"}
