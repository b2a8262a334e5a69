"""Resolve model names, and open the models behind them.

`offline`, `lookup`, `tiny`, `tiny/warm-start`, `scripted:FILE`, `openai/NAME`, `PROVIDER/NAME` (through litellm),
`NAME@URL` or a name with a base URL (any OpenAI-compatible endpoint), `vllm/WEIGHTS` and `hf/WEIGHTS` (a folder or hub
id, run here), and models that other packages register under the entry-point group `memeval.models`. The rows behind
these names are in providers.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from memeval.errors import UsageError, suggest
from memeval.models.completion import Model, ModelSpec
from memeval.models.keys import MOVED, openai_url
from memeval.models.providers import AT_URL, LITELLM, OWN, PLUGIN, PROVIDERS, Provider, Route

if TYPE_CHECKING:
    from memeval.models.limits import Limiter


def known() -> dict[str, str]:
    """The content of `memeval list models`: form of the name -> description."""
    from memeval import plugins

    registered = dict.fromkeys(plugins.entry_point_names("models"), "registered by an installed package")
    return {**{row.form: row.about for row in PROVIDERS if row.form}, **registered}


def parse_role(text: str, base_url: str | None = None) -> ModelSpec:
    """The spec of `NAME` or `NAME@URL` as typed for a role; with a base URL, the whole text is NAME. Raises UsageError."""
    if base_url is not None:
        return ModelSpec(text, checked_url(base_url))
    name, at, url = text.strip().partition("@http")
    if not name or "://" in name:
        raise UsageError(f"'{_hidden(text)}': a model is written NAME or NAME@URL, with http:// or https://")
    if not at and (moved := openai_url()) and (own := _of_openai(name)):
        try:
            return ModelSpec(own, checked_url(moved))
        except UsageError as error:
            raise UsageError(f"{MOVED}: {error}") from None
    return ModelSpec(name, checked_url(f"http{url}") if at else None)


def _of_openai(name: str) -> str:
    """The name of a model for a server behind OPENAI_BASE_URL: NAME of `openai/NAME`, or a name that no provider
    claims, unchanged; else ""."""
    from memeval import plugins
    from memeval.models import prices

    listed = _listed(name)
    if listed is not None:
        return listed.name if listed.provider.url else ""
    provider, slash, _ = name.partition("/")
    return "" if provider in (prices.providers() if slash else plugins.entry_point_names("models")) else name


def checked_url(url: str) -> str:
    """Normalise a base URL: no trailing slash, no `/chat/completions` or `/embeddings`. Raises UsageError, without
    showing anything that may be a key, for another scheme, a missing host, a user name or key in the URL, or a query."""
    text = url.strip()
    try:
        parts = urlsplit(text)
        valid = parts.scheme.lower() in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        parts, valid = urlsplit(""), False
    if "@" in parts.netloc:
        raise UsageError(f"base URL '{_hidden(text)}' holds a user name or key; put the key into MEMEVAL_API_KEY instead")
    if not valid or re.search(r"[\s\x00-\x1f]", text):
        raise UsageError(f"base URL '{_hidden(text)}': expected http://HOST[:PORT]/PATH or https://...")
    if parts.query or parts.fragment:
        raise UsageError(f"base URL '{_hidden(text)}': remove the part after the path ('?' or '#')")
    path = parts.path.rstrip("/").removesuffix("/chat/completions").removesuffix("/embeddings").rstrip("/")
    return f"{parts.scheme.lower()}://{parts.netloc.lower()}{path}"


def route(spec: ModelSpec) -> Route:
    """The route of a spec's name. Raises UsageError for an unknown name; opens and imports nothing."""
    name = spec.name
    if spec.base_url is not None:
        return Route(AT_URL, name, checked_url(spec.base_url))
    listed = _listed(name)
    if listed is not None:
        return listed
    provider, slash, model = name.partition("/")
    if slash and provider in OWN:
        raise UsageError(f"model '{_hidden(name)}' is unknown{suggest(name, OWN)} (of memeval's own: {', '.join(OWN)})")
    if slash and "@" in provider:
        raise UsageError(f"'{_hidden(name)}': a model is written NAME or NAME@URL, with http:// or https://")
    if provider and model:
        return Route(LITELLM, name, provider)
    from memeval import plugins

    if name in plugins.entry_point_names("models"):
        return Route(PLUGIN, name, name)
    forms = list(known())
    near = suggest(name, forms) or _with_provider(name)
    raise UsageError(f"model '{_hidden(name)}' is unknown{near} (possible: {', '.join(forms)})")


def _listed(name: str) -> Route | None:
    """The route of a name from a row of the table that has this name or its prefix."""
    return next((found for row in PROVIDERS if (found := row.route(name)) is not None), None)


def fills_cache(spec: ModelSpec) -> bool:
    """Whether replies are stored in the user's cache: not those that cost nothing to repeat."""
    return route(spec).provider.fills_cache


def runs_here(spec: ModelSpec) -> bool:
    """Whether the model runs on this machine, inside memeval or started by it, so that no provider charges for it."""
    try:
        return route(spec).provider.runs_here
    except UsageError:
        return False


def call_identity(spec: ModelSpec, identity: str, provider: Provider) -> str:
    """The model's part of a call's key within a run or a memory: the name and the tag, not the URL, so that a run
    continues after its server has moved; for models without a URL their `identity`, such as a digest of their weights."""
    return tagged(spec.name if provider.needs_url else identity, spec)


def tagged(identity: str, spec: ModelSpec) -> str:
    """An identity with the tag of the spec, which distinguishes checkpoints with the same name."""
    return f"{identity} [{spec.tag}]" if spec.tag else identity


def check(spec: ModelSpec, embeds: bool = False) -> None:
    """Open and close a model, before anything is paid for. Raises UsageError: an unknown name, a missing key or extra,
    a script or weights that cannot be read."""
    route(spec).provider.installed()
    (open_embedder if embeds else open_model)(spec)


def open_model(spec: ModelSpec, limiter: Limiter | None = None) -> Model:
    """The model of a spec, ready for calls on the running event loop. `limiter`: shared by the models of one endpoint; None
    makes one. Raises UsageError: an unknown name, a missing key or extra, a script that cannot be read."""
    where = _routed(spec)
    return where.provider.opens(where, spec, limiter or _limiter(where))


def open_embedder(spec: ModelSpec, limiter: Limiter | None = None) -> Model:
    """The embedding model of a spec, like `open_model`; embeddings.py describes its calls. Raises UsageError for a
    model without embeddings here."""
    where = _routed(spec)
    embeds = where.provider.embeds
    if embeds is None:
        raise UsageError(f"embedder '{_hidden(spec.name)}': use offline, openai/NAME, NAME@URL or hf/WEIGHTS")
    return embeds(where, spec, limiter or _limiter(where))


def identity(spec: ModelSpec) -> str | None:
    """The identity of a model with weights on this machine, in place of its name: a digest of the weights, equal for a
    copy in another folder and different for an overwritten checkpoint; for a model of memeval's own, its name with its
    version. None for all other models.

    Downloads a hub id that is not in the local hub cache. Raises like `weights.find`.
    """
    provider = _routed(spec).provider
    return open_model(spec).identity if provider.names or provider.has_weights else None


def share_backends(specs: Mapping[str, ModelSpec]) -> dict[str, ModelSpec]:
    """role -> spec, such that roles of the same local model have the same `backend` and share one server or one copy of
    the weights: a role without settings takes those of another, and the longest `context` is the window of all. Raises
    UsageError if two settings differ."""
    from memeval.models import window

    local = {role: spec for role, spec in specs.items() if role != "embedder" and route(spec).provider.has_weights}
    given: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for role, spec in local.items():
        if spec.backend:
            other, backend = given.setdefault(spec.name, (role, spec.backend))
            if backend != spec.backend:
                raise UsageError(f"model '{spec.name}': the roles {other} and {role} give it different 'backend' settings")
    for role, spec in local.items():
        shared = dict(given[spec.name][1]) if spec.name in given else {}
        longest = max(window.declared(other.params) or 0 for other in local.values() if other.name == spec.name)
        if longest:
            shared.setdefault("max_model_len", longest)
        local[role] = replace(spec, backend=shared)
    return {**specs, **local}


def _limiter(where: Route) -> Limiter:
    from memeval.models.limits import Limiter

    return Limiter(where.endpoint)


def _routed(spec: ModelSpec) -> Route:
    where = route(spec)
    if spec.backend and not where.provider.has_weights:
        raise UsageError(f"model '{_hidden(spec.name)}': 'backend' settings are for vllm/ and hf/, which run here")
    return where


def _hidden(text: str) -> str:
    """`text` for a message, without the part before an `@` in its URL."""
    return re.sub(r"(?<=//)[^/\s]*@", "...@", text)[:200]


def _with_provider(name: str) -> str:
    """The provider of a bare model name, from litellm's price table."""
    from memeval.models import prices

    provider = (prices.table().get(name) or {}).get("litellm_provider")
    return f"; did you mean '{provider}/{name}'?" if provider else ""
