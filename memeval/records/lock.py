"""A lock on a file that the system drops with the process, where the system has one."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

HELD = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
"""What the system says where another process holds the lock; anything else means that it has no locks here."""

_warned = False


def lock(path: Path) -> int | None:
    """A descriptor that holds the lock until it is closed, or None where another process holds it. Raises OSError where the
    file cannot be opened.

    Where neither Unix nor Windows locks work (NFS without lockd, Lustre without flock), one line says so and the lock counts
    as held: then the user is the one who must not start two processes on one folder.
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
