"""Keep servers and loaded weights open from one run of a command to the next, because loading them takes minutes.

Inside a `keep_open()` block, an object that a run gives back is kept for the next run that takes it. It is closed when
the block ends, or when another object is taken, because a GPU's memory holds only one model.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar, cast


class Closable(Protocol):
    """`usable`: whether another run may take it."""

    @property
    def usable(self) -> bool: ...

    def close(self) -> None: ...


Thing = TypeVar("Thing", bound=Closable)
_waiting: dict[Hashable, Closable] = {}
_blocks = 0


def take(key: Hashable, make: Callable[[], Thing]) -> Thing:
    """The object kept under `key`, or a new one. All other kept objects are closed first."""
    found = _waiting.pop(key, None)
    _close_waiting()
    return cast(Thing, found) if found is not None and found.usable else make()


def give_back(key: Hashable, thing: Closable) -> None:
    """Give an object back: inside a block it is kept for the next run, otherwise it is closed."""
    if _blocks and thing.usable and key not in _waiting:
        _waiting[key] = thing
    else:
        thing.close()


@contextmanager
def keep_open() -> Iterator[None]:
    """Objects given back inside this block stay open until its end."""
    global _blocks
    _blocks += 1
    try:
        yield
    finally:
        _blocks -= 1
        if not _blocks:
            _close_waiting()


def _close_waiting() -> None:
    while _waiting:
        _waiting.popitem()[1].close()
