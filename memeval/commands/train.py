"""`memeval train`: improve the writer of a memory by reinforcement learning, and report what it has learned."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from memeval.errors import StopRun, UsageError, install_hint
from memeval.records.files import write_record
from memeval.results.columns import columns, width
from memeval.training import recipe as recipes
from memeval.training.recipe import Recipe

if TYPE_CHECKING:
    from memeval.training.evaluation import Claim, Figures, Proof
    from memeval.training.experiment import Ablated, Experiment

CAPTION = (
    "What it shows: a learned preference over the words of a toy language, given which of them are present; nothing is "
    "copied, updated or deleted. By construction, the writer's inputs look the same at every length, and the store of the "
    "longer streams has room for all lines worth keeping, but from 8 times the length on not for all lines."
)


SHOWN = {
    "accuracy": ("accuracy", ".3f"),
    "memory": ("memory", ".2f"),
    "written": ("written", ".2f"),
    "selectivity": ("selectivity", ".2f"),
    "success": ("good calls", ".1%"),
    "calls": ("calls a chunk", ".2f"),
    "silent": ("silent", ".1%"),
}
"""Figure -> (the heading of its column, its format)."""


def train_command(
    name: str, out: Path, settings: Sequence[str], seeds: int, form: str, jobs: int = 1, ablations: bool = False
) -> int:
    """Train by a recipe with `seeds` consecutive seeds, from the recipe's on, and print what was learned. ablations: also
    train the recipe's ablations, and draw the figures. Returns 0 where every target is met, 1 where one is not, 3 where
    training failed, 130 where it was stopped."""
    if name == "data":
        from memeval.commands.train_data import train_data

        return train_data(out, settings, form)
    _require(("torch", "transformers"), "hf", "training")
    if ablations:
        _require(("matplotlib",), "report", "the figures of --ablations")
    recipe = recipes.load(name, settings)
    apart = seeds > 1 or ablations
    numbers = range(recipe.seed, recipe.seed + seeds)
    folders = {seed: out / f"seed-{seed}" if apart else out for seed in numbers}
    if recipe.model == "tiny":
        return _train_tiny(recipe, out, folders, form, jobs, ablations)
    if ablations or jobs > 1:
        raise UsageError(f"--ablations and --jobs are for the recipe tiny; '{recipe.model}' is trained alone")
    _require(("trl", "peft", "accelerate"), "train", f"training '{recipe.model}'")
    return _train_by_trl(recipe, folders, form)


def _train_tiny(recipe: Recipe, out: Path, folders: Mapping[int, Path], form: str, jobs: int, ablations: bool) -> int:
    from memeval.training import experiment

    proofs: list[Proof] = []
    changed: list[Ablated] = []
    room = width(sys.stdout)
    try:
        for proof in experiment.proofs(recipe, folders, jobs):
            proofs.append(proof)
            if form == "table":
                use = recipes.evaluation(recipe, folders[proof.seed] / "best")
                print(f"{proof_table(proof, room)}\n\nuse it: {use}\n", flush=True)
        if ablations:
            changed = list(experiment.ablations(recipe, folders[recipe.seed], out, jobs))
            if form == "table":
                print(f"{ablation_table(changed, room)}\n")
    except (StopRun, KeyboardInterrupt) as error:
        return _stopped(error, out, ", and the same command resumes there")
    curves = {seed: experiment.curve(folder) for seed, folder in folders.items()}
    found = experiment.Experiment(tuple(proofs), curves, tuple(changed))
    if form == "json":
        print(msgspec.json.format(msgspec.json.encode(found)).decode())
    else:
        print(CAPTION)
    if ablations:
        _draw(found, out)
    for proof in proofs:
        for fault in proof.faults:
            print(f"memeval: seed {proof.seed}: not met: {fault}", file=sys.stderr)
    return 1 if any(proof.faults for proof in proofs) else 0


def _train_by_trl(first: Recipe, folders: Mapping[int, Path], form: str) -> int:
    """Train a real model, and print where the best checkpoint is and how it is evaluated."""
    from memeval.training import trl_run

    found: list[dict[str, Any]] = []
    for seed, folder in folders.items():
        recipe = replace(first, seed=seed)
        try:
            lines = trl_run.run(recipe, folder)
        except (StopRun, KeyboardInterrupt) as error:
            return _stopped(error, folder)
        if lines is None:  # not the first process
            continue
        best = max((line for line in lines if "validation" in line), key=lambda line: line["validation"]["accuracy"])
        found.append({"seed": seed, "best": str(folder / "best"), **best})
        if form == "table":
            accuracy = best["validation"]["accuracy"]
            print(f"seed {seed}: accuracy {accuracy:.3f} on {recipe.validation} at step {best['step']}")
            print(f"evaluate it: {recipes.evaluation(recipe, folder / 'best')}")
    if form == "json" and found:
        print(json.dumps(found, indent=2))
    return 0


def _stopped(error: BaseException, folder: Path, more: str = "") -> int:
    """Print that training failed or was stopped, and where its state is. Returns the exit code."""
    if isinstance(error, KeyboardInterrupt):
        print(f"memeval: stopped; the same command resumes from {folder}", file=sys.stderr)
        return 130
    print(f"memeval: {error}; the last whole state is in {folder}{more}", file=sys.stderr)
    return 3


def _require(packages: Sequence[str], extra: str, what: str) -> None:
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        raise UsageError(f"{what}: {' and '.join(missing)} not installed: {install_hint(extra)}")


def _draw(found: Experiment, out: Path) -> None:
    from memeval.training import plots

    write_record(out / "experiment.json", found)
    for path in plots.draw(found, out):
        print(f"memeval: {path}", file=sys.stderr)


def proof_table(proof: Proof, room: int | None = None) -> str:
    """The figures of a training run: at its own length, and at multiples of that length under a fixed store."""
    measures = [name for name in SHOWN if name != "silent"]
    rows = [
        [name, *_cells(found, measures, found.success > 0 and name.startswith(("warm", "trained")))]
        for name, found in proof.figures.items()
    ]
    parts = [f"seed {proof.seed}, {len(proof.figures)} writers on held-out streams of the training length:"]
    parts.append(_table(["writer", *(SHOWN[name][0] for name in measures)], rows, room))
    parts += [_sentence(each) for each in proof.claims]
    if proof.lengths:
        parts.append("\naccuracy at multiples of the training length, one fixed store, T = 1:")
        parts.append(_lengths(proof, room))
    return "\n".join(parts)


def ablation_table(found: Sequence[Ablated], room: int | None = None) -> str:
    """The effect of each part of the reward, on held-out streams at T = 1, with Mem-alpha's own figures on beta."""
    from memeval.training.experiment import table_4

    measures = [name for name in SHOWN if name != "memory"]
    rows = [["warm start", "0", *_cells(found[0].warm, measures)]]
    rows += [["weak warm start", "0", *_cells(row.warm, measures)] for row in found if row.ablation.warm_steps][:1]
    rows += [[row.ablation.about, str(row.steps), *_cells(row.trained, measures)] for row in found]
    scores, sizes = table_4("performance"), table_4("memory")
    beside = [[f"{beta:g}", f"{scores[beta]:.3f}", f"{sizes[beta]:.1f}k"] for beta in scores]
    return "\n".join(
        [
            "ablations, one seed, on held-out streams at T = 1:",
            _table(["ablation", "steps", *(SHOWN[name][0] for name in measures)], rows, room),
            "\nMem-alpha's Table 4 (arXiv 2509.25911; a 4B model on its validation sets, gamma 0.1; row means):",
            columns(["beta", "performance", "memory"], beside, ["right"] * 3, width=room),
        ]
    )


def _cells(found: Figures, measures: Sequence[str], called: bool = True) -> list[str]:
    """The figures as text. called: whether the writer is a model that calls tools; if not, figures of calls are left out."""
    absent = () if called else ("success", "calls")
    return ["-" if name in absent else format(getattr(found, name), SHOWN[name][1]) for name in measures]


def _lengths(proof: Proof, room: int | None) -> str:
    names = list(proof.lengths[0].figures)
    rows = [[name, *(f"{length.figures[name].accuracy:.3f}" for length in proof.lengths)] for name in names]
    lifts = (f"{length.lift.ratio:.2f} ({length.lift.low:.2f} to {length.lift.high:.2f})" for length in proof.lengths)
    rows.append(["trained / warm, 95 %", *lifts])
    return _table(["writer", *(f"{length.times}x" for length in proof.lengths)], rows, room)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], room: int | None) -> str:
    return columns(head, rows, ["left", *["right"] * (len(head) - 1)], keep=head, width=room)


def _sentence(found: Claim) -> str:
    return (
        f"accuracy at T = {found.temperature:g}: {found.ratio:.2f} times the warm start's at T = {found.against:g} "
        f"(95 % {found.low:.2f} to {found.high:.2f}, p {'< 0.001' if found.p < 0.001 else f'= {found.p:.3f}'})"
    )
