"""`memeval doctor`: check whether a run would work here, and print one line per finding."""

from __future__ import annotations

import dataclasses
import json

from memeval.doctor import findings
from memeval.models.probe import FAIL, WARN
from memeval.runs.options import Options
from memeval.wording import counted


def doctor_command(options: Options, form: str = "table", timeout: float | None = None) -> int:
    """Print the findings. Returns 0, or 3 when one of them is FAIL."""
    found = list(findings(options, timeout))
    failures, warnings = (sum(finding.level == level for finding in found) for level in (FAIL, WARN))
    if form == "json":
        listed = [dataclasses.asdict(finding) for finding in found]
        print(json.dumps({"ok": not failures, "findings": listed}, ensure_ascii=False))
    else:
        for finding in found:
            print(f"{finding.level:5}{finding.subject}: {' '.join(finding.says.split())}")
        state = f"{failures} to fix" if failures else "a run should work"
        print(f"\n{state}; {counted(warnings, 'warning')}")
    return 3 if failures else 0
