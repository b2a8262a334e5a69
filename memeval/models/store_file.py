"""The SQLite file of a store: opened (also on file systems without locks or shared memory maps), created if missing,
and set aside if it is damaged or another program's."""

from __future__ import annotations

import contextlib
import errno
import sqlite3
import sys
import tempfile
from functools import partial
from pathlib import Path

TRIES = 3
SCHEMA = 1
APPLICATION = 0x6D656D65  # "meme": distinguishes memeval's files from other SQLite files
BUSY_SECONDS = 60.0  # to wait for another process's write
_CREATE = """
CREATE TABLE IF NOT EXISTS calls (
    key BLOB PRIMARY KEY,
    model TEXT NOT NULL,
    created REAL NOT NULL,
    value TEXT NOT NULL
)
"""
_NO_MAPS = {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class Foreign(sqlite3.DatabaseError):
    """A healthy SQLite file of another program."""


def opened(path: Path, shared: bool) -> tuple[sqlite3.Connection, int]:
    """A file of ours with its table, and its inode. What is none is set aside, and the next one is tried."""
    path.parent.mkdir(parents=True, exist_ok=True)
    left = TRIES
    while True:
        left -= 1
        tried = inode(path)
        try:
            return connected(path, shared), inode(path)
        except sqlite3.Error as error:
            if not damaged(error):
                raise
            if not left:
                raise sqlite3.OperationalError(f"{error}, {TRIES} times in a row: does another program write it?") from None
            set_aside(path, tried, str(error))


def set_aside(path: Path, tried: int, reason: str) -> None:
    """Rename the file with the inode `tried`, unless another process has done so already."""
    if inode(path) != tried:
        return
    number = 1
    while (aside := path.with_name(f"{path.name}.set-aside-{number}")).exists():
        number += 1
    for tail in ("", "-wal", "-shm"):
        part = Path(f"{path}{tail}")
        if part.exists():
            part.rename(f"{aside}{tail}")
    print(f"{path}: {reason}; set aside as {aside.name}, starting a new one", file=sys.stderr)


def connected(path: Path, shared: bool) -> sqlite3.Connection:
    """Open a file with its table. On a file system without locks SQLite does without them, because a run's folder has
    one writer; a shared file (the user's cache) needs them. Without shared memory maps there is no WAL."""
    locks = _has_locks(path.parent)
    if shared and not locks:
        raise OSError(errno.ENOLCK, "no file locks here")
    address = f"{path.resolve().as_uri()}{'' if locks else '?vfs=unix-none'}"
    connect = partial(sqlite3.connect, address, timeout=BUSY_SECONDS, isolation_level=None, uri=True)
    try:
        return _prepared(connect())
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _NO_MAPS:
            raise
        return _prepared(connect(), wal=False)


def reading(database: sqlite3.Connection, path: Path) -> sqlite3.Connection | None:
    """A second connection to an open file, for reading from another thread without waiting; None without WAL."""
    if database.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        return None
    address = f"{path.resolve().as_uri()}?mode=ro"
    return sqlite3.connect(address, timeout=0, isolation_level=None, uri=True, check_same_thread=False)


def _has_locks(folder: Path) -> bool:
    """Whether the file system grants POSIX locks in the way that SQLite takes them (a Lustre or NFS may not)."""
    try:
        import fcntl

        with tempfile.TemporaryFile(dir=folder) as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
    except ImportError:  # Windows has its own locks
        pass
    return True


def _prepared(database: sqlite3.Connection, wal: bool = True) -> sqlite3.Connection:
    run = database.execute
    try:
        if not wal:
            run("PRAGMA locking_mode = EXCLUSIVE")  # opens a WAL file without a memory map
            run("PRAGMA journal_mode = DELETE")
            run("PRAGMA locking_mode = NORMAL")
        run("BEGIN")  # one snapshot: another process may be creating the file now
        header = [run(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
        (tables,) = run("SELECT count(*) FROM sqlite_master").fetchone()
        run("COMMIT")
        if tables and header != [APPLICATION, SCHEMA]:
            raise Foreign("not a file of this version of memeval")
        if wal:
            with contextlib.suppress(sqlite3.OperationalError):  # another process is using the file
                run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = NORMAL")
        run("PRAGMA wal_autocheckpoint = 4000")  # pages: a sync every few thousand calls
        if not tables:
            run("BEGIN IMMEDIATE")
            run(_CREATE)
            run(f"PRAGMA application_id = {APPLICATION}")
            run(f"PRAGMA user_version = {SCHEMA}")
            run("COMMIT")
    except sqlite3.Error:
        database.close()
        raise
    return database


def damaged(error: Exception) -> bool:
    return isinstance(error, Foreign) or getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED


def inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0
