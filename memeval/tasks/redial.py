"""Titles of ReDial's movies. MemoryAgentBench gives the golds of its recommendations as numbers of movies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from memeval.data.files import Found
from memeval.data.records import read_object


def titles(file: Found) -> tuple[Callable[[str], str], Mapping[str, Any]]:
    """The rule from a gold to its title, which raises ValueError for a number that no movie has, and the file's facts. The
    file is `entity2id.json` of the data set: `{"<http://dbpedia.org/resource/Heat_(1995_film)>": 509, ...}`."""
    numbers, facts = read_object(file)
    names = {str(value): title(name) for name, value in numbers.items()}

    def gold(value: str) -> str:
        if value not in names:
            raise ValueError(f"gold '{value[:80]}' is no movie of {file.path}")
        return names[value]

    return gold, facts


def title(name: str) -> str:
    """The last part of an address, in words ("Heat (1995 film)"), as upstream's `extract_movie_name`. Hyphens and brackets
    stay: the metric drops them on both sides."""
    return " ".join(name.rstrip("/").rpartition("/")[2].replace("_", " ").replace(">", " ").split())
