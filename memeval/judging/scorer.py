"""A judge as a scorer: its name, and its calls through the same gateway as a run's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from memeval import process
from memeval.digests import digest
from memeval.errors import UsageError
from memeval.judging.judge import Generate
from memeval.judging.official import official
from memeval.judging.offline import OfflineJudge
from memeval.judging.prompts import prompt_hash
from memeval.models import registry
from memeval.models.calls import CallSettings
from memeval.models.completion import Completion, Model, ModelSpec, Request
from memeval.models.gateway import Gateway
from memeval.models.limits import Limiter
from memeval.records.folder import folder_name
from memeval.records.rows import CallRow, Usage

Result = TypeVar("Result")


@dataclass
class Spending:
    """The cost of a judge's calls. rows: one per logical call, including those read back; requests: sent by this process;
    served: model name that the server reported -> number of calls."""

    rows: list[CallRow] = field(default_factory=list)
    requests: int = 0
    served: Counter[str] = field(default_factory=Counter)

    @property
    def tokens(self) -> Usage:
        return sum((Usage(row.prompt, row.completion) for row in self.rows), Usage())


def with_judge(
    judge: ModelSpec,
    work: Callable[[Generate], Awaitable[Result]],
    settings: CallSettings,
    store: Path | None = None,
) -> tuple[Result, Spending]:
    """Run `work` with a function that calls a judge, on an event loop of its own. store: file of finished calls, besides the
    user's cache. Raises StopRun (an endpoint that is down or refuses the key, a spent budget), UsageError, and
    KeyboardInterrupt, also for SIGTERM."""
    spending = Spending()

    async def run() -> Result:
        gateway = Gateway(settings, {"": store} if store else {}, spending.rows.append, opener=open_judge)

        async def call(request: Request) -> Completion:
            completion = await gateway.call(judge, request)
            if completion.model:
                spending.served[completion.model] += 1
            return completion

        try:
            return await work(call)
        finally:
            await gateway.close()
            spending.requests = gateway.requests

    return process.run_interruptible(run()), spending


def judge_spec(typed: str, base_url: str | None = None) -> ModelSpec:
    """The judge named by `NAME[@URL]`, or by a literal name with `base_url`. Raises UsageError for an unknown name."""
    spec = registry.parse_role(typed, base_url)
    registry.route(spec)
    return spec


def scorer_name(judge: ModelSpec, family: str, prompt: str | None = None) -> str:
    """`judge-<name>-<hash8>`: the name of the scores file of this judge with these prompts (and parameters, if it has its
    own). Raises UsageError for official prompts that were not fetched, or that the judge `offline` cannot read."""
    if judge.name == "offline" and family in official() and prompt is None:
        raise UsageError(f"judge 'offline' supports only memeval's prompts, not those of family '{family}'; name a model")
    name = folder_name(judge.name)
    if len(name) > 80:  # such as a path: the length of file names is limited
        name = f"{name[:60]}-{digest(judge.name)[:8]}"
    prompts = prompt_hash(family, prompt)
    return f"judge-{name}-{(digest([prompts, dict(judge.params)]) if judge.params else prompts)[:8]}"


def open_judge(spec: ModelSpec, limiter: Limiter) -> Model:
    """Open the model of a judge; for `offline`, a rule on strings."""
    if spec.base_url is None and spec.name == "offline":
        return OfflineJudge()
    return registry.open_model(spec, limiter)
