"""What outlives one model object: servers and loaded weights, shared by all in this process that ask for the same.

`take` finds or makes a thing, `release` gives it back, and the last to give it back closes it. Inside a `lasting()` block it
stays for the next run instead, until the block ends or something else needs the room. Whatever is left is closed at exit.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar, cast


class Closable(Protocol):
    """`usable`: whether somebody else may take it after this."""

    @property
    def usable(self) -> bool: ...

    def close(self) -> None: ...


@dataclass
class _Kept:
    thing: Closable
    users: int = 0


Thing = TypeVar("Thing", bound=Closable)
_kept: dict[Hashable, _Kept] = {}
_blocks = 0
_lock = threading.RLock()


def take(key: Hashable, make: Callable[[], Thing]) -> Thing:
    """The thing of `key`, made if there is none. What nobody uses is closed before: a card's memory holds one model."""
    with _lock:
        kept = _kept.get(key)
        if kept is None:
            _close_idle()
            kept = _kept[key] = _Kept(make())
        kept.users += 1
        return cast(Thing, kept.thing)


def release(key: Hashable) -> None:
    """Give back what was taken, once for each time."""
    with _lock:
        kept = _kept[key]
        kept.users -= 1
        if not kept.users and not (_blocks and kept.thing.usable):
            del _kept[key]
            kept.thing.close()


@contextmanager
def lasting() -> Iterator[None]:
    """Things that are given back inside this block stay open until its end, for runs that follow one another."""
    global _blocks
    with _lock:
        _blocks += 1
    try:
        yield
    finally:
        with _lock:
            _blocks -= 1
            if not _blocks:
                _close_idle()


def _close_idle() -> None:
    for key in [key for key, kept in _kept.items() if not kept.users]:
        _kept.pop(key).thing.close()


@atexit.register
def _close_all() -> None:
    for key in list(_kept):
        _kept.pop(key).thing.close()
