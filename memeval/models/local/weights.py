"""Which weights the name of a local model means, and a digest that identifies them.

A folder is taken as it is; a hub id is looked up in the local hub cache and fetched only where it is not there. Weights of
the hub are identified by `ID@COMMIT`. The digest of a folder covers every file that decides what the model says (weights,
configuration, tokenizer, chat template) and nothing else: no path, no time, no training state. So a copy has the digest of
its original, and a checkpoint that was overwritten has another one. Of a large file its size, first and last megabyte
count: training changes all tensors, and to read gigabytes at every start would take minutes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memeval.errors import UsageError
from memeval.models.reply import one_line

INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"
FILES = (
    *("config.json", "generation_config.json", "quantize_config.json", "hf_quant_config.json", "params.json"),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "tekken.json"),
    *("vocab.json", "vocab.txt", "merges.txt", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model"),
    *("chat_template.jinja", "chat_template.json"),
    *("modules.json", "sentence_bert_config.json", "config_sentence_transformers.json"),
)
"""Files besides the weights that decide what a model says; the last three are those of sentence-transformers."""
VOCABULARIES = (
    *("tokenizer.json", "tokenizer.model", "tekken.json", "vocab.json", "vocab.txt", "spiece.model"),
    "sentencepiece.bpe.model",
)
"""One of these makes a tokenizer."""
FETCHED = (*FILES, INDEX, "*.safetensors", "*/config.json", "additional_chat_templates/*")
NOT_FETCHED = ("consolidated*", "original/*", "onnx/*", "openvino/*")
EDGE = 2**20  # bytes at each end of a file that are read for the digest
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_LARGEST_HEADER = 100_000_000  # bytes; the limit of the safetensors format


@dataclass(frozen=True, slots=True)
class Weights:
    """name: as typed. folder: where the files are. digest: `ID@COMMIT` of a hub id, sha256 (hex) of a folder. revision: the
    commit of a hub id."""

    name: str
    folder: Path
    digest: str
    revision: str | None = None

    def read(self, name: str) -> dict[str, Any]:
        """A JSON file of the folder; {} where there is none. Raises UsageError when it is no JSON object."""
        return _read(self.folder / name)

    def has_tokenizer(self) -> bool:
        return any((self.folder / name).is_file() for name in VOCABULARIES)

    def chat_template(self) -> str:
        """As text, all of them where there are several; empty where there is none."""
        files = [self.folder / "chat_template.jinja", *self.folder.glob("additional_chat_templates/*")]
        texts = [path.read_text(encoding="utf-8", errors="replace") for path in files if path.is_file()]
        templates = [self.read(name).get("chat_template") for name in ("tokenizer_config.json", "chat_template.json")]
        return "\n".join(
            [
                *texts,
                *(template if isinstance(template, str) else json.dumps(template) for template in templates if template),
            ]
        )


def find(name: str, revision: str | None = None, fetch: bool = True) -> Weights:
    """The weights of a folder or hub id. revision: branch, tag or commit (hub ids only). fetch: whether what is not in the
    local hub cache may be downloaded (HF_HUB_OFFLINE forbids it as well).

    Raises UsageError, in one line: no such folder, not on the hub, no safetensors weights, a file missing or cut off.
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
    from huggingface_hub.errors import LocalEntryNotFoundError  # heavy, and not needed for folders

    try:
        folder = _snapshot(name, revision, local=True)
        return _weights(name, folder, folder.name)
    except (LocalEntryNotFoundError, UsageError) as missing:  # an UsageError: only a part of it was ever fetched
        if not fetch:
            reason = missing if isinstance(missing, UsageError) else "not in the local hub cache"
            raise UsageError(f"model '{name}': {one_line(str(reason))} (and fetching is off)") from None
    folder = _snapshot(name, revision, local=False)
    return _weights(name, folder, folder.name)


def _snapshot(name: str, revision: str | None, local: bool) -> Path:
    import httpx  # what huggingface_hub is built on
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
    shards = _shards(folder)
    for shard in shards:
        check(shard)
    digest = f"{name}@{revision}" if revision else _digest(folder, {*shards, *_others(folder)})
    return Weights(name, folder, digest, revision)


def _shards(folder: Path) -> list[Path]:
    index = folder / INDEX
    if index.is_file():
        files = _read(index).get("weight_map")
        names = set(files.values()) if isinstance(files, dict) else set()
        if not names or not all(isinstance(name, str) and Path(name).name == name for name in names):
            raise UsageError(f"{index}: 'weight_map' does not name the files of the weights")
        shards = [folder / name for name in sorted(names)]
    elif (folder / SINGLE).is_file():
        shards = [folder / SINGLE]
    else:
        shards = sorted(folder.glob("*.safetensors"))
    if not shards:
        raise UsageError(
            f"{folder}: no weights in the safetensors format (pickled ones are not read; save_pretrained writes it)"
        )
    for shard in shards:
        if not shard.is_file():
            raise UsageError(f"{shard}: missing, though {INDEX} names it")
    return shards


def _others(folder: Path) -> list[Path]:
    """What decides besides the weights: the known files, the chat templates, and the modules of sentence-transformers."""
    named = [folder / name for name in FILES]
    templates = folder.glob("additional_chat_templates/*")
    parts = [folder / module / name for module in modules(folder) for name in ("config.json", SINGLE)]
    return [path for path in {*named, *templates, *parts} if path.is_file()]


def modules(folder: Path) -> list[str]:
    """The folders of a sentence-transformers model's modules, in order ("" is the transformer's); none in other models.
    Raises UsageError when modules.json is damaged."""
    path = folder / "modules.json"
    if not path.is_file():
        return []
    try:
        names = [module.get("path", "") for module in json.loads(path.read_bytes())]
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise UsageError(f"{path}: not a list of modules") from None
    if not all(isinstance(name, str) and Path(name).name == name for name in names):
        raise UsageError(f"{path}: a module's path is no folder beside it")
    return names


def check(path: Path) -> None:
    """Raises UsageError when a safetensors file is not whole: its header says how long it must be (format: 8 bytes of
    header length, the header as JSON, the data)."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, _LARGEST_HEADER):
            raise UsageError(f"{path}: not a safetensors file, or cut off ({size} bytes)")
        try:
            header = json.loads(file.read(length))
            ends = [int(tensor["data_offsets"][1]) for name, tensor in header.items() if name != "__metadata__"]
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
            raise UsageError(f"{path}: the header is damaged") from None
    expected = 8 + length + max(ends, default=0)
    if size != expected:
        raise UsageError(f"{path}: {size} bytes, but its header describes {expected}; copy or save it again")


def _digest(folder: Path, files: Iterable[Path]) -> str:
    found = hashlib.sha256()
    for path in sorted(files):
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
        raise UsageError(f"{path}: not JSON") from None
    if not isinstance(data, Mapping):
        raise UsageError(f"{path}: not a JSON object")
    return dict(data)
