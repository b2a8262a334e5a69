"""`memeval train` for recipes of real models, which TRL trains."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from memeval.errors import StopRun
from memeval.training.recipe import Recipe, evaluation


def train_trl(first: Recipe, out: Path, seeds: int, form: str) -> int:
    """Train once for each of `seeds` seeds from the recipe's on, and print where the best checkpoint is and how it is
    evaluated. Returns 0, 3 where training failed, 130 where it was stopped."""
    from memeval.training import trl_run

    found: list[dict[str, Any]] = []
    for seed in range(first.seed, first.seed + seeds):
        recipe = msgspec.structs.replace(first, seed=seed)
        folder = out if seeds == 1 else out / f"seed-{seed}"
        try:
            lines = trl_run.run(recipe, folder)
        except StopRun as error:
            print(f"memeval: {error}; the last whole state is in {folder}", file=sys.stderr)
            return 3
        except KeyboardInterrupt:
            print(f"memeval: stopped; the same command goes on from {folder}", file=sys.stderr)
            return 130
        if lines is None:
            continue
        best = max((line for line in lines if "validation" in line), key=lambda line: line["validation"]["accuracy"])
        found.append({"seed": seed, "best": str(folder / "best"), **best})
        if form == "table":
            print(
                f"seed {seed}: accuracy {best['validation']['accuracy']:.3f} on {recipe.validation} at step {best['step']}"
            )
            print(f"evaluate it: {evaluation(recipe, folder / 'best')}")
    if form == "json" and found:
        print(json.dumps(found, indent=2))
    return 0
