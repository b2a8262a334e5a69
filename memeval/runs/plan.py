"""Turn the user's options into runs: find cards, resolve models, read data, and check everything before any money is
spent."""

from __future__ import annotations

import contextlib
import inspect
import itertools
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from memeval import cards, metrics, plugins, protocol, source_files, tokens
from memeval.cards import AgentCard, TaskCard
from memeval.config import MODELS, data_dir, read_config
from memeval.contamination import Claims, claims
from memeval.errors import NoData, UsageError, suggest
from memeval.loading import described
from memeval.models.completion import ModelSpec
from memeval.prompts import READER, load_prompts
from memeval.records.manifest import Origin
from memeval.records.summary import ReadBack
from memeval.runs.agent_files import agent_files
from memeval.runs.changed import say_what_changed
from memeval.runs.options import Options
from memeval.runs.prompts import check_parts, replaced
from memeval.runs.roles import chosen, judge_of, role_models, with_sampling
from memeval.runs.spec import AgentSpec, RunSpec
from memeval.tasks import Settings, Task
from memeval.tasks.load import load
from memeval.wording import counted
from memeval.yamlfile import at_key


@dataclass(frozen=True, slots=True)
class Planned:
    """A run that is ready to start: the spec (with its folder), the loaded task and the ids of the questions to ask, in
    order.

    judge: the model that judges the answers afterwards, with its own prompt text if one is given; neither is part of
    the run's identity. claims: what its models are known to have been trained on. origins: role -> the servers of its
    stored and future replies; read_back: stored replies whose model may have changed (origins.py).
    """

    spec: RunSpec
    task: Task
    question_ids: tuple[str, ...]
    judge: ModelSpec | None = None
    judge_prompt: str | None = None
    claims: Claims = field(default_factory=dict)
    origins: Mapping[str, tuple[Origin, ...]] = field(default_factory=dict)
    read_back: tuple[ReadBack, ...] = ()


def plan(options: Options) -> list[Planned]:
    """Plan every run that the options name, tasks outermost. Raises UsageError before anything is run or paid for.

    A task of a suite is left out, with a line on stderr, if its data are missing and another task remains.
    """
    config = read_config()
    agents = [spec for name in options.agents for spec in agent_specs(name, options)]
    check_settings_used(agents, options)
    check_parts([agent.card for agent in agents], options.prompts)
    named = suites(options)
    typed_names = [name for names in named.values() for name in names]
    task_cards = [checked_task(name, options) for name in typed_names]
    replacing = {agent.typed: replaced(agent.card, options.prompts) for agent in agents}
    judge_prompt = load_prompts({"judge": file})["judge"] if (file := options.prompts.get("judge")) else None
    settings = Settings(data_dir(options.data_dir, config), options.seed, options.limit or 0)
    runs_dir = options.runs_dir
    planned: list[Planned] = []
    absent: list[NoData] = []
    for typed, card in zip(typed_names, task_cards, strict=True):
        try:
            task = load(card, settings)
        except NoData as error:
            if typed in named:  # named by the user, not by a suite
                raise
            absent.append(error)
            continue
        limit = card.questions if options.limit is None else options.limit
        ids = tuple(task.order[: limit or None])
        if options.limit and len(ids) < options.limit and not options.quiet:
            print(f"memeval: {typed} has {counted(len(ids), 'question')}, not {options.limit}", file=sys.stderr)
        for agent, answer_budget in itertools.product(agents, options.answer_budgets or (0,)):
            spec = RunSpec(
                task_typed=typed,
                task=protocol.scored(card, agent.card),
                settings=settings,
                agent=agent,
                models=with_sampling(role_models(agent, options, config), card, agent.card, options),
                data=task.data,
                prompts=replacing[agent.typed],
                repeats=card.repeats if options.repeats is None else options.repeats,
                answer_repeats=options.answer_repeats,
                answer_budget=answer_budget,
                concurrency=options.concurrency,
                agent_timeout=options.agent_timeout,
                use_cache=options.use_cache,
                policy=options.policy,
                label=options.label,
            )
            judge = judge_of(card, options, config)
            if judge is not None:
                _check_judge(card, task, judge_prompt)
            known = claims(card, spec.agent.card, spec.models)
            planned.append(Planned(spec.placed(runs_dir), task, ids, judge, judge_prompt, known))
    if absent and not planned:
        raise absent[0]
    for missing in absent:
        print(f"memeval: left out of its suite: {missing}", file=sys.stderr)
    if not options.quiet:
        say_what_changed([run.spec for run in planned], options)
    if not any(chosen(role, options, config) for role in MODELS) and not options.quiet:
        print("memeval: no model given, using 'offline' (rule-based; see --model)", file=sys.stderr)
    return list({run.spec.folder: run for run in planned}.values())  # the same agent may be named twice


def suites(options: Options) -> dict[str, list[str]]:
    """Task name as typed -> the tasks of that suite, or the task itself."""
    return {name: plugins.find_suite(name, options.tasks_dir) or [name] for name in options.tasks}


def checked_task(name: str, options: Options) -> TaskCard:
    """The card of a task, after checking everything it names: metrics, headline, reader prompt, judge, tokenizer."""
    card = plugins.find_task(name, options.tasks_dir)
    if options.exact_tokens:
        card = cards.with_variant(card, f"tokens-{options.exact_tokens}")
    for metric in card.metrics:
        metrics.load(metric, card.path)
    if card.headline not in card.metrics:
        metrics.load(card.headline, card.path)
        raise UsageError(f"{card.path}: headline '{card.headline}' is not among its metrics ({', '.join(card.metrics)})")
    if card.reader_prompt not in READER:
        near = suggest(card.reader_prompt, READER)
        raise UsageError(f"{card.path}: no reader prompt '{card.reader_prompt}'{near} (known: {', '.join(READER)})")
    if card.judge:
        from memeval.judging.prompts import checked_family

        with _key(card, "judge"):
            checked_family(card.judge)
    with _key(card, "tokenizer"):
        tokens.counter(card.tokenizer)
    return card


@contextlib.contextmanager
def _key(card: TaskCard, key: str) -> Iterator[None]:
    """Name the line of a key whose value is refused."""
    try:
        yield
    except UsageError as error:
        raise UsageError(f"{at_key(Path(card.path), key)}: {error}") from None


# -- agents -----------------------------------------------------------------------------------------------------------


def agent_specs(name: str, options: Options) -> Iterator[AgentSpec]:
    """One spec for each combination of `--set` values of parameters that this agent has."""
    card = plugins.find_agent(name, options.agents_dir)
    name = card.name if name in plugins.ALIASES else name
    if card.agent in plugins.CONTROLS:
        yield AgentSpec(name, card)
        return
    accepted = parameters(card)
    _check_values_given(card, options)
    for key in card.params:
        if key not in accepted:
            has = f" (known: {', '.join(accepted)})" if accepted else ""
            raise UsageError(f"{card.path}: params.{key}: the agent has no parameter '{key}'{suggest(key, accepted)}{has}")
    axes = [[(key, value) for value in values] for key, values in options.settings.items() if key in accepted]
    replayable = card.replayable
    if replayable is None:
        replayable = bool(getattr(plugins.agent_class(card), "replayable", True))
    for point in itertools.product(*axes):
        params = {**card.params, **dict(point)}
        agent = made(card, params)
        if plugins.is_foreign(agent):  # facts that only the server knows, such as its version
            params |= agent.reported_params()
        yield agent_spec(name, card, params, agent, replayable)


def agent_spec(typed: str, card: AgentCard, params: Mapping[str, Any], agent: Any, replayable: bool) -> AgentSpec:
    """The spec of an agent with these parameters. typed: its name on the command line."""
    wanted = getattr(agent, "chunk_tokens", 0)
    if isinstance(wanted, bool) or not isinstance(wanted, int) or wanted < 0:
        raise UsageError(
            f"agent '{card.name}': chunk_tokens is {wanted!r}, expected a whole number, 0 for the task's chunks"
        )
    files = source_files.digests(agent_files(card, params))
    return AgentSpec(typed, card, params, files, replayable, wanted)


def made(card: AgentCard, params: Mapping[str, Any]) -> Any:
    """Construct an agent with these parameters. An exception of the constructor is a UsageError, raised before anything
    is spent."""
    cls = plugins.agent_class(card)
    try:
        return cls(**params)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # sys.exit() too
        place = source_files.place(error)
        if isinstance(error, UsageError) or not (place or isinstance(error, (TypeError, ValueError))):
            raise
        where = f"{place}: agent '{card.name}': __init__ raised {described(error)}"
        raise UsageError(where if place else f"agent '{card.name}': its parameters do not fit: {error}") from error


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
    return [parameter.name for parameter in _named(cls)]


def _named(cls: Any) -> list[inspect.Parameter]:
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [parameter for parameter in inspect.signature(cls).parameters.values() if parameter.kind in kinds]


def _check_values_given(card: AgentCard, options: Options) -> None:
    """Raises UsageError for a parameter that has no default and no value in the card or in `--set`."""
    for parameter in _named(plugins.agent_class(card)):
        name = parameter.name
        if parameter.default is parameter.empty and name not in card.params and name not in options.settings:
            raise UsageError(
                f"agent '{card.name}': parameter '{name}' has no value; add --set {name}=VALUE, give it a default, "
                "or put it in a card's params"
            )


def check_settings_used(agents: Sequence[AgentSpec], options: Options) -> None:
    """Raises UsageError for a key of `--set` that no agent has as a parameter."""
    known = {name for agent in agents if not agent.is_control for name in parameters(agent.card)}
    for key in options.settings:
        if key not in known:
            has = f" (known: {', '.join(sorted(known))})" if known else " (they have none)"
            raise UsageError(f"--set {key}: no agent of this run has a parameter '{key}'{suggest(key, known)}{has}")


def _check_judge(card: TaskCard, task: Task, prompt: str | None) -> None:
    """Raises UsageError, before the run is paid for, if the judge cannot judge these questions or use this prompt."""
    from memeval.judging.judge import check_keypoints, family_of
    from memeval.judging.prompts import SHARES, prompt_hash

    family = family_of(card.judge, card.source)
    prompt_hash(family, prompt)
    if family in SHARES:
        check_keypoints(family, [question.keypoints for question in task.golds()], f"fetch the data of {card.name} again")
