"""Cards: the YAML files that say what is asked (tasks) and who answers (agents).

A card is a frozen record, decoded strictly: an unknown key, a wrong type or a missing base is one line with file and fix.
`extends: other` inherits every key of another card of the same kind. A task may carry variants, written `task@variant`.
Search order: a path; `--tasks-dir` / `--agents-dir`; `./tasks`, `./baselines`; bundled. What has no card is found
by plugins.py. docs/cards.md describes every key.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec.structs import replace

from memeval import trained
from memeval.errors import UsageError, suggest
from memeval.sampling import RoleSampling, Sampling
from memeval.typed import Count, Positive, fields, typed, unknown_key
from memeval.yamlfile import at_key, decoded, read_yaml

MIN_CHUNK = 8
"""Tokens of the smallest `chunk_tokens`. A single character can take several, and is never cut."""


class TaskCard(msgspec.Struct, frozen=True):
    """WHAT is asked. `source` is a module of memeval/tasks (or `file.py:Class`) and `params` are its own settings.

    documents: stream length in documents (the question's own included). tokens: stream length in tokens instead.
    shared: questions per stream. hard: BM25-nearest distractors without the answer instead of random ones.
    chunk_tokens, reader_budget: tokens of `tokenizer`. answer_tokens: those that the reader's reply may have (0: as many as
    its prompt needs, prompts.ANSWER_TOKENS). one_unit_per_chunk: no two units share a chunk (published chunks).
    questions: default prefix of the seeded order (0 = all).
    cluster: what the interval resamples: question, context, persona or conversation. judge: the family of judge prompts
    that `memeval score --judge` uses for this task. family, split: whose questions these are, and of which part (train,
    dev, test ...), for the look-up of what was trained on. trained_on: models known to have been trained on this data, as
    `NAME` (in-domain) or `NAME: leaked, how` (on this very split).

    Of a published protocol: layout: how streams are laid out (empty: as streams.py does; `memocr`: as MemOCR's script does).
    sampling: role -> parameters of every call of the agent and of the reader. repeats: default runs of the whole.
    recall_prefix: agent -> text that stands before each question when its memory is searched, where the card (or the
    variant) follows a protocol. scoring: `equal` (one rule for all agents), or `as-published`: the headline is the metric
    that `published_metrics` has for the agent (`*`: any other). keyword_separator: between the keywords of a gold, for
    `keyword_share`. cut_off: whether a reply that was cut off at its token limit is wrong, or is scored as far as it goes,
    as most published scripts do. protocol: whose it is. deviations: what is known to differ from it here (validity section
    5); those of a base, a card and a variant add up. reader_deviation: another, where the reader answers by our prompt.
    """

    name: str
    source: str
    description: str = ""
    params: dict[str, Any] = {}
    documents: Count = 0
    tokens: Count = 0
    shared: Positive = 1
    hard: bool = False
    chunk_tokens: Annotated[int, msgspec.Meta(ge=MIN_CHUNK)] = 2048
    one_unit_per_chunk: bool = False
    tokenizer: str = "o200k_base"
    reader_prompt: str = "reader"
    reader_budget: Count = 30_000
    answer_budget: Count = 0
    answer_tokens: Count = 0
    query_visible: bool = False
    metrics: tuple[str, ...] = ("exact_match", "f1", "substring", "evidence_any", "evidence_all", "abstention")
    headline: str = "f1"
    cluster: Literal["question", "context", "persona", "conversation"] = "question"
    questions: Count = 128
    version: Count = 1
    licence: str = ""
    citation: str = ""
    family: str = ""
    split: str = ""
    trained_on: tuple[str, ...] = ()
    judge: str = ""
    layout: Literal["", "memocr"] = ""
    sampling: dict[str, Any] = {}
    repeats: Positive = 1
    recall_prefix: dict[str, str] = {}
    reader_deviation: str = ""
    scoring: Literal["equal", "as-published"] = "equal"
    published_metrics: dict[str, str] = {}
    keyword_separator: str = ""
    cut_off: Literal["wrong", "scored"] = "wrong"
    protocol: str = ""
    deviations: tuple[str, ...] = ()
    variants: dict[str, dict[str, Any]] = {}
    abstract: bool = False
    extends: str = ""
    path: str = ""


class AgentCard(msgspec.Struct, frozen=True):
    """WHO answers. `agent` is a built-in class (`memalpha`), a control, `package.module:Class` or `file.py:Class`.

    params go to the constructor (with --set). track: reader (the harness answers from `recall`) or native. models: the
    model per role that this card reproduces (a name, or a mapping with `name`, `tag` and sampling parameters). sampling:
    role -> parameters of its calls, whatever model has the role. prompt_set: shipped prompts in place of the class's.
    prompts: part -> prompt file, relative to the card. source: more files that the answers follow from (globs, relative to
    the card). replayable: whether the memory follows from the stored replies of its models; None: as the class says (yes,
    if nothing). trained_on: what the card's own model was trained on (trained.py); it holds only where a run uses that
    model. reproduces: published rows, as `TABLE: METHOD` (leaderboards/published.csv); deviations: what is known to differ
    from the agent as it was published.
    """

    name: str
    agent: str
    description: str = ""
    params: dict[str, Any] = {}
    track: Literal["reader", "native"] = "reader"
    models: dict[str, Any] = {}
    sampling: dict[str, Any] = {}
    prompt_set: str = ""
    prompts: dict[str, str] = {}
    source: tuple[str, ...] = ()
    replayable: bool | None = None
    trained_on: tuple[trained.TrainedOn, ...] = ()
    reproduces: tuple[str, ...] = ()
    deviations: tuple[str, ...] = ()
    version: Count = 1
    licence: str = ""
    citation: str = ""
    abstract: bool = False
    extends: str = ""
    path: str = ""


class SuiteCard(msgspec.Struct, frozen=True):
    """Several tasks under one name. reduce: how their headlines become one number; `mean` is the plain mean of the tasks
    (each counts the same, whatever its number of questions)."""

    name: str
    tasks: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    description: str = ""
    reduce: Literal["mean"] = "mean"
    citation: str = ""
    path: str = ""


Card = TypeVar("Card", TaskCard, AgentCard, SuiteCard)
FOLDERS: dict[type, str] = {TaskCard: "tasks", SuiteCard: "tasks", AgentCard: "baselines"}
GENERAL = ("documents-400", "tokens-20000", "hard", "shared", "shared-8", "visible")
"""Variants of any task (`visible`), and of those whose streams are put together here, with examples of their numbers."""
_SWITCHES = {"hard": "hard", "visible": "query_visible"}
_GENERAL = re.compile(r"(documents|tokens|shared)-([1-9][0-9]{0,8})")
_KINDS: dict[type[msgspec.Struct], str] = {
    TaskCard: "in a task's card",
    AgentCard: "in an agent's card",
    SuiteCard: "in a suite's card",
}
_SAMPLED = dict.fromkeys(fields(Sampling), "under 'sampling: {reader: ...}'")
_INSIDE: dict[type, dict[str, str]] = {
    TaskCard: {**_SAMPLED, **dict.fromkeys(fields(RoleSampling), "under 'sampling'")},
    AgentCard: {**_SAMPLED, **dict.fromkeys(("memory", "reader", "judge", "embedder"), "under 'models'")},
    SuiteCard: {},
}
"""Kind of card -> key -> where in it the key belongs, for keys that are not at its top."""
_MERGED = ("params", "variants", "models", "prompts")
"""Mappings of which an extending card or a variant replaces the keys that it has itself."""
_NOT_INHERITED = {"name", "abstract", "extends", "reproduces"}


class UnknownKey(UsageError):
    """A key that a card does not have. data: the card's; plugins.py looks whether its source or agent has the key."""

    def __init__(self, message: str, key: str, data: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.key, self.data = key, data


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
    """The card of that name or path, its `extends` resolved; None when no card has that name. `name` in the file defaults to
    the file's name."""
    path = Path(name).expanduser().absolute() if name.endswith((".yaml", ".yml")) else _named(kind, name, extra)
    if path is None or (kind is not AgentCard and (kind is SuiteCard) != _is_suite(path)):
        return None
    values = {"name": path.stem, **_merged(kind, path, extra, ()), "path": str(path)}
    missing = next((field.name for field in fields(kind).values() if field.required and field.name not in values), None)
    if missing:
        raise UsageError(f"{path}: the key '{missing}' is missing")
    card = kind(**values)
    if isinstance(card, TaskCard):
        _check(card, path)
        for variant, changes in card.variants.items():
            _known_keys(TaskCard, changes, path, "variants", variant)
    return card


def _named(kind: type, name: str, extra: tuple[str, ...]) -> Path | None:
    """The file that `listing` has under a name, without reading whole folders."""
    if not name or Path(name).name != name:
        return None
    paths = (folder / f"{name}.yaml" for folder in folders(kind, extra))
    return next((path for path in paths if os.path.exists(path)), None)  # no error whatever the name


def _is_suite(path: Path) -> bool:
    """Suites are in the folder of the tasks; their file has the key `tasks`."""
    return path.is_file() and "tasks" in read_yaml(path)


def shadowed(card: TaskCard | AgentCard) -> list[str]:
    """Other cards of its name that it hides (recorded in the manifest)."""
    own = Path(card.path)
    others = [folder / own.name for folder in folders(type(card))] if card.path else []
    return [str(path.resolve()) for path in others if path.is_file() and not path.samefile(own)]


def _merged(kind: type[msgspec.Struct], path: Path, extra: tuple[str, ...], seen: tuple[Path, ...]) -> dict[str, Any]:
    """The typed values of a card's file over those of the card that it extends."""
    data = _typed(kind, read_yaml(path), path)
    base_name = data.get("extends")
    if not base_name:
        return data
    beside = path.parent / f"{base_name}.yaml"
    base_path = beside if beside.is_file() else _named(kind, base_name, extra)
    if base_path is None:
        known = listing(kind, extra)
        raise UsageError(f"{at_key(path, 'extends')}: no card '{base_name}' to extend{suggest(base_name, known)}")
    if base_path in seen:
        raise UsageError(f"{at_key(path, 'extends')}: 'extends' is circular, through {base_path.name}")
    base = _merged(kind, base_path, extra, (*seen, path))
    merged = _over({key: value for key, value in base.items() if key not in _NOT_INHERITED}, data)
    if "trained_on" not in data and own_model(merged.get("models")) != own_model(base.get("models")):
        merged.pop("trained_on", None)  # it is about the model of the base
    return merged


def _over(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """What is known to differ from a protocol adds up."""
    found = {key: {**base.get(key, {}), **new} if key in _MERGED else new for key, new in changes.items()}
    if "deviations" in changes:
        found["deviations"] = (*base.get("deviations", ()), *changes["deviations"])
    return {**base, **found}


def _typed(kind: type[msgspec.Struct], data: Mapping[str, Any], path: Path, *keys: str) -> dict[str, Any]:
    """The values of a card's file, or of one of its variants, each of the type of its field."""
    _known_keys(kind, data, path, *keys)
    if kind is AgentCard and "trained_on" in data:
        data = {**data, "trained_on": trained.parse(data["trained_on"], at_key(path, *keys, "trained_on"))}
    found = decoded(kind, data, path, *keys)
    if kind is not SuiteCard and "sampling" in found:
        typed(found["sampling"], RoleSampling, functools.partial(at_key, path), *keys, "sampling")
    return found


def _known_keys(kind: type[msgspec.Struct], data: Mapping[str, Any], path: Path, *keys: str) -> None:
    """Raises UnknownKey, which says where the key belongs, if it is one of another place."""
    known = _keys(kind)
    for key in data:
        if key in known:
            continue
        fault = f"{at_key(path, *keys, key)}: {unknown_key('.'.join((*keys, key)), known)}"
        raise UnknownKey(misplaced(kind, key, fault), key, data)


def _keys(kind: type[msgspec.Struct]) -> list[str]:
    """What may be in a card's file."""
    return [name for name in fields(kind) if name != "path"]


def misplaced(kind: type[msgspec.Struct], key: str, fault: str) -> str:
    """What is said of a key that is unknown where it is (`fault`), and where it belongs instead, if that is known."""
    where = _INSIDE[kind].get(key) or next((name for other, name in _KINDS.items() if key in _keys(other)), None)
    where = "one level up, beside 'params'" if key in _keys(kind) else where
    return f"{fault.partition(';')[0]}; it belongs {where}" if where else fault


def own_model(models: Any) -> tuple[str, str]:
    """(role, name) of the model that an agent card's `trained_on` is about: the writer of the memory, else the reader."""
    for role in ("memory", "reader"):
        entry = models.get(role) if isinstance(models, Mapping) else None
        name = entry.get("name") if isinstance(entry, Mapping) else entry
        if name:
            return role, str(name)
    return "", ""


def _check(card: TaskCard, path: Path) -> None:
    """Raises UsageError where the keys of a card contradict each other."""
    if card.layout and (card.hard or card.tokens or card.shared != 1):
        raise UsageError(
            f"{at_key(path, 'layout')}: layout '{card.layout}' is one question per stream of so many documents, filled at "
            "random: it does not go with 'hard', 'tokens' or 'shared'"
        )
    for agent, metric in card.published_metrics.items():
        judged = metric == "judge" and card.judge and card.scoring == "equal"  # a judge is no rule of a card
        if metric not in card.metrics and not judged:
            place = at_key(path, "published_metrics", agent)
            raise UsageError(f"{place}: 'published_metrics.{agent}' is {metric!r}, expected one of the card's 'metrics'")
    if card.scoring == "as-published" and "*" not in card.published_metrics:
        raise UsageError(
            f"{at_key(path, 'scoring')}: scoring is 'as-published', but 'published_metrics' has no rule for all other "
            "agents ('*')"
        )


def with_variant(card: TaskCard, variant: str) -> TaskCard:
    """The card as `name@variant`: one of its own `variants:`, or a general one.

    General (GENERAL): `documents-N` (streams of N documents), `tokens-N` (filled to N tokens), `hard` (nearest distractors
    without the answer), `shared` or `shared-K` (K questions in one stream, default 8), `visible` (the question is shown
    while the stream is read).
    """
    name = f"{card.name}@{variant}"
    general = _GENERAL.fullmatch("shared-8" if variant == "shared" else variant)
    path = Path(card.path)
    changes: dict[str, Any]
    if variant in card.variants:
        changes = _over(
            {"params": card.params, "deviations": card.deviations},
            _typed(TaskCard, card.variants[variant], path, "variants", variant),
        )
    elif variant in _SWITCHES:
        changes = {_SWITCHES[variant]: True}
    elif general and general[1] == "shared":
        changes = {"shared": int(general[2]), "cluster": "context"}
    elif general:
        changes = {"documents": 0, "tokens": 0, general[1]: int(general[2])}
    else:
        known = [*card.variants, *GENERAL]
        raise UsageError(f"task '{name}': no variant '{variant}'{suggest(variant, known)} (known: {', '.join(known)})")
    changed = replace(card, **{**changes, "name": name})
    _check(changed, path)
    return changed
