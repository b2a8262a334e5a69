"""Count tokens without network: tiktoken's vocabularies are read from the installed litellm wheel, which ships them.

`counter(name)` takes an encoding of tiktoken (`o200k_base`, the default of every card), a model name that tiktoken
knows, a folder with a `tokenizer.json`, a Hugging Face id, or `words` (split at white space). If the tokenizer of an id
is not on this machine, o200k_base approximates it, and the counter's `name` and `approximate` say so. Text that looks
like a special token counts as plain text.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import re
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from memeval.errors import UsageError, suggest

DEFAULT, WORDS = "o200k_base", "words"
VOCABULARIES = {
    "o200k_base": "o200k_base",
    "cl100k_base": "cl100k_base",
    "p50k_base": "p50k_base",
    "p50k_edit": "p50k_base",
    "r50k_base": "r50k_base",
}
"""Encoding -> vocabulary file of tiktoken (tiktoken_ext/openai_public.py), cached under the sha1 of its address."""

MEMO = 64_000_000
"""Characters of texts whose counts are cached, twice: a full cache becomes the old one, and the previous old one is
dropped."""

_LONG = 4096
_ENTRY = 100  # cost of a cache entry besides its text, in characters
_RUN = re.compile(rf"\s{{{_LONG},}}|[^\s\d]{{{4 * _LONG},}}")


class Codec(Protocol):
    """A tokenizer. additive: it always splits before a lone blank and after a blank line, so that token counts add up
    there."""

    additive: bool

    def size(self, text: str) -> int: ...

    def prefix(self, text: str, tokens: int) -> str:
        """The text of the first tokens; it may be shorter, because a character is never split."""
        ...


class TokenCounter:
    """Counts the tokens of a text, with a cache: `count(text)`. name: of the tokenizer, to print beside the numbers.
    approximate: another tokenizer was used, because this one is not on this machine. Thread-safe."""

    def __init__(self, name: str, codec: Codec, approximate: bool = False) -> None:
        self.name = name
        self.approximate = approximate
        self._codec = codec
        self._recent: dict[str, int] = {}
        self._older: dict[str, int] = {}
        self._weight = 0
        self._blank_line_after = functools.lru_cache(maxsize=1 << 14)(self._count_blank_line)

    def __call__(self, text: str) -> int:
        size = self._recent.get(text)
        if size is None:
            size = self._older.get(text)
            self._recent[text] = size = self._codec.size(text) if size is None else size
            self._weight += len(text) + _ENTRY
            if self._weight > MEMO:
                self._older, self._recent, self._weight = self._recent, {}, 0
        return size

    def truncate(self, text: str, tokens: int) -> str:
        """The longest prefix of the text that ends between two of its tokens and counts at most `tokens`."""
        if tokens <= 0:
            return ""
        wanted = tokens
        cut = self._codec.prefix(text, wanted)
        while wanted and self._codec.size(cut) > tokens:  # a prefix may take more tokens when it is tokenized alone
            wanted -= 1
            cut = self._codec.prefix(text, wanted)
        return cut

    def joint(self, last: str, text: str) -> int | None:
        """Tokens that a blank line between `last` (without trailing blanks) and `text` adds to the tokens of the two.
        Exact; None if this tokenizer, or a text that starts with a blank or `/`, gives no guarantee."""
        if not self._codec.additive or not text or text[0] == "/" or text[0].isspace():
            return None
        return self._blank_line_after(last)

    def _count_blank_line(self, last: str) -> int | None:
        """Tokens of a blank line between `last` and a text."""
        tail = _last_word(last)
        if tail.startswith("/"):  # `/` may form one token with the blank line
            return None
        return self(f"{tail}\n\nx") - self(tail) - 1  # x is one token


def _last_word(text: str) -> str:
    """The end of the text from its last lone blank, where every additive tokenizer starts a new token."""
    at = len(text)
    while (at := text.rfind(" ", 0, at)) > 0:
        if not text[at - 1].isspace() and at + 1 < len(text) and not text[at + 1].isspace():
            return text[at:]
    return text


class _Tiktoken:
    """A tiktoken encoding. Its vocabulary must be on this machine; it is loaded at the first count, which a finished
    run never needs."""

    additive = True

    def __init__(self, name: str) -> None:
        self._name = name
        self._folder = _vocabulary_folder(name)

    @functools.cached_property
    def _encoding(self) -> Any:
        import tiktoken

        with _loading:
            before = os.environ.get("TIKTOKEN_CACHE_DIR")
            os.environ["TIKTOKEN_CACHE_DIR"] = str(self._folder)
            try:
                return tiktoken.get_encoding(self._name)
            finally:
                if before is None:
                    del os.environ["TIKTOKEN_CACHE_DIR"]
                else:
                    os.environ["TIKTOKEN_CACHE_DIR"] = before

    def size(self, text: str) -> int:
        return sum(len(self._encoding.encode_ordinary(part)) for part in _bounded(text))

    def prefix(self, text: str, tokens: int) -> str:
        kept: list[int] = []
        for part in _bounded(text):
            ids = self._encoding.encode_ordinary(part)[: tokens - len(kept)]
            kept.extend(ids)
            if len(kept) >= tokens:
                break
        decoded: str = self._encoding.decode_bytes(kept).decode("utf-8", "ignore")
        return decoded


class _HuggingFace:
    additive = False

    def __init__(self, tokenizer: Any) -> None:
        tokenizer.encode_special_tokens = True  # special tokens in a text are text
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer

    def size(self, text: str) -> int:
        return len(self._tokenizer.encode(_clean(text), add_special_tokens=False).ids)

    def prefix(self, text: str, tokens: int) -> str:
        text = _clean(text)
        offsets = self._tokenizer.encode(text, add_special_tokens=False).offsets
        return text[: max((end for _, end in offsets[:tokens]), default=0)] if len(offsets) > tokens else text


class _Words:
    additive = True

    def size(self, text: str) -> int:
        return len(text.split())

    def prefix(self, text: str, tokens: int) -> str:
        found = list(re.finditer(r"\S+", text))[:tokens]
        return text[: found[-1].end()] if found else ""


def _clean(text: str) -> str:
    """Replace lone surrogates, as tiktoken does."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _bounded(text: str) -> Iterator[str]:
    """Yield the text whole; or, if it has thousands of characters without a place to split (which would make a
    tokenizer slow and its stack deep), in pieces. Each cut can change the count by a token or two."""
    if len(text) < _LONG:
        yield text
        return
    start = 0
    for run in _RUN.finditer(text):
        for at in range(run.start() + _LONG, run.end(), _LONG):
            yield text[start:at]
            start = at
    yield text[start:]


@functools.lru_cache(maxsize=16)
def counter(name: str = DEFAULT) -> TokenCounter:
    """The counter with that name. Raises UsageError for an unknown name, and for a vocabulary that is not on this
    machine."""
    if name in VOCABULARIES:
        return TokenCounter(name, _Tiktoken(name))
    if name == WORDS:
        return TokenCounter(name, _Words())
    folder = Path(name).expanduser()
    file = folder / "tokenizer.json" if folder.is_dir() else folder
    if file.name == "tokenizer.json" and file.is_file():
        return TokenCounter(name, _HuggingFace(_from_file(file)))
    from tiktoken.model import encoding_name_for_model

    try:
        encoding = encoding_name_for_model(name)
    except KeyError:
        encoding = ""
    if encoding in VOCABULARIES:
        return TokenCounter(encoding, _Tiktoken(encoding))
    if re.fullmatch(r"[\w.-]+/[\w.-]+", name) and not name.startswith("."):
        cached = _in_hub_cache(name)
        if cached is not None:
            return TokenCounter(name, _HuggingFace(_from_file(cached)))
        return TokenCounter(f"{DEFAULT} (approximating {name})", _Tiktoken(DEFAULT), approximate=True)
    raise UsageError(
        f"unknown tokenizer '{name}'{suggest(name, VOCABULARIES)} (known: {', '.join(VOCABULARIES)}, {WORDS}, a folder "
        "with a tokenizer.json, or a Hugging Face id like org/name)"
    )


_loading = threading.Lock()


def _vocabulary_folder(name: str) -> Path:
    address = f"https://openaipublic.blob.core.windows.net/encodings/{VOCABULARIES[name]}.tiktoken"
    file = hashlib.sha1(address.encode()).hexdigest()
    for folder in _vocabulary_folders():
        if (folder / file).is_file():
            return folder
    raise UsageError(
        f"tokenizer '{name}': its vocabulary is not on this machine; use {DEFAULT}, or put {VOCABULARIES[name]}.tiktoken, "
        f"named {file}, into a folder and set TIKTOKEN_CACHE_DIR to it"
    )


def litellm_vocabularies() -> Path | None:
    """The folder of litellm's wheel with tiktoken's vocabularies, found without importing litellm (which takes seconds)."""
    spec = importlib.util.find_spec("litellm")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / "litellm_core_utils" / "tokenizers"


def _vocabulary_folders() -> list[Path]:
    named = [os.environ[key] for key in ("TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR") if os.environ.get(key)]
    folders = [*map(Path, named), litellm_vocabularies(), Path(tempfile.gettempdir()) / "data-gym-cache"]
    return [folder for folder in folders if folder is not None]


def _from_file(file: Path) -> Any:
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise UsageError(f"{file}: reading it needs the package 'tokenizers'; pip install tokenizers") from None
    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:  # the Rust side raises plain Exception for every fault of the file
        raise UsageError(f"{file}: not a tokenizer of Hugging Face's tokenizers ({error})") from None


def _in_hub_cache(name: str) -> Path | None:
    """The tokenizer.json of a hub id, if it has been downloaded (`hf download NAME tokenizer.json`) and can be read."""
    if importlib.util.find_spec("tokenizers") is None or importlib.util.find_spec("huggingface_hub") is None:
        return None
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(name, "tokenizer.json")
    return Path(found) if isinstance(found, str) else None
