"""Cards: YAML files that describe tasks (what is asked) and agents (who answers).

A card is a frozen record, decoded strictly: an unknown key, a wrong type or a missing base is one line with file and fix.
`extends: other` inherits every key of another card of the same kind. A task may have variants, written `task@variant`.
plugins.py finds what has no card. docs/cards.md describes every key, and where cards are searched.
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
"""The smallest `chunk_tokens`: a single character can take several tokens, and is never split."""


class TaskCard(msgspec.Struct, frozen=True):
    """A task: what is asked. `source` is a module of memeval/tasks (or `file.py:Class`) and `params` are its settings.

    documents: stream length in documents (including the question's own). tokens: stream length in tokens instead. shared:
    questions per stream. hard: BM25-nearest distractors without the answer instead of random ones. chunk_tokens,
    reader_budget: tokens of `tokenizer`. answer_tokens: limit of the reader's reply (0: the limit of its prompt,
    prompts.ANSWER_TOKENS). one_unit_per_chunk: no two units share a chunk (published chunks). questions: default prefix of
    the seeded order (0 = all). cluster: what the interval resamples: question, context, persona or conversation. judge: the
    family of judge prompts that `memeval score --judge` uses for this task. family, split: the data set and part (train,
    dev, test ...) of the questions, to look up what models were trained on. trained_on: models known to have been trained
    on this data, as `NAME` (in-domain) or `NAME: leaked, how` (on exactly this split).

    For a published protocol: layout: how streams are laid out (empty: as in streams.py; `memocr`: as in MemOCR's script).
    sampling: role -> parameters of every call of the agent and of the reader. repeats: default number of runs of the whole.
    recall_prefix: agent -> text before each question when its memory is searched. scoring: `equal` (one rule for all
    agents), or `as-published`: the headline is the metric that `published_metrics` has for the agent (`*`: any other).
    keyword_separator: between the keywords of a gold, for `keyword_share`. cut_off: whether a reply that was cut off at its
    token limit is wrong, or is scored as it is, as in most published scripts. protocol: its name. deviations: known
    differences from it (validity section 5); those of a base, a card and a variant add up. reader_deviation: a further one
    if the reader uses memeval's prompt.
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
    """An agent: who answers. `agent` is a built-in class (`memalpha`), a control, `package.module:Class` or
    `file.py:Class`.

    params: arguments of the constructor (with --set). track: reader (the harness answers from `recall`) or native. models:
    the model per role that this card reproduces (a name, or a mapping with `name`, `tag` and sampling parameters).
    sampling: role -> parameters of its calls, whatever model has the role. prompt_set: shipped prompts that replace the
    class's. prompts: part -> prompt file, relative to the card. source: further files that determine the answers (globs,
    relative to the card). replayable: whether the memory follows from the stored replies of its models; None: as the class
    declares (default yes). trained_on: what the card's own model was trained on (trained.py); it applies only if a run uses
    that model. reproduces: published rows, as `TABLE: METHOD` (leaderboards/published.csv); deviations: known differences
    from the published agent.
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
    """Several tasks under one name. reduce: how their headlines become one number; `mean` is the plain mean of the
    tasks (with equal weights, whatever their numbers of questions)."""

    name: str
    tasks: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    description: str = ""
    reduce: Literal["mean"] = "mean"
    citation: str = ""
    path: str = ""


Card = TypeVar("Card", TaskCard, AgentCard, SuiteCard)
FOLDERS: dict[type, str] = {TaskCard: "tasks", SuiteCard: "tasks", AgentCard: "baselines"}
GENERAL = ("documents-400", "tokens-20000", "hard", "shared", "shared-8", "visible")
"""Variants of any task (`visible`), and of tasks whose streams are built here, with examples of their numbers."""
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
"""Kind of card -> key -> its right place, for keys that do not belong at the top level."""
_MERGED = ("params", "variants", "models", "prompts")
"""Mappings that an extending card or a variant overrides key by key."""
_NOT_INHERITED = {"name", "abstract", "extends", "reproduces"}


class UnknownKey(UsageError):
    """An unknown key of a card. data: the card's; plugins.py checks whether its source or agent has the key."""

    def __init__(self, message: str, key: str, data: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.key, self.data = key, data


def bundled(folder: str) -> Path:
    """`tasks/`, `baselines/` or `leaderboards/`: inside an installed wheel, otherwise beside the package (checkout)."""
    inside = Path(__file__).parent / "_data" / folder
    return inside if inside.is_dir() else Path(__file__).parent.parent / folder


def folders(kind: type, extra: tuple[str, ...] = ()) -> list[Path]:
    """Folders in which cards of a kind are searched; the first match wins."""
    return [*(Path(folder).expanduser().absolute() for folder in extra), Path.cwd() / FOLDERS[kind], bundled(FOLDERS[kind])]


def listing(kind: type, extra: tuple[str, ...] = ()) -> dict[str, Path]:
    """name -> file of every card that can be named without a path, in search order."""
    found: dict[str, Path] = {}
    for folder in folders(kind, extra):
        for path in sorted(folder.glob("*.yaml")):
            found.setdefault(path.stem, path)
    return found


def find(kind: type[Card], name: str, extra: tuple[str, ...] = ()) -> Card | None:
    """The card with that name or path, its `extends` resolved; None if no card has that name. `name` defaults to the
    file's name."""
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
    """The file that `listing` has for a name, without reading whole folders."""
    if not name or Path(name).name != name:
        return None
    paths = (folder / f"{name}.yaml" for folder in folders(kind, extra))
    return next((path for path in paths if os.path.exists(path)), None)  # no error whatever the name


def _is_suite(path: Path) -> bool:
    """Whether a file in the tasks' folder is a suite: it has the key `tasks`."""
    return path.is_file() and "tasks" in read_yaml(path)


def shadowed(card: TaskCard | AgentCard) -> list[str]:
    """Other cards with the same name that this card hides (recorded in the manifest)."""
    own = Path(card.path)
    others = [folder / own.name for folder in folders(type(card))] if card.path else []
    return [str(path.resolve()) for path in others if path.is_file() and not path.samefile(own)]


def _merged(kind: type[msgspec.Struct], path: Path, extra: tuple[str, ...], seen: tuple[Path, ...]) -> dict[str, Any]:
    """The typed values of a card's file, merged over those of the card that it extends."""
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
    """`base` overridden by `changes`; lists of known deviations are joined."""
    found = {key: {**base.get(key, {}), **new} if key in _MERGED else new for key, new in changes.items()}
    if "deviations" in changes:
        found["deviations"] = (*base.get("deviations", ()), *changes["deviations"])
    return {**base, **found}


def _typed(kind: type[msgspec.Struct], data: Mapping[str, Any], path: Path, *keys: str) -> dict[str, Any]:
    """The values of a card's file, or of one of its variants, each checked against its field's type."""
    _known_keys(kind, data, path, *keys)
    if kind is AgentCard and "trained_on" in data:
        data = {**data, "trained_on": trained.parse(data["trained_on"], at_key(path, *keys, "trained_on"))}
    found = decoded(kind, data, path, *keys)
    if kind is not SuiteCard and "sampling" in found:
        typed(found["sampling"], RoleSampling, functools.partial(at_key, path), *keys, "sampling")
    return found


def _known_keys(kind: type[msgspec.Struct], data: Mapping[str, Any], path: Path, *keys: str) -> None:
    """Raises UnknownKey for an unknown key, with its right place if it belongs elsewhere."""
    known = _keys(kind)
    for key in data:
        if key in known:
            continue
        fault = f"{at_key(path, *keys, key)}: {unknown_key('.'.join((*keys, key)), known)}"
        raise UnknownKey(misplaced(kind, key, fault), key, data)


def _keys(kind: type[msgspec.Struct]) -> list[str]:
    """The keys that a card's file may have."""
    return [name for name in fields(kind) if name != "path"]


def misplaced(kind: type[msgspec.Struct], key: str, fault: str) -> str:
    """The message for a key that is unknown in its place (`fault`), and where it belongs, if known."""
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
    """Raises UsageError if keys of a card contradict each other."""
    if card.layout and (card.hard or card.tokens or card.shared != 1):
        raise UsageError(
            f"{at_key(path, 'layout')}: layout '{card.layout}' is one question per stream of so many documents, filled at "
            "random: it does not go with 'hard', 'tokens' or 'shared'"
        )
    for agent, metric in card.published_metrics.items():
        judged = metric == "judge" and card.judge and card.scoring == "equal"  # `metrics` need not list the judge
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

    General variants (GENERAL): `documents-N` (streams of N documents), `tokens-N` (filled to N tokens), `hard` (nearest
    distractors without the answer), `shared` or `shared-K` (K questions in one stream, default 8), `visible` (the question
    is shown while the stream is read).
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
