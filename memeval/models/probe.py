"""A few small calls to one model, to say before a run whether it can be used: key, endpoint, chat, tools, window, price.

Nothing is repeated and nothing waits longer than `patience`; keys are never shown. Costs some two hundred tokens.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from memeval import process
from memeval.errors import StopRun, UsageError
from memeval.models import prices, registry, window
from memeval.models.completion import OPENAI_URL, Completion, Model, ModelSpec, Request
from memeval.models.endpoint import EndpointModel
from memeval.models.limits import Limiter, Policy
from memeval.models.local import weights
from memeval.models.registry import Route
from memeval.models.reply import error_text, one_line, read_reply
from memeval.models.transport import UNTRUSTED, authorities, headers, proxy_for

PATIENCE = 120.0
"""Seconds that a model may take for a call: a slow machine is not a broken one."""
OK, WARN, FAIL = "ok", "warn", "FAIL"
_GIVEN_UP = " (given up after 1 attempts)"
_LARGEST = 2**24  # bytes of a list of models
_WINDOWS = ("max_model_len", "context_length", "context_window", "max_context_length")  # vLLM, OpenRouter, ...
_TOOL = {
    "type": "function",
    "function": {
        "name": "remember",
        "description": "Store a fact.",
        "parameters": {"type": "object", "properties": {"fact": {"type": "string"}}, "required": ["fact"]},
    },
}
_HEAR, _STORE = "Reply with one word: ready", "Use the tool to store this fact: the library opens at nine."


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `memeval doctor`. level: ok, warn or FAIL. says: what was found and, where it is not ok, the remedy."""

    level: str
    subject: str
    says: str


Said = tuple[str, str]  # (level, what was found)


async def probe(
    spec: ModelSpec, roles: Sequence[str], needs: Mapping[str, int], patience: float = PATIENCE
) -> list[Finding]:
    """Findings about a model that plays `roles`. needs: what has to fit its window -> tokens. patience: seconds per call."""
    found: list[Said] = []
    try:
        where = registry.route(spec)
        if "embedder" in roles:
            found += await _embedder(spec, where, patience)
        else:
            await _examine(found, spec, where, "memory" in roles, needs, patience)
    except UsageError as error:
        found.append((FAIL, str(error)))
    subject = f"{', '.join(roles)}: {spec.name}" + (f"@{spec.base_url}" if spec.base_url else "")
    return [Finding(level, subject, " ".join(says.split())) for level, says in found]


async def _examine(
    found: list[Said], spec: ModelSpec, where: Route, writes: bool, needs: Mapping[str, int], patience: float
) -> None:
    """Adds to `found`, in the order in which one thing rests on the other; what is broken ends it."""
    size = prices.context_window(spec.name, spec.base_url)
    if where.kind == "offline":
        found.append((OK, "rule-based: needs no key, GPU or network"))
        return
    if where.kind in registry.LOCAL:
        found += _local(where)
        if not _is_broken(found):
            found += _template(where, writes)
        size = _trained_window(where)
    else:
        if where.kind == "endpoint":
            found.append(_key(spec, where))
            reached, listed = await _listed(where, patience)
            found += [reached] if reached else []
            size = listed or size
        if not _is_broken(found):
            found += await _calls(spec, where, writes, patience)
    if _is_broken(found):
        return
    found += _window(window.declared(spec.params) or size, needs)
    if where.kind in ("endpoint", "litellm"):
        found.append(_price(spec))


def _is_broken(found: Sequence[Said]) -> bool:
    return any(level == FAIL for level, _ in found)


def _variables(where: Route) -> tuple[str, str]:
    """Where the key of an endpoint is looked for, first things first."""
    own, openai = "MEMEVAL_API_KEY", "OPENAI_API_KEY"
    return (openai, own) if where.endpoint == OPENAI_URL else (own, openai)


def _key(spec: ModelSpec, where: Route) -> Said:
    """Raises UsageError where OpenAI's is missing, or one is unusable."""
    registry.open_model(spec)
    name = next((name for name in _variables(where) if os.environ.get(name, "").strip()), "")
    if not name:
        return OK, "no key set (MEMEVAL_API_KEY): right for a server that asks for none"
    if name == "OPENAI_API_KEY" and where.endpoint != OPENAI_URL:
        return WARN, f"the key in OPENAI_API_KEY is sent to {where.endpoint}; set MEMEVAL_API_KEY to send that server's own"
    return OK, f"key found in {name}"


async def _listed(where: Route, patience: float) -> tuple[Said | None, int | None]:
    """What `GET /models` says: whether the server is there and has the model, and the model's window where it says so."""
    key = registry.api_key(*_variables(where))
    sent = {**({"Authorization": f"Bearer {key}"} if key else {}), **headers(where.endpoint)}
    proxy = proxy_for(where.endpoint)
    address = f"{where.endpoint}/models"
    try:
        limits = aiohttp.ClientTimeout(total=patience)
        async with (
            aiohttp.ClientSession(headers=sent, timeout=limits) as session,
            session.get(address, allow_redirects=False, proxy=proxy.url if proxy else None, ssl=authorities()) as response,
        ):
            status, raw = response.status, b""
            while len(raw) < _LARGEST and (piece := await response.content.readany()):
                raw += piece
    except TimeoutError:
        return (FAIL, f"no reply from {address} within {patience:g} s; is the server up, and is the URL right?"), None
    except (aiohttp.ClientError, OSError) as error:
        cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error  # without `ssl:default`
        reason = one_line(str(cause) or type(cause).__name__, key)
        through = f" through {proxy.named}" if proxy else ""
        fix = (
            UNTRUSTED
            if isinstance(error, aiohttp.ClientConnectorCertificateError)
            else "start the server or correct the URL"
        )
        return (FAIL, f"cannot be reached{through} ({reason}); {fix}"), None
    try:
        data: Any = json.loads(raw)
    except (ValueError, RecursionError):
        data = None
    if status in (401, 403):
        said = error_text(data, key) if data is not None else ""
        return (FAIL, f"HTTP {status} from {address}{f': {said}' if said else ''}; check the key"), None
    entries = data.get("data") if status == 200 and isinstance(data, dict) else None
    if not isinstance(entries, list):
        return None, None  # many servers have no such list: the call that follows decides
    models = {str(entry["id"]): entry for entry in entries if isinstance(entry, Mapping) and "id" in entry}
    if where.name not in models:
        known = ", ".join(list(models)[:5]) + (", ..." if len(models) > 5 else "")
        return (WARN, f"the server does not list '{where.name}' (it has {known or 'no models'}); is the name right?"), None
    return None, next(
        (size for name in _WINDOWS if isinstance(size := models[where.name].get(name), int) and size > 0), None
    )


async def _calls(spec: ModelSpec, where: Route, writes: bool, patience: float) -> list[Said]:
    """A chat as the reader's, and one with a tool where the model writes memories."""
    limiter = _once(where, patience)
    model: Model = _Recorded(where, limiter) if where.kind == "endpoint" else registry.open_model(spec, limiter)
    try:
        begun = time.monotonic()
        heard = await _call(model, spec, _HEAR, None)
        if isinstance(heard, tuple):
            return [heard]
        found = [_heard(heard, time.monotonic() - begun)]
        if writes:
            stored = await _call(model, spec, _STORE, [_TOOL])
            found.append(stored if isinstance(stored, tuple) else _stored(stored, getattr(model, "native", True)))
        return found
    finally:
        await model.close()


class _Recorded(EndpointModel):
    """Knows whether the last reply's calls came as such, or were read from its text."""

    native = False

    def __init__(self, where: Route, limiter: Limiter) -> None:
        super().__init__(where.name, where.endpoint, registry.api_key(*_variables(where)), limiter)

    async def _post(self, body: dict[str, Any], request: Request) -> Completion:
        def read(data: Any) -> Completion:
            completion = read_reply(data, request)
            self.native = bool(data["choices"][0]["message"].get("tool_calls"))
            return completion

        return await self._sent(body, read, bool(request.tools))


def _once(where: Route, patience: float) -> Limiter:
    """One attempt of `patience` seconds; nothing is waited for."""
    return Limiter(where.endpoint, 1, Policy(attempts=1, timeout=patience, wait=0.0, wait_at_start=0.0))


async def _call(model: Model, spec: ModelSpec, text: str, tools: Any) -> Completion | Said:
    """A completion, or why there is none."""
    params = {"temperature": 0.0, "max_tokens": 256, **spec.params}
    _, request = window.split(spec, Request([{"role": "user", "content": text}], tools, params))
    what = "tool calling" if tools else "chat"
    try:
        completion = await model.complete(request)
    except StopRun as stop:
        return FAIL, f"{what}: {stop}"
    if completion.error is not None:
        said = completion.error.removesuffix(_GIVEN_UP)
        return FAIL, f"{what}: {said}{_remedy(said, bool(tools))}"
    if completion.finish_reason == "overflow":
        return FAIL, f"{what}: the server says that a prompt of some fifty tokens exceeds the model's window"
    return completion


def _remedy(said: str, tools: bool) -> str:
    if said.startswith("HTTP 429"):
        return "; wait, or lower --concurrency"
    if said.startswith("HTTP 5"):
        return "; look into the server's log"
    if said.startswith("the reply is not JSON"):
        return "; check the URL (most end in /v1)"
    return "; agents that write by tools need another model" if tools and said.startswith("HTTP 4") else ""


def _heard(completion: Completion, seconds: float) -> Said:
    if completion.finish_reason == "unclosed_think":
        return WARN, f"chat works ({seconds:.1f} s); still thinking after 256 tokens: give replies room, or switch it off"
    if not completion.text.strip():
        return WARN, f"chat works ({seconds:.1f} s), but the reply is empty"
    thinks = f", after {completion.usage.reasoning} tokens of thinking" if completion.reasoning else ""
    return OK, f"chat works ({seconds:.1f} s{thinks})"


def _stored(completion: Completion, native: bool) -> Said:
    calls = completion.tool_calls
    if not calls:
        fix = "agents that write by tools would store nothing (vLLM: --enable-auto-tool-choice --tool-call-parser hermes)"
        return WARN, f"tool calling: the model answered without a call; {fix}"
    if calls[0].name not in ("", "remember"):
        return WARN, f"tool calling: it called '{one_line(calls[0].name, longest=40)}', which was not offered"
    broken = next((call.error for call in calls if call.error), None)
    if broken:
        return WARN, f"tool calling: a call could not be read ({one_line(broken)})"
    return OK, "tool calling works" + ("" if native else ", in the text of the reply (memeval reads it there)")


async def _embedder(spec: ModelSpec, where: Route, patience: float) -> list[Said]:
    if where.kind in registry.LOCAL:
        return list(_local(where, ("torch", "sentence_transformers")))
    model = registry.open_embedder(spec, _once(where, patience))
    try:
        (completion,) = await model.embed(["The library opens at nine."], spec.params)
    except StopRun as stop:
        return [(FAIL, f"embedding: {stop}")]
    finally:
        await model.close()
    if completion.error is not None:
        return [(FAIL, f"embedding: {completion.error.removesuffix(_GIVEN_UP)}")]
    from memeval.models.embeddings import unpack

    return [(OK, f"embedding works ({unpack([completion.text], spec.name).shape[1]} dimensions)")]


def _local(where: Route, needs: Sequence[str] = ("torch", "transformers")) -> Iterator[Said]:
    """Weights and programs; nothing is loaded or started."""
    from importlib.util import find_spec

    if where.kind == "vllm":
        from memeval.models.local.vllm_model import executable

        yield OK, f"vllm is {executable()}"
    else:
        missing = [name for name in needs if find_spec(name) is None]
        if missing:
            yield FAIL, f"hf/ needs {' and '.join(missing)}: pip install 'memeval[hf]'"
            return
    try:
        found = weights.find(where.name, fetch=False)
    except UsageError as error:
        text = str(error)
        yield (WARN, f"{text}; the first run fetches it") if "fetching is off" in text else (FAIL, text)
        return
    yield OK, f"weights {found.revision or found.digest[:12]} in {found.folder} (not loaded here)"


def _template(where: Route, writes: bool) -> Iterator[Said]:
    """What stands in the way of a chat, as far as the files show it; a vllm/ model may be given it by `backend:`."""
    level = FAIL if where.kind == "hf" else WARN
    try:
        found = weights.find(where.name, fetch=False)
    except UsageError:  # it is not here yet
        return
    template = found.chat_template()
    if not found.has_tokenizer():
        yield level, f"{found.folder} has no tokenizer (tokenizer.json or the like)"
    elif not template:
        yield level, "its tokenizer has no chat template; use an instruct model"
    elif writes and "tools" not in template:
        yield (
            WARN,
            "tool calling: its chat template shows the model no tools; agents that write by tools would store nothing",
        )


def _trained_window(where: Route) -> int | None:
    try:
        config = weights.find(where.name, fetch=False).read("config.json")
    except UsageError:
        return None
    size = config.get("max_position_embeddings")
    return size if isinstance(size, int) else None


def _window(size: int | None, needs: Mapping[str, int]) -> Iterator[Said]:
    if size is None:
        largest = max(needs.values(), default=0)
        at_least = f"; this needs {largest:,} tokens" if largest else ""
        remedy = "give it in memeval.yaml or an agent's card (ROLE: {name: NAME, context: TOKENS})"
        yield WARN, f"context length not known{at_least}; {remedy}"
        return
    short = {what: tokens for what, tokens in needs.items() if tokens > size}
    for what, tokens in short.items():
        yield FAIL, f"context length {size:,} tokens, but {what} takes up to {tokens:,}; lower it or use a longer context"
    if not short:
        yield OK, f"context length {size:,} tokens"


def _price(spec: ModelSpec) -> Said:
    found = prices.price(spec.name, spec.base_url)
    if found is None:
        return WARN, "price not known: costs stay blank; add it under 'prices:' in memeval.yaml"
    listed = found.to_json()
    return OK, f"{listed['prompt']:g} USD a million prompt tokens, {listed['completion']:g} completion ({found.source})"


def probe_all(wanted: Sequence[tuple[Sequence[str], ModelSpec, Mapping[str, int]]], patience: float) -> list[Finding]:
    """`probe` of several models, one after the other: (roles, spec, needs)."""

    async def main() -> list[Finding]:
        return [finding for roles, spec, needs in wanted for finding in await probe(spec, roles, needs, patience)]

    return process.run(main())
