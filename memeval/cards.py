"""Cards: the YAML files that say what is asked (tasks) and who answers (agents).

A card becomes a frozen dataclass. An unknown key, a wrong type or a missing base is one line with file, line and fix.
`extends: other` inherits every key of another card of the same kind. A task may carry variants, written `task@variant`.
Search order: a path; `--tasks-dir` / `--agents-dir`; `./tasks`, `./baselines`; entry points (plugins.py); bundled.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from memeval import protocol
from memeval.errors import UsageError, suggest


@dataclass(frozen=True, slots=True)
class TaskCard:
    """WHAT is asked. `source` is a module of memeval/sources (or `file.py:Class`) and `params` are its own settings.

    documents: stream length in documents (the question's own included). tokens: stream length in tokens instead.
    shared: questions per stream. hard: BM25-nearest distractors without the answer instead of random ones.
    chunk_tokens, reader_budget: tokens of `tokenizer`. one_unit_per_chunk: no two units share a chunk (published chunks).
    questions: default prefix of the seeded order (0 = all).
    cluster: what the interval resamples: question, context, persona or conversation. trained_on: agents and models known
    to have trained on this data, as `NAME` (in-domain) or `NAME: how` (`Memalpha-4B: leaked, ...`). judge: the family of
    judge prompts that `memeval score --judge` uses for this task.

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
    query_visible: bool = False
    metrics: tuple[str, ...] = ("exact_match", "f1", "substring", "evidence_any", "evidence_all", "abstention")
    headline: str = "f1"
    cluster: str = "question"
    questions: int = 128
    version: int = 1
    licence: str = ""
    citation: str = ""
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
    model per role that this card reproduces. prompts: role -> prompt file, relative to the card.
    """

    name: str
    agent: str
    description: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    track: str = "reader"
    models: Mapping[str, Any] = field(default_factory=dict)
    prompts: Mapping[str, str] = field(default_factory=dict)
    trained_on: tuple[str, ...] = ()
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
_NOT_INHERITED = {"name", "abstract", "extends"}
_NOT_IDENTITY = {
    *("path", "description", "citation", "licence", "variants", "questions", "extends", "abstract"),
    *("repeats", "protocol", "deviations", "judge"),
}


def bundled(folder: str) -> Path:
    """`tasks/`, `baselines/` or `leaderboards/`: inside an installed wheel, else beside the package (checkout)."""
    inside = Path(__file__).parent / "_data" / folder
    return inside if inside.is_dir() else Path(__file__).parent.parent / folder


def folders(kind: type, extra: tuple[str, ...] = ()) -> list[Path]:
    """Where cards of a kind are looked for, first match wins."""
    return [*map(Path, extra), Path.cwd() / FOLDERS[kind], bundled(FOLDERS[kind])]


def listing(kind: type, extra: tuple[str, ...] = ()) -> dict[str, Path]:
    """name -> file of every card that can be named without a path, in search order."""
    found: dict[str, Path] = {}
    for folder in folders(kind, extra):
        for path in sorted(folder.glob("*.yaml")):
            found.setdefault(path.stem, path)
    return found


def find(kind: type[Card], name: str, extra: tuple[str, ...] = ()) -> Card | None:
    """The card of that name or path, its `extends` resolved; None when no card has that name."""
    path = Path(name) if name.endswith((".yaml", ".yml")) else listing(kind, extra).get(name)
    if path is None or (kind is not AgentCard and (kind is SuiteCard) != _is_suite(path)):
        return None
    return build(kind, _merged(kind, path, extra, ()), path)


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
    base_path = sibling if sibling.is_file() else listing(kind, extra).get(str(base_name))
    if base_path is None:
        known = listing(kind, extra)
        raise UsageError(f"{_at(path, 'extends')}: no card '{base_name}' to extend{suggest(str(base_name), known)}")
    if base_path in seen:
        raise UsageError(f"{_at(path, 'extends')}: 'extends' goes in a circle through {base_path.name}")
    base = _merged(kind, base_path, extra, (*seen, path))
    kept = {key: value for key, value in base.items() if key not in _NOT_INHERITED}
    for key in ("params", "variants", "models", "prompts"):
        if isinstance(kept.get(key), dict) and isinstance(data.get(key), dict):
            data[key] = {**kept[key], **data[key]}
    return {**kept, **data}


def build(kind: type[Card], data: Mapping[str, Any], path: Path) -> Card:
    """A checked card from merged YAML data. `name` defaults to the file's name."""
    values: dict[str, Any] = {"name": path.stem, **data, "path": str(path)}
    hints = get_type_hints(kind)
    for item in dataclasses.fields(kind):
        if item.name not in values:
            if item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING:
                raise UsageError(f"{path}: the key '{item.name}' is missing")
            continue
        values[item.name] = _typed(values[item.name], hints[item.name], item.name, path)
    card = kind(**values)
    if isinstance(card, AgentCard) and card.track not in ("reader", "native"):
        raise UsageError(f"{_at(path, 'track')}: track is '{card.track}', use 'reader' or 'native'")
    if isinstance(card, TaskCard):
        _check_protocol(card, path)
    if isinstance(card, SuiteCard) and (card.reduce != "mean" or not card.tasks):
        raise UsageError(f"{_at(path, 'reduce')}: a suite names its tasks and reduces them by 'mean'")
    return card


def _check_protocol(card: TaskCard, path: Path) -> None:
    fault = protocol.fault(card)
    if fault:
        raise UsageError(f"{_at(path, fault[0])}: {fault[1]}")


def check_keys(kind: type, data: Mapping[str, Any], path: Path, where: str = "") -> None:
    known = [item.name for item in dataclasses.fields(kind) if item.name != "path"]
    for key in data:
        if key not in known:
            raise UsageError(f"{_at(path, str(key))}: unknown key '{where}{key}'{suggest(str(key), known)}")


def _typed(value: Any, hint: Any, key: str, path: Path) -> Any:
    kind = getattr(hint, "__origin__", hint)
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
    raise UsageError(f"{_at(path, key)}: '{key}' is {value!r}, expected {wanted}")


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping read with the C loader. Errors are one line with file and line."""
    try:
        changed = path.stat().st_mtime_ns
    except OSError as error:
        raise UsageError(f"{path}: cannot read the card ({error.strerror or error})") from None
    return dict(_parsed(path, changed))


@functools.lru_cache(maxsize=512)
def _parsed(path: Path, changed: int) -> dict[str, Any]:
    """Read once per version of the file: cards are looked at several times, and bases by many cards."""
    import yaml

    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_loader())
    except OSError as error:
        raise UsageError(f"{path}: cannot read the card ({error.strerror or error})") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path}: not UTF-8 text; save the card as UTF-8") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise UsageError(f"{path}{line}: not valid YAML: {getattr(error, 'problem', error)}") from None
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
        raise UsageError(f"{path}: expected a mapping of keys to values")
    return data


def _loader() -> Any:
    import yaml

    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _at(path: Path, key: str) -> str:
    """`file:line` of a top-level key (found only when an error needs it)."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return str(path)
    for number, line in enumerate(lines, start=1):
        if line.lstrip().startswith((f"{key}:", f'"{key}":', f"'{key}':")):
            return f"{path}:{number}"
    return str(path)


def with_variant(card: TaskCard, variant: str) -> TaskCard:
    """The card as `name@variant`: one of its own `variants:`, or a general one.

    General: `tokens-N` (fill the stream to N tokens), `hard` (nearest distractors without the answer), `shared` or
    `shared-K` (K questions in one stream, default 8).
    """
    name = f"{card.name}@{variant}"
    head, _, digits = variant.rpartition("-")
    number = int(digits) if re.fullmatch("[0-9]{1,9}", digits) else 0
    path = Path(card.path)
    if variant in card.variants:
        changes = dict(card.variants[variant])
        check_keys(TaskCard, changes, path, f"variants.{variant}.")
        hints = get_type_hints(TaskCard)
        changes = {key: _typed(value, hints[key], key, path) for key, value in changes.items()}
        if "params" in changes:  # as with `extends`: the others stay
            changes["params"] = {**card.params, **changes["params"]}
    elif head == "tokens" and number:
        changes = {"tokens": number, "documents": 0}
    elif variant == "hard":
        changes = {"hard": True}
    elif variant == "shared" or (head == "shared" and number):
        changes = {"shared": number or 8, "cluster": "context"}
    else:
        known = [*card.variants, "tokens-20000", "hard", "shared", "shared-8"]
        raise UsageError(f"task '{name}': no variant '{variant}'{suggest(variant, known)} (known: {', '.join(known)})")
    changed = dataclasses.replace(card, **{**changes, "name": name})
    _check_protocol(changed, path)
    return changed


def identity(card: TaskCard | AgentCard) -> dict[str, Any]:
    """The part of a card that makes a number what it is: what the run's hash covers."""
    return {key: value for key, value in dataclasses.asdict(card).items() if key not in _NOT_IDENTITY}


def canonical(data: Any) -> str:
    """Canonical JSON: sorted keys, no blanks, non-ASCII kept."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=dict)


def digest(data: Any) -> str:
    """sha256 (hex) of the canonical JSON of `data`."""
    return hashlib.sha256(canonical(data).encode("utf-8", "surrogatepass")).hexdigest()
