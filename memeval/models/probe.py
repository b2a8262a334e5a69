"""Check whether a model can be used, before a run, in four steps: reach, chat, tool call, window.

Nothing is repeated, and no key is shown. The first three steps cost some two hundred tokens. One long prompt checks the
window if no price list knows it, because some servers silently cut a prompt that is too long.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memeval import tokens
from memeval.errors import StopRun, UsageError
from memeval.models import keys, prices, registry, window
from memeval.models.call_facts import undercounted
from memeval.models.completion import Completion, Model, ModelSpec, Request
from memeval.models.limits import Limiter, Policy
from memeval.models.local import weights
from memeval.models.reply import one_line
from memeval.models.served import read_of

TIMEOUT = 120.0
"""Most seconds for one call."""
LONG_PROMPT = 6000
"""Tokens of the long prompt if no task defines what must fit. Common defaults of servers are 2,048 and 4,096."""
OK, WARN, FAIL = "ok", "warn", "FAIL"
_GIVEN_UP = " (given up after 1 attempts)"
_TOOL = {
    "type": "function",
    "function": {
        "name": "remember",
        "description": "Store a fact.",
        "parameters": {"type": "object", "properties": {"fact": {"type": "string"}}, "required": ["fact"]},
    },
}
_REMEDIES = {
    "HTTP 429": "; wait, or lower --concurrency",
    "HTTP 5": "; look into the server's log",
    "the reply is not JSON": "; check the URL (most end in /v1)",
    "no reply within": "; is the server up, and is the URL right?",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `memeval doctor`. level: ok, warn or FAIL. says: the finding and, unless it is ok, the remedy."""

    level: str
    subject: str
    says: str


async def probe(spec: ModelSpec, roles: Sequence[str], needs: Mapping[str, int], seconds: float = TIMEOUT) -> list[Finding]:
    """Findings about a model in these `roles`. needs: what must fit in its window -> tokens. seconds: for one call."""
    found: list[tuple[str, str]] = []
    try:
        await _Probe(spec, needs, seconds, found).run(roles)
    except UsageError as error:
        found.append((FAIL, str(error)))
    subject = f"{', '.join(roles)}: {spec.name}" + (f"@{spec.base_url}" if spec.base_url else "")
    return [Finding(level, subject, " ".join(says.split())) for level, says in found]


class _Probe:
    """The checks of one model. Each appends to `found`; if the model is unusable, a check raises UsageError and later
    checks are skipped."""

    def __init__(self, spec: ModelSpec, needs: Mapping[str, int], seconds: float, found: list[tuple[str, str]]) -> None:
        self.spec, self.needs, self.seconds, self.found = spec, needs, seconds, found
        self.where = registry.route(spec)
        policy = Policy(attempts=1, timeout=seconds, wait=0.0, wait_at_start=0.0)
        self.limiter = Limiter(self.where.endpoint, 1, policy)
        self.size = window.declared(spec.params) or prices.context_window(spec.name, spec.base_url)

    def add(self, level: str, says: str) -> None:
        self.found.append((level, says))

    async def run(self, roles: Sequence[str]) -> None:
        if self.where.provider.has_weights:
            self._on_this_machine("memory" in roles, "embedder" in roles)
        elif "embedder" in roles:
            await self._embedding()
        elif not self.where.provider.fills_cache:  # it answers by itself
            registry.open_model(self.spec)
            self.add(OK, "needs no key, GPU or network")
        else:
            listed = await self._reach()
            await self._chat()
            if "memory" in roles:
                await self._tool_call()
            await self._window(listed)
            self._price()

    async def _reach(self) -> int | None:
        """Check the key and `GET /models`. Returns the window that the server lists."""
        await registry.open_model(self.spec, self.limiter).close()  # raises UsageError where a key is missing
        url = self.where.endpoint
        if not url.startswith("http"):
            return None
        preferred, other = keys.variables(url)
        name = next((name for name in (preferred, other) if os.environ.get(name, "").strip()), "")
        if not name:
            self.add(OK, f"no key set ({preferred}): right for a server that asks for none")
        elif name == other == keys.OPENAI:
            self.add(WARN, f"the key in {other} is sent to {url}; set {preferred} to send that server's own")
        else:
            self.add(OK, f"key found in {name}")
        served = await read_of(self.spec, self.seconds)
        if served is None:  # many servers have no list: the next call decides
            return None
        if self.where.name not in served.ids:
            known = ", ".join(served.ids[:5]) + (", ..." if len(served.ids) > 5 else "")
            self.add(WARN, f"the server does not list '{self.where.name}' (it has {known}); is the name right?")
        return served.window(self.where.name)

    async def _chat(self) -> None:
        begun = time.monotonic()
        reply = await self._call("chat", "Reply with one word: ready")
        seconds = f"{time.monotonic() - begun:.1f} s"
        if reply.finish_reason == "unclosed_think":
            self.add(WARN, f"chat works ({seconds}); still thinking after 256 tokens: give replies room, or switch it off")
        elif not reply.text.strip():
            self.add(WARN, f"chat works ({seconds}), but the reply is empty")
        else:
            thinks = f", after {reply.usage.reasoning} tokens of thinking" if reply.reasoning else ""
            self.add(OK, f"chat works ({seconds}{thinks})")

    async def _tool_call(self) -> None:
        reply = await self._call("tool calling", "Use the tool to store this fact: the library opens at nine.", [_TOOL])
        calls = reply.tool_calls
        broken = next((call.error for call in calls if call.error), None)
        if not calls:
            fix = (
                "agents that write by tools would store nothing (vLLM: --enable-auto-tool-choice --tool-call-parser hermes)"
            )
            self.add(WARN, f"tool calling: the model answered without a call; {fix}")
        elif calls[0].name not in ("", "remember"):
            self.add(WARN, f"tool calling: it called '{one_line(calls[0].name, longest=40)}', which was not offered")
        elif broken:
            self.add(WARN, f"tool calling: a call could not be read ({one_line(broken)})")
        else:
            self.add(OK, "tool calling works")

    async def _window(self, listed: int | None) -> None:
        """Check whether the needs of a task fit. A server that silently cuts prompts counts too few tokens of a long
        one."""
        size = self.size or listed
        largest = max(self.needs.values(), default=0)
        if size is None or self.size is None:
            asked = min(largest or LONG_PROMPT, (size or 10**9) - 300)
            if asked > 1000:
                await self._long_prompt(asked)
        self._fits(size)

    async def _long_prompt(self, asked: int) -> None:
        line = "The library opens at nine, and the bridge closes at ten.\n"
        count = tokens.counter(tokens.DEFAULT)
        text = line * (asked // count(line)) + "Reply with one word: ready"
        reply = await self._call("a long prompt", text)
        counted, ours = reply.usage.prompt + reply.usage.cached, count(text)
        if reply.finish_reason == "overflow":
            raise UsageError(f"window: the server refused a prompt of {ours:,} tokens as too long; {_LONGER}")
        if not reply.estimated and undercounted(Request([{"role": "user", "content": text}]), reply.usage):
            raise UsageError(
                f"window: of a prompt of {ours:,} tokens the server counted {counted:,}: it silently cuts what is "
                f"too long; {_LONGER}"
            )

    def _fits(self, size: int | None) -> None:
        largest = max(self.needs.values(), default=0)
        if size is None:
            at_least = f"; this needs {largest:,} tokens" if largest else ""
            remedy = "give it in memeval.yaml or an agent's card (ROLE: {name: NAME, context: TOKENS})"
            self.add(WARN, f"context length not known{at_least}; {remedy}")
            return
        short = [f"{what} takes up to {need:,}" for what, need in self.needs.items() if need > size]
        if short:
            raise UsageError(f"context length {size:,} tokens, but {' and '.join(short)}; lower that, or {_LONGER}")
        self.add(OK, f"context length {size:,} tokens")

    def _price(self) -> None:
        found = prices.price(self.spec.name, self.spec.base_url)
        if found is None:
            self.add(WARN, f"price not known: costs stay blank; {prices.remedy(self.spec.name)}")
        else:
            usd = found.to_json()
            self.add(OK, f"{usd['prompt']:g} USD a million prompt tokens, {usd['completion']:g} completion ({found.source})")

    async def _call(self, what: str, text: str, offered: Sequence[Mapping[str, Any]] | None = None) -> Completion:
        """Make a call. Raises UsageError if there is no completion."""
        params = {"temperature": 0.0, "max_tokens": 256, **self.spec.params}
        _, request = window.split(self.spec, Request([{"role": "user", "content": text}], offered, params))
        return await self._reply(what, registry.open_model(self.spec, self.limiter), request)

    async def _embedding(self) -> None:
        from memeval.models.embeddings import asked, unpack

        request = asked(["The library opens at nine."], self.spec.params)
        reply = await self._reply("embedding", registry.open_embedder(self.spec, self.limiter), request)
        self.add(OK, f"embedding works ({unpack([reply.text], self.spec.name).shape[1]} dimensions)")

    async def _reply(self, what: str, model: Model, request: Request) -> Completion:
        """Make one call and close the model. Raises UsageError if the call fails."""
        try:
            completion = await model.complete(request)
        except StopRun as stop:
            raise UsageError(f"{what}: {stop}") from None
        finally:
            await model.close()
        if completion.error is None:
            return completion
        said = completion.error.removesuffix(_GIVEN_UP)
        remedy = next((remedy for start, remedy in _REMEDIES.items() if said.startswith(start)), "")
        if request.tools and said.startswith("HTTP 4") and not remedy:
            remedy = "; agents that write by tools need another model"
        raise UsageError(f"{what}: {said}{remedy}")

    def _on_this_machine(self, writes: bool, embeds: bool) -> None:
        """Check programs and weights; nothing is loaded or started."""
        self.add(OK, self.where.provider.installed())
        try:
            found = weights.find(self.where.name, fetch=False)
        except UsageError as error:
            if "fetching is off" not in str(error):
                raise
            self.add(WARN, f"{error}; the first run fetches it")
            return
        self.add(OK, f"weights {found.revision or found.digest[:12]} in {found.folder} (not loaded here)")
        if embeds:
            registry.open_embedder(self.spec)  # raises UsageError where it has no embedding models
            return
        template = found.chat_template()
        if not found.has_tokenizer():
            raise UsageError(f"{found.folder} has no tokenizer (tokenizer.json or the like)")
        if not template and "chat_template" not in self.spec.backend:
            raise UsageError("its tokenizer has no chat template; use an instruct model")
        if writes and template and "tools" not in template:
            unread = "agents that write by tools would store nothing"
            self.add(WARN, f"tool calling: its chat template shows the model no tools; {unread}")
        trained = found.read("config.json").get("max_position_embeddings")
        self._fits(window.declared(self.spec.params) or (trained if isinstance(trained, int) else None))


_LONGER = "use a longer context (Ollama: OLLAMA_CONTEXT_LENGTH, llama.cpp: -c, vLLM: --max-model-len)"
