"""Cards: the YAML files that say what is asked (tasks) and who answers (agents).

A card becomes a frozen dataclass. An unknown key, a wrong type or a missing base is one line with file, line and fix.
`extends: other` inherits every key of another card of the same kind. A task may carry variants, written `task@variant`.
Search order: a path; `--tasks-dir` / `--agents-dir`; `./tasks`, `./baselines`; entry points (plugins.py); bundled.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

from memeval import protocol, trained
from memeval.errors import UsageError, suggest
from memeval.yamlfile import at_key, read_yaml


@dataclass(frozen=True, slots=True)
class TaskCard:
    """WHAT is asked. `source` is a module of memeval/tasks (or `file.py:Class`) and `params` are its own settings.

    documents: stream length in documents (the question's own included). tokens: stream length in tokens instead.
    shared: questions per stream. hard: BM25-nearest distractors without the answer instead of random ones.
    chunk_tokens, reader_budget: tokens of `tokenizer`. answer_tokens: what the reader's reply may have (0: as its prompt
    wants it, prompts.ANSWER_TOKENS). one_unit_per_chunk: no two units share a chunk (published chunks).
    questions: default prefix of the seeded order (0 = all).
    cluster: what the interval resamples: question, context, persona or conversation. judge: the family of judge prompts
    that `memeval score --judge` uses for this task. family, split: whose questions these are, and of which part (train,
    dev, test ...), for the look-up of what was trained on. trained_on: models known to have been trained on this data, as
    `NAME` (in-domain) or `NAME: leaked, how` (on this very split).

    A published protocol's own (protocol.py checks them): layout: how streams are laid out (empty: ours; memocr). sampling:
    role -> parameters that every agent's and the reader's calls take (temperature, top_p, top_k, max_tokens). repeats:
    default runs of the whole. scoring: `equal`, or `as-published`: the headline is the metric that `published_metrics` has
    for the agent (`*`: any other). protocol: whose it is. deviations: what is known to differ from it here.
    """

    name: str
    source: str
    description: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    documents: int = 0
    tokens: int = 0
    shared: int = 1
    hard: bool = False
    chunk_tokens: int = 2048
    one_unit_per_chunk: bool = False
    tokenizer: str = "o200k_base"
    reader_prompt: str = "reader"
    reader_budget: int = 30_000
    answer_budget: int = 0
    answer_tokens: int = 0
    query_visible: bool = False
    metrics: tuple[str, ...] = ("exact_match", "f1", "substring", "evidence_any", "evidence_all", "abstention")
    headline: str = "f1"
    cluster: str = "question"
    questions: int = 128
    version: int = 1
    licence: str = ""
    citation: str = ""
    family: str = ""
    split: str = ""
    trained_on: tuple[str, ...] = ()
    judge: str = ""
    layout: str = ""
    sampling: Mapping[str, Any] = field(default_factory=dict)
    repeats: int = 1
    scoring: str = "equal"
    published_metrics: Mapping[str, str] = field(default_factory=dict)
    protocol: str = ""
    deviations: tuple[str, ...] = ()
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    abstract: bool = False
    extends: str = ""
    path: str = ""


@dataclass(frozen=True, slots=True)
class AgentCard:
    """WHO answers. `agent` is a built-in class (`memalpha`), an engine arm, `package.module:Class` or `file.py:Class`.

    params go to the constructor (with --set). track: reader (the harness answers from `recall`) or native. models: the
    model per role that this card reproduces (a name, or a mapping with `name`, `tag` and sampling parameters). prompts:
    role -> prompt file, relative to the card. source: more files that the answers follow from (globs, relative to the card).
    trained_on: what the card's own model was trained on (trained.py); it holds only where a run uses that model.
    """

    name: str
    agent: str
    description: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    track: str = "reader"
    models: Mapping[str, Any] = field(default_factory=dict)
    prompts: Mapping[str, str] = field(default_factory=dict)
    source: tuple[str, ...] = ()
    trained_on: tuple[trained.TrainedOn, ...] = ()
    version: int = 1
    licence: str = ""
    citation: str = ""
    abstract: bool = False
    extends: str = ""
    path: str = ""


@dataclass(frozen=True, slots=True)
class SuiteCard:
    """Several tasks under one name. reduce: how their headlines become one number; `mean` is the plain mean of the tasks
    (each counts the same, whatever its number of questions)."""

    name: str
    tasks: tuple[str, ...]
    description: str = ""
    reduce: str = "mean"
    citation: str = ""
    path: str = ""


Card = TypeVar("Card", TaskCard, AgentCard, SuiteCard)
FOLDERS: dict[type, str] = {TaskCard: "tasks", SuiteCard: "tasks", AgentCard: "baselines"}
GENERAL = ("documents-400", "tokens-20000", "hard", "shared", "shared-8")
"""Variants of any task whose streams are put together here, with examples of their numbers."""
_GENERAL = re.compile(r"(documents|tokens|shared)-([1-9][0-9]{0,8})")
_NOT_INHERITED = {"name", "abstract", "extends"}
_NOT_IDENTITY = {
    *("path", "description", "citation", "licence", "variants", "questions", "extends", "abstract"),
    *("repeats", "protocol", "deviations", "judge", "family", "split", "trained_on"),
}
_AFTER_INGEST = {
    *("name", "reader_prompt", "answer_budget", "answer_tokens", "metrics", "headline"),
    *("cluster", "scoring", "published_metrics"),
    *("trained_on", "sampling"),  # how each role samples stands among the parameters of its model
}


def _hints(kind: type) -> dict[str, Any]:
    if kind not in _known_hints:
        _known_hints[kind] = get_type_hints(kind)
    return _known_hints[kind]


_known_hints: dict[type, dict[str, Any]] = {}  # to read them takes longer than to read a card


def bundled(folder: str) -> Path:
    """`tasks/`, `baselines/` or `leaderboards/`: inside an installed wheel, else beside the package (checkout)."""
    inside = Path(__file__).parent / "_data" / folder
    return inside if inside.is_dir() else Path(__file__).parent.parent / folder


def folders(kind: type, extra: tuple[str, ...] = ()) -> list[Path]:
    """Where cards of a kind are looked for, first match wins."""
    return [*(Path(folder).expanduser().absolute() for folder in extra), Path.cwd() / FOLDERS[kind], bundled(FOLDERS[kind])]


def listing(kind: type, extra: tuple[str, ...] = ()) -> dict[str, Path]:
    """name -> file of every card that can be named without a path, in search order."""
    found: dict[str, Path] = {}
    for folder in folders(kind, extra):
        for path in sorted(folder.glob("*.yaml")):
            found.setdefault(path.stem, path)
    return found


def find(kind: type[Card], name: str, extra: tuple[str, ...] = ()) -> Card | None:
    """The card of that name or path, its `extends` resolved; None when no card has that name."""
    path = Path(name).expanduser().absolute() if name.endswith((".yaml", ".yml")) else _named(kind, name, extra)
    if path is None or (kind is not AgentCard and (kind is SuiteCard) != _is_suite(path)):
        return None
    return build(kind, _merged(kind, path, extra, ()), path)


def _named(kind: type, name: str, extra: tuple[str, ...]) -> Path | None:
    """The file that `listing` has under a name, without reading whole folders."""
    if not name or Path(name).name != name:
        return None
    paths = (folder / f"{name}.yaml" for folder in folders(kind, extra))
    return next((path for path in paths if os.path.exists(path)), None)  # no error whatever the name


def _is_suite(path: Path) -> bool:
    """Suites lie among the tasks; their file lists them."""
    return path.is_file() and "tasks" in read_yaml(path)


def shadowed(kind: type, name: str, extra: tuple[str, ...] = ()) -> list[str]:
    """Other cards of the same name that the found one hides (recorded in the manifest)."""
    paths = [folder / f"{name}.yaml" for folder in folders(kind, extra)]
    existing = list(dict.fromkeys(str(path.resolve()) for path in paths if path.is_file()))
    return existing[1:]


def _merged(kind: type, path: Path, extra: tuple[str, ...], seen: tuple[Path, ...]) -> dict[str, Any]:
    data = read_yaml(path)
    check_keys(kind, data, path)
    base_name = data.get("extends")
    if not base_name:
        return data
    sibling = path.parent / f"{base_name}.yaml"
    base_path = sibling if sibling.is_file() else _named(kind, str(base_name), extra)
    if base_path is None:
        known = listing(kind, extra)
        raise UsageError(f"{at_key(path, 'extends')}: no card '{base_name}' to extend{suggest(str(base_name), known)}")
    if base_path in seen:
        raise UsageError(f"{at_key(path, 'extends')}: 'extends' goes in a circle through {base_path.name}")
    base = _merged(kind, base_path, extra, (*seen, path))
    kept = {key: value for key, value in base.items() if key not in _NOT_INHERITED}
    for key in ("params", "variants", "models", "prompts"):
        if isinstance(kept.get(key), dict) and isinstance(data.get(key), dict):
            data[key] = {**kept[key], **data[key]}
    merged = {**kept, **data}
    if "trained_on" not in data and own_model(merged.get("models")) != own_model(base.get("models")):
        merged.pop("trained_on", None)  # it spoke of the base's model
    return merged


def build(kind: type[Card], data: Mapping[str, Any], path: Path) -> Card:
    """A checked card from merged YAML data. `name` defaults to the file's name."""
    values: dict[str, Any] = {"name": path.stem, **data, "path": str(path)}
    hints = _hints(kind)
    for item in dataclasses.fields(kind):
        if item.name not in values:
            if item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING:
                raise UsageError(f"{path}: the key '{item.name}' is missing")
            continue
        values[item.name] = _typed(values[item.name], hints[item.name], item.name, path)
    card = kind(**values)
    if isinstance(card, AgentCard) and card.track not in ("reader", "native"):
        raise UsageError(f"{at_key(path, 'track')}: track is '{card.track}', use 'reader' or 'native'")
    if isinstance(card, TaskCard):
        _check_protocol(card, path)
    if isinstance(card, SuiteCard) and (card.reduce != "mean" or not card.tasks):
        raise UsageError(f"{at_key(path, 'reduce')}: a suite names its tasks and reduces them by 'mean'")
    return card


def own_model(models: Any) -> tuple[str, str]:
    """(role, name) of the model that an agent card's `trained_on` speaks of: the writer of the memory, else the reader."""
    for role in ("memory", "reader"):
        entry = models.get(role) if isinstance(models, Mapping) else None
        name = entry.get("name") if isinstance(entry, Mapping) else entry
        if name:
            return role, str(name)
    return "", ""


def _check_protocol(card: TaskCard, path: Path) -> None:
    fault = protocol.fault(card)
    if fault:
        raise UsageError(f"{at_key(path, fault[0])}: {fault[1]}")


def check_keys(kind: type, data: Mapping[str, Any], path: Path, where: str = "") -> None:
    known = [item.name for item in dataclasses.fields(kind) if item.name != "path"]
    for key in data:
        if key not in known:
            raise UsageError(f"{at_key(path, str(key))}: unknown key '{where}{key}'{suggest(str(key), known)}")


def _typed(value: Any, hint: Any, key: str, path: Path) -> Any:
    kind = getattr(hint, "__origin__", hint)
    if trained.TrainedOn in get_args(hint):
        return trained.parse(value, at_key(path, key))
    if kind is tuple:
        value = (value,) if isinstance(value, str) else value
        if isinstance(value, (list, tuple)) and all(isinstance(part, str) for part in value):
            return tuple(value)
        wanted = "a list of strings"
    elif kind is int:
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
        wanted = "a whole number, 0 or more"
    elif kind in (str, bool):
        if isinstance(value, kind):
            return value
        wanted = "true or false" if kind is bool else "a string"
    else:
        if isinstance(value, Mapping):
            return dict(value)
        wanted = "a mapping"
    raise UsageError(f"{at_key(path, key)}: '{key}' is {value!r}, expected {wanted}")


def with_variant(card: TaskCard, variant: str) -> TaskCard:
    """The card as `name@variant`: one of its own `variants:`, or a general one.

    General (GENERAL): `documents-N` (streams of N documents), `tokens-N` (filled to N tokens), `hard` (nearest distractors
    without the answer), `shared` or `shared-K` (K questions in one stream, default 8).
    """
    name = f"{card.name}@{variant}"
    general = _GENERAL.fullmatch(variant)
    path = Path(card.path)
    if variant in card.variants:
        changes = dict(card.variants[variant])
        check_keys(TaskCard, changes, path, f"variants.{variant}.")
        hints = _hints(TaskCard)
        changes = {key: _typed(value, hints[key], key, path) for key, value in changes.items()}
        if "params" in changes:  # as with `extends`: the others stay
            changes["params"] = {**card.params, **changes["params"]}
    elif variant == "hard":
        changes = {"hard": True}
    elif variant == "shared" or (general and general[1] == "shared"):
        changes = {"shared": int(general[2]) if general else 8, "cluster": "context"}
    elif general:
        changes = {"documents": 0, "tokens": 0, general[1]: int(general[2])}
    else:
        known = [*card.variants, *GENERAL]
        raise UsageError(f"task '{name}': no variant '{variant}'{suggest(variant, known)} (known: {', '.join(known)})")
    changed = dataclasses.replace(card, **{**changes, "name": name})
    _check_protocol(changed, path)
    return changed


def identity(card: TaskCard | AgentCard) -> dict[str, Any]:
    """The part of a card that makes a number what it is: what the run's hash covers."""
    found = {key: value for key, value in dataclasses.asdict(card).items() if key not in _NOT_IDENTITY}
    for key in ("agent", "source"):
        if isinstance(found.get(key), str) and ".py:" in found[key]:  # its content counts, not where it lies
            found[key] = Path(found[key]).name
    return found


def ingest_identity(card: TaskCard) -> dict[str, Any]:
    """The part of a task's card that a memory depends on: not how it is read, and not how answers are scored."""
    return {key: value for key, value in identity(card).items() if key not in _AFTER_INGEST}


def canonical(data: Any) -> str:
    """Canonical JSON: sorted keys, no blanks, non-ASCII kept."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=dict)


def digest(data: Any) -> str:
    """sha256 (hex) of the canonical JSON of `data`."""
    return hashlib.sha256(canonical(data).encode("utf-8", "surrogatepass")).hexdigest()
