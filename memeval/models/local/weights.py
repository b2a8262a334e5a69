"""Find the weights that the name of a local model means, and a digest that identifies them.

A folder is used as it is; a hub id is searched in the local hub cache and downloaded only if it is missing there.
Weights of the hub are identified by `ID@COMMIT`. The digest of a folder covers every file that affects replies
(weights, configuration, tokenizer, chat template), but no path, time or training state: a copy has the digest of its
original, and an overwritten checkpoint has another one. Of a large file, its size and its first and last megabyte
count: training changes all tensors, and reading gigabytes at every start would take minutes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memeval.errors import UsageError
from memeval.models.reply import one_line

INDEX = "model.safetensors.index.json"
DECIDES = (
    *("*.safetensors", "*.json", "*.txt", "*.model", "chat_template*", "additional_chat_templates/*"),
    *("[0-9]_*/*.json", "[0-9]_*/*.safetensors"),  # the modules of sentence-transformers
)
"""Files that can affect replies."""
TRAINING = ("trainer_state.json", "*_results.json")
"""Files matching `DECIDES` that training writes beside them."""
VOCABULARIES = (
    *("tokenizer.json", "tokenizer.model", "tekken.json", "vocab.json", "vocab.txt", "spiece.model"),
    "sentencepiece.bpe.model",
)
"""A tokenizer needs one of these files."""
FETCHED = (*DECIDES, "*/config.json")
NOT_FETCHED = ("consolidated*", "original/*", "onnx/*", "openvino/*")
EDGE = 2**20  # bytes at each end of a file that are read for the digest
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


@dataclass(frozen=True, slots=True)
class Weights:
    """name: as typed. folder: of the files. digest: `ID@COMMIT` of a hub id, sha256 (hex) of a folder. revision: the
    commit of a hub id."""

    name: str
    folder: Path
    digest: str
    revision: str | None = None

    def read(self, name: str) -> dict[str, Any]:
        """A JSON file of the folder; {} if it is missing. Raises UsageError if it is not a JSON object."""
        return _read(self.folder / name)

    def has_tokenizer(self) -> bool:
        return any((self.folder / name).is_file() for name in VOCABULARIES)

    def chat_template(self) -> str:
        """The chat template as text, all of them if there are several; empty if there is none."""
        files = [*self.folder.glob("chat_template*"), *self.folder.glob("additional_chat_templates/*")]
        inside = self.read("tokenizer_config.json").get("chat_template")
        texts = [path.read_text(encoding="utf-8", errors="replace") for path in files]
        return "\n".join([*texts, *([json.dumps(inside)] if inside else [])])


def find(name: str, revision: str | None = None, fetch: bool = True) -> Weights:
    """The weights of a folder or hub id. revision: branch, tag or commit (hub ids only). fetch: whether files that are
    not in the local hub cache may be downloaded (HF_HUB_OFFLINE also forbids it).

    Raises UsageError, in one line: no such folder, not on the hub, no safetensors weights, a file missing.
    """
    path = Path(os.path.expanduser(name))
    if path.is_dir():
        if revision is not None:
            raise UsageError(f"model '{name}': a revision belongs to a hub id, and this is a folder")
        return _weights(name, path, None)
    if path.is_file():
        raise UsageError(f"model '{name}': this is a file; give the folder that holds config.json and the weights")
    if _HUB_ID.fullmatch(name) is None:
        raise UsageError(f"model '{name}': no such folder, and not a hub id (ORGANISATION/NAME)")
    from huggingface_hub.errors import LocalEntryNotFoundError  # heavy, and only needed for hub ids

    try:
        folder = _snapshot(name, revision, local=True)
        return _weights(name, folder, folder.name)
    except (LocalEntryNotFoundError, UsageError) as missing:  # UsageError: only a part has been downloaded
        if not fetch:
            reason = missing if isinstance(missing, UsageError) else "not in the local hub cache"
            raise UsageError(f"model '{name}': {one_line(str(reason))} (and fetching is off)") from None
    folder = _snapshot(name, revision, local=False)
    return _weights(name, folder, folder.name)


def _snapshot(name: str, revision: str | None, local: bool) -> Path:
    import httpx  # the client of huggingface_hub
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    wanted = {"allow_patterns": list(FETCHED), "ignore_patterns": list(NOT_FETCHED)}
    try:
        return Path(snapshot_download(name, revision=revision, local_files_only=local, **wanted))
    except (OSError, ValueError, httpx.HTTPError) as error:
        if local and isinstance(error, LocalEntryNotFoundError):
            raise
        advice = "give a folder, or fetch it first with `hf download`"
        raise UsageError(f"model '{name}': cannot be fetched from the hub ({one_line(str(error))}); {advice}") from None


def _weights(name: str, folder: Path, revision: str | None) -> Weights:
    if not (folder / "config.json").is_file():
        if (folder / "adapter_config.json").is_file():
            raise UsageError(f"model '{name}': {folder} holds a LoRA adapter; merge it into its base model first")
        inside = sorted(path.parent.name for path in folder.glob("*/config.json"))
        hint = f"; did you mean {folder / inside[-1]}?" if inside else ""
        raise UsageError(f"model '{name}': {folder} has no config.json{hint}")
    shards = {path.name for path in folder.glob("*.safetensors")}
    if not shards:
        raise UsageError(
            f"{folder}: no weights in the safetensors format (pickled ones are not read; save_pretrained writes it)"
        )
    named = _read(folder / INDEX).get("weight_map")
    lacking = sorted(set(map(str, named.values())) - shards) if isinstance(named, dict) else []
    if lacking:
        raise UsageError(f"{folder / lacking[0]}: missing, though {INDEX} names it")
    return Weights(name, folder, f"{name}@{revision}" if revision else _digest(folder), revision)


def _digest(folder: Path) -> str:
    found = hashlib.sha256()
    files = {path for pattern in DECIDES for path in folder.glob(pattern) if path.is_file()}
    for path in sorted(files - {path for pattern in TRAINING for path in folder.glob(pattern)}):
        size = path.stat().st_size
        found.update(f"{path.relative_to(folder).as_posix()} {size}\n".encode())
        with path.open("rb") as file:
            found.update(file.read(EDGE))
            file.seek(max(EDGE, size - EDGE))
            found.update(file.read(EDGE))
    return found.hexdigest()


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        data = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise UsageError(f"{path}: not a JSON object")
    return data
