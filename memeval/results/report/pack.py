"""JSON values, each kept once, in blocks that are compressed: the page unpacks a block when something in it is opened."""

from __future__ import annotations

import base64
import gzip
import hashlib
from typing import Any

from memeval.records.clean import encode

BLOCK = 1 << 18
"""Bytes of JSON from which on a block is closed."""


class Pack:
    """Values by number. A block is gzip of a JSON list, as base64."""

    def __init__(self) -> None:
        self._known: dict[bytes, int] = {}
        self._starts: list[int] = []
        self._blocks: list[str] = []
        self._open: list[bytes] = []
        self._open_size = 0
        self._size = 0

    def add(self, value: Any) -> int:
        """The number of a value. A value that is there already is not added again."""
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
        """Characters of all closed blocks."""
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
    """gzip, as base64; the same for the same data."""
    return base64.b64encode(gzip.compress(data, mtime=0)).decode()
