"""JSON values, each stored once, in compressed blocks: the page unpacks a block when the reader opens something in it."""

from __future__ import annotations

import base64
import gzip
import hashlib
from typing import Any

from memeval.records.clean import encode

BLOCK = 1 << 18
"""A block is closed when it has this many bytes of JSON."""


class Pack:
    """A store of numbered values. Each block is a JSON list, compressed by gzip, as base64."""

    def __init__(self) -> None:
        self._known: dict[bytes, int] = {}
        self._starts: list[int] = []
        self._blocks: list[str] = []
        self._open: list[bytes] = []
        self._open_size = 0
        self._size = 0

    def add(self, value: Any) -> int:
        """Add a value unless it is there already, and return its number."""
        encoded = encode(value)
        key = hashlib.sha256(encoded).digest()
        if key not in self._known:
            self._known[key] = len(self._known)
            self._open.append(encoded)
            self._open_size += len(encoded)
            if self._open_size >= BLOCK:
                self._close()
        return self._known[key]

    @property
    def size(self) -> int:
        """The length of all closed blocks, in characters."""
        return self._size

    def blocks(self) -> tuple[list[int], list[str]]:
        """(number of the first value of each block, the blocks)"""
        if self._open:
            self._close()
        return self._starts, self._blocks

    def _close(self) -> None:
        self._starts.append(len(self._known) - len(self._open))
        self._blocks.append(compressed(b"[" + b",".join(self._open) + b"]"))
        self._size += len(self._blocks[-1])
        self._open, self._open_size = [], 0


def compressed(data: bytes) -> str:
    """Compress by gzip and encode as base64; equal data give equal texts."""
    return base64.b64encode(gzip.compress(data, mtime=0)).decode()
