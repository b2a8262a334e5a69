"""`memeval list memories`: stored memories and the runs that read each. `memeval remove RUN|MEMORY...` deletes folders."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from pathlib import Path

from memeval.data.files import megabytes
from memeval.errors import UsageError
from memeval.records.appending import LOCK, Appending
from memeval.records.folder import FILES, RunFolder, readers, remove_folder
from memeval.records.memory import CALLS, MEMORIES, MemoryFolder

_EVERY = ("manifest.json", LOCK, f"{CALLS}*", ".*.tmp")
RUN_FILES = (*_EVERY, "summary.json", *FILES.values(), "scores")
MEMORY_FILES = (*_EVERY, "operations.jsonl")
"""The files that memeval writes to a folder. A folder with any other file is not deleted."""


def memories(runs_dir: Path) -> list[tuple[str, str, list[str]]]:
    """The memories below `runs_dir`: (folder, size, runs that read it)."""
    rows = []
    for folder in sorted(path for path in runs_dir.glob(f"*/{MEMORIES}/*") if path.is_dir()):
        size = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
        runs = [str(runs_dir / path.parent.name / path.name) for path in readers(folder.absolute())]
        rows.append((str(folder), megabytes(size), runs))
    return rows


def remove_command(folders: Sequence[Path]) -> str:
    """Delete run folders, then memory folders that no other run reads. Returns a line per folder.

    Raises UsageError, before anything is deleted, for a folder that is neither; and where another process writes one."""
    runs = [path for path in folders if RunFolder(path).manifest()]
    memories = [path for path in folders if path not in runs]
    for path in folders:
        _check(path, RUN_FILES if path in runs else MEMORY_FILES)
    leaving = {path.resolve() for path in runs}
    for path in memories:
        named = [reader for reader in readers(path.absolute()) if reader.resolve() not in leaving]
        if named:
            more = f" and {len(named) - 1} more" if len(named) > 1 else ""
            raise UsageError(f"{path}: the memory of {named[0]}{more}; remove its runs first, or name them too")
    lines = []
    for path in runs:
        memory = RunFolder(path).memory
        RunFolder(path).remove()
        lines.append(f"removed {path}")
        left = memory and memory.path.is_dir() and memory.path not in map(Path.resolve, memories)
        if left and memory and not any(readers(memory.path)):
            lines.append(f"  no run reads {memory.path} now (memeval remove deletes it)")
    for path in memories:
        file = Appending(path, {})
        if not file.held:
            raise UsageError(f"{path}: another memeval process is building this memory; wait for it or stop it")
        file.close()
        remove_folder(path)
        lines.append(f"removed {path}")
    return "\n".join(lines)


def _check(path: Path, files: Sequence[str]) -> None:
    """Check that a folder may be deleted. Raises UsageError where it is not a run or memory folder of memeval, or holds a
    file that memeval did not write."""
    if path.is_symlink() or not path.is_dir():
        raise UsageError(f"{path}: not a folder (links are not followed)")
    if files is MEMORY_FILES and (path.absolute().parent.name != MEMORIES or not _is_memory(path)):
        raise UsageError(f"{path}: neither a run nor a memory folder of memeval")
    others = [each.name for each in path.iterdir() if not any(fnmatch.fnmatchcase(each.name, name) for name in files)]
    if others:
        raise UsageError(f"{path}: holds '{sorted(others)[0]}', which memeval did not write; move it away first")


def _is_memory(path: Path) -> bool:
    """Whether a folder is a memory. One without a manifest counts: a process was killed before it wrote it."""
    return MemoryFolder(path).manifest() is not None or not (path / "manifest.json").exists()
