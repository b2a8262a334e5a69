"""Choose the model of each role: as typed, else from the environment, memeval.yaml, the card, or `offline`."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from memeval.cards import AgentCard, TaskCard
from memeval.errors import UsageError
from memeval.models import registry, window
from memeval.models.completion import ModelSpec
from memeval.models.parameters import check as check_parameters
from memeval.runs import controls
from memeval.runs.options import Options
from memeval.runs.spec import AgentSpec


def chosen(role: str, options: Options, config: Mapping[str, Any]) -> Any:
    """The user's setting for a role, or for all roles (`model`)."""
    return options.models.get(role) or os.environ.get(f"MEMEVAL_{role.upper()}") or config.get(role)


def role_models(agent: AgentSpec, options: Options, config: Mapping[str, Any]) -> dict[str, ModelSpec]:
    """role -> model. Order: the role's flag, `--model`, MEMEVAL_<ROLE>, MEMEVAL_MODEL, memeval.yaml, the card, offline.
    The reader of an agent that answers by itself is the model of its memory, unless another is named."""
    control = controls.BY_NAME.get(agent.card.agent)
    if control and control.rule:
        return {}
    roles = ["reader"] if agent.is_control else ["memory", "reader", "embedder"]
    models = {role: role_model(role, agent.card, options, config) for role in roles}
    named = agent.card.models.get("reader") or any(chosen(role, options, config) for role in ("model", "reader"))
    if agent.card.track == "native" and not named:
        models["reader"] = models["memory"]
    return registry.share_backends(models)


def role_model(role: str, card: AgentCard, options: Options, config: Mapping[str, Any]) -> ModelSpec:
    """The model of one role. An entry of memeval.yaml or of the card may be a mapping: `name`, sampling parameters,
    `context` (the window, tokens), `tag` (which checkpoint), and `backend` (how to start a vllm/ or hf/ model)."""
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
        raise UsageError(f"--base-url {options.base_url}: no model is named; add --model NAME, as the server names it")
    where, entry, url = next((found for found in candidates if found[1]), ("", "offline", None))
    name = str(entry.get("name", "") if isinstance(entry, Mapping) else entry)
    if not options.base_url and ("@http" in name or registry.runs_here(ModelSpec(name))):
        url = None  # a URL for all models does not move a model that names its own place
    try:
        return _as_typed(model_spec(entry, url), role, options)
    except UsageError as error:
        if options.base_url and where == f"--{role}" and "@" not in name:
            raise UsageError(f"--{role} {name}: --base-url belongs to --model; write {name}@URL") from error
        raise UsageError(f"{where}: {error}") from None


def _as_typed(spec: ModelSpec, role: str, options: Options) -> ModelSpec:
    """The spec with the tag and the thinking mode that were typed for its role, or for all models."""
    names = (role,) if role in ("embedder", "judge") else (role, "model")
    tag = next((options.tags[name] for name in names if name in options.tags), None)
    thinking = next((options.thinking[name] for name in names if name in options.thinking), None)
    if thinking is not None:
        others = {key: value for key, value in spec.params.items() if key != "thinking"}
        spec = dataclasses.replace(spec, params={**others, **({"thinking": thinking} if thinking != "auto" else {})})
    return dataclasses.replace(spec, tag=checked_tag(tag)) if tag else spec


def _base_url(config: Mapping[str, Any]) -> str | None:
    """The URL that is set for all models. Raises UsageError that names the setting."""
    for where, url in (("MEMEVAL_BASE_URL", os.environ.get("MEMEVAL_BASE_URL")), ("memeval.yaml", config.get("base_url"))):
        if url:
            try:
                return registry.checked_url(url)
            except UsageError as error:
                raise UsageError(f"{where}: {error}") from None
    return None


def model_spec(entry: Any, base_url: str | None) -> ModelSpec:
    """The spec of a name, or of a mapping with a `name`; base_url makes it a literal name. Raises UsageError if the
    entry has no meaning."""
    given = dict(entry) if isinstance(entry, Mapping) else {"name": entry}
    name, backend = str(given.pop("name", "offline")), given.pop("backend", {})
    if not isinstance(backend, Mapping):
        raise UsageError(f"model '{name}': 'backend' is {backend!r}, expected a mapping")
    tag = checked_tag(given.pop("tag", ""))
    check_parameters(given)
    spec = dataclasses.replace(registry.parse_role(name, base_url), params=given, backend=dict(backend), tag=tag)
    registry.route(spec)
    window.declared(spec.params)
    return spec


def checked_tag(tag: Any) -> str:
    """A checkpoint's name or step, as text. Raises UsageError."""
    if isinstance(tag, bool) or not isinstance(tag, (str, int)) or not str(tag).isprintable() or len(str(tag)) > 200:
        raise UsageError(f"tag {tag!r}: expected a short text, such as step-400")
    return str(tag).strip()


def judge_of(card: TaskCard, options: Options, config: Mapping[str, Any]) -> ModelSpec | None:
    """The judge: the model of the flag on any task, otherwise only on tasks that need a judge."""
    name = options.models.get("judge") or (card.judge and chosen("judge", options, config))
    if not name:
        return None
    return _as_typed(model_spec(name, None), "judge", options)


def with_sampling(
    models: Mapping[str, ModelSpec], card: TaskCard, agent: AgentCard, options: Options
) -> dict[str, ModelSpec]:
    """Add the sampling that a published agent or, with priority, a published protocol fixes. `--thinking` may override
    the thinking mode; the badge then says so (results/badge.py)."""
    found = {}
    for role, spec in models.items():
        fixed = {**agent.sampling.get(role, {}), **card.sampling.get(role, {})}
        if {role, "model"} & set(options.thinking):
            fixed.pop("thinking", None)
        found[role] = dataclasses.replace(spec, params={**spec.params, **fixed})
    return found
