"""`memeval train data`: build a training mixture, and report how many source items were used and dropped."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from memeval.config import data_dir, read_config
from memeval.results.columns import columns, width
from memeval.training.mixture import sources
from memeval.training.mixture.streams import TRAIN, VALIDATION
from memeval.training.recipe import changed
from memeval.typed import typed


def train_data(out: Path, settings: Sequence[str], form: str) -> int:
    """Build both splits of the mixture in a folder. settings: values for sources.Mixing. Returns 0, or 1 where no task was
    made."""
    values = changed({}, settings)
    if isinstance(values.get("families"), str):
        values["families"] = [name.strip() for name in values["families"].split(",")]
    given = typed(values, sources.Mixing, "--set", "data")
    folder = data_dir(None, read_config())
    made = sources.mix(given, out, folder)
    if form == "json":
        print(json.dumps(msgspec.to_builtins(made), indent=2))
    else:
        rows = [
            [one.family, one.split, one.streams, one.questions, sum(one.dropped.values()), one.card or "-"] for one in made
        ]
        head = ["family", "split", "streams", "questions", "dropped", "task"]
        print(columns(head, rows, ["left", "left", "right", "right", "right", "left"], keep=head, width=width(sys.stdout)))
        for one in made:
            for reason, number in one.dropped.items():
                if number:
                    print(f"{one.family}, {one.split}: dropped {number} {reason}", file=sys.stderr)
        if not given.published and not given.families:
            for family, where in sources.absent(folder).items():
                print(f"left out: {family}: {where}", file=sys.stderr)
        names = {split: [str(one.card) for one in made if one.card and one.split == split] for split in (TRAIN, VALIDATION)}
        if all(names.values()):
            chosen = " ".join(
                f"--set {key}={','.join(names[split])}" for key, split in (("task", TRAIN), ("validation", VALIDATION))
            )
            print(f"\ntrain on it: memeval train qwen3-0.6b-lora --out FOLDER {chosen}")
    return 0 if any(one.card for one in made) else 1
