"""ReDial's movies: what the numbers stand for that are the golds of MemoryAgentBench's recommendations."""

from __future__ import annotations

from memeval.datafiles import whole
from memeval.datafiles.files import DataFile
from memeval.errors import UsageError


class Titles:
    """`entity2id.json` of the data set: `{"<http://dbpedia.org/resource/Heat_(1995_film)>": 509, ...}`."""

    def __init__(self, file: DataFile) -> None:
        numbers, self.facts = whole.json_object(file)
        self._file = file
        self._titles = {str(value): title(name) for name, value in numbers.items()}

    def gold(self, value: str, place: str) -> str:
        """The title of a gold. Raises UsageError for a number that no movie has."""
        if value not in self._titles:
            raise UsageError(f"{place}: gold '{value[:80]}' is no movie of {self._file.path}")
        return self._titles[value]


def title(name: str) -> str:
    """The last part of an address, in words ("Heat (1995 film)"), as upstream's `extract_movie_name`. Hyphens and brackets
    stay: the metric drops them on both sides."""
    return " ".join(name.rstrip("/").rpartition("/")[2].replace("_", " ").replace(">", " ").split())


def as_it_is(value: str, place: str) -> str:
    """The gold of every other source."""
    return value
