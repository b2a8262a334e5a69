"""Getting the files a task needs: from the Hugging Face hub into its cache or a data folder, or from upstream's address.

Nothing waits for ever: the hub must answer within `SECONDS`, and a download that stands still is given up. Whatever goes
wrong is a UsageError of one line.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import shutil
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any

from memeval.datafiles import files
from memeval.datafiles.files import DataFile
from memeval.datafiles.needs import Address, Need, hub_place
from memeval.errors import UsageError

SECONDS = 15
"""How long a server may take to answer, and how long a download from upstream's address may stand still."""

SCHEMES = ("https",)
"""Of upstream's addresses, redirects included."""

_BLOCK = 1 << 20

Tell = Callable[[str], None]
"""Takes a line for the user: what is being fetched, and how large it is."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file that is now here. origin: `owner/name@revision/file` or an address. changed: how it differs from the published
    file (empty: not at all)."""

    path: Path
    bytes: int
    origin: str
    changed: str = ""


def fetch_need(need: Need, folder: Path | None, to: Path | None, tell: Tell) -> list[Fetched]:
    """Get the files of one need.

    to: the data folder to lay them out in; None leaves hub files in the hub's cache, where tasks look for them too. folder:
    the user's own data folder. Upstream's address comes first where there is a folder to put its file into, because its file
    is the one a data folder is read for first. Raises UsageError when no place gives them.
    """
    target = to or folder
    reasons = []
    if need.address is not None and target is not None:
        try:
            return [_from_address(need, need.address, target, tell)]
        except UsageError as error:
            reasons.append(str(error))
    for place in need.hub:
        try:
            got = _from_hub(place, tell)
            return in_cache(got) if to is None else laid_out(need, got, to)
        except UsageError as error:
            reasons.append(str(error))
    if need.address is not None and target is None:
        reasons.append(f"{need.address.url} needs a place to go to, --to DIR or --data-dir DIR")
    by_hand = f"cannot be fetched{f' ({need.note})' if need.note else ''}; put it into the data folder"
    raise UsageError(f"{' or '.join(need.files)}: {'; '.join(reasons) or by_hand}")


def in_cache(got: Sequence[DataFile]) -> list[Fetched]:
    """Files that are left where the hub's cache has them."""
    return [Fetched(file.path, file.path.stat().st_size, _origin(file)) for file in got]


def _from_hub(place: str, tell: Tell) -> list[DataFile]:
    """The files of `owner/name@revision/pattern`, downloaded into the hub's cache."""
    from huggingface_hub import HfApi, constants, hf_hub_download

    repository, revision, pattern = hub_place(place)
    if constants.HF_HUB_OFFLINE:
        raise UsageError(f"{repository}: not in the hub's cache, and HF_HUB_OFFLINE forbids to fetch it; unset it")
    try:
        info = HfApi().dataset_info(repository, revision=revision, timeout=SECONDS, files_metadata=True)
        sizes = {item.rfilename: item.size or 0 for item in info.siblings or ()}
        names = [name for name in sorted(sizes) if fnmatch.fnmatchcase(name, pattern)]
        if not names:
            raise UsageError(f"{repository} at revision {info.sha}: has no file {pattern}")
        total = sum(sizes[name] for name in names)
        _check_space(Path(constants.HF_HUB_CACHE), total)
        tell(f"fetching {repository}: {', '.join(names)} ({megabytes(total)}), revision {info.sha}")
        paths = [
            Path(hf_hub_download(repository, name, repo_type="dataset", revision=revision, etag_timeout=SECONDS))
            for name in names
        ]
    except UsageError:
        raise
    except Exception as error:  # requests, httpx or the hub's own, depending on its version; what it was is said
        raise UsageError(f"{repository}: {_why(error, repository)}") from None
    return [
        DataFile(name, path, repository, path.parents[name.count("/")].name) for name, path in zip(names, paths, strict=True)
    ]


def _why(error: Exception, repository: str) -> str:
    from huggingface_hub import utils

    if isinstance(error, utils.GatedRepoError):
        return f"accept its terms at https://huggingface.co/datasets/{repository} and set HF_TOKEN"
    if isinstance(error, utils.RepositoryNotFoundError):
        return "no such data set on the hub (or a private one, which needs HF_TOKEN)"
    if isinstance(error, utils.RevisionNotFoundError):
        return "the hub has no such revision of it"
    text = " ".join(str(error).split())
    return f"the hub cannot be reached, or gives up ({type(error).__name__}: {text[:160]})"


def laid_out(need: Need, got: Sequence[DataFile], to: Path) -> list[Fetched]:
    """Copies of hub files under the names that the data folder has for them.

    A file whose name is one of them keeps it; a single file of the same kind takes the first name; tables in parquet become
    the records of the first name, where that is a .json or .jsonl file: sources read both shapes. Raises UsageError.
    """
    kept = [_own_name(need, Path(file.name).name) for file in got]
    if all(kept):
        return [_copied(file, _inside(to, str(name))) for file, name in zip(got, kept, strict=True)]
    target = need.files[0]
    kinds = {Path(file.name).suffix for file in got}
    if kinds == {".parquet"} and target.endswith((".json", ".jsonl")):
        return [_converted(got, _inside(to, target))]
    if len(got) == 1 and kinds <= {"", Path(target).suffix}:
        return [_copied(got[0], _inside(to, target))]
    names = ", ".join(file.name for file in got)
    raise UsageError(f"{got[0].hub}: {names} does not fit the name {target}; fetch without --to, into the hub's cache")


def _own_name(need: Need, name: str) -> str | None:
    for wanted in need.files:
        if fnmatch.fnmatchcase(name.removesuffix(".gz"), Path(wanted).name):
            return str(Path(wanted).parent / name)
    return None


def _copied(file: DataFile, target: Path) -> Fetched:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.part")
        shutil.copyfile(file.path, part)
        os.replace(part, target)
    except OSError as error:
        raise UsageError(f"{target}: cannot be written ({error.strerror or error})") from None
    return Fetched(target, target.stat().st_size, _origin(file))


def _converted(got: Sequence[DataFile], target: Path) -> Fetched:
    def rows() -> Iterator[Any]:
        for file in got:
            yield from (row for _, row in files.read(file).rows)

    before, between, after = ("[\n", ",\n", "\n]\n") if target.suffix == ".json" else ("", "\n", "\n")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.part")
        with part.open("w", encoding="utf-8") as stream:
            for number, row in enumerate(rows()):
                stream.write(between if number else before)
                stream.write(json.dumps(row, ensure_ascii=False, allow_nan=False))
            stream.write(after)
        os.replace(part, target)
    except OSError as error:
        raise UsageError(f"{target}: cannot be written ({error.strerror or error})") from None
    except (TypeError, ValueError) as error:
        raise UsageError(f"{got[0].path}: holds what {target.name} cannot ({error}); fetch it without --to") from None
    origins = ", ".join(map(_origin, got))
    return Fetched(target, target.stat().st_size, origins, "the hub's rows, written as JSON")


def _from_address(need: Need, address: Address, to: Path, tell: Tell) -> Fetched:
    """Upstream's file, checked against what is known of it, under its name in the data folder."""
    path = urllib.parse.urlsplit(address.url).path
    target = _inside(to, need.files[0] + (".gz" if path.endswith(".gz") else ""))
    tell(f"fetching {address.url}{f' ({megabytes(address.bytes)})' if address.bytes else ''}")
    part = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _opened(address.url) as answer, part.open("wb") as stream:
            sha256, size = _pour(answer, stream)
            announced = getattr(answer, "headers", {}).get("Content-Length")
    except (OSError, HTTPException, ValueError) as error:  # URLError and timeouts are OSErrors
        part.unlink(missing_ok=True)
        reason = getattr(error, "reason", None) or error
        raise UsageError(f"{address.url}: cannot be fetched ({type(error).__name__}: {str(reason)[:160]})") from None
    whole = announced is None or announced == str(size)
    if not whole or (address.sha256 and sha256 != address.sha256):
        part.unlink()
        fault = f"{size} of {announced} bytes came" if not whole else f"sha256 is {sha256}, expected {address.sha256}"
        raise UsageError(f"{address.url}: not the published file ({fault}); try again, or fetch it by hand")
    os.replace(part, target)
    return Fetched(target, size, address.url)


def _opened(url: str) -> Any:
    request = urllib.request.Request(url, headers={"User-Agent": "memeval"})
    if urllib.parse.urlsplit(url).scheme not in SCHEMES:
        raise ValueError("only https addresses are fetched")
    answer = urllib.request.urlopen(request, timeout=SECONDS)
    if urllib.parse.urlsplit(answer.url).scheme not in SCHEMES:
        answer.close()
        raise ValueError(f"leads to {answer.url[:80]}, which is not https")
    return answer


def _pour(answer: IO[bytes], stream: IO[bytes]) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    while block := answer.read(_BLOCK):
        digest.update(block)
        stream.write(block)
        size += len(block)
    return digest.hexdigest(), size


def _inside(folder: Path, name: str) -> Path:
    """A path of the data folder; UsageError for a name that leads out of it."""
    target = (folder / name).resolve()
    if not target.is_relative_to(folder.resolve()) or "*" in name:
        raise UsageError(f"'{name}' is no name of a file within {folder}; put it there by hand")
    return target


def _check_space(folder: Path, wanted: int) -> None:
    """The hub's cache may not exist yet: its nearest parent tells."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if wanted > free:
        raise UsageError(
            f"{megabytes(wanted)} to fetch, but {folder} has {megabytes(free)} left; set HF_HOME to a larger disk"
        )


def _origin(file: DataFile) -> str:
    return f"{file.hub}@{file.revision}/{file.name}"


def megabytes(size: float) -> str:
    """`12.3 MB` (10^6 bytes); kB or bytes where it is small."""
    if size < 1000:
        return f"{size:.0f} bytes"
    return f"{size / 1e6:.1f} MB" if size >= 50_000 else f"{size / 1e3:.1f} kB"
