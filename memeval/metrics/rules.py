"""The rules by which the answers of a run are scored, and their digest: scores by other rules are computed again."""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memeval import source_files
from memeval.metrics import METRICS
from memeval.metrics.abstention import TABLE
from memeval.tasks import base


@dataclass(frozen=True, slots=True)
class Rules:
    """The parts of a run's cards that scoring depends on.

    metrics: names in METRICS; headline: the one that decides which answers are right. native: the agent answers by itself.
    keyword_separator: what separates the keywords of a gold (`keyword_share`). cut_off: how to treat a reply that was cut
    off at its token limit: `wrong`, or `scored` as it is.
    """

    metrics: tuple[str, ...]
    headline: str
    native: bool = False
    keyword_separator: str = ""
    cut_off: str = "wrong"

    @classmethod
    def of(cls, card: Mapping[str, Any], headline: str, native: bool) -> Rules:
        """The rules of a task's card. card: as a mapping, from a run's identity, which lacks keys that are newer than the
        run."""
        separator, cut_off = card.get("keyword_separator", ""), card.get("cut_off", "wrong")
        return cls(tuple(card.get("metrics", ())), headline, native, separator, cut_off)


def scorer_digest(rules: Rules) -> str:
    """The first 16 hex digits of a sha256 over the rules, the source of memeval's metrics, their table and `normalise`, and
    for each metric of a user's own: the files of its code, the local files that they import, and the values that it was
    created with."""
    digest = hashlib.sha256(repr(rules).encode())
    files = {*Path(__file__).parent.glob("*.py"), TABLE, Path(base.__file__)}
    for name in rules.metrics:
        for part in _parts(METRICS.get(name)):
            if inspect.isroutine(part) or isinstance(part, type):
                files |= _files(part)
            else:
                digest.update(json.dumps(_values(part), sort_keys=True, default=_kind, skipkeys=True).encode())
    for path in sorted(files):
        digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()[:16]


def _parts(metric: Any) -> Iterator[Any]:
    """The callables of which a metric consists: itself, those inside a partial, a decorator or an object, and its class."""
    seen: list[Any] = []
    queue = [metric]
    while queue:
        part = queue.pop()
        if not callable(part) or any(part is one for one in seen):
            continue
        seen.append(part)
        yield part
        if inspect.isroutine(part):
            queue.append(getattr(part, "__wrapped__", None))
        elif not isinstance(part, type):
            queue += [*_values(part).values(), *([] if isinstance(part, functools.partial) else [type(part)])]


def _values(part: Any) -> dict[str, Any]:
    """The values with which a partial or a callable object was created."""
    if isinstance(part, functools.partial):
        return {"function": part.func, **{str(at): value for at, value in enumerate(part.args)}, **part.keywords}
    return dict(getattr(part, "__dict__", {}))


def _kind(value: Any) -> str:
    return type(value).__name__


def _files(part: Any) -> set[Path]:
    """The file of a function or class, and the local files that it imports."""
    module = inspect.getmodule(part)
    file = getattr(module, "__file__", None)
    if module is None or file is None:
        return set()
    path = Path(file)
    return {path, *source_files.transitive({module.__name__: path}, path.parent).values()}
