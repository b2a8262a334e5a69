"""Sampling parameters of a task whose card follows a published protocol."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from memeval.typed import Positive


class Sampling(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The sampling parameters that a protocol may fix; null: the server's own."""

    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    top_k: Positive | None = None
    max_tokens: Positive | None = None
    thinking: bool | Literal["auto", "on", "off"] | None = None


class RoleSampling(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    memory: Sampling = Sampling()
    reader: Sampling = Sampling()
