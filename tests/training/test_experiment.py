"""The experiment as a whole: what an ablation changes, the paper's figures beside it, and the pictures."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from memeval.errors import StopRun
from memeval.training import recipe

pytest.importorskip("torch")

from memeval.commands.train import ablation_table, proof_table
from memeval.training import evaluation, experiment
from memeval.training.evaluation import Claim, Figures, Length, Proof, claim
from memeval.training.rollouts import Rollout, Turn

TINY = recipe.load("tiny")
PNG = b"\x89PNG\r\n\x1a\n"


def figures(accuracy: float) -> Figures:
    return Figures(accuracy, 0.3, 0.31, 0.9, 0.01, 0.89, 0.95, 1.5, 0.0)


def proof(seed: int, accuracy: float = 0.9) -> Proof:
    better = Claim(1.0, 1.0, 3.0, 2.5, 3.5, 0.0001)
    writers = {name: figures(accuracy) for name in ("warm T=1", "trained T=1", "write-all", "write-random", "oracle writer")}
    lengths = tuple(Length(times, writers, better) for times in (1, 2, 13))
    return Proof(seed, writers | {"trained T=0": figures(accuracy)}, (better,), lengths, ())


def whole(accuracy: float = 0.9) -> experiment.Experiment:
    curves = {seed: tuple(experiment.Point(step, figures(step / 80)) for step in (1, 40, 80)) for seed in (0, 1)}
    rows = tuple(experiment.Ablated(each, each.steps, figures(0.3), figures(accuracy)) for each in experiment.ABLATIONS)
    return experiment.Experiment((proof(0, accuracy), proof(1, accuracy)), curves, rows)


def test_an_ablation_changes_what_it_says_and_nothing_else(tmp_path: Path) -> None:
    made = {each.name: experiment.ablation_recipe(each, TINY, tmp_path / "seed-0") for each in experiment.ABLATIONS}
    assert made["beta-0.4"].reward == recipe.Reward(compression=0.4)
    assert made["beta-0.4"].params == {**TINY.params, "capacity": 0}
    assert made["success-0.1"].reward == recipe.Reward(success=0.1)
    assert made["weak-success-1"].reward == TINY.reward
    assert made["weak-success-1"].warm.folder == ""
    assert made["weak-success-1"].warm.steps == made["weak-success-0.1"].warm.steps < TINY.warm.steps
    assert made["zero"].reward == recipe.Reward(zero=True)
    assert {each.reward.empty_turn for each in made.values()} == {"zero", "one", "exclude"}
    for name, each in made.items():
        assert each.warm.folder == ("" if "weak" in name else str(tmp_path / "seed-0"))
        assert each.grpo.steps == (80 if "weak" in name else 50)
        assert (each.seed, each.task, each.test, each.agent, each.reader) == (0, TINY.task, TINY.test, TINY.agent, "lookup")


def test_the_papers_table_4() -> None:
    # the means of its printed rows, by hand: (0.817 + 0.853 + 0.678 + 0.605 + 0.629 + 0.572 + 0.183) / 7 and so on
    assert experiment.table_4("performance") == pytest.approx(
        {0.0: 0.6196, 0.05: 0.6190, 0.2: 0.5147, 0.4: 0.5100}, abs=1e-4
    )
    # (9.7 + 8.1 + 11.7 + 3.7 + 5.4 + 12.5 + 4.5) / 7 and so on, thousand tokens
    assert experiment.table_4("memory") == pytest.approx({0.0: 7.943, 0.05: 7.857, 0.2: 4.657, 0.4: 3.857}, abs=1e-3)


def test_the_ratio_of_a_claim() -> None:
    def readings(*values: float) -> list[Rollout]:
        return [Rollout(f"c{number}", 0, (), value, 0, 1) for number, value in enumerate(values)]

    found = claim(readings(*[0.9] * 40), readings(*[0.3] * 40), 1.0, 0.0)
    assert (found.ratio, found.low, found.high) == (3.0, 3.0, 3.0)
    assert found.p < 0.001
    assert claim(readings(0.2, 0.4, 0.6, 0.8), readings(0.2, 0.4, 0.6, 0.8), 1.0, 1.0).p == 1.0
    assert claim(readings(0.5), readings(0.0), 1.0, 1.0).ratio > 1e6  # nothing to divide by


def test_the_marks_are_those_that_the_page_names() -> None:
    def faults(trained: Figures, greedy: Figures, ratio: float = 2.0, low: float = 1.01, p: float = 0.01) -> tuple[str, ...]:
        warm = Figures(0.4, 0.3, 0.3, 0.3, 0.3, 0.0, 0.87, 1.7, 0.0)
        found = {"warm T=1": warm, "warm T=0": replace(warm, success=1.0), "trained T=1": trained, "trained T=0": greedy}
        found["write-all"] = replace(warm, written=1.0)
        calls = [Rollout("c", 0, (Turn(None, calls=1000),), 0.4, 0, 1)]
        return tuple(evaluation.faults(found, [Claim(1.0, 0.0, ratio, low, 4.0, p)], calls))

    good = Figures(0.8, 0.3, 0.5, 0.8, 0.1, 0.7, 0.85, 1.5, 0.0)  # each figure as low as it may be
    greedy = replace(good, success=0.97)
    assert faults(good, greedy) == ()
    for found, word in (
        (faults(good, greedy, ratio=1.99), "accuracy"),
        (faults(good, greedy, low=1.0), "accuracy"),
        (faults(good, greedy, p=0.05), "accuracy"),
        (faults(replace(good, written=0.51), greedy), "wrote 51%"),
        (faults(replace(good, selectivity=0.69), greedy), "selectivity"),
        # 1000 calls at 87 %: the interval is 2.1 points on either side
        (faults(replace(good, success=0.84), greedy), "T = 1 fell"),
        (faults(good, replace(good, success=0.969)), "T = 0 fell"),
    ):
        assert len(found) == 1
        assert word in found[0]


def test_tables_say_what_is_in_them() -> None:
    text = proof_table(proof(3))
    assert "seed 3" in text
    assert "3.00 (2.50 to 3.50)" in text
    assert [line for line in text.splitlines() if "13x" in line]
    text = ablation_table(whole().ablations)
    assert "Table 4" in text
    assert "0.515" in text
    assert all(each.about in text for each in experiment.ABLATIONS)


def test_the_pictures(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from memeval.training.plots import draw

    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = draw(whole(0.9), tmp_path / "a"), draw(whole(0.5), tmp_path / "b")
    assert [path.name for path in first] == ["learning.png", "lengths.png", "ablations.png"]
    assert all(path.read_bytes().startswith(PNG) for path in first)
    assert all(one.read_bytes() != other.read_bytes() for one, other in zip(first[1:], second[1:], strict=True))


@pytest.mark.slow
def test_work_in_several_processes() -> None:
    assert list(experiment.map_in_processes(abs, [(-3,), (-1,), (-2,)], jobs=2)) == [3, 1, 2]
    with pytest.raises(StopRun, match="fewer --jobs"):
        list(experiment.map_in_processes(os._exit, [(9,)], jobs=2))
