"""From what a user typed to runs: cards found, models resolved, data read, everything checked before anything is spent."""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from memeval import cards, plugins, protocol, tokens
from memeval.cards import AgentCard, TaskCard
from memeval.config import ROLES, data_dir, read_config
from memeval.errors import NoData, UsageError, suggest
from memeval.models import prices, registry, window
from memeval.models.completion import ModelSpec
from memeval.models.parameters import check as check_parameters
from memeval.prompts import READER, load_prompts
from memeval.runs.familiarity import Claims, claims
from memeval.runs.spec import AgentSpec, RunSpec
from memeval.sources import Settings, Task, index

PROMPT_ROLES = ("memory", "reader", "judge")


@dataclass(frozen=True, slots=True)
class Options:
    """`memeval run` as typed. models: role (or "model") -> NAME[@URL]. limit: questions per task, 0 = all, None = the
    card's, and so are repeats. max_cost (USD), max_calls: what all runs together may send. settings:
    `--set key=value[,value...]` in order. prompts: role -> file."""

    agents: Sequence[str]
    tasks: Sequence[str]
    models: Mapping[str, str] = field(default_factory=dict)
    base_url: str | None = None
    limit: int | None = None
    seed: int = 42
    repeats: int | None = None
    answer_repeats: int = 1
    answer_budget: int = 0
    concurrency: int = 16
    runs_dir: Path = Path("runs")
    data_dir: Path | None = None
    settings: Sequence[str] = ()
    prompts: Mapping[str, str] = field(default_factory=dict)
    exact_tokens: int = 0
    use_cache: bool = True
    agents_dir: tuple[str, ...] = ()
    tasks_dir: tuple[str, ...] = ()
    quiet: bool = False
    max_cost: float | None = None
    max_calls: int | None = None


@dataclass(frozen=True, slots=True)
class Planned:
    """A run ready to go: the spec (with its folder), the loaded task and the ids of the questions to ask, in order.

    judge: who judges the answers afterwards, by its own prompt text if one is given; neither is part of the run's identity.
    claims: what its models are known to have been trained on.
    """

    spec: RunSpec
    task: Task
    question_ids: tuple[str, ...]
    judge: ModelSpec | None = None
    judge_prompt: str | None = None
    claims: Claims = field(default_factory=dict)


def plan(options: Options) -> list[Planned]:
    """Every run the options name, tasks outermost. Raises UsageError before anything is run or paid for.

    A task of a suite whose data are not at hand is left out, with a line on stderr, as long as another is left."""
    config = read_config()
    for role in options.prompts:
        if role not in PROMPT_ROLES:
            raise UsageError(
                f"--prompt {role}: no such role{suggest(role, PROMPT_ROLES)} (one of {', '.join(PROMPT_ROLES)})"
            )
    agents = [spec for name in options.agents for spec in agent_specs(name, options)]
    _check_settings_used(agents, options)
    named = suites(options)
    typed_names = [name for names in named.values() for name in names]
    task_cards = [find_task(name, options) for name in typed_names]
    prompts = load_prompts(options.prompts)
    judge_prompt = prompts.pop("judge", None)
    settings = Settings(data_dir(options.data_dir, config), options.seed, options.limit or 0)
    runs_dir = options.runs_dir
    planned: list[Planned] = []
    absent: list[NoData] = []
    for typed, card in zip(typed_names, task_cards, strict=True):
        try:
            task = index.load(card, settings, options.use_cache)
        except NoData as error:
            if typed in named:  # asked for by its own name
                raise
            absent.append(error)
            continue
        limit = card.questions if options.limit is None else options.limit
        ids = tuple(task.order[: limit or None])
        if options.limit and len(ids) < options.limit and not options.quiet:
            print(f"memeval: {typed} has {len(ids)} questions, not {options.limit}", file=sys.stderr)
        for agent in agents:
            spec = RunSpec(
                task_typed=typed,
                task=protocol.scored(card, agent.card),
                settings=settings,
                agent=agent,
                models=with_sampling(role_models(agent, options, config), card),
                data=task.data,
                prompts={**card_prompts(agent.card), **prompts},
                repeats=card.repeats if options.repeats is None else options.repeats,
                answer_repeats=options.answer_repeats,
                answer_budget=options.answer_budget,
                concurrency=options.concurrency,
                use_cache=options.use_cache,
            )
            judge = judge_of(card, options, config)
            if judge is not None:
                _check_judge(card, task, judge_prompt)
            planned.append(Planned(spec.placed(runs_dir), task, ids, judge, judge_prompt, claims(spec)))
    if absent and not planned:
        raise absent[0]
    for missing in absent:
        print(f"memeval: left out of its suite: {missing}", file=sys.stderr)
    if not any(_chosen(role, options, config) for role in ("model", *ROLES)) and not options.quiet:
        print("memeval: no model given, using 'offline' (rule-based; see --model)", file=sys.stderr)
    return planned


def suites(options: Options) -> dict[str, list[str]]:
    """What was typed as a task -> the tasks it stands for: those of a suite, or itself."""
    return {name: plugins.find_suite(name, options.tasks_dir) or [name] for name in options.tasks}


def find_task(name: str, options: Options) -> TaskCard:
    """The card of a task as typed, with what it names checked: metrics, headline, reader prompt, tokenizer."""
    card = plugins.find_task(name, options.tasks_dir)
    if options.exact_tokens:
        card = cards.with_variant(card, f"tokens-{options.exact_tokens}")
    for metric in card.metrics:
        plugins.load_metric(metric, card.path)
    if card.headline not in card.metrics:
        plugins.load_metric(card.headline, card.path)
        raise UsageError(f"{card.path}: headline '{card.headline}' is not among its metrics ({', '.join(card.metrics)})")
    if card.reader_prompt not in READER:
        raise UsageError(f"{card.path}: no reader prompt '{card.reader_prompt}'{suggest(card.reader_prompt, READER)}")
    tokens.counter(card.tokenizer)
    return card


# -- agents -----------------------------------------------------------------------------------------------------------


def agent_specs(name: str, options: Options) -> Iterator[AgentSpec]:
    """One spec per point of the grid that `--set` spans over the parameters this agent has."""
    card = plugins.find_agent(name, options.agents_dir)
    if card.agent in plugins.ARMS:
        yield AgentSpec(name, card)
        return
    accepted = parameters(card)
    for key in card.params:
        if key not in accepted:
            raise UsageError(f"{card.path}: params.{key}: the agent has no parameter '{key}'{suggest(key, accepted)}")
    source = plugins.source_hash(card.agent, Path(card.path) if card.path else None)
    axes = [
        [(key, value) for value in values] for key, values in parse_settings(options.settings).items() if key in accepted
    ]
    for point in itertools.product(*axes):
        params = {**card.params, **dict(point)}
        _try_to_make(card, params)
        yield AgentSpec(name, card, params, source)


def _try_to_make(card: AgentCard, params: Mapping[str, Any]) -> None:
    """Parameters that the constructor refuses are bad input, found before anything is spent."""
    try:
        plugins.agent_class(card)(**params)
    except (TypeError, ValueError) as error:
        raise UsageError(f"agent '{card.name}': its parameters do not fit: {error}") from None


def parameters(card: AgentCard) -> list[str]:
    """Names of the parameters an agent's constructor takes."""
    cls = plugins.agent_class(card)
    missing = [method for method in ("begin", "observe", "recall") if not callable(getattr(cls, method, None))]
    if missing:
        raise UsageError(
            f"agent '{card.name}': {card.agent} has no method '{missing[0]}' (an agent needs begin, observe, recall)"
        )
    if card.track == "native" and not callable(getattr(cls, "answer", None)):
        raise UsageError(f"agent '{card.name}': track is 'native' but {card.agent} has no method 'answer'")
    found = inspect.signature(cls).parameters.values()
    required = [
        parameter.name
        for parameter in found
        if parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        and parameter.name not in card.params
    ]
    if required:
        raise UsageError(
            f"agent '{card.name}': parameter '{required[0]}' has no value; give a default or put it in a card's params"
        )
    return [p.name for p in found if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]


def parse_settings(settings: Sequence[str]) -> dict[str, list[Any]]:
    """`key=value[,value...]` -> key -> values, each read as a YAML scalar; `key=[1,2]` is one value, a list."""
    found: dict[str, list[Any]] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key.strip().isidentifier():
            raise UsageError(f"--set {setting}: expected key=value[,value...]")
        parts = re.findall(r"\[[^\]]*\]|\{[^}]*\}|\"[^\"]*\"|'[^']*'|[^,]+", text) or [""]
        try:
            found[key.strip()] = [yaml.safe_load(part) for part in parts]
        except yaml.YAMLError:
            raise UsageError(f"--set {setting}: '{text}' is not a value; quote it") from None
    return found


def _check_settings_used(agents: Sequence[AgentSpec], options: Options) -> None:
    known = {name for agent in agents if not agent.is_arm for name in parameters(agent.card)}
    for key in parse_settings(options.settings):
        if key not in known:
            raise UsageError(f"--set {key}: no agent of this run has a parameter '{key}'{suggest(key, known)}")


def card_prompts(card: AgentCard) -> dict[str, str]:
    """The prompt files a card names, relative to the card."""
    return load_prompts({role: str(Path(card.path).parent / name) for role, name in card.prompts.items()})


# -- models -----------------------------------------------------------------------------------------------------------


def _chosen(role: str, options: Options, config: Mapping[str, Any]) -> Any:
    return options.models.get(role) or os.environ.get(f"MEMEVAL_{role.upper()}") or config.get(role)


def role_models(agent: AgentSpec, options: Options, config: Mapping[str, Any]) -> dict[str, ModelSpec]:
    """role -> model. Order: the role's flag, `--model`, MEMEVAL_<ROLE>, MEMEVAL_MODEL, memeval.yaml, the card, offline."""
    if agent.card.agent == "constant":
        return {}
    roles = ["reader"] if agent.is_arm else ["memory", "reader", "embedder"]
    return registry.share_backends({role: role_model(role, agent.card, options, config) for role in roles})


def role_model(role: str, card: AgentCard, options: Options, config: Mapping[str, Any]) -> ModelSpec:
    """The model of one role. An entry of memeval.yaml or of the card may be a mapping: `name`, sampling parameters,
    `context` (the window, tokens), and `backend` (how a vllm/ or hf/ model is started)."""
    shared = role != "embedder"  # --model never means an embedding model
    variable, base_url = f"MEMEVAL_{role.upper()}", options.base_url or _base_url(config)
    candidates = [
        (f"--{role}", options.models.get(role), None),
        ("--model", options.models.get("model") if shared else None, base_url),
        (variable, os.environ.get(variable), None),
        ("MEMEVAL_MODEL", os.environ.get("MEMEVAL_MODEL") if shared else None, base_url),
        (f"memeval.yaml: {role}", config.get(role), None),
        ("memeval.yaml: model", config.get("model") if shared else None, base_url),
        (card.path or card.name, card.models.get(role), None),
    ]
    if shared and options.base_url and not any(entry for _, entry, _ in candidates[:-1]):
        raise UsageError(f"--base-url {options.base_url}: of which model? Name it with --model, as its server calls it")
    where, entry, url = next((found for found in candidates if found[1]), ("", "offline", None))
    name = str(entry.get("name", "") if isinstance(entry, Mapping) else entry)
    if not options.base_url and ("@http" in name or prices.runs_here(name)):
        url = None  # a URL set once, for all, does not carry off a model that says itself where it is
    try:
        return model_spec(entry, url)
    except UsageError as error:
        if options.base_url and where == f"--{role}" and "@" not in name:
            raise UsageError(f"--{role} {name}: --base-url belongs to --model; write {name}@URL") from error
        raise UsageError(f"{where}: {error}") from None


def _base_url(config: Mapping[str, Any]) -> str | None:
    """The URL set once, for all. Raises UsageError naming where."""
    for where, url in (("MEMEVAL_BASE_URL", os.environ.get("MEMEVAL_BASE_URL")), ("memeval.yaml", config.get("base_url"))):
        if url:
            try:
                return registry.checked_url(url)
            except UsageError as error:
                raise UsageError(f"{where}: {error}") from None
    return None


def model_spec(entry: Any, base_url: str | None) -> ModelSpec:
    """The spec of a name, or of a mapping with a `name`; base_url makes it a literal name. Raises UsageError for what means
    nothing."""
    given = dict(entry) if isinstance(entry, Mapping) else {"name": entry}
    name, backend = str(given.pop("name", "offline")), given.pop("backend", {})
    if not isinstance(backend, Mapping):
        raise UsageError(f"model '{name}': 'backend' is {backend!r}, expected a mapping")
    check_parameters(given)
    spec = dataclasses.replace(registry.parse_role(name, base_url), params=given, backend=dict(backend))
    registry.route(spec)
    window.declared(spec.params)
    return spec


def judge_of(card: TaskCard, options: Options, config: Mapping[str, Any]) -> ModelSpec | None:
    """The judge: on any task when the flag names one, else on tasks that are made to be judged."""
    name = options.models.get("judge") or (card.judge and _chosen("judge", options, config))
    if not name:
        return None
    return model_spec(name, None)


def _check_judge(card: TaskCard, task: Task, prompt: str | None) -> None:
    """Raises UsageError for what the judge could not do with these questions or this prompt, before the run is paid for."""
    from memeval.judging.judge import check_keypoints, family_of
    from memeval.judging.prompts import ASPECTS, prompt_hash

    family = family_of({"task": {"judge": card.judge, "source": card.source}})
    prompt_hash(family, prompt)
    if family in ASPECTS:
        check_keypoints(family, [question.keypoints for question in task.golds()], f"fetch the data of {card.name} again")


def with_sampling(models: Mapping[str, ModelSpec], card: TaskCard) -> dict[str, ModelSpec]:
    """A published protocol fixes how models sample, whatever an agent's card says."""
    return {
        role: dataclasses.replace(spec, params={**spec.params, **card.sampling.get(role, {})})
        for role, spec in models.items()
    }
