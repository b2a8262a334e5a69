"""The files that tasks read: their names, where they can be fetched, and where they are on this machine.

Files are looked up in the data folder first: `--data-dir` or the environment's MEMEVAL_DATA, with a folder per data set and
upstream's file names (`2wikimultihopqa/dev.json`), plain or gzipped. Then in the cache of the Hugging Face hub.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memeval.errors import NoData, UsageError


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file that a task reads, or several files of one pattern.

    names: in the data folder, in order of preference; the first that exists is read. `*` matches several files or folders;
    an absolute name is outside the data folder. hub: places on the hub, `owner/name/file` or `owner/name@revision/file`,
    best first, which may also contain `*`. url, sha256: where it is published outside the hub, and the digest of that file
    if known. licence: of this file, if it differs from the card's. required: the task cannot be built without it. note: what
    it is for."""

    names: tuple[str, ...]
    hub: tuple[str, ...] = ()
    url: str = ""
    sha256: str = ""
    licence: str = ""
    required: bool = True
    note: str = ""

    def __str__(self) -> str:
        """The names in words: "a.jsonl or b.jsonl (plain or .gz)". Parquet files are never gzipped."""
        zipped = "" if all(name.endswith(".parquet") for name in self.names) else " (plain or .gz)"
        return f"{' or '.join(self.names)}{zipped}"


@dataclass(frozen=True, slots=True)
class Found:
    """A file on this machine. name: for manifests, relative to the data folder or the hub's data set, without .gz."""

    name: str
    path: Path
    hub: str = ""
    revision: str = ""

    def facts(self, sha256: str, size: int, records: int) -> dict[str, Any]:
        """The facts for a manifest. sha256, size (bytes): of the unzipped content, so that `dev.json` and `dev.json.gz` are
        the same data."""
        facts = {"name": self.name, "sha256": sha256, "bytes": size, "records": records}
        return facts | ({"hub": self.hub, "revision": self.revision} if self.hub else {})


def data_folder(data_dir: Path | None) -> Path | None:
    """The user's data folder, or None. Raises UsageError for a folder that does not exist."""
    named = data_dir or os.environ.get("MEMEVAL_DATA")
    if not named:
        return None
    folder = Path(named).expanduser()
    if not folder.is_dir():
        raise UsageError(f"data folder {folder} does not exist; see --data-dir and MEMEVAL_DATA")
    return folder


def find(file: DataFile, data_dir: Path | None, task: str) -> tuple[Found, ...]:
    """The files in the data folder, else those of the hub, which are downloaded if they are not in its cache.

    task: the name of the task, for messages. An optional file is not downloaded, and may be missing. Raises NoData, which
    names every remedy.
    """
    found = local(file, data_dir)
    if found or not file.required:
        return found
    reasons = []
    for place in file.hub:
        from memeval.data.fetch import from_hub

        try:
            return from_hub(place)
        except UsageError as error:
            reasons.append(str(error))
    remedies = [by_hand(file, data_dir)]
    if file.hub:
        state = "; ".join(dict.fromkeys(reasons))
        remedies.append(f"let memeval download {' or '.join(file.hub)} from the Hugging Face hub (failed now: {state})")
    if file.url:
        remedies.append(f"run `memeval data fetch {task}`")
    remedies.append("run a bundled task, which needs no data (synth-10k to synth-1m)")
    raise NoData(f"task '{task}': no data; {', or '.join(remedies)}")


def by_hand(file: DataFile, data_dir: Path | None) -> str:
    """A sentence that tells the user where to put a missing file."""
    folder = data_folder(data_dir) or "a folder DIR and pass --data-dir DIR (or set MEMEVAL_DATA)"
    source = f" from {file.url}" if file.url else f" ({file.note})" if file.note else ""
    return f"put {file} into {folder}{source}"


def at_hand(file: DataFile, data_dir: Path | None) -> tuple[Found, ...]:
    """The files in the data folder, else those in the hub's cache. Does not use the network."""
    found = local(file, data_dir)
    if not found and file.hub:
        from memeval.data.fetch import in_cache

        found = next(filter(None, map(in_cache, file.hub)), ())
    return found


def local(file: DataFile, data_dir: Path | None) -> tuple[Found, ...]:
    """The files of the first name that exists in the data folder, in order of name, each once. The data folder may also be
    the data set's own folder, with the file directly in it. Raises UsageError for a folder with that name, and for a broken
    link."""
    root = data_folder(data_dir)
    for name in file.names:
        for place in _places(name, root):
            found: dict[str, Found] = {}
            for path in _candidates(place):
                if path.is_file():
                    inside = root is not None and path.is_relative_to(root)
                    plain = (path.relative_to(root).as_posix() if root and inside else path.name).removesuffix(".gz")
                    found.setdefault(plain, Found(plain, path))
                elif path.suffix and (path.is_dir() or path.is_symlink()):
                    what = "a folder" if path.is_dir() else "a link that leads nowhere"
                    raise UsageError(f"{path}: is {what}, expected a file; put the file itself there")
            if found:
                return tuple(found.values())
    return ()


def _places(name: str, root: Path | None) -> tuple[Path, ...]:
    if Path(name).is_absolute():
        return (Path(name),)
    if root is None:
        return ()
    inner = Path(*Path(name).parts[1:] or [name])
    return (root / name, root / inner, *([] if "*" in name else [root / inner.name]))


def _candidates(place: Path) -> Sequence[Path]:
    """The paths for a name, plain or gzipped; those that match, if the name has a `*`."""
    zipped = place.with_name(f"{place.name}.gz")
    if "*" not in place.as_posix():
        return (place,) if place.is_file() else (place, zipped)
    folder = next(parent for parent in place.parents if "*" not in parent.as_posix())
    return sorted(path for name in (place, zipped) for path in folder.glob(name.relative_to(folder).as_posix()))


def split_place(place: str) -> tuple[str, str | None, str]:
    """Split `owner/name@revision/file` into (owner/name, revision or None, file). Raises UsageError for anything else."""
    owner, _, rest = place.partition("/")
    name, _, path = rest.partition("/")
    name, _, revision = name.partition("@")
    if not owner or not name or not path:
        raise UsageError(f"'{place}' is not a file on the hub, expected owner/name/file or owner/name@revision/file")
    return f"{owner}/{name}", revision or None, path


def megabytes(size: float) -> str:
    """A size as text: `12.3 MB` (10^6 bytes); in kB or bytes if it is small."""
    if size < 1000:
        return f"{size:.0f} bytes"
    return f"{size / 1e6:.1f} MB" if size >= 50_000 else f"{size / 1e3:.1f} kB"
