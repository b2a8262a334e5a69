"""Fetch files: from the Hugging Face hub into its cache or a data folder, or from upstream's URL.

A server must respond within `SECONDS`, and a download that receives nothing for that long fails. Every fault is a UsageError
of one line.
"""

from __future__ import annotations

import fnmatch
import os
import shutil
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from memeval.data.files import DataFile, Found, data_folder, split_place
from memeval.data.records import file_sha256
from memeval.errors import UsageError

SECONDS = 10
"""How many seconds to wait for a response, and for the next bytes of a download."""

Say = Callable[[str], None]
"""Called with a line for the user about what is being fetched."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file on this machine. origin: `owner/name@revision/file` or a URL; empty if the file was there before."""

    path: Path
    origin: str = ""


def fetch(file: DataFile, data_dir: Path | None, to: Path | None, say: Say) -> list[Fetched]:
    """Fetch one file, or all files of its pattern.

    to: the data folder for them; None leaves files of the hub in the hub's cache, where tasks also look, and puts others
    into the user's data folder. Raises UsageError where no place provides them.
    """
    target = to or data_folder(data_dir)
    reasons = []
    if file.url and target is not None:
        try:
            return [_from_url(file, target, say)]
        except UsageError as error:
            reasons.append(str(error))
    for place in file.hub:
        try:
            say(f"fetching {place} from the Hugging Face hub")
            got = from_hub(place)
            return [Fetched(item.path, _origin(item)) if to is None else _copied(file, item, to) for item in got]
        except UsageError as error:
            reasons.append(str(error))
    if file.url and target is None:
        reasons.append(f"{file.url} needs a place to go to, --to DIR or --data-dir DIR")
    by_hand = f"cannot be fetched{f' ({file.note})' if file.note else ''}; put it into the data folder"
    raise UsageError(f"{' or '.join(file.names)}: {'; '.join(reasons) or by_hand}")


def from_hub(place: str) -> tuple[Found, ...]:
    """The files of `owner/name@revision/pattern`, downloaded into the hub's cache. Cached files are used if the hub does not
    respond, HF_HUB_OFFLINE forbids the download, or the revision is a commit. Raises UsageError with the reason."""
    from huggingface_hub import HfApi, constants, snapshot_download

    repository, revision, pattern = split_place(place)
    cached = in_cache(place)
    if cached and (constants.HF_HUB_OFFLINE or (revision and len(revision) == 40)):
        return cached
    if constants.HF_HUB_OFFLINE:
        raise UsageError(f"{repository}: not in the hub's cache, and HF_HUB_OFFLINE forbids the download; unset it")
    try:
        HfApi().dataset_info(repository, revision=revision, timeout=SECONDS)
        folder = snapshot_download(
            repository, repo_type="dataset", revision=revision, allow_patterns=[pattern], etag_timeout=SECONDS
        )
    except Exception as error:  # from requests, httpx or the hub's package, depending on its version
        if cached:
            return cached
        raise UsageError(f"{repository}: {_why(error, repository)}") from None
    found = _in_snapshot(Path(folder), repository, pattern)
    if not found:
        raise UsageError(f"{repository}: has no file {pattern}")
    return found


def in_cache(place: str) -> tuple[Found, ...]:
    """The files of `owner/name@revision/pattern` that are in the hub's cache. Does not use the network."""
    from huggingface_hub import snapshot_download

    repository, revision, pattern = split_place(place)
    try:
        folder = snapshot_download(
            repository, repo_type="dataset", revision=revision, allow_patterns=[pattern], local_files_only=True
        )
    except (OSError, ValueError):  # huggingface_hub raises them for what is not in its cache
        return ()
    return _in_snapshot(Path(folder), repository, pattern)


def _in_snapshot(folder: Path, repository: str, pattern: str) -> tuple[Found, ...]:
    paths = [path for path in sorted(folder.glob(pattern)) if path.is_file()]
    names = [path.relative_to(folder).as_posix().removesuffix(".gz") for path in paths]
    return tuple(Found(name, path, repository, folder.name) for name, path in zip(names, paths, strict=True))


def _why(error: Exception, repository: str) -> str:
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return f"accept its terms at https://huggingface.co/datasets/{repository} and set HF_TOKEN"
    if isinstance(error, errors.RepositoryNotFoundError):
        return "no such data set on the hub (or a private one, which needs HF_TOKEN)"
    if isinstance(error, errors.RevisionNotFoundError):
        return "the hub has no such revision of it"
    return f"the hub cannot be reached ({type(error).__name__}: {' '.join(str(error).split())[:160]})"


def _copied(file: DataFile, got: Found, to: Path) -> Fetched:
    """Copy a file of the hub, under its own name, to the data set's folder in the data folder `to`."""
    own = got.path.name
    name = next((name for name in file.names if fnmatch.fnmatchcase(own.removesuffix(".gz"), Path(name).name)), None)
    if name is None:
        raise UsageError(f"{got.hub}: {own} is not among {file}; fetch without --to, into the hub's cache")
    target = _inside(to, str(Path(name).parent / own))
    with _writing(target) as part:
        shutil.copyfile(got.path, part)
    return Fetched(target, _origin(got))


def _origin(file: Found) -> str:
    return f"{file.hub}@{file.revision}/{file.name}"


def _from_url(file: DataFile, to: Path, say: Say) -> Fetched:
    """Download upstream's file to its name in the data folder, and check its size and, where known, its sha256."""
    zipped = urllib.parse.urlsplit(file.url).path.endswith(".gz")
    target = _inside(to, f"{file.names[0]}{'.gz' if zipped else ''}")
    say(f"fetching {file.url}")
    request = urllib.request.Request(file.url, headers={"User-Agent": "memeval"})
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer, _writing(target) as part:
            with part.open("wb") as stream:
                shutil.copyfileobj(answer, stream)
            announced, size = answer.headers.get("Content-Length"), part.stat().st_size
            if announced is not None and announced != str(size):
                raise UsageError(f"{file.url}: {size} of {announced} bytes came; try again")
            sha256 = file_sha256(part)
            if file.sha256 and sha256 != file.sha256:
                raise UsageError(f"{file.url}: not the published file (sha256 is {sha256}, expected {file.sha256})")
    except (OSError, HTTPException, ValueError) as error:  # URLError and timeouts are OSErrors
        reason = " ".join(str(getattr(error, "reason", None) or error).split())
        raise UsageError(f"{file.url}: cannot be fetched ({type(error).__name__}: {reason[:160]})") from None
    return Fetched(target, file.url)


@contextmanager
def _writing(target: Path) -> Iterator[Path]:
    """A temporary path to write to: the file replaces `target` at the end, or is removed after an error."""
    part = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield part
        os.replace(part, target)
    except OSError as error:
        raise UsageError(f"{target}: cannot be fetched or written ({error.strerror or error})") from None
    finally:
        with suppress(OSError):
            part.unlink()


def _inside(folder: Path, name: str) -> Path:
    """The path of a name in the data folder. Raises UsageError for a name that leads out of it."""
    target = (folder / name).resolve()
    if not target.is_relative_to(folder.resolve()) or "*" in name:
        raise UsageError(f"'{name}' is not the name of a file within {folder}; put it there by hand")
    return target
