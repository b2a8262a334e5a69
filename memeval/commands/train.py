"""`memeval train`: improve the writer of a memory by reinforcement learning, and say honestly what it has learned."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from memeval.errors import StopRun, UsageError, install_hint
from memeval.records.files import write_record
from memeval.results.columns import columns, width
from memeval.training import recipe as recipes

if TYPE_CHECKING:
    from memeval.training.experiment import Ablated, Experiment
    from memeval.training.tiny import Claim, Figures, Proof

CAPTION = (
    "What it shows: a learned preference over the words of a toy language, given which of them are present; nothing is "
    "copied, updated or deleted. The writer's inputs look the same at every length, and the store of the lengths' test "
    "holds all lines worth keeping, but from 8 times the length on not all lines: both by construction."
)


def train_command(
    name: str, out: Path, settings: Sequence[str], seeds: int, form: str, jobs: int = 1, ablations: bool = False
) -> int:
    """Train by a recipe, once for each of `seeds` seeds from the recipe's on, and print what was learned; ablations: also
    train its ablations, and draw the figures. Returns 0 where every mark is met, 1 where one is not, 3 where training
    failed."""
    if name == "data":
        from memeval.commands.train_data import train_data

        return train_data(out, settings, form)
    _require(("torch", "transformers"), "hf", "training")
    if ablations:
        _require(("matplotlib",), "report", "the figures of --ablations")
    from memeval.training import experiment

    first = recipes.load(name, settings)
    if first.model != "tiny":
        if ablations or jobs > 1:
            raise UsageError(f"--ablations and --jobs are for the recipe tiny; '{first.model}' is trained alone")
        _require(("trl", "peft", "accelerate"), "train", f"training '{first.model}'")
        from memeval.commands.train_trl import train_trl

        return train_trl(first, out, seeds, form)
    numbers = range(first.seed, first.seed + seeds)
    folders = {seed: out / f"seed-{seed}" if seeds > 1 or ablations else out for seed in numbers}
    proofs: list[Proof] = []
    changed: list[Ablated] = []
    room = width(sys.stdout)
    try:
        for proof in experiment.proofs(first, folders, jobs):
            proofs.append(proof)
            if form == "table":
                use = recipes.evaluation(first, folders[proof.seed] / "best")
                print(f"{proof_table(proof, room)}\n\nuse it: {use}\n", flush=True)
        if ablations:
            changed = list(experiment.ablations(first, folders[first.seed], out, jobs))
            if form == "table":
                print(f"{ablation_table(changed, room)}\n")
    except StopRun as error:
        print(f"memeval: {error}; the last whole state is in {out}, and the same command goes on there", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print(f"memeval: stopped; the same command goes on from {out}", file=sys.stderr)
        return 130
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


def _require(packages: Sequence[str], extra: str, what: str) -> None:
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        raise UsageError(f"{what}: {' and '.join(missing)} not installed: {install_hint(extra)}")


def _draw(found: Experiment, out: Path) -> None:
    from memeval.training import figures

    write_record(out / "experiment.json", found)
    for path in figures.draw(found, out):
        print(f"memeval: {path}", file=sys.stderr)


def proof_table(proof: Proof, room: int | None = None) -> str:
    """The figures of a training run: at its own length, and at 13 times that length under a fixed store."""
    head = ["writer", "accuracy", "memory", "written", "selectivity", "good calls", "calls a chunk"]
    parts = [f"seed {proof.seed}, {len(proof.figures)} writers on held-out streams of the training length:"]
    parts.append(_table(head, proof.figures, room))
    parts += [_sentence(each) for each in proof.claims]
    if proof.lengths:
        parts.append("\naccuracy at multiples of the training length, one fixed store, T = 1:")
        parts.append(_lengths(proof, room))
    return "\n".join(parts)


def ablation_table(found: Sequence[Ablated], room: int | None = None) -> str:
    """What the parts of the reward do, on held-out streams at T = 1, and Mem-alpha's own figures on beta beside it."""
    from memeval.training.experiment import table_4

    head = ["ablation", "steps", "accuracy", "written", "selectivity", "good calls", "calls a chunk", "silent"]
    rows = [["warm start", "0", *_learned(found[0].warm)]]
    rows += [["weak warm start", "0", *_learned(row.warm)] for row in found if row.ablation.warm_steps][:1]
    rows += [[row.ablation.about, str(row.steps), *_learned(row.trained)] for row in found]
    scores, sizes = table_4("performance"), table_4("memory")
    beside = [[f"{beta:g}", f"{scores[beta]:.3f}", f"{sizes[beta]:.1f}k"] for beta in scores]
    return "\n".join(
        [
            "ablations, one seed, on held-out streams at T = 1:",
            columns(head, rows, ["left", *["right"] * (len(head) - 1)], keep=head, width=room),
            "\nMem-alpha's Table 4 (arXiv 2509.25911; a 4B model on its validation sets, gamma 0.1; row means):",
            columns(["beta", "performance", "memory"], beside, ["right"] * 3, width=room),
        ]
    )


def _learned(found: Figures) -> list[str]:
    shares = f"{found.written:.2f}", f"{found.selectivity:.2f}", f"{found.success:.1%}"
    return [f"{found.accuracy:.3f}", *shares, f"{found.calls:.2f}", f"{found.silent:.1%}"]


def _lengths(proof: Proof, room: int | None) -> str:
    names = list(proof.lengths[0].figures)
    head = ["writer", *(f"{length.times}x" for length in proof.lengths)]
    rows = [[name, *(f"{length.figures[name].accuracy:.3f}" for length in proof.lengths)] for name in names]
    lifts = (f"{length.lift.ratio:.2f} ({length.lift.low:.2f} to {length.lift.high:.2f})" for length in proof.lengths)
    rows.append(["trained / warm, 95 %", *lifts])
    return columns(head, rows, ["left", *["right"] * len(proof.lengths)], keep=head, width=room)


def _table(head: Sequence[str], found: Mapping[str, Figures], room: int | None) -> str:
    rows = [_row(name, each) for name, each in found.items()]
    return columns(head, rows, ["left", *["right"] * (len(head) - 1)], keep=head, width=room)


def _row(name: str, found: Figures) -> list[str]:
    called = found.success > 0 and name.startswith(("warm", "trained"))
    return [
        name,
        f"{found.accuracy:.3f}",
        f"{found.memory:.2f}",
        f"{found.written:.2f}",
        f"{found.selectivity:.2f}",
        f"{found.success:.1%}" if called else "-",
        f"{found.calls:.2f}" if called else "-",
    ]


def _sentence(found: Claim) -> str:
    return (
        f"accuracy at T = {found.temperature:g}: {found.ratio:.2f} times the warm start's at T = {found.against:g} "
        f"(95 % {found.low:.2f} to {found.high:.2f}, p {'< 0.001' if found.p < 0.001 else f'= {found.p:.3f}'})"
    )
