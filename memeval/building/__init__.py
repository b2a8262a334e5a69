"""Training and validation sets made from source data, in Mem-alpha's published parquet schema (so `source: memalpha` reads
them). What was drawn and dropped, and with which seed, stands in each row's metadata."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from memeval.building import booksum, hotpotqa, labelled, perltqa, squad
from memeval.building.instances import TRAIN, VALIDATION, Built, Recipe, shared_content, write
from memeval.errors import UsageError, suggest
from memeval.tasks import Settings

__all__ = ["FAMILIES", "TRAIN", "VALIDATION", "Built", "Recipe", "build", "shared_content", "write"]

FAMILIES: dict[str, Callable[..., Built]] = {
    "squad": squad.build,
    "hotpotqa": hotpotqa.build,
    "perltqa": perltqa.build,
    "booksum": booksum.build,
}


def build(family: str, settings: Settings, recipe: Recipe, **options: Any) -> Built:
    """One split of one family: `squad`, `hotpotqa`, `perltqa`, `booksum`, or one of labelled.FAMILIES. options: the
    family's own, see its `build`. Raises UsageError when the source data are missing, damaged, or too few."""
    if family in labelled.FAMILIES:
        return labelled.build(family, settings, recipe, **options)
    if family in FAMILIES:
        return FAMILIES[family](settings, recipe, **options)
    known = [*FAMILIES, *labelled.FAMILIES]
    raise UsageError(f"no builder for '{family}'{suggest(family, known)} (known: {', '.join(known)})")
