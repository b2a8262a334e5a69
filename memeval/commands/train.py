"""`memeval train`: improve the writer of a memory by reinforcement learning, and say honestly what it has learned."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from memeval.errors import UsageError, install_hint
from memeval.results.columns import columns, width
from memeval.training import recipe as recipes

if TYPE_CHECKING:
    from memeval.training.tiny import Claim, Figures, Proof

CAPTION = (
    "What it shows: a learned preference over the words of a toy language, given which of them are present; nothing is "
    "copied, updated or deleted. The writer's inputs look the same at every length, and the store of the long test holds "
    "all lines worth keeping, but not all lines: both by construction."
)


def train_command(name: str, out: Path, settings: Sequence[str], seeds: int, form: str) -> int:
    """Train by a recipe, once for each of `seeds` seeds from the recipe's on, and print what was learned. Returns 0 where
    every mark is met, 1 where one is not, 3 where training failed."""
    missing = [package for package in ("torch", "transformers") if importlib.util.find_spec(package) is None]
    if missing:
        raise UsageError(f"training needs {' and '.join(missing)}: {install_hint('hf')}")
    from memeval.training import run, tiny
    from memeval.training.rows import TrainingFailed

    first = recipes.load(name, settings)
    proofs: list[Proof] = []
    for seed in range(first.seed, first.seed + seeds):
        recipe = msgspec.structs.replace(first, seed=seed)
        folder = out if seeds == 1 else out / f"seed-{seed}"
        try:
            trained = run.run(recipe, folder)
        except TrainingFailed as error:
            print(f"memeval: {error}; the last whole state is in {folder}", file=sys.stderr)
            return 3
        except KeyboardInterrupt:
            print(f"memeval: stopped; the same command goes on from {folder}", file=sys.stderr)
            return 130
        proof = tiny.evaluate(recipe, run.policies(recipe, trained))
        trained.write("proof.json", msgspec.json.format(msgspec.json.encode(proof)).decode())
        trained.close()
        proofs.append(proof)
        if form == "table":
            print(proof_table(proof, width(sys.stdout)))
            options = f"--set wire=quotes --task {recipe.test} --memory hf/{folder / 'best'} --reader {recipe.reader}"
            print(f"\nuse it: memeval run --agent {recipe.agent} {options}\n")
    if form == "json":
        print(json.dumps(msgspec.to_builtins(proofs), indent=2))
    elif proofs:
        print(CAPTION)
    for proof in proofs:
        for fault in proof.faults:
            print(f"memeval: seed {proof.seed}: not met: {fault}", file=sys.stderr)
    return 1 if any(proof.faults for proof in proofs) else 0


def proof_table(proof: Proof, room: int | None = None) -> str:
    """The figures of a training run: at its own length, and at 13 times that length under a fixed store."""
    head = ["writer", "accuracy", "memory", "written", "selectivity", "good calls", "calls a chunk"]
    parts = [f"seed {proof.seed}, {len(proof.figures)} writers on held-out streams of the training length:"]
    parts.append(_table(head, proof.figures, room))
    parts += [_sentence(each) for each in proof.claims]
    parts.append("\n13 times the training length, one fixed store:")
    parts.append(_table(head, proof.long, room))
    parts.append(_sentence(proof.lift))
    return "\n".join(parts)


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
