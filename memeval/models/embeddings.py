"""Vectors of texts: the offline embedder, any `/embeddings` endpoint, and the form in which vectors are kept.

A vector is sent, and kept in the stores, as base64 of little-endian 32-bit floats: what OpenAI's API sends when it is
asked for `base64`. Embedders on this machine (`hf/`) are in local/hf_embedder.py.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import math
import re
import unicodedata
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memeval.errors import UsageError
from memeval.models.completion import Completion, Embedder, Request, Usage
from memeval.models.endpoint import EndpointModel
from memeval.models.faults import Fault
from memeval.models.limits import Limiter
from memeval.models.parameters import timeout
from memeval.models.reply import CHARACTERS_PER_TOKEN, served_name, token_count

Vectors = NDArray[np.float32]
LONGEST_BATCH = 200_000  # characters of the texts of one request; some 50,000 tokens
LARGEST_BATCH = 32  # texts of one request; the default limit of text-embeddings-inference


def pack(vector: Vectors) -> str:
    """One vector, of shape (d,), as text."""
    return base64.b64encode(np.ascontiguousarray(vector, dtype="<f4").tobytes()).decode("ascii")


def unpack(texts: Sequence[str], model: str = "") -> Vectors:
    """Vectors that `pack` wrote, as an array of shape (n, d). Raises UsageError when they are not all of one length."""
    vectors = [np.frombuffer(base64.b64decode(text), dtype="<f4") for text in texts]
    sizes = {len(vector) for vector in vectors}
    if len(sizes) > 1:
        raise UsageError(f"embedder '{model}': vectors of {min(sizes)} and of {max(sizes)} numbers; is it one model?")
    return np.array(vectors, dtype=np.float32).reshape(len(vectors), sizes.pop() if sizes else 0)


class EmbeddingModel:
    """An embedder as a model: one call for a list of texts, which are the contents of the messages. The reply's text holds
    one vector per line. The texts are sent in batches that the embedder takes, side by side; the first error is the
    call's."""

    def __init__(self, embedder: Embedder) -> None:
        self.identity = embedder.identity
        self._embedder = embedder

    async def complete(self, request: Request) -> Completion:
        texts = [str(message["content"]) for message in request.messages]
        some = batches(texts, self._embedder.largest)
        replies = await asyncio.gather(*(self._embedder.embed(batch, request.params) for batch in some))
        found = [completion for batch in replies for completion in batch]
        usage = sum((completion.usage for completion in found), Usage())
        error = next((completion.error for completion in found if completion.error), None)
        if error is not None:
            return Completion(error=error, usage=usage, finish_reason="error")
        return Completion("\n".join(completion.text for completion in found), usage=usage, model=found[0].model)

    async def close(self) -> None:
        await self._embedder.close()


def batches(texts: Sequence[str], largest: int) -> Iterator[list[str]]:
    """`texts` in order, in lists that one request can carry: at most `largest` texts and LONGEST_BATCH characters."""
    batch: list[str] = []
    size = 0
    for text in texts:
        if batch and (len(batch) == largest or size + len(text) > LONGEST_BATCH):
            yield batch
            batch, size = [], 0
        batch.append(text)
        size += len(text)
    if batch:
        yield batch


# -- offline ----------------------------------------------------------------------------------------------------------


class OfflineEmbedder:
    """Hashed features, no model: texts are near when they share words, or words of similar spelling. For tests, and for
    trying an agent; its retrieval is lexical and compares with no published one.

    A text is lower-cased without accents and cut into words (letters and digits). Features: each word (weight 1 + ln of its
    count) and its character trigrams, `^` and `$` at its ends (a quarter of that). Each feature's CRC-32 picks one of 512
    places and a sign (the hashing trick, Weinberger et al. 2009, arXiv 0902.2206); the sum is scaled to length 1. A text
    without words is the zero vector. Usage is estimated: characters / 4.
    """

    identity = "offline-embedder/1"
    largest = 512
    dimensions = 512

    async def embed(self, texts: Sequence[str], params: Mapping[str, Any]) -> list[Completion]:
        return [
            Completion(pack(hashed(text, self.dimensions)), usage=Usage(prompt=-(-len(text) // CHARACTERS_PER_TOKEN)))
            for text in texts
        ]

    async def close(self) -> None:
        """Nothing is open."""


_WORD = re.compile(r"[^\W_]+")


def hashed(text: str, dimensions: int) -> Vectors:
    """The vector of one text, of shape (dimensions,), as `OfflineEmbedder` describes it."""
    folded = "".join(c for c in unicodedata.normalize("NFKD", text.lower()) if not unicodedata.combining(c))
    features: defaultdict[str, float] = defaultdict(float)
    for word, count in Counter(_WORD.findall(folded)).items():
        weight = 1.0 + math.log(count)
        features[word] += weight
        marked = f"^{word}$"
        for start in range(len(marked) - 2):
            features[f"#{marked[start : start + 3]}"] += weight / 4
    vector = np.zeros(dimensions)
    for feature, value in features.items():
        number = zlib.crc32(feature.encode("utf-8", "replace"))
        vector[(number >> 1) % dimensions] += value if number & 1 else -value
    length = float(np.linalg.norm(vector))
    return (vector / length if length else vector).astype(np.float32)


# -- endpoints --------------------------------------------------------------------------------------------------------


class EmbeddingEndpoint(EndpointModel):
    """`/embeddings` of an OpenAI-compatible endpoint. A server counts the tokens of a request, not of a text: the first
    completion has them."""

    route = "embeddings"
    largest = LARGEST_BATCH

    def __init__(self, name: str, base_url: str, key: str, limiter: Limiter) -> None:
        super().__init__(name, base_url, key, limiter)
        self.identity = f"{base_url} {name} embeddings"

    async def embed(self, texts: Sequence[str], params: Mapping[str, Any]) -> list[Completion]:
        """One request with its retries.

        `params` (`dimensions`, ...) are sent, with `extra_body` merged into the body; `timeout` (seconds) bounds the
        request. Raises EndpointDown or EndpointRefused when the endpoint itself is the problem.
        """
        given = {key: value for key, value in params.items() if key not in ("timeout", "extra_body")}
        given |= params.get("extra_body") or {}
        body = {"model": self.name, "input": list(texts), "encoding_format": "base64", **given}
        done = await self._limited(
            lambda: self._adapted.changed(dict(body)),
            lambda sent: self._sent(sent, lambda data: _vectors(data, texts)),
            seconds=timeout(params),
        )
        if done.finish_reason == "overflow":
            longest = max(map(len, texts))
            done = Completion(error=f"a text of up to {longest} characters exceeds the window of the embedder '{self.name}'")
        if done.error is not None:
            return [Completion(error=done.error, finish_reason="error")] * len(texts)
        vectors = done.text.split("\n")
        return [
            Completion(vector, usage=Usage() if number else done.usage, model=done.model)
            for number, vector in enumerate(vectors)
        ]


def _vectors(data: Any, texts: Sequence[str]) -> Completion:
    """A Completion whose text is the vectors, one per line. Raises Fault where the body is not what it should be."""
    rows = data.get("data") if isinstance(data, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise Fault("the reply has no embeddings")
    numbers = [number if row.get("index") is None else row["index"] for number, row in enumerate(rows)]
    if sorted(map(repr, numbers)) != sorted(map(repr, range(len(texts)))):
        raise Fault(f"the reply has no embedding, or several, for one of {len(texts)} texts (numbers {numbers[:3]}...)")
    vectors = [_vector(row.get("embedding")) for _, row in sorted(zip(numbers, rows, strict=True), key=lambda pair: pair[0])]
    if len(set(map(len, vectors))) > 1:
        raise Fault("the reply's embeddings differ in length")
    return Completion("\n".join(vectors), usage=Usage(prompt=_tokens(data.get("usage"), texts)), model=served_name(data))


def _vector(value: Any) -> str:
    """One embedding, packed. Raises Fault."""
    try:
        if isinstance(value, str):
            vector = np.frombuffer(base64.b64decode(value, validate=True), dtype="<f4")
        else:
            with np.errstate(over="ignore"):
                vector = np.array(value, dtype=np.float32)
    except (binascii.Error, ValueError, TypeError, OverflowError):
        raise Fault("an embedding is neither numbers nor base64 of them") from None
    if vector.ndim != 1 or not len(vector) or not np.isfinite(vector).all():
        raise Fault("an embedding is no list of finite numbers")
    return pack(vector)


def _tokens(usage: Any, texts: Sequence[str]) -> int:
    for key in ("prompt_tokens", "total_tokens"):
        tokens = token_count(usage.get(key)) if isinstance(usage, dict) else None
        if tokens is not None:
            return tokens
    return sum(-(-len(text) // CHARACTERS_PER_TOKEN) for text in texts)
