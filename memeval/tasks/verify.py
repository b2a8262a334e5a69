"""The data of a task: which files are on this machine, how to get the rest, and what they contain.

Data whose licence forbids commercial use are fetched only after the user named that licence.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memeval import plugins, tokens
from memeval.cards import TaskCard
from memeval.data import files
from memeval.data.fetch import Fetched, Say, fetch
from memeval.data.files import DataFile
from memeval.errors import UsageError
from memeval.task import ContextRef
from memeval.tasks.base import Settings
from memeval.tasks.chunking import pack
from memeval.tasks.load import load

SAMPLE_TOKENS = 5_000_000
"""How many tokens of streams `verify` counts, unless the user sets the number of contexts."""

_CREATIVE = re.compile(r"(?i)\bCC[ -]BY(?:[ -](?:NC|SA|ND))+(?:[ -]\d\.\d)?")

Progress = Callable[[int, int], None]
"""Called with (contexts built so far, number of contexts)."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What a task contains. files: facts (name, sha256, bytes, records). kinds: questions per kind, with `unanswerable` as a
    kind of its own. built: how many contexts were built, checked and counted. tokens: min, mean, max of their streams."""

    task: str
    files: tuple[Mapping[str, Any], ...]
    contexts: int
    clusters: int
    questions: int
    unanswerable: int
    kinds: Mapping[str, int]
    built: int
    tokens: Mapping[str, float]
    tokenizer: str


def data_files(card: TaskCard) -> tuple[DataFile, ...]:
    """The files that the card's source reads; empty for a source that generates its data, or that does not declare its
    files. Raises UsageError for params of a wrong type."""
    source = plugins.source(card)
    return tuple(source().files(card)) if hasattr(source, "files") else ()


def missing(card: TaskCard, settings: Settings) -> list[DataFile]:
    """The required files that are not on this machine."""
    return [file for file in data_files(card) if file.required and not files.at_hand(file, settings.data_dir)]


def restricted(licence: str) -> str:
    """The name of a licence that forbids commercial use; empty for any other."""
    if not re.search(r"(?i)\bNC\b|\bnon-?commercial", licence):
        return ""
    named = _CREATIVE.search(licence)
    return named[0] if named else re.split(r"[;,(]", licence)[0].strip()


def remedy(card: TaskCard, file: DataFile, settings: Settings) -> str:
    """How to get a missing file: the command that fetches it, or where to put it."""
    if not (file.hub or file.url) or not file.required:
        return files.by_hand(file, settings.data_dir)
    licence = restricted(file.licence or card.licence)
    consent = f" --accept-licence '{licence}'" if licence else ""
    return (
        f"memeval data fetch {card.name}{consent}{'' if file.hub or files.data_folder(settings.data_dir) else ' --to DIR'}"
    )


def fetch_data(card: TaskCard, settings: Settings, to: Path | None, accepted: Sequence[str], say: Say) -> list[Fetched]:
    """Fetch every required file of the task that is missing; a file that exists already is returned without an origin.

    to: a data folder to fill (created if it does not exist); None: the hub's cache, and the user's data folder for files
    that the hub does not have. accepted: licences that the user named. Raises UsageError where a file cannot be fetched, or
    its licence was not accepted.
    """
    if to is not None:
        try:
            to.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"--to {to}: cannot be made ({error.strerror or error})") from None
    got: list[Fetched] = []
    for file in data_files(card):
        if not file.required:
            continue
        found = files.local(file, to) if to is not None else files.at_hand(file, settings.data_dir)
        if found:
            got += [Fetched(item.path) for item in found]
            continue
        _check_consent(card, file, accepted)
        try:
            got += fetch(file, settings.data_dir, to, say)
        except UsageError as error:
            raise UsageError(f"task '{card.name}': {error}") from None
    return got


def _check_consent(card: TaskCard, file: DataFile, accepted: Sequence[str]) -> None:
    licence = restricted(file.licence or card.licence)
    if licence and _plain(licence) not in map(_plain, accepted):
        raise UsageError(
            f"task '{card.name}': its data may not be used commercially ({file.licence or card.licence}); if that "
            f"suits you, add --accept-licence '{licence}'"
        )


def _plain(licence: str) -> str:
    return re.sub(r"[\s_-]+", "-", licence.strip()).lower()


def verify(
    card: TaskCard, settings: Settings, contexts: int | None = None, progress: Progress = lambda built, of: None
) -> Verified:
    """Load the task as a run does, look at every question, and build contexts in seeded order.

    contexts: how many to build and count (0: all); None: until `SAMPLE_TOKENS`. Where a cluster has several contexts, all
    are built, to count the clusters. Raises the source's UsageError for missing or damaged data.
    """
    task = load(card, settings)
    golds = task.golds()
    refs: dict[str, ContextRef] = {}
    for ref in task.refs(task.order):
        refs.setdefault(ref.context_id, ref)
    count = tokens.counter(card.tokenizer)
    sizes: list[int] = []
    clusters: dict[str, str] = {}
    for name, ref in refs.items():
        if sum(sizes) >= SAMPLE_TOKENS if contexts is None else 0 < contexts <= len(sizes):
            break
        progress(len(sizes), len(refs))
        context = task.context(ref)
        clusters[name] = context.cluster or name
        chunks = pack(context.units, card.chunk_tokens, count, card.one_unit_per_chunk)
        sizes.append(sum(chunk.tokens for chunk in chunks))
    shared = any(cluster != name for name, cluster in clusters.items())
    for name in refs.keys() - clusters.keys():
        clusters[name] = (task.context(refs[name]).cluster if shared else "") or name
    kinds = Counter(question.kind if question.answerable else "unanswerable" for question in golds)
    return Verified(
        task=card.name,
        files=tuple(task.data.get("files", ())),
        contexts=len(refs),
        clusters=len(set(clusters.values())),
        questions=len(golds),
        unanswerable=kinds["unanswerable"],
        kinds={kind: number for kind, number in kinds.most_common() if number},
        built=len(sizes),
        tokens={"min": min(sizes), "mean": sum(sizes) / len(sizes), "max": max(sizes)} if sizes else {},
        tokenizer=count.name,
    )
