"""A file lock that the operating system releases with the process, if the system has locks."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

HELD = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
"""Errors that mean that another process holds the lock; any other error means that the file system has no locks."""

_warned = False


def lock(path: Path) -> int | None:
    """A descriptor that holds the lock until it is closed, or None if another process holds the lock. Raises OSError if
    the file cannot be opened.

    If neither Unix nor Windows locks work (NFS without lockd, Lustre without flock), one line says so and the lock
    counts as held: the user must not start two processes on one folder.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _take(descriptor)
    except (ImportError, OSError) as error:
        if isinstance(error, OSError) and error.errno in HELD:
            os.close(descriptor)
            return None
        _warn(path)
    return descriptor


def _take(descriptor: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _warn(path: Path) -> None:
    global _warned
    if not _warned:
        _warned = True
        print(
            f"memeval: {path.parent}: no file locks here: do not run two processes on the same run folder at once",
            file=sys.stderr,
        )
