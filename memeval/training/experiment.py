"""The experiment of `memeval train tiny`: training (loop.py) and evaluation (evaluation.py) for several seeds, and
ablations, which show the effect of each part of the reward.

Every training run has a folder of its own; finished work is read back from there.

    OUT/seed-N/  ablations/NAME/  experiment.json  learning.png  lengths.png  ablations.png
"""

from __future__ import annotations

import itertools
import multiprocessing
import re
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
from msgspec.structs import replace

from memeval.digests import digest
from memeval.errors import StopRun
from memeval.records.files import read_record
from memeval.results.published import published, row_mean
from memeval.source_files import digests
from memeval.training import loop
from memeval.training.evaluation import Evaluation, Figures, Proof, held_out
from memeval.training.folder import TrainingFolder
from memeval.training.policy import Policy
from memeval.training.recipe import Grpo, Recipe, Reward, Warm

Result = TypeVar("Result")

PROOF, FIGURES = "proof.json", "figures.json"
EVALUATED_BY = ("evaluation.py", "reading.py", "rollouts.py")
"""The files of this package that determine the numbers of an evaluation, besides the engine and its agents."""


class Point(msgspec.Struct, frozen=True):
    """The figures of a check during training, on the validation streams at T = 1."""

    step: int
    validation: Figures


class Ablation(msgspec.Struct, frozen=True):
    """Changes to the recipe. steps: of GRPO, at most the recipe's. capacity: None for the recipe's. warm_steps: of a warm
    start of its own; 0: start from the warm start of the recipe's own training run."""

    name: str
    about: str
    steps: int = 50
    reward: dict[str, Any] = {}
    capacity: int | None = None
    warm_steps: int = 0


WEAK = 100
"""Steps of a weak warm start, after which little more than half of the calls are valid."""
ABLATIONS = (
    Ablation("recipe", "the recipe"),
    Ablation("beta-0", "beta 0, no store limit", reward={"compression": 0.0}, capacity=0),
    Ablation("beta-0.05", "beta 0.05, no store limit", capacity=0),
    Ablation("beta-0.2", "beta 0.2, no store limit", reward={"compression": 0.2}, capacity=0),
    Ablation("beta-0.4", "beta 0.4, no store limit", reward={"compression": 0.4}, capacity=0),
    Ablation("success-0.1", "r2 x 0.1", reward={"success": 0.1}),
    Ablation("weak-success-0.1", "r2 x 0.1, weak warm start", 80, {"success": 0.1}, warm_steps=WEAK),
    Ablation("weak-success-1", "r2 x 1, weak warm start", 80, warm_steps=WEAK),
    Ablation("empty-one", "a row without calls: r2 = 1", reward={"empty_turn": "one"}),
    Ablation("empty-exclude", "a row without calls: left out", reward={"empty_turn": "exclude"}),
    Ablation("zero", "every reward 0", reward={"zero": True}),
)


class Ablated(msgspec.Struct, frozen=True):
    """The result of an ablation after `steps` steps, on the held-out test streams at T = 1."""

    ablation: Ablation
    steps: int
    warm: Figures
    trained: Figures


class Experiment(msgspec.Struct, frozen=True):
    """proofs: one per seed. curves: seed -> its checks during training."""

    proofs: tuple[Proof, ...]
    curves: dict[int, tuple[Point, ...]]
    ablations: tuple[Ablated, ...] = ()


def prove(recipe: Recipe, out: Path) -> Proof:
    """Train by a recipe in a folder, or resume that training, and evaluate what was learned. Raises UsageError for a recipe
    that cannot be used and a folder that cannot be written, StopRun where training cannot continue."""
    evaluation = Evaluation(recipe)
    return _trained(recipe, out, PROOF, evaluation.identity, Proof, evaluation.proof)


def ablated(ablation: Ablation, recipe: Recipe, out: Path) -> Ablated:
    """Train and evaluate an ablation by its recipe in its folder. Raises as `prove`."""
    test = held_out(recipe)

    def evaluate(policies: dict[str, Policy]) -> Ablated:
        figures = {name: test.figures(test.read(each, 1.0)) for name, each in policies.items()}
        return Ablated(ablation, recipe.grpo.steps, **figures)

    return _trained(recipe, out, FIGURES, test.identity, Ablated, evaluate)


def _trained(
    recipe: Recipe,
    out: Path,
    name: str,
    identity: list[Any],
    kind: type[Result],
    evaluate: Callable[[dict[str, Policy]], Result],
) -> Result:
    """Train, and evaluate the policies `warm` and `trained`. A finished evaluation is read back from the file `name`, unless
    something that determines its numbers has changed: the runs (identity), the weights, the code of the evaluation."""
    training = loop.Training(recipe, out)
    with TrainingFolder(out, recipe) as folder:
        state = training.run(folder)
        weights = {key: out / key / "model.safetensors" for key in ("warm", "best")}
        code = {file: Path(__file__).parent / file for file in EVALUATED_BY}
        of = digest([identity, digests(weights), digests(code)])
        kept = read_record(out / name, dict)
        if kept is not None and kept.get("identity") == of:
            return msgspec.convert(kept, kind)
        found = evaluate({key: loop.writer(recipe.seed, state[at]) for key, at in (("warm", "warm"), ("trained", "model"))})
        kept = {**msgspec.to_builtins(found), "identity": of}
        folder.write(name, msgspec.json.format(msgspec.json.encode(kept)).decode())
        return found


def ablation_recipe(ablation: Ablation, recipe: Recipe, folder: Path) -> Recipe:
    """The recipe of an ablation. folder: of the training run whose warm start is used."""
    params = dict(recipe.params) if ablation.capacity is None else {**recipe.params, "capacity": ablation.capacity}
    warm = replace(recipe.warm, steps=ablation.warm_steps) if ablation.warm_steps else Warm(folder=str(folder))
    grpo: Grpo = replace(recipe.grpo, steps=min(ablation.steps, recipe.grpo.steps))
    reward: Reward = replace(recipe.reward, **ablation.reward)
    return replace(recipe, params=params, warm=warm, grpo=grpo, reward=reward, description=ablation.about)


def proofs(first: Recipe, folders: Mapping[int, Path], jobs: int = 1) -> Iterator[Proof]:
    """The proof of each seed, in order, each as soon as it is finished. jobs: how many are trained at a time."""
    return map_in_processes(prove, [(replace(first, seed=seed), folder) for seed, folder in folders.items()], jobs)


def ablations(first: Recipe, start: Path, out: Path, jobs: int = 1) -> Iterator[Ablated]:
    """The results of all ablations. start: folder of the recipe's own finished training run, whose warm start they use."""
    given = [
        (ablation, ablation_recipe(ablation, first, start), out / "ablations" / ablation.name) for ablation in ABLATIONS
    ]
    return map_in_processes(ablated, given, jobs)


def curve(folder: Path) -> tuple[Point, ...]:
    """The checks of a training run, from its log."""
    lines = (msgspec.json.decode(line) for line in (folder / "log.jsonl").read_bytes().splitlines())
    return tuple(msgspec.convert(line, Point) for line in lines if line["phase"] == "grpo")


def table_4(measure: Literal["performance", "memory"]) -> dict[float, float]:
    """beta -> the mean of its row in Mem-alpha's Table 4 (arXiv 2509.25911), gamma 0.1: performance from 0 to 1, or memory
    in thousand tokens. The averages that the table prints differ from these means in three rows."""
    rows = [row for row in published() if row.board == "memalpha-table4" and row.measure == measure]
    found = {}
    for average in rows:
        beta = re.search(r"beta ([\d.]+), gamma 0\.1", average.method)
        mean = row_mean(average) if beta else None
        if beta and mean is not None:
            found[float(beta[1])] = mean
    return dict(sorted(found.items()))


def map_in_processes(work: Callable[..., Result], given: Sequence[tuple[Any, ...]], jobs: int) -> Iterator[Result]:
    """The results of `work(*arguments)`, in order. With several jobs, each piece of work has a process of its own, because
    two runs are equal only with a single thread of torch. If one fails, and at Ctrl-C, all end at once; their folders stay
    intact. Raises what `work` raises, and StopRun where a process is killed from outside."""
    if jobs == 1:
        yield from itertools.starmap(work, given)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, signal.signal, (signal.SIGINT, signal.SIG_DFL)) as pool:
        try:
            yield from pool.map(work, *zip(*given, strict=True))
        except BrokenProcessPool:
            raise StopRun("a process of the training was ended from outside (out of memory?); use fewer --jobs") from None
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            raise
