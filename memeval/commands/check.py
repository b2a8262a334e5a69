"""`memeval check`: check whether agents keep the contract, and list what they may claim."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

from memeval import process
from memeval.check import OFFLINE, check
from memeval.errors import StopRun, UsageError
from memeval.runs.options import as_typed
from memeval.runs.plan import agent_specs, check_settings_used
from memeval.runs.roles import model_spec

MARKS = {True: "ok", False: "FAILED", None: "n/a"}


def check_command(
    names: tuple[str, ...],
    settings: tuple[str, ...],
    agents_dir: tuple[str, ...],
    embedder: str | None = None,
    agent_timeout: float | None = None,
    form: str = "table",
) -> int:
    """Print the findings of each agent. Returns 0 when every probe passed, else 3. Raises UsageError, also for an embedder
    that cannot be reached."""
    model = model_spec(embedder, None) if embedder else OFFLINE
    failed = False
    found = []
    with process.foreign_code() as out:
        options = as_typed(names, (), {"settings": settings, "agents_dir": agents_dir})
        specs = [(name, spec) for name in options.agents for spec in agent_specs(name, options)]
        check_settings_used([spec for _, spec in specs], options)
        for name, spec in specs:
            if spec.is_control:
                raise UsageError(f"'{name}' is a control, not an agent: it has nothing to check")
            try:
                findings, claims = process.run(check(spec, model, agent_timeout, _slow))
            except StopRun as error:
                raise UsageError(str(error)) from error
            failed |= any(finding.ok is False for finding in findings)
            found.append({"agent": name, "findings": [asdict(row) for row in findings], "claims": claims})
            if form == "json":
                continue
            print(name, file=out)
            for finding in findings:
                print(f"  {finding.probe:22} {MARKS[finding.ok]:7} {finding.says}".rstrip(), file=out)
            print("  may claim: " + ("; ".join(claims) if claims else "nothing yet"), file=out)
        if form == "json":
            print(json.dumps({"agents": found}, ensure_ascii=False), file=out)
    return 3 if failed else 0


def _slow(method: str) -> None:
    print(f"memeval: the agent's {method} has not returned for a minute (--agent-timeout ends it)", file=sys.stderr)
