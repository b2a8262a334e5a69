"""Nothing depends on the machine: an empty home folder, a clock that jumps, and growth instead of seconds."""

from __future__ import annotations

import asyncio
import os
import selectors
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

# Small matrices on all cores at once: slower than on one, many times so where other processes run.
os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

_home = tempfile.TemporaryDirectory(prefix="memeval-tests-home-")


def pytest_configure() -> None:
    """Before anything that looks for its cache is imported. Of what the user has set the data folder stays."""
    for name in list(os.environ):
        if name.startswith(("MEMEVAL_", "OPENAI_", "ANTHROPIC_")) and name != "MEMEVAL_DATA":
            del os.environ[name]
    os.fsync = lambda descriptor: None  # no test pulls the plug: none waits for the disk
    os.environ |= {"HOME": _home.name, "XDG_CACHE_HOME": f"{_home.name}/.cache", "XDG_CONFIG_HOME": f"{_home.name}/.config"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests with a time limit of their own begin first, so that no worker is left alone with one at the end."""
    limits = {item: mark.args[0] for item in items if (mark := item.get_closest_marker("timeout"))}
    items.sort(key=lambda item: -limits.get(item, 0))


def pytest_unconfigure() -> None:
    _home.cleanup()


@pytest.fixture(scope="module")
def records_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Records of made-up files are kept in a module's own folder, not in the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEMEVAL_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's cache of the test's own."""
    monkeypatch.setenv("MEMEVAL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def project(tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with nothing in it, and no data folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MEMEVAL_DATA", raising=False)
    return tmp_path


@dataclass
class Clock:
    """`now`: what `time.monotonic()` says, in seconds."""

    now: float = 1000.0


GRACE = 0.002
"""Seconds for what one end of a local connection has written to be there at the other."""


class _Jumping(selectors.DefaultSelector):
    """Does not wait: where no socket is ready, the clock goes on to the event loop's next timer at once."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        alone = len(self.get_map()) == 1  # the event loop's own pipe
        ready = super().select(timeout if timeout is None else min(timeout, 0 if alone else GRACE))
        if not ready and timeout is not None:
            self._clock.now += timeout
        return ready


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """Event loops whose seconds pass only while all their tasks wait. For code without threads, whose connections have
    both ends in the test."""
    made = Clock()

    class Policy(asyncio.DefaultEventLoopPolicy):
        def new_event_loop(self) -> asyncio.AbstractEventLoop:
            return asyncio.SelectorEventLoop(_Jumping(made))

    monkeypatch.setattr(time, "monotonic", lambda: made.now)
    asyncio.set_event_loop_policy(Policy())
    yield made
    asyncio.set_event_loop_policy(None)


@pytest.fixture(scope="session")
def linear() -> Callable[..., None]:
    """`linear(work, piece)` fails where work on eight times as many pieces takes far more than eight times the CPU time.
    few: characters of the shorter text."""

    def check(work: Callable[[str], object], piece: str, few: int = 4_000) -> None:
        def seconds(characters: int) -> float:
            text, begun = piece * (characters // len(piece)), time.thread_time()
            work(text)
            return time.thread_time() - begun

        tries = 3  # other processes take the caches of a core, but not each time
        assert any(
            seconds(8 * few) < 3 * 8 * max(0.004, seconds(few)) for _ in range(tries)
        )  # 64 times where it is quadratic

    return check
