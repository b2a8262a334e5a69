"""Vectors of texts: the offline embedder, any `/embeddings` endpoint, and the storage format of vectors.

An embedder is a model. The texts are the contents of a request's messages; the reply's text has one vector per line, as
base64 of little-endian 32-bit floats, like OpenAI's API with the encoding `base64`. Embedders on this machine (`hf/`)
are in local/hf_embedder.py.
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
from memeval.models.completion import Completion, Request, Usage
from memeval.models.endpoint import EndpointModel
from memeval.models.faults import Fault
from memeval.models.limits import Limiter
from memeval.models.reply import CHARACTERS_PER_TOKEN, served_name, token_count

Vectors = NDArray[np.float32]
LONGEST_BATCH = 200_000  # characters of the texts of one request; some 50,000 tokens
LARGEST_BATCH = 32  # texts of one request; the default limit of text-embeddings-inference


def pack(vector: Vectors) -> str:
    """Encode one vector, of shape (d,), as text."""
    return base64.b64encode(np.ascontiguousarray(vector, dtype="<f4").tobytes()).decode("ascii")


def unpack(texts: Sequence[str], model: str = "") -> Vectors:
    """Decode vectors that `pack` encoded, into an array of shape (n, d). Raises UsageError if their lengths differ."""
    vectors = [np.frombuffer(base64.b64decode(text), dtype="<f4") for text in texts]
    sizes = {len(vector) for vector in vectors}
    if len(sizes) > 1:
        raise UsageError(f"embedder '{model}': vectors of {min(sizes)} and of {max(sizes)} numbers; is it one model?")
    return np.array(vectors, dtype=np.float32).reshape(len(vectors), sizes.pop() if sizes else 0)


def asked(texts: Sequence[str], params: Mapping[str, Any]) -> Request:
    """A call for the vectors of `texts`, which are the contents of its messages."""
    return Request(tuple({"role": "embed", "content": text} for text in texts), None, params, embeds=True)


def texts_of(request: Request) -> list[str]:
    return [str(message["content"]) for message in request.messages]


def joined(replies: Sequence[Completion]) -> Completion:
    """Join the replies to the parts of a call; the first error becomes the call's."""
    spent = sum((reply.usage for reply in replies), Usage())
    error = next((reply.error for reply in replies if reply.error), None)
    if error is not None:
        return Completion(error=error, usage=spent, finish_reason="error")
    return Completion("\n".join(reply.text for reply in replies), usage=spent, model=replies[0].model)


# -- offline ----------------------------------------------------------------------------------------------------------


class OfflineEmbedder:
    """Hashed features without a model: texts are close if they share words, or words of similar spelling. For tests,
    and for trying an agent; its retrieval is lexical and not comparable with published results.

    A text is lower-cased without accents and split into words (letters and digits). Features: each word (weight 1 + ln
    of its count) and its character trigrams, with `^` and `$` at its ends (a quarter of that weight). The CRC-32 of
    each feature selects one of 512 places and a sign (the hashing trick, Weinberger et al. 2009, arXiv 0902.2206); the
    sum is scaled to length 1. A text without words is the zero vector. Usage is estimated: characters / 4.
    """

    identity = "offline-embedder/1"
    dimensions = 512

    async def complete(self, request: Request) -> Completion:
        texts = texts_of(request)
        vectors = [pack(hashed(text, self.dimensions)) for text in texts]
        return Completion("\n".join(vectors), usage=Usage(prompt=_estimated(texts)))

    async def close(self) -> None:
        """Nothing to close."""


_WORD = re.compile(r"[^\W_]+")


def hashed(text: str, dimensions: int) -> Vectors:
    """The vector of one text, of shape (dimensions,); see `OfflineEmbedder`."""
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
    """`/embeddings` of an OpenAI-compatible endpoint. The texts of a call are sent concurrently in batches that any
    server accepts."""

    path = "embeddings"

    def __init__(self, name: str, base_url: str, key: str, limiter: Limiter) -> None:
        super().__init__(name, base_url, key, limiter)
        self.identity = f"{base_url} {name} embeddings"

    async def complete(self, request: Request) -> Completion:
        """One call. `params` (`dimensions`, ...) are sent, with `extra_body` merged into the body; `timeout` (seconds)
        limits each request. Raises EndpointDown or EndpointRefused if the endpoint itself is the problem."""
        parts = [asked(texts, request.params) for texts in batches(texts_of(request))]
        return joined(await asyncio.gather(*(self._batch(part) for part in parts)))

    async def _batch(self, request: Request) -> Completion:
        done = await self._chat(request, request.params)
        if done.finish_reason == "overflow":
            longest = max(map(len, texts_of(request)))
            done = Completion(error=f"a text of up to {longest} characters exceeds the window of the embedder '{self.name}'")
        return done

    def body(self, request: Request) -> dict[str, Any]:
        given = {key: value for key, value in request.params.items() if key not in ("timeout", "extra_body")}
        given |= request.params.get("extra_body") or {}
        return {"model": self.name, "input": texts_of(request), "encoding_format": "base64", **given}

    def _read(self, data: Any, request: Request) -> Completion:
        texts = texts_of(request)
        rows = data.get("data") if isinstance(data, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise Fault("the reply has no embeddings")
        numbers = [number if row.get("index") is None else row["index"] for number, row in enumerate(rows)]
        if sorted(map(repr, numbers)) != sorted(map(repr, range(len(texts)))):
            raise Fault(f"the reply has no embedding, or several, for one of {len(texts)} texts (numbers {numbers[:3]}...)")
        ordered = sorted(zip(numbers, rows, strict=True), key=lambda pair: pair[0])
        vectors = [_vector(row.get("embedding")) for _, row in ordered]
        if len(set(map(len, vectors))) > 1:
            raise Fault("the reply's embeddings differ in length")
        usage = Usage(prompt=_counted(data.get("usage"), texts))
        return Completion("\n".join(vectors), usage=usage, model=served_name(data))


def batches(texts: Sequence[str]) -> Iterator[list[str]]:
    """Split `texts`, in order, into requests of at most LARGEST_BATCH texts and LONGEST_BATCH characters."""
    batch: list[str] = []
    size = 0
    for text in texts:
        if batch and (len(batch) == LARGEST_BATCH or size + len(text) > LONGEST_BATCH):
            yield batch
            batch, size = [], 0
        batch.append(text)
        size += len(text)
    if batch:
        yield batch


def _vector(value: Any) -> str:
    """One embedding, encoded. Raises Fault."""
    try:
        if isinstance(value, str):
            vector = np.frombuffer(base64.b64decode(value, validate=True), dtype="<f4")
        else:
            with np.errstate(over="ignore"):
                vector = np.array(value, dtype=np.float32)
    except (binascii.Error, ValueError, TypeError, OverflowError):
        raise Fault("an embedding is neither numbers nor base64 of them") from None
    if vector.ndim != 1 or not len(vector) or not np.isfinite(vector).all():
        raise Fault("an embedding is not a list of finite numbers")
    return pack(vector)


def _counted(usage: Any, texts: Sequence[str]) -> int:
    """Tokens of a request: the server's count, else an estimate."""
    counts = [token_count(usage.get(key)) for key in ("prompt_tokens", "total_tokens")] if isinstance(usage, dict) else []
    return next((count for count in counts if count is not None), _estimated(texts))


def _estimated(texts: Sequence[str]) -> int:
    return sum(-(-len(text) // CHARACTERS_PER_TOKEN) for text in texts)
