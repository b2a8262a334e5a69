"""Titles of ReDial's movies. MemoryAgentBench gives the golds of its recommendations as numbers of movies."""

from __future__ import annotations

from memeval.data.files import Found
from memeval.data.records import read_object


class Titles:
    """`entity2id.json` of the data set: `{"<http://dbpedia.org/resource/Heat_(1995_film)>": 509, ...}`."""

    def __init__(self, file: Found) -> None:
        numbers, self.facts = read_object(file)
        self._file = file
        self._titles = {str(value): title(name) for name, value in numbers.items()}

    def gold(self, value: str) -> str:
        """The title of a gold. Raises ValueError for a number that no movie has."""
        if value not in self._titles:
            raise ValueError(f"gold '{value[:80]}' is no movie of {self._file.path}")
        return self._titles[value]


def title(name: str) -> str:
    """The last part of an address, in words ("Heat (1995 film)"), as upstream's `extract_movie_name`. Hyphens and brackets
    stay: the metric drops them on both sides."""
    return " ".join(name.rstrip("/").rpartition("/")[2].replace("_", " ").replace(">", " ").split())
